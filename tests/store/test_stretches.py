"""Stretches and turns of a session: the same as its messages, with less work."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from store_builders import PUSH, START_US, a_message, a_store, a_writer, begin, packed, query, read

from wiretape_protocols import Opcode, Role
from wiretape_store import Message, RefusedStoreError, StoreError, StoreReader
from wiretape_store.chunks import MAX_MESSAGES
from wiretape_store.stretch_reader import MAX_CHUNKS, MAX_PACKED_BYTES
from wiretape_store.stretches import Extent, Kind, Stretch, Turn, stretch_of
from wiretape_store.upkeep.compacting import Compactor
from wiretape_store.upkeep.pruning import Pruner, PruneRules

CALL = b'{"method": "price.query", "params": ["BTCUSDT"], "id": 1}'
ANSWER = b'{"error": null, "result": "10234.5", "id": 1}'
BEATEN = b'{"error": null, "result": "pong", "id": 2}'


def a_conversation(path: str, *, settle: bool = True) -> None:
    """Pushes of every codec between two calls, the second of which is a heartbeat."""
    writer = a_writer(path)
    session = begin(writer)
    wires = list(packed(PUSH).values())
    new = [
        a_message(0, CALL, from_client=True),
        *(a_message(1 + place, wire) for place, wire in enumerate(wires)),
    ]
    new.append(replace(a_message(len(new), ANSWER), role=Role.ANSWER, answers=0, stream="", deflated=True))
    new.append(replace(a_message(len(new), CALL, from_client=True), role=Role.BACKGROUND))
    new.append(replace(a_message(len(new), BEATEN), role=Role.BACKGROUND, answers=len(new) - 1))
    new.append(replace(a_message(len(new), b"secret"), redacted=b"wt-token"))
    for message in new:
        writer.add(session, message)
    writer.commit()
    if settle:
        writer.close()
    else:
        writer.abandon()


def spelled(stretch: Stretch) -> list[tuple[int, Kind, bytes]]:
    return list(zip(range(stretch.first_seq, stretch.stop_seq), stretch.kinds, stretch.wires(), strict=True))


def of_messages(messages: list[Message]) -> list[tuple[int, Kind, bytes]]:
    return [(each.seq, Kind(each.from_client, each.opcode, each.deflated), each.wire) for each in messages]


def compact(store: str) -> None:
    with Compactor(store) as compactor:
        compactor.run(None)


@pytest.mark.parametrize("state", ["hot", "settled", "compacted"])
def test_a_stretch_says_what_its_messages_say(store: str, state: str) -> None:
    a_conversation(store, settle=state != "hot")
    if state == "compacted":
        compact(store)
    messages = read(store)
    with StoreReader(store) as reader:
        stretch = reader.stretch("s1", 0)
        details = reader.details("s1", stretch.first_seq, stretch.stop_seq)
    assert spelled(stretch) == of_messages(messages)
    assert list(details.times_us) == [each.at_us for each in messages]
    assert list(details.names) == [(each.method, each.stream) for each in messages]
    assert stretch.from_upstream == sum(not each.from_client for each in messages)
    for place, message in enumerate(messages):
        codec, payload = stretch.packing(place)
        assert (codec.kind, payload) == (message.codec.kind, message.payload)


@pytest.mark.parametrize("settle", [True, False], ids=["settled", "hot"])
def test_a_stretch_can_be_made_of_messages(store: str, settle: bool) -> None:
    a_conversation(store, settle=settle)
    with StoreReader(store) as reader:
        stretch = reader.stretch("s1", 0)
        made, details = stretch_of(read(store))
        assert spelled(made) == spelled(stretch)
        read_details = reader.details("s1", 0, made.stop_seq)
        assert list(read_details.times_us) == list(details.times_us)
        assert list(read_details.names) == list(details.names)


def test_a_stretch_holds_the_message_asked_for_and_ends_somewhere(store: str) -> None:
    count = 20 * MAX_MESSAGES
    a_store(store, [b'{"number": %d}' % number for number in range(count)])
    messages = of_messages(read(store))
    with StoreReader(store) as reader:
        for seq in (0, 1, MAX_MESSAGES, MAX_MESSAGES + 1, count - 1):
            stretch = reader.stretch("s1", seq)
            assert stretch.first_seq <= seq < stretch.stop_seq
            assert stretch.first_seq == seq // MAX_MESSAGES * MAX_MESSAGES
            assert spelled(stretch) == messages[stretch.first_seq : stretch.stop_seq]
        assert reader.stretch("s1", 0).stop_seq == 16 * MAX_MESSAGES


def test_a_stretch_has_a_bounded_number_of_chunks(store: str) -> None:
    with a_writer(store) as writer:
        session = begin(writer)
        for seq in range(2 * MAX_CHUNKS):
            writer.add(session, a_message(seq))
            writer.commit()
        with StoreReader(store) as reader:
            assert len(reader.stretch("s1", 0).entries) == MAX_CHUNKS


def test_messages_that_are_long_do_not_share_a_stretch(store: str) -> None:
    randomness = random.Random(1)
    a_store(store, [randomness.randbytes(MAX_PACKED_BYTES) for _ in range(3)])
    with StoreReader(store) as reader:
        assert [reader.stretch("s1", seq).first_seq for seq in range(3)] == [0, 1, 2]
        assert len(reader.stretch("s1", 0).entries) == 1


@pytest.mark.parametrize(("first", "stop"), [(0, 9), (2, 9), (0, 4), (2, 4), (3, 3), (5, 9)])
def test_a_part_of_a_stretch_has_the_messages_between(first: int, stop: int) -> None:
    kinds = [Kind(False, Opcode.TEXT, False)] * 4
    stretch = Stretch(1, kinds, [(None, b"%d" % number) for number in range(1, 5)])
    part = stretch.between(first, stop)
    assert part.wires() == [b"%d" % number for number in range(max(first, 1), min(stop, 5))]


def test_turns_are_what_is_no_push(store: str) -> None:
    a_conversation(store)
    messages = read(store)
    expected = [
        each if each.from_client else Turn(each.seq, each.role, each.answers)
        for each in messages
        if each.role is not Role.PUSH
    ]
    with StoreReader(store) as reader:
        extent = reader.extent("s1")
        assert extent == Extent(len(messages), len(messages), len(expected), 1)
        assert reader.turns("s1", 0, extent.stop_seq) == expected
        split = [reader.turns("s1", seq, seq + 1) for seq in range(extent.stop_seq)]
        assert [turn for turns in split for turn in turns] == expected
        assert reader.turns("s1", 0, 0) == []


def test_an_extent_is_that_of_its_moment(store: str) -> None:
    with a_writer(store) as writer:
        session = begin(writer)
        with StoreReader(store) as reader:
            extents = [reader.extent("s1")]
            for seq in range(2):
                writer.add(session, a_message(seq))
                writer.commit()
                extents.append(reader.extent("s1"))
    assert [extent.stop_seq for extent in extents] == [0, 1, 2]
    assert [extent.messages for extent in extents] == [0, 1, 2]


def test_spans_leave_out_what_was_lost(store: str) -> None:
    with a_writer(store) as writer:
        session = begin(writer)
        for seq in (2, 3, 4, 7, 9, 10):
            writer.add(session, a_message(seq))
    with StoreReader(store) as reader:
        assert list(reader.spans("s1", 11)) == [(2, 5), (7, 8), (9, 11)]
        assert list(reader.spans("s1", 10)) == [(2, 5), (7, 8), (9, 10)]
        assert list(reader.spans("s1", 0)) == []
        assert reader.stretch("s1", 3).stop_seq == 5
        assert reader.extent("s1")[:2] == (11, 6)


def test_a_damaged_chunk_is_refused_and_costs_no_other(store: str) -> None:
    a_store(store, [PUSH] * (3 * MAX_MESSAGES))
    query(store, f"update chunk set data = substr(data, 1, 40) where first_seq = {MAX_MESSAGES}")
    with StoreReader(store) as reader:
        assert reader.stretch("s1", 0).stop_seq == MAX_MESSAGES
        with pytest.raises(RefusedStoreError, match=f"session s1 at message {MAX_MESSAGES} is damaged"):
            reader.stretch("s1", MAX_MESSAGES)
        assert reader.stretch("s1", 2 * MAX_MESSAGES).stop_seq == 3 * MAX_MESSAGES


@pytest.mark.parametrize(
    ("change", "ask", "sentence"),
    [
        pytest.param(
            "delete from message where seq = 1",
            lambda reader: reader.stretch("s1", 0),
            "1 of its messages have no row",
            id="a stretch without a row",
        ),
        pytest.param(
            "delete from message where seq = 1",
            lambda reader: reader.details("s1", 0, 3),
            "1 of its messages have no row",
            id="details without a row",
        ),
        pytest.param(
            "update message set opcode = 3",
            lambda reader: reader.stretch("s1", 0),
            "an opcode of it cannot be read",
            id="an opcode that is none",
        ),
        pytest.param(
            "delete from chunk", lambda reader: reader.stretch("s1", 0), "it is not there", id="no chunk"
        ),
        pytest.param(
            "delete from chunk",
            lambda reader: reader.turns("s1", 0, 3),
            "it is not there",
            id="a client message without a chunk",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(
    store: str, change: str, ask: Callable[[StoreReader], object], sentence: str
) -> None:
    with a_writer(store) as writer:
        session = begin(writer)
        for seq in range(3):
            writer.add(session, a_message(seq, from_client=seq == 2))
    query(store, change)
    with StoreReader(store) as reader, pytest.raises(RefusedStoreError, match=sentence):
        ask(reader)


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda reader: reader.stretch("s1", 0), id="stretch"),
        pytest.param(lambda reader: reader.details("s1", 0, 3), id="details"),
        pytest.param(lambda reader: reader.turns("s1", 0, 3), id="turns"),
    ],
)
def test_a_session_that_was_pruned_meanwhile_is_no_end(
    store: str, ask: Callable[[StoreReader], object]
) -> None:
    a_store(store, [PUSH] * 3)
    with StoreReader(store) as reader:
        assert reader.stretch("s1", 0).stop_seq == 3
        with Pruner(store, now_us=START_US) as pruner:
            pruner.run(PruneRules(recordings=("tuesday",)))
        with pytest.raises(StoreError, match="session s1 was pruned while it was read"):
            ask(reader)


def test_another_reader_reads_the_same_store(store: str) -> None:
    a_store(store, [PUSH])
    with StoreReader(store) as reader, reader.another() as other:
        assert other.sessions() == reader.sessions()
        assert spelled(other.stretch("s1", 0)) == spelled(reader.stretch("s1", 0))
