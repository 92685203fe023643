import gzip
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from store_builders import (
    DEAD,
    HANDSHAKE,
    HOTBIT,
    ONTOLOGY,
    PUSH,
    START_US,
    Clock,
    a_message,
    a_writer,
    begin,
    packed,
    query,
    read,
)

from wiretape_protocols import CodecKind, Opcode, Role, decode, encode
from wiretape_store import (
    End,
    EndKind,
    Event,
    EventKind,
    Handshake,
    Message,
    NewMessage,
    RecordingExistsError,
    StoreReader,
    StoreWriter,
)

PAYLOADS = {
    "small": PUSH,
    "empty": b"",
    "not-utf8": bytes(range(256)) * 3,
    "long": b'{"params": [' + b"1, " * 100_000 + b"1]}",
    "random": random.Random(1).randbytes(270_000),
}


@pytest.mark.parametrize("state", ["hot", "settled"])
@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_what_comes_back_is_what_was_on_the_wire(store: str, payload: bytes, state: str) -> None:
    wires = list(packed(payload).values())
    messages: list[Message] = []
    with a_writer(store) as writer:
        session = begin(writer)
        for seq, wire in enumerate(wires):
            writer.add(session, a_message(seq, wire))
        writer.commit()
        if state == "hot":
            messages = read(store)
    if state == "settled":
        messages = read(store)
    assert [message.wire for message in messages] == wires
    assert [message.payload for message in messages] == [decode(wire).payload for wire in wires]
    assert [message.codec.kind for message in messages] == [decode(wire).codec.kind for wire in wires]
    assert all(
        encode(message.payload, message.codec) == message.wire for message in messages if message.codec.exact
    )


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zlib.compress], ids=["plain", "gzip", "zlib"])
@pytest.mark.parametrize("state", ["hot", "settled"])
def test_messages_of_more_than_a_mebibyte_come_back(
    store: str, pack: Callable[[bytes], bytes], state: str
) -> None:
    wires = [pack(random.Random(seq).randbytes(1_200_000)) for seq in range(2)]
    with a_writer(store) as writer:
        session = begin(writer)
        for seq, wire in enumerate(wires):
            writer.add(session, a_message(seq, wire))
        writer.commit()
        hot = read(store)
    messages = hot if state == "hot" else read(store)
    assert [message.wire for message in messages] == wires


def test_a_message_comes_back_with_all_that_is_known_of_it(store: str) -> None:
    wire = b'{"id": 4, "result": "pong"}'
    new = NewMessage(
        0,
        False,
        Opcode.TEXT,
        77,
        wire,
        decode(wire),
        Role.ANSWER,
        "server.ping",
        12,
        "a stream",
        deflated=True,
    )
    with a_writer(store) as writer:
        writer.add(begin(writer), new)
    (message,) = read(store)
    assert message == Message(
        0,
        False,
        Opcode.TEXT,
        77,
        wire,
        message.codec,
        Role.ANSWER,
        "server.ping",
        12,
        "a stream",
        True,
        False,
    )
    assert message.codec.kind is CodecKind.IDENTITY


@pytest.mark.parametrize("state", ["hot", "settled"])
@pytest.mark.parametrize("kind", packed(PUSH))
def test_of_a_redacted_message_the_secret_is_nowhere_in_the_file(
    tmp_path: Path, kind: str, state: str
) -> None:
    wire = packed(b'{"method": "server.auth", "params": ["KEY-4711", "SIGN"], "id": 1}')[kind]
    clean = b'{"method": "server.auth", "params": ["wt-01", "wt-02"], "id": 1}'
    writer = a_writer(tmp_path / "t.db")
    session = begin(writer)
    writer.add(session, a_message(0, wire, from_client=True, redacted=clean))
    writer.commit()
    if state == "settled":
        writer.close()
    (message,) = read(tmp_path / "t.db")
    assert (message.payload, message.redacted, message.codec.exact) == (
        clean,
        True,
        message.codec.kind is CodecKind.IDENTITY,
    )
    assert decode(message.wire).payload == clean
    assert message.wire == encode(clean, decode(wire).codec)
    for file in tmp_path.iterdir():
        assert b"KEY-4711" not in file.read_bytes()
        assert wire not in file.read_bytes()
    if state == "hot":
        writer.abandon()


