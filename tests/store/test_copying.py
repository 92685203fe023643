"""Copies of recordings: the same in every byte, in every direction, and finished after an interruption."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from postgres_cluster import Cluster
from store_builders import (
    DEAD,
    HANDSHAKE,
    HOTBIT,
    ONTOLOGY,
    PUSH,
    START_US,
    Clock,
    a_message,
    a_store,
    a_writer,
    begin,
    packed,
    query,
    read,
)

from wiretape_store import (
    End,
    EndKind,
    Event,
    EventKind,
    RecordingExistsError,
    Refusal,
    RefusedStoreError,
    Session,
    StoreError,
    StoreReader,
)
from wiretape_store.copying import copied_chunks
from wiretape_store.copying.comparing import differences
from wiretape_store.copying.copy import Copied, CopyRefusedError, Progress, RecordingCopier
from wiretape_store.upkeep.compacting import Compactor
from wiretape_store.upkeep.prunable import pin
from wiretape_store.upkeep.pruning import Pruner, PruneRules


@pytest.fixture(params=["sqlite", "postgres"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "target.db")
    cluster: Cluster = request.getfixturevalue("cluster")
    return cluster.new_database()


def a_varied_store(where: str, *, compacted: bool = False) -> None:
    """Two upstreams, every codec, secrets, events, gaps, odd names; settled, hot, and left by the dead."""
    with a_writer(where) as writer:
        begin(writer, "before")  # So that numbers differ from those of a new store.
        recording = writer.begin_recording(
            "wednesday", [ONTOLOGY, HOTBIT], redaction_rules=("name:pärtner",), redaction_key=b"k" * 32
        )
        for number, upstream in enumerate((*recording.upstreams, recording.upstreams[0])):
            session = writer.begin_session(
                upstream.id, START_US + number, replace(HANDSHAKE, target="/\0\ud800")
            )
            wires = [wire for times in range(30) for wire in packed(PUSH + b"%d" % times).values()]
            for seq, wire in enumerate(wires):
                message = a_message(seq + seq // 100, wire)
                message.method = f"m\0\x1a\ud800{seq % 3}" if seq % 2 else ""
                if seq % 7 == 0:
                    message.redacted = b'{"token": "wt_%d"}' % seq
                writer.add(session, message)
                if seq % 50 == 0:
                    writer.add_event(session, Event(seq, seq, True, EventKind.PING, b"\0p"))
                    writer.commit()
            if number:
                writer.end_session(session, START_US + 5, End(EndKind.CLOSED, True, 4000, "by\0e \ud800"))
        writer.end_recording(recording.id, START_US + 9)
    if compacted:
        with Compactor(where) as compactor:
            compactor.run()
    dead = a_writer(where, process=DEAD)
    session = begin(dead, "killed")
    for seq in range(700):
        dead.add(session, a_message(seq, packed(b"%d" % seq)["gzip-9-with-time"]))
    dead.commit()
    dead.abandon()


def copy(source: str, target: str, what: str = "wednesday", name: str | None = None) -> Copied:
    with RecordingCopier(source, target) as copier:
        return copier.copy(what, name)


def compared(source: str, what: str, target: str, copied: Copied) -> list[str]:
    with StoreReader(source) as one, StoreReader(target) as other:
        return list(differences(one, what, other, copied.id))


@pytest.mark.parametrize("compacted", [False, True], ids=["settled", "compacted"])
def test_a_copy_is_the_same_in_every_direction(store: str, target: str, compacted: bool) -> None:
    a_varied_store(store, compacted=compacted)
    copied = copy(store, target)
    assert compared(store, "wednesday", target, copied) == []
    assert (copied.name, copied.sessions, copied.messages, copied.messages_before) == ("wednesday", 3, 900, 0)
    with StoreReader(store) as one, StoreReader(target) as other:
        mine, copies = one.sessions("wednesday"), other.sessions("wednesday")
        assert [each.id for each in mine] != [each.id for each in copies]
        for left, right in zip(mine, copies, strict=True):
            assert list(one.messages(left.id)) == list(other.messages(right.id))
            assert one.events(left.id) == other.events(right.id)
            assert left.handshake == right.handshake
            assert (left.end, left.ended_at_us) == (right.end, right.ended_at_us)
        assert other.redaction("wednesday") == one.redaction("wednesday")
        assert other.redaction("wednesday").key == b"k" * 32
    assert query(target, "select max(settled) from chunk") == [(2 if compacted else 1,)]
    assert query(target, "select origin from recording")[0][0].endswith("/r2")


def test_what_a_killed_recorder_left_is_copied_as_it_reads(store: str, target: str) -> None:
    a_varied_store(store)
    copied = copy(store, target, "killed")
    assert compared(store, "killed", target, copied) == []
    assert query(target, "select end_kind from session") == [("interrupted",)]
    a_writer(target).close()
    assert query(target, "select min(settled) from chunk") == [(1,)]
    assert compared(store, "killed", target, copied) == []


def test_a_recording_with_the_stores_own_key_takes_it_along(store: str, target: str) -> None:
    a_store(store, [PUSH])
    copy(store, target, "tuesday")
    with StoreReader(store) as one, StoreReader(target) as other:
        assert one.redaction_key != other.redaction_key
        assert other.redaction("tuesday").key == one.redaction_key


def test_a_copy_that_goes_back_knows_its_stores_key_again(store: str, target: str, tmp_path: Path) -> None:
    a_store(store, [PUSH])
    copy(store, target, "tuesday")
    back = copy(target, store, "tuesday", "again")
    assert query(store, "select redaction_key from recording where name = 'again'") == [(None,)]
    assert compared(store, "tuesday", store, back) == []


def test_pins_and_rules_go_along(store: str, target: str) -> None:
    a_varied_store(store)
    query(store, "update recording set pinned = 1 where name = 'wednesday'")
    copy(store, target)
    with StoreReader(target) as reader:
        found = reader.recording("wednesday")
    assert (found.pinned, found.redaction_rules) == (True, ("name:pärtner",))


def test_a_copy_that_is_there_is_not_made_again(store: str, target: str) -> None:
    a_varied_store(store)
    first = copy(store, target)
    query(target, "update recording set pinned = 1, name = 'renamed'")
    again = copy(store, target)
    assert (again.id, again.name, again.messages_before) == (first.id, "renamed", first.messages)
    assert query(target, "select count(*), max(pinned) from recording") == [(1, 1)]


class StoppedError(Exception):
    """In place of a kill."""


@pytest.mark.parametrize("steps", [0, 2, 8])
def test_a_copy_that_is_interrupted_goes_on_where_it_was(
    store: str, target: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copied_chunks, "BATCH_BYTES", 1)
    a_varied_store(store)
    seen: list[int] = []

    def stop(now: Progress) -> None:
        seen.append(now.messages)
        if len(seen) > steps:
            raise StoppedError

    with pytest.raises(StoppedError), RecordingCopier(store, target) as copier:
        copier.copy("wednesday", None, stop)
    a_writer(target).close()  # A recorder of the target's marks what nobody seems to write to.
    copied = copy(store, target)
    assert copied.messages_before == seen[-1] > 0
    assert compared(store, "wednesday", target, copied) == []
    assert query(target, "select count(*) from recording") == [(1,)]


def test_a_copy_goes_on_although_the_source_was_packed_anew_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = str(tmp_path / "a.db"), str(tmp_path / "b.db")
    a_store(Path(source), [b"%d" % seq for seq in range(3000)])
    monkeypatch.setattr(copied_chunks, "BATCH_BYTES", 1)
    with pytest.raises(StoppedError), RecordingCopier(source, target) as copier:
        copier.copy("tuesday", None, lambda _: (_ for _ in ()).throw(StoppedError))
    with Compactor(source) as compactor:
        compactor.run()
    copied = copy(source, target, "tuesday")
    assert copied.messages_before == 256
    assert compared(source, "tuesday", target, copied) == []


KILLED = """
import os, signal, sys
from wiretape_store.copying import copied_chunks
from wiretape_store.copying.copy import RecordingCopier
copied_chunks.BATCH_BYTES = 1
left = int(sys.argv[3])
def show(_):
    global left
    left -= 1
    if left < 0: os.kill(os.getpid(), signal.SIGKILL)
