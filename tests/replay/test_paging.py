"""Scripts that are read bit by bit say and send what whole ones do, whenever their index is there."""

import gc
import random
import weakref
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paged_builders import PieceReader, a_paged_script, told
from replay_builders import TINY, Stage, a_session, messages

from wiretape_protocols import Role
from wiretape_replay import Order, Pace, ReplaySettings, Script, compile_script, paging
from wiretape_replay.errors import ClosedRecordingError, InconsistentRecordingError
from wiretape_replay.pages import PageCache
from wiretape_replay.paging import Paging
from wiretape_store.records import End, EndKind, Message

ASKED = ("x", "y", "z")


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "WINDOW_SEQS", 4)


def a_conversation(seed: int, length: int = 24) -> list[Message]:
    """
    A session of a client that subscribes, calls, notes, sends heartbeats, and of pushes in between.

    Of every other seed the client soon sends notes and heartbeats alone.
    """
    randomness = random.Random(seed)
    until = 4 if seed % 2 else length
    lines: list[str] = []
    waiting: list[str] = []
    kinds = ["push", "push", "push", "answer", "call", "beat", "sub", "note", "range"]
    while len(lines) < length:
        if len(lines) == until:
            kinds = ["push", "push", "push", "answer", "beat", "note"]
            waiting = [answer for answer in waiting if answer.startswith("beaten")]
        kind = randomness.choice(kinds)
        if kind == "push":
            lines.append(f"< push {randomness.choice(ASKED)}:{len(lines)}")
        elif kind == "answer" and waiting:
            lines.append(f"< {waiting.pop(randomness.randrange(len(waiting)))}")
        elif kind in ("call", "sub"):
            lines.append(f"> {kind} {len(lines)} {randomness.choice(ASKED)}")
            waiting.append(f"answer {len(lines) - 1} {randomness.randrange(100)}")
        elif kind == "range":
            lines.append(f"> range {len(lines)} {len(lines)} {len(lines) + 5}")
            waiting.append(f"answer {len(lines) - 1} ranged")
        elif kind == "beat":
            lines.append(f"> beat {len(lines)}")
            waiting.append(f"beaten {len(lines) - 1}")
        elif kind == "note":
            lines.append(f"> note - {randomness.choice(ASKED)}")
    return told(*lines)


def a_client(recorded: Sequence[Message], randomness: random.Random) -> list[str]:
    """What a client says: mostly what was recorded, not always in its order, with this and that besides."""
    said = [message.payload.decode() for message in recorded if message.from_client]
    for _ in range(randomness.randrange(4)):
        if said:
            place = randomness.randrange(len(said))
            said.insert(randomness.randrange(len(said)), said.pop(place))
    for extra in ("call 77 x", "beat 78", "call 79 unknown", "range 80 100 105"):
        if randomness.random() < 0.3:
            said.insert(randomness.randrange(len(said) + 1), extra)
    return said


def played(stage: Stage, said: Sequence[str], indexed_after: int) -> bytes:
    """All that is sent; the script becomes ready once the client has said so many things."""
    stage.open()
    for place, text in enumerate([*said, None]):
        if place == min(indexed_after, len(said)):
            stage.perform(stage.session.indexed(stage.now_us))
        if text is not None:
            stage.say(text)
            stage.now_us += 100
    stage.wait(10_000_000)
    return stage.bytes_sent


def a_late_script(recorded: list[Message], reader: PieceReader, end: End) -> Script:
    """Of which only the beginning is known, until `reader.released` is set."""
    script = a_paged_script(reader, session=a_session(end=end, ended_at_us=100_000), budget_bytes=300)
    if recorded[-1].seq >= paging.WINDOW_SEQS:
        assert script.indexing is not None
    return script


