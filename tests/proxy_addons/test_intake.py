"""The writer's side of a recorder, in this process, with a store that fails when told to."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from wiretape_addons import intake as intake_module
from wiretape_addons.feed import Ending, Kind, Opening, Record, json_body
from wiretape_addons.intake import Intake, _take_all
from wiretape_store import (
    EndKind,
    EventKind,
    Handshake,
    StoreError,
    StoreReader,
    StoreWriter,
    UpstreamSpec,
)


class Clock:
    """Microseconds that the test moves."""

    def __init__(self) -> None:
        self.now_us = 1_700_000_000_000_000

    def __call__(self) -> int:
        return self.now_us


class FailingWriter(StoreWriter):
    """A writer whose disk is full while the test says so."""

    full = False

    def commit(self) -> None:
        if self.full:
            raise StoreError(self.path, "storing messages failed: disk full", "make room on its disk")
        super().commit()

    def begin_session(self, upstream_id: int, started_at_us: int, handshake: Handshake) -> int:
        if self.full:
            raise StoreError(self.path, "beginning a session failed: disk full", "make room on its disk")
        return super().begin_session(upstream_id, started_at_us, handshake)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def writer(tmp_path: Path, clock: Clock) -> Iterator[FailingWriter]:
    with FailingWriter(str(tmp_path / "a.db"), clock_us=clock) as writer:
        yield writer


def opened(key: int, target: str = "/") -> Record:
    handshake = Opening(0, 1_700_000_000_000_000, target, [], 101, [], "", None)
    return Record(Kind.OPEN, key, False, 0, 1, json_body(handshake))


def text(key: int, data: bytes) -> Record:
    return Record(Kind.DATA, key, False, 0, 2, bytes([0x81, len(data)]) + data)


def end(key: int) -> Record:
    return Record(Kind.END, key, False, 0, 3, json_body(Ending(False)))


def intake_of(writer: StoreWriter, warnings: list[str], *, pass_unrecorded: bool = True) -> Intake:
    recording = writer.begin_recording("test", [UpstreamSpec("a", "opaque", "ws://x", "")])
    return Intake(writer, recording, 1 << 20, pass_unrecorded=pass_unrecorded, warn=warnings.append)


def commit_later(intake: Intake, clock: Clock) -> None:
    clock.now_us += 50_000
    intake.commit_if_due()


def test_a_store_that_fails_ends_the_recording_unless_told_otherwise(
    writer: FailingWriter, clock: Clock
) -> None:
    intake = intake_of(writer, [], pass_unrecorded=False)
    intake.take(opened(0))
    intake.take(text(0, b"a"))
    writer.full = True

    with pytest.raises(StoreError, match="disk full"):
        commit_later(intake, clock)
    with pytest.raises(StoreError, match="disk full"):
        intake.take(opened(1))
    writer.full = False


def test_a_gap_is_recorded_as_soon_as_the_store_is_back(writer: FailingWriter, clock: Clock) -> None:
    warnings: list[str] = []
    intake = intake_of(writer, warnings)
    intake.take(opened(0))
    intake.take(text(0, b"a"))
    commit_later(intake, clock)
    writer.full = True
    for data in (b"b", b"c"):
        intake.take(text(0, data))
        commit_later(intake, clock)
    intake.take(opened(1, "/late"))
    intake.take(text(1, b"lost with its beginning"))
    intake.take(opened(2, "/gone"))
    intake.take(end(2))
    writer.full = False
    commit_later(intake, clock)
    commit_later(intake, clock)
    for key in (0, 1):
        intake.take(text(key, b"d"))
        intake.take(end(key))
    intake.stop(9)

    with StoreReader(writer.path) as reader:
        sessions = {session.handshake.target: session for session in reader.sessions()}
        first = [(message.seq, message.wire) for message in reader.messages(sessions["/"].id)]
        gaps = {target: reader.events(session.id) for target, session in sessions.items()}
        late = list(reader.messages(sessions["/late"].id))
    assert first == [(0, b"a"), (3, b"d")]
    assert [(gap.kind, gap.after_seq) for gap in gaps["/"]] == [(EventKind.GAP, 2)]
    assert gaps["/"][0].data == b"2 messages passed unrecorded: the store could not be written"
    assert [gap.kind for gap in gaps["/late"] + gaps["/gone"]] == [EventKind.GAP, EventKind.GAP]
    assert late == []
    assert {session.end.kind for session in sessions.values()} == {EndKind.EOF}
    assert [warning.split(":")[0].split(";")[0] for warning in warnings] == [
        "traffic passes unrecorded",
        "the store is back",
    ]


def events_of(writer: StoreWriter) -> dict[str, list[EventKind]]:
    with StoreReader(writer.path) as reader:
        return {
            session.handshake.target: [event.kind for event in reader.events(session.id)]
            for session in reader.sessions()
        }


def test_connections_that_the_store_does_not_know_yet_are_recorded_at_the_end(
    writer: FailingWriter, clock: Clock
) -> None:
    warnings: list[str] = []
    intake = intake_of(writer, warnings)
    writer.full = True
    intake.take(opened(0, "/open"))
    intake.take(opened(1, "/gone"))
    intake.take(end(1))
    commit_later(intake, clock)
    writer.full = False

    intake.stop(9)

    assert events_of(writer) == {"/open": [EventKind.GAP], "/gone": [EventKind.GAP]}
    with StoreReader(writer.path) as reader:
        assert [session.end.kind for session in reader.sessions()] == [EndKind.INTERRUPTED, EndKind.EOF]
    assert warnings[1:] == ["the store is back; 0 messages, and all of 2 connections passed unrecorded"]


def test_connections_that_the_store_never_knew_are_a_failure(
    writer: FailingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    intake = intake_of(writer, warnings)
    intake.take(opened(0))
    intake.take(text(0, b"a"))
    writer.full = True
    intake.take(opened(1, "/lost"))
    with monkeypatch.context() as back:
        # Room for what is known, not for more.
        back.setattr(writer, "commit", super(FailingWriter, writer).commit)
        with pytest.raises(StoreError, match="beginning a session failed: disk full"):
            intake.stop(9)
    writer.full = False

    assert intake.stopped
    assert warnings[1:] == ["nothing is recorded of 1 connections: the store is not back"]
    with StoreReader(writer.path) as reader:
        assert reader.recording("test").ended_at_us is not None
        assert [message.wire for message in reader.messages("s1")] == [b"a"]


def test_the_gap_of_a_late_connection_outlives_another_failure(
    writer: FailingWriter, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "now_us", iter((0, 10_000_000)).__next__)
    intake = intake_of(writer, [])
    writer.full = True
    intake.take(opened(0, "/late"))
    intake.commit_if_due()
    writer.full = False
    intake.commit_if_due()
    writer.full = True
    commit_later(intake, clock)
    writer.full = False
    intake.stop(9)

    assert events_of(writer) == {"/late": [EventKind.GAP]}


def test_what_waits_is_kept_when_only_a_late_connection_cannot_be_opened(
    writer: FailingWriter, clock: Clock
) -> None:
    intake = intake_of(writer, [])
    intake.take(opened(0))
    intake.take(text(0, b"a"))
    writer.full = True
    intake.take(opened(1, "/late"))
    intake.commit_if_due()
    writer.full = False
    intake.stop(9)

    with StoreReader(writer.path) as reader:
        assert [message.wire for message in reader.messages("s1")] == [b"a"]


def masked(payload: bytes) -> bytes:
    return bytes([0x81, 0x80 | 126]) + len(payload).to_bytes(2, "big") + b"\0\0\0\0" + payload


def test_a_secret_that_the_upstream_repeats_is_not_stored(writer: FailingWriter) -> None:
    recording = writer.begin_recording("test", [UpstreamSpec("a", "hotbit", "ws://x", "")])
    intake = Intake(writer, recording, 1 << 20)
    login = b'{"method": "server.auth", "params": ["the-api-key", "the-signature"], "id": 1}'
    said = b'{"error": {"code": 11, "message": "wrong key the-api-key"}, "result": null, "id": 1}'
    intake.take(opened(0))
    intake.take(Record(Kind.DATA, 0, True, 0, 2, masked(login)))
    intake.take(Record(Kind.DATA, 0, False, 0, 3, b"\x81" + bytes([len(said)]) + said))
    reason = b"\x0f\xa1bad the-signature"
    intake.take(Record(Kind.DATA, 0, False, 0, 4, b"\x88" + bytes([len(reason)]) + reason))
    intake.take(end(0))
    intake.stop(9)

    with StoreReader(writer.path) as reader:
        answer = reader.message("s1", 1)
        session = reader.session("s1")
        (close,) = reader.events("s1")
    assert answer.answers == 0
    assert b"wrong key wt-" in answer.payload
    assert session.end.reason is not None
    assert session.end.reason.startswith("bad wt-")
    assert b"the-" not in Path(writer.path).read_bytes() + answer.payload + close.data


def test_much_that_waits_is_committed_at_once(writer: FailingWriter) -> None:
    """Small frames that expand to much must not gather in memory until the next commit."""
    recording = writer.begin_recording("test", [UpstreamSpec("a", "opaque", "ws://x", "")])
    large = b"\x82\x7f" + (20 << 20).to_bytes(8, "big") + bytes(20 << 20)
    intake = Intake(writer, recording, 1 << 28)
    intake.take(opened(0))
    intake.take(Record(Kind.DATA, 0, False, 0, 2, large))
    assert writer.next_commit_at_us == 0

    intake.commit_if_due()

    assert writer.next_commit_at_us is None


def test_records_of_a_connection_that_is_not_known_are_ignored(writer: FailingWriter) -> None:
    intake = intake_of(writer, [])

    intake.take(text(7, b"late"))
    intake.take(end(7))
    intake.stop(9)

    assert intake.stopped


def test_an_idle_recorder_shows_that_it_lives(writer: FailingWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, feed = socket.socketpair()
    monkeypatch.setattr("wiretape_addons.intake._KEEP_ALIVE_S", 0)
    shown = []

    def keep_alive() -> None:
        shown.append(True)
        if len(shown) == 3:
            proxy.close()

    monkeypatch.setattr(writer, "keep_alive", keep_alive)
    with proxy, feed:
        _take_all(feed, writer, intake_of(writer, []))
    assert len(shown) >= 3