def test_many_messages_of_interleaved_sessions_keep_their_order_and_bytes(store: str) -> None:
    randomness = random.Random(3)
    sent: dict[int, list[bytes]] = {}
    clock = Clock()
    with a_writer(store, clock) as writer:
        recording = writer.begin_recording("busy", [HOTBIT, ONTOLOGY])
        for number in range(6):
            upstream = recording.upstreams[number % 2]
            sent[writer.begin_session(upstream.id, START_US, HANDSHAKE)] = []
        for number in range(5000):
            session = randomness.choice(list(sent))
            payload = b'{"n": %d, "x": "%s"}' % (number, randomness.randbytes(20).hex().encode())
            wire = randomness.choice(list(packed(payload).values()))
            writer.add(session, a_message(len(sent[session]), wire))
            sent[session].append(wire)
            clock.now_us += randomness.randrange(3000)
            writer.commit_if_due()
            if number % 50 == 0:
                writer.settle()
            if number in (2000, 4000):
                check = randomness.choice(list(sent))
                writer.commit()
                assert [message.wire for message in read(store, f"s{check}")] == sent[check]
    for session, wires in sent.items():
        messages = read(store, f"s{session}")
        assert [message.wire for message in messages] == wires
        assert [message.seq for message in messages] == list(range(len(wires)))
    assert query(store, "select count(*) from chunk where settled = 0") == [(0,)]


def test_what_waits_is_committed_when_the_interval_has_passed(store: str) -> None:
    clock = Clock()
    with StoreWriter(store, clock_us=clock, commit_interval_us=500) as writer:
        session = begin(writer)
        assert writer.next_commit_at_us is None
        writer.add(session, a_message(0))
        assert writer.next_commit_at_us == START_US + 500
        clock.now_us += 499
        writer.commit_if_due()
        assert read(store) == []
        clock.now_us += 1
        writer.commit_if_due()
        assert len(read(store)) == 1
        assert writer.next_commit_at_us is None


def test_a_clock_that_is_set_back_does_not_put_off_the_commit(store: str) -> None:
    clock = Clock()
    with a_writer(store, clock) as writer:
        writer.add(begin(writer), a_message(0))
        clock.now_us -= 3_600_000_000
        writer.commit_if_due()
        assert writer.next_commit_at_us is None


def test_a_session_counts_what_it_holds(store: str) -> None:
    with a_writer(store) as writer:
        session = begin(writer)
        writer.add(session, a_message(0, b"call", from_client=True))
        answer = a_message(1, b"answer")
        answer.role, answer.answers = Role.ANSWER, 0
        writer.add(session, answer)
        writer.commit()
        writer.add(session, a_message(2, b"push"))
        pong = a_message(3, b"pong")
        pong.role, pong.answers = Role.BACKGROUND, 0
        writer.add(session, pong)
        writer.end_session(session, START_US + 99, End(EndKind.CLOSED, True, 1000, "bye"))
        writer.commit()
        with StoreReader(store) as reader:
            (found,) = reader.sessions()
    counted = (found.messages_from_client, found.messages_from_upstream, found.exchanges, found.pushes)
    assert counted == (1, 3, 1, 1)
    assert found.wire_bytes == len(b"callanswerpushpong")
    assert (found.ended_at_us, found.end) == (START_US + 99, End(EndKind.CLOSED, True, 1000, "bye"))


def test_the_nth_connection_to_an_upstream_has_the_number_n(store: str) -> None:
    with a_writer(store) as writer:
        for name in ("one", "two"):
            recording = writer.begin_recording(name, [HOTBIT, ONTOLOGY])
            for number in (0, 1, 0):
                writer.begin_session(recording.upstreams[number].id, START_US, HANDSHAKE)
        with StoreReader(store) as reader:
            numbers = [(each.recording, each.upstream.name, each.number) for each in reader.sessions()]
    once = [("hotbit", 0), ("ontology", 0), ("hotbit", 1)]
    assert numbers == [(name, *rest) for name in ("one", "two") for rest in once]


def test_a_handshake_comes_back_as_it_was(store: str) -> None:
    headers = (("A", "1"), ("a", "\udce9"), ("A", "2"))
    handshake = Handshake("/", headers, 403, (("Server", "x"),), b"\0no")
    with a_writer(store) as writer:
        upstream = writer.begin_recording("r", [HOTBIT]).upstreams[0]
        writer.begin_session(upstream.id, START_US, handshake)
        with StoreReader(store) as reader:
            assert reader.session("s1").handshake == handshake


def test_events_come_back_in_order_across_commits(store: str) -> None:
    events = [
        Event(number - 1, number, number % 2 == 0, kind, b"\0%d" % number)
        for number, kind in enumerate(EventKind)
    ]
    with a_writer(store) as writer:
        session = begin(writer)
        for number, event in enumerate(events):
            writer.add_event(session, event)
            if number % 3 == 0:
                writer.commit()
    with StoreReader(store) as reader:
        assert reader.events("s1") == events


def test_text_that_no_utf8_can_hold_survives(store: str) -> None:
    odd = ["\ud800", "a\udfff\0b", "\0", "é", "'\"", ""]
    with a_writer(store) as writer:
        session = begin(writer)
        for seq, text in enumerate(odd):
            message = a_message(seq)
            message.method = message.stream = text
            writer.add(session, message)
        writer.end_session(session, START_US, End(EndKind.CLOSED, False, 1000, odd[1]))
    assert [(message.method, message.stream) for message in read(store)] == [(text, text) for text in odd]
    with StoreReader(store) as reader:
        assert reader.session("s1").end.reason == odd[1]