@pytest.mark.usefixtures("small_windows")
@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**16),
    st.integers(0, 12),
    st.integers(1, 5),
    # In the free order lanes overtake each other as the times have it, in any run.
    st.sampled_from([(Order.RECORDED, Pace()), (Order.RECORDED, Pace.parse("x10")), (Order.FREE, Pace())]),
    st.sampled_from([End(EndKind.INTERRUPTED), End(EndKind.EOF, from_client=False)]),
)
def test_when_the_index_is_there_makes_no_difference(
    seed: int, indexed_after: int, size: int, order_and_pace: tuple[Order, Pace], end: End
) -> None:
    order, pace = order_and_pace
    recorded = a_conversation(seed)
    said = a_client(recorded, random.Random(seed))
    if pace.factor is not None:
        # What is off the recording is answered at once, between messages that go at their times.
        said = [message.payload.decode() for message in recorded if message.role is Role.CALL]
    chosen = ReplaySettings(pace=pace, order=order)
    whole = Stage(compile_script(a_session(end=end, ended_at_us=100_000), recorded, TINY), chosen)
    expected = played(whole, said, 0)

    reader = PieceReader(recorded, size)
    script = a_late_script(recorded, reader, end)
    late = Stage(script, chosen)
    session, indexed = late.session, late.session.indexed

    def once_released(now_us: int) -> list[object]:
        reader.released.set()
        if script.indexing is not None:
            script.indexing.result(20)
        return indexed(now_us)  # type: ignore[return-value]

    session.indexed = once_released  # type: ignore[method-assign, assignment]
    assert played(late, said, indexed_after) == expected
    assert late.session.verdict() == whole.session.verdict()
    assert [entry.kind for entry in late.journal.entries if entry.kind != "pushed"] == [
        entry.kind for entry in whole.journal.entries if entry.kind != "pushed"
    ]


@pytest.mark.usefixtures("small_windows")
def test_a_subscription_is_answered_and_its_first_pushes_come_before_the_index_is_there() -> None:
    recorded = told(
        "> sub 1 x",
        "< answer 1 ok",
        "< push x:1",
        "< push x:2",
        "< push x:3",
        "> beat 2",
        "< beaten 2",
        "< push x:4",
    )
    reader = PieceReader(recorded)
    stage = Stage(a_paged_script(reader))
    assert stage.open() == []
    assert stage.say("sub 1 x") == ["answer 1 ok", "push x:1", "push x:2"]
    assert stage.say("beat 7") == []
    assert stage.session.is_holding
    reader.released.set()
    assert stage.script.indexing is not None
    stage.script.indexing.result(20)
    assert stage.perform(stage.session.indexed(0)) == ["push x:3", "push x:4", "beaten 7 "]
    assert not stage.session.is_holding


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize(
    ("lines", "known"),
    [
        pytest.param(["< push a"] * 5 + ["> call 1 x", "< answer 1 y"], 4, id="pushes first"),
        pytest.param(
            ["< push a"] * 2 + ["> call 1 x"] + ["< push a"] * 3 + ["< answer 1 y"], 2, id="a late answer"
        ),
        pytest.param(
            ["> call 1 x", "< push a", "< push b", "< push c", "< answer 1 y"], 0, id="nothing certain"
        ),
        pytest.param(
            ["> call 1 x", "< answer 1 y", "< push b", "< push c", "> note - x"], 3, id="a note later"
        ),
    ],
)
def test_only_what_is_certain_is_known_before_the_index_is_there(lines: list[str], known: int) -> None:
    reader = PieceReader(told(*lines))
    script = a_paged_script(reader)
    assert (script.ready, script.count) == (False, known)
    assert [script.message(number)[1].decode() for number in range(known)] == [
        line[2:] for line in lines if line.startswith("< ")
    ][:known]
    reader.released.set()
    assert script.indexing is not None
    script.indexing.result(20)
    assert script.ready
    assert script.count == sum(line.startswith("< ") for line in lines)


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["< push a"] * 40, id="pushes alone"),
        pytest.param(["> call 1 x", "< answer 1 y"] + ["< push a"] * 40, id="one call"),
        pytest.param(["> call 1 x", "< answer 1 y"], id="a short session"),
        pytest.param([], id="nothing"),
    ],
)
def test_where_nothing_can_follow_the_index_is_there_at_once(lines: list[str]) -> None:
    script = a_paged_script(PieceReader(told(*lines)))
    assert script.ready
    assert script.indexing is None
    assert script.count == sum(line.startswith("< ") for line in lines)


@pytest.mark.parametrize("lost", [[0], [3], [7], [0, 3, 4, 7]])
@pytest.mark.parametrize("window", [4, 100])
def test_what_was_lost_leaves_the_rest_in_its_place(
    monkeypatch: pytest.MonkeyPatch, lost: list[int], window: int
) -> None:
    monkeypatch.setattr(paging, "WINDOW_SEQS", window)
    lines = [
        "< push a",
        "> call 1 x",
        "< answer 1 y",
        "< push b",
        "< push c",
        "> call 2 y",
        "< push d",
        "< push e",
    ]
    recorded = [message for message in told(*lines) if message.seq not in lost]
    reader = PieceReader(recorded)
    reader.released.set()
    script, whole = a_paged_script(reader), compile_script(a_session(), recorded, TINY)
    if script.indexing is not None:
        script.indexing.result(20)
    assert script.ready
    assert script.count == whole.count
    numbers = range(whole.count)
    assert [script.seq(number) for number in numbers] == [whole.seq(number) for number in numbers]
    assert [script.message(number) for number in numbers] == [whole.message(number) for number in numbers]
    assert list(script.answer_numbers) == list(whole.answer_numbers)
    assert [each.upstream_before for each in script.requests] == [
        each.upstream_before for each in whole.requests
    ]