RecordingCopier(sys.argv[1], sys.argv[2]).copy("tuesday", None, show)
"""


def test_a_copier_that_is_killed_loses_nothing_and_doubles_nothing(tmp_path: Path, target: str) -> None:
    source = str(tmp_path / "a.db")
    a_store(source, [b"%d" % seq for seq in range(2000)])
    for step in (0, 2, 1):
        done = subprocess.run([sys.executable, "-c", KILLED, source, target, str(step)], check=False)
        assert done.returncode == -signal.SIGKILL
    copied = copy(source, target, "tuesday")
    assert copied.messages_before == 6 * 256
    assert compared(source, "tuesday", target, copied) == []


def test_a_recording_that_is_being_recorded_is_refused(store: str, target: str) -> None:
    with a_writer(store) as writer:
        begin(writer)
        with pytest.raises(CopyRefusedError, match="'tuesday' is still being recorded; end it first"):
            copy(store, target, "tuesday")
    assert copy(store, target, "tuesday").sessions == 1


HOLDING = """
import sys
from wiretape_store.copying.copy import RecordingCopier

def hold(_):
    print("holds", flush=True)
    sys.stdin.read()
RecordingCopier(sys.argv[1], sys.argv[2]).copy("tuesday", None, hold)
"""


def test_a_copy_that_another_process_makes_is_left_to_it_while_it_lives(store: str, target: str) -> None:
    a_store(store, [PUSH])
    command = [sys.executable, "-c", HOLDING, store, target]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"holds\n"
        with pytest.raises(CopyRefusedError, match=f"is being copied there by process {other.pid} of "):
            copy(store, target, "tuesday")
        other.kill()
    copied = copy(store, target, "tuesday")
    assert compared(store, "tuesday", target, copied) == []


def test_a_name_that_is_another_recordings_needs_another(store: str, target: str) -> None:
    a_store(store, [PUSH])
    a_store(target, [PUSH * 2])
    with pytest.raises(RecordingExistsError, match="a recording named 'tuesday' already"):
        copy(store, target, "tuesday")
    copied = copy(store, target, "tuesday", "theirs")
    assert compared(store, "tuesday", target, copied) == []


def test_a_store_is_not_copied_into_itself(store: str) -> None:
    a_store(store, [PUSH])
    with pytest.raises(
        CopyRefusedError, match="it is the same store, or a copy of its file; name another with --to"
    ):
        RecordingCopier(store, store)


def test_damage_is_named_and_not_copied(tmp_path: Path) -> None:
    source, target = str(tmp_path / "a.db"), str(tmp_path / "b.db")
    a_store(Path(source), [PUSH] * 600)
    query(source, "update chunk set data = x'00' where first_seq = 256")
    with pytest.raises(
        RefusedStoreError, match=r"session s1 at message 256 is damaged.*check --repair"
    ) as caught:
        copy(source, target, "tuesday")
    assert caught.value.refusal is Refusal.DAMAGED
    query(
        source, "update chunk set data = (select data from chunk where first_seq = 0) where first_seq = 256"
    )
    copied = copy(source, target, "tuesday")
    assert compared(source, "tuesday", target, copied) == []


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("update message set at_us = 7 where seq = 5", "message 5 differs in its at_us"),
        ("update message set answers = 2 where seq = 5", "message 5 differs in its answers"),
        ("update session set end_code = 3", "end differs"),
        ("update event set at_us = 8", "its events differ"),
        ("delete from chunk where first_seq > 0", "is in one of them alone"),
        ("update session set target = '/other'", "handshake differs"),
        ("update recording set redaction_rules = '[]'", "their redaction_rules differ"),
        ("update recording set redaction_key = null", "what their tokens were made with differs"),
        ("update upstream set url = 'ws://other'", "their upstreams differ"),
    ],
)
def test_whatever_differs_is_told(tmp_path: Path, statement: str, sentence: str) -> None:
    source, target = str(tmp_path / "a.db"), str(tmp_path / "b.db")
    a_varied_store(source)
    copied = copy(source, target)
    query(target, statement)
    assert sentence in "; ".join(compared(source, "wednesday", target, copied))


def test_a_message_that_is_proven_after_the_copy_is_still_the_same(tmp_path: Path) -> None:
    source, target = str(tmp_path / "a.db"), str(tmp_path / "b.db")
    dead = a_writer(source, process=DEAD)
    session = begin(dead)
    for seq in range(10):
        dead.add(session, a_message(seq, packed(b"%d" % seq)["gzip"]))
    dead.commit()
    dead.abandon()
    copied = copy(source, target, "tuesday")
    a_writer(Path(source), Clock()).close()
    assert [message.kept_wire is None for message in read(source)] == [True] * 10
    assert [message.kept_wire is None for message in read(target)] == [False] * 10
    assert compared(source, "tuesday", target, copied) == []


def test_a_target_that_fails_leaves_the_copy_to_be_finished(tmp_path: Path) -> None:
    source, target = str(tmp_path / "a.db"), str(tmp_path / "b.db")
    a_store(Path(source), [PUSH] * 3000)
    with RecordingCopier(source, target) as copier:
        copier._target.connection.exec_driver_sql(
            "create temp trigger no before insert on chunk begin select raise(abort, 'no'); end"
        )
        with pytest.raises(StoreError, match="copying messages failed: no"):
            copier.copy("tuesday")
        copier._target.connection.exec_driver_sql("drop trigger no")
        assert copier.copy("tuesday").messages == 3000
    assert query(target, "select count(*) from message") == [(3000,)]


def prune(store: str, *names: str) -> list[str]:
    with Pruner(store, now_us=START_US) as pruner:
        return [one.name for one in pruner.run(PruneRules(recordings=names)).removed]


@pytest.mark.parametrize("newest", [True, False], ids=["its-rows-stay", "its-rows-go"])
def test_a_source_that_is_pruned_meanwhile_is_no_complete_copy(
    store: str, target: str, newest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copied_chunks, "BATCH_BYTES", 1)
    a_store(store, [b"%d" % seq for seq in range(2000)])
    if not newest:
        with a_writer(store) as writer:
            begin(writer, "later")

    def prune_it(now: Progress) -> None:
        if now.messages == 256:
            prune(store, "tuesday")

    said = "session s1 was pruned while it was copied; 'wiretape prune --recording' removes"
    with RecordingCopier(store, target) as copier, pytest.raises(StoreError, match=said):
        copier.copy("tuesday", None, prune_it)
    assert query(target, "select count(*), max(ended_at_us) from recording") == [(1, None)]
    assert query(target, "select end_kind, messages_from_upstream from session") == [(None, 0)]
    assert query(target, "select count(*) from message") == [(256,)]


def test_a_source_that_is_pruned_after_its_last_message_is_no_complete_copy(store: str, target: str) -> None:
    with a_writer(store) as writer:
        for name, sessions in (("one", 1), ("two", 2), ("later", 1)):
            upstream = writer.begin_recording(name, [HOTBIT]).upstreams[0]
            for number in range(sessions):
                session = writer.begin_session(upstream.id, START_US + number, HANDSHAKE)
                writer.add(session, a_message(0))
    with RecordingCopier(store, target) as copier:
        copy_session = copier._copy_session

        def copy_and_prune(source: Session, upstream_id: int) -> Iterator[int]:
            yield from copy_session(source, upstream_id)
            prune(store, source.recording)

        copier._copy_session = copy_and_prune  # type: ignore[method-assign]
        for name, what in (("one", "recording 'one'"), ("two", "session s3")):
            with pytest.raises(StoreError, match=f"{what} was pruned while it was copied"):
                copier.copy(name)
    assert query(target, "select max(ended_at_us) from recording") == [(None,)]


def test_messages_that_the_source_has_lost_are_damage(tmp_path: Path) -> None:
    source, target = str(tmp_path / "a.db"), str(tmp_path / "b.db")
    a_store(source, [PUSH] * 600)
    query(source, "delete from chunk where first_seq > 0")
    with pytest.raises(RefusedStoreError, match="s1 is damaged: it counts 600 messages, and holds 256"):
        copy(source, target, "tuesday")
    assert query(target, "select max(ended_at_us) from recording") == [(None,)]


@pytest.mark.parametrize("messages", [256, 2000], ids=["in-the-middle", "before-its-end"])
def test_a_target_that_is_pruned_meanwhile_stays_pruned(
    store: str, target: str, messages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copied_chunks, "BATCH_BYTES", 1)
    a_store(store, [b"%d" % seq for seq in range(2000)])

    def forget(now: Progress) -> None:
        if now.messages == messages:  # As if another machine's prune could not know that we live.
            query(target, "update recording set pinned = -1, name = 'pruned r1'")

    said = "the copy was pruned while it was made; copy the recording again"
    with RecordingCopier(store, target) as copier, pytest.raises(StoreError, match=said):
        copier.copy("tuesday", None, forget)
    assert query(target, "select pinned, ended_at_us from recording") == [(-1, None)]
    assert query(target, "select count(*) from message") == [(messages,)]
    copied = copy(store, target, "tuesday")
    assert compared(store, "tuesday", target, copied) == []


def test_a_target_that_is_pruned_before_its_end_or_a_session_stays_pruned(store: str, target: str) -> None:
    with a_writer(store) as writer:
        for sessions, name in enumerate(("empty", "tuesday")):
            upstream = writer.begin_recording(name, [HOTBIT]).upstreams[0]
            for _ in range(sessions):
                writer.begin_session(upstream.id, START_US, HANDSHAKE)
    with RecordingCopier(store, target) as copier:
        its_begin = copier._begin

        def begin_and_prune(*its: Any) -> Any:
            begun = its_begin(*its)
            its[0].exec_driver_sql("update recording set pinned = -1")
            return begun

        copier._begin = begin_and_prune  # type: ignore[method-assign, assignment]
        for name in ("empty", "tuesday"):
            with pytest.raises(StoreError, match="the copy was pruned while it was made"):
                copier.copy(name)
    assert query(target, "select max(pinned), max(ended_at_us) from recording") == [(-1, None)]
    assert query(target, "select count(*) from session") == [(0,)]


def test_a_target_that_is_pinned_while_it_is_copied_stays_pinned(store: str, target: str) -> None:
    a_store(store, [PUSH])

    def pin_it(_: Progress) -> None:
        pin(target, "tuesday", pinned=True)

    with RecordingCopier(store, target) as copier:
        copier.copy("tuesday", None, pin_it)
    assert query(target, "select pinned from recording") == [(1,)]


@pytest.mark.parametrize("method", ["", "price.update"], ids=["codecs", "names-and-codecs"])
def test_names_and_codecs_that_a_prune_of_the_target_took_are_put_there_anew(
    tmp_path: Path, method: str
) -> None:
    source, target = str(tmp_path / "a.db"), str(tmp_path / "b.db")
    with a_writer(source) as writer:
        for name in ("first", "second"):
            message = a_message(0, packed(PUSH)["gzip"])
            message.method = message.stream = method
            writer.add(begin(writer, name), message)
    with RecordingCopier(source, target) as copier:
        copier.copy("first")
        with a_writer(target) as writer:  # The newest name and codec would stay.
            message = a_message(0, packed(PUSH)["zlib-1"])
            message.method = "newest"
            writer.add(begin(writer, "other"), message)
        assert prune(target, "first") == ["first"]
        assert (1,) not in query(target, "select id from codec")
        copied = copier.copy("second")
    assert query(target, "pragma foreign_key_check") == []
    assert compared(source, "second", target, copied) == []