def test_a_recording_without_a_name_is_named_after_its_start(store: str) -> None:
    with a_writer(store) as writer:
        names = [writer.begin_recording(None, []).name for _ in range(3)]
    assert names == ["2020-09-13-122640", "2020-09-13-122640-2", "2020-09-13-122640-3"]


def test_a_name_that_is_taken_is_refused(store: str) -> None:
    with a_writer(store) as writer:
        writer.begin_recording("tuesday", [HOTBIT])
        with pytest.raises(RecordingExistsError, match="'tuesday' already; choose another name") as caught:
            writer.begin_recording("tuesday", [HOTBIT])
        assert caught.value.name == "tuesday"
        assert writer.begin_recording("wednesday", [HOTBIT]).id == "r2"


def test_a_number_that_comes_twice_is_the_callers_mistake(store: str) -> None:
    with a_writer(store) as writer:
        session = begin(writer)
        writer.add(session, a_message(0))
        with pytest.raises(ValueError, match="message 0 of session s1 comes after message 0"):
            writer.add(session, a_message(0))


@pytest.mark.parametrize("committed", [False, True], ids=["waiting", "committed"])
def test_nothing_is_added_to_a_session_that_has_ended(store: str, committed: bool) -> None:
    with a_writer(store) as writer:
        session = begin(writer)
        writer.end_session(session, START_US, End(EndKind.EOF))
        if committed:
            writer.commit()
        with pytest.raises(ValueError, match="s1 has not begun here, or has ended"):
            writer.add(session, a_message(0))


def test_what_is_discarded_leaves_a_gap_and_nothing_else(store: str) -> None:
    with a_writer(store) as writer:
        session = begin(writer)
        for seq in range(6):
            writer.add(session, a_message(seq, b"%d" % seq))
            if seq == 1:
                writer.commit()
            if seq == 3:
                assert writer.discard() == 2
    with StoreReader(store) as reader:
        assert [message.wire for message in reader.messages("s1")] == [b"0", b"1", b"4", b"5"]
        assert [message.seq for message in reader.messages("s1", 2)] == [4, 5]
        assert reader.session("s1").messages_from_upstream == 4
        (gap,) = reader.events("s1")
    assert (gap.kind, gap.after_seq) == (EventKind.GAP, 3)
    assert gap.data == b"2 messages passed unrecorded: the store could not be written"


def test_gaps_and_violations_are_never_discarded_and_lost_events_are_a_gap(store: str) -> None:
    kept = [
        Event(-1, at_us, False, kind, b"x") for at_us, kind in enumerate((EventKind.VIOLATION, EventKind.GAP))
    ]
    with a_writer(store) as writer:
        session = begin(writer)
        for event in kept:
            writer.add_event(session, event)
        assert writer.discard() == 0
        writer.commit()
        for at_us in (2, 3):
            writer.add_event(session, Event(-1, at_us, True, EventKind.PING, b""))
            assert writer.discard() == 0
        writer.add(session, a_message(1))
        assert writer.discard() == 1
    with StoreReader(store) as reader:
        *first, gap = reader.events("s1")
    assert first == kept
    assert (gap.kind, gap.after_seq) == (EventKind.GAP, 1)
    assert gap.data == b"1 messages and 2 events passed unrecorded: the store could not be written"


def test_closing_ends_what_is_open_as_interrupted(store: str) -> None:
    clock = Clock()
    with a_writer(store, clock) as writer:
        begin(writer)
        clock.now_us += 5
    with StoreReader(store) as reader:
        assert reader.session("s1").end == End(EndKind.INTERRUPTED)
        assert reader.session("s1").ended_at_us == START_US + 5
        assert reader.recording("tuesday").ended_at_us == START_US + 5


def test_two_writers_share_a_store(store: str) -> None:
    with a_writer(store) as one, a_writer(store) as two:
        assert one.redaction_key == two.redaction_key
        sessions = [(one, begin(one, "one")), (two, begin(two, "two"))]
        for seq in range(300):
            for writer, session in sessions:
                writer.add(session, a_message(seq, b"%d" % (seq * session)))
                writer.commit()
    for session in (1, 2):
        assert [message.wire for message in read(store, f"s{session}")] == [
            b"%d" % (seq * session) for seq in range(300)
        ]


def test_the_next_writer_marks_what_a_dead_recorder_left_open(store: str) -> None:
    writer = a_writer(store, process=DEAD)
    session = begin(writer)
    writer.add(session, a_message(3))
    writer.commit()
    writer.abandon()
    assert query(store, "select end_kind from session") == [(None,)]
    with a_writer(store) as later:
        begin(later, "later")
        assert query(store, "select end_kind, ended_at_us from session") == [
            ("interrupted", START_US + 30),
            (None, None),
        ]
    assert [message.wire for message in read(store)] == [PUSH]
    assert query(store, "select settled from chunk") == [(1,)]