def test_messages_that_came_while_it_was_replayed_are_left_out() -> None:
    recorded = told("> call 1 x", "< answer 1 y", "< push a")
    reader = PieceReader(list(recorded), 10)
    script = a_paged_script(reader)
    reader.messages = told("> call 1 x", "< answer 1 y", "< push a", "< push b", "> call 2 x")
    assert script.count == 2
    assert script.page(1).stop == 2


def test_what_contradicts_the_index_is_not_sent() -> None:
    reader = PieceReader(told("> call 1 x", "< answer 1 y", "< push a"))
    script = a_paged_script(reader)
    reader.messages = [replace(message, from_client=False) for message in reader.messages]
    with pytest.raises(InconsistentRecordingError, match="messages 0 to 2 of session s1 contradict"):
        script.page(0)


@pytest.mark.usefixtures("small_windows")
def test_an_index_that_cannot_be_made_is_an_error_where_it_is_needed() -> None:
    reader = PieceReader(told(*["< push a"] * 9, "> call 1 x"), fails=ValueError("the disk is gone"))
    script = a_paged_script(reader)
    assert not script.ready
    reader.released.set()
    assert script.indexing is not None
    script.indexing.exception(20)
    with pytest.raises(ValueError, match="the disk is gone"):
        _ = script.ready


@pytest.mark.usefixtures("small_windows")
def test_closing_ends_the_threads_and_tells_who_waits() -> None:
    reader = PieceReader(told(*["< push a"] * 9, "> call 1 x"))
    paging = Paging(reader, PageCache())
    script = paging.script(a_session(), TINY, lambda: lambda payload, _: payload)
    paging._closed.set()
    reader.released.set()
    paging.close()
    with pytest.raises(ClosedRecordingError):
        _ = script.ready


def test_closing_lets_all_pages_go() -> None:
    reader, cache = PieceReader(told("< push a", "< push b")), PageCache()
    paging = Paging(reader, cache)
    script = paging.script(a_session(), TINY, lambda: lambda payload, _: payload)
    script.page(0)
    paging.close()
    assert cache.size == 0


def test_a_script_that_nobody_uses_is_not_kept() -> None:
    reader, cache = PieceReader(told("< push a", "> call 1 x")), PageCache()
    paging = Paging(reader, cache)
    script = paging.script(a_session(), TINY, lambda: lambda payload, _: payload)
    script.page(0)
    index = weakref.ref(script.index.answers)
    del script
    gc.collect()
    assert index() is None
    paging.close()


@pytest.mark.usefixtures("small_windows")
def test_a_connection_that_ended_before_the_index_was_there_cannot_be_ok() -> None:
    reader = PieceReader(told(*["< push a"] * 9, "> call 1 x"))
    stage = Stage(a_paged_script(reader))
    stage.open()
    stage.session.closed(0, "gone")
    (unused,) = stage.session.verdict().unused.named
    assert unused == "s1: the connection ended before its recording was read to the end"
    reader.released.set()
    assert stage.script.indexing is not None
    stage.script.indexing.result(20)
    assert stage.session.indexed(0) == []


@pytest.mark.usefixtures("small_windows")
def test_a_step_up_to_a_method_waits_for_the_index() -> None:
    recorded = told("> sub 1 x", "< answer 1 ok", *["< push x:1"] * 4, "< push2 y:1", "> note - z")
    reader = PieceReader(recorded)
    stage = Stage(a_paged_script(reader), ReplaySettings(pace=Pace(stepped=True)))
    stage.open()
    assert stage.say("sub 1 x") == ["answer 1 ok"]
    assert stage.step(method="push2") == ["push x:1", "push x:1"]
    reader.released.set()
    assert stage.script.indexing is not None
    stage.script.indexing.result(20)
    assert stage.perform(stage.session.indexed(0)) == ["push x:1", "push x:1", "push2 y:1"]


def test_roles_are_those_of_a_store() -> None:
    roles = [
        message.role for message in told("> beat 1", "< beaten 1", "> call 2 x", "< answer 2 y", "< push a")
    ]
    assert roles == [Role.BACKGROUND, Role.BACKGROUND, Role.CALL, Role.ANSWER, Role.PUSH]
    assert len(messages(("> call 1 x",))) == 1
