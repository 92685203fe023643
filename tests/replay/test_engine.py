"""The engine without sockets: what goes out depends on what came in, in its order."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay_builders import OPEN, STEP_US, TINY, Stage, a_script, a_session, messages

from wiretape_protocols import Codec, CodecKind, Opcode, decode
from wiretape_replay import (
    Journal,
    OnMiss,
    Pace,
    ReplaySession,
    ReplaySettings,
    Send,
    SendAnswer,
    compile_script,
)
from wiretape_store.records import End, EndKind

LOCKSTEP = (
    "< push hello",
    "> call 1 price",
    "< answer 1 10",
    "> sub 2 deals",
    "< answer 2 ok",
    "< push a",
    "< push b",
    "> call 3 time",
    "< push c",
    "< answer 3 noon",
    "< push d",
)


@dataclass(frozen=True)
class Play:
    """A recording, what a client says to its replay, and what it hears back for each message."""

    recorded: tuple[str, ...]
    said: tuple[str, ...]
    heard: tuple[list[str], ...]
    """The first is what comes before the client has said anything."""


PLAYS = {
    "a lockstep client hears the recorded order": Play(
        LOCKSTEP,
        ("call 1 price", "sub 2 deals", "call 3 time"),
        (
            ["push hello"],
            ["answer 1 10"],
            ["answer 2 ok", "push a", "push b"],
            ["push c", "answer 3 noon", "push d"],
        ),
    ),
    "an early call is answered with its call and its pushes wait": Play(
        LOCKSTEP,
        ("call 3 time", "call 1 price", "sub 2 deals"),
        (
            ["push hello"],
            ["answer 3 noon"],
            ["answer 1 10"],
            ["answer 2 ok", "push a", "push b", "push c", "push d"],
        ),
    ),
    "an answer goes out under the live id": Play(
        ("> call 1 price", "< push a", "< answer 1 10", "< push b"),
        ('call "x" price',),
        ([], ["push a", 'answer "x" 10', "push b"]),
    ),
    "equal ids in flight are answered first in first out": Play(
        ("> call 9 price", "> call 9 time", "< answer 9 10", "< answer 9 noon"),
        ("call 9 price", "call 9 time"),
        ([], ["answer 9 10"], ["answer 9 noon"]),
    ),
    "equal calls get the recorded answers in their order": Play(
        ("> call 1 price", "< answer 1 10", "> call 2 price", "< answer 2 11"),
        ("call 7 price", "call 8 price"),
        ([], ["answer 7 10"], ["answer 8 11"]),
    ),
    "a read is repeated once it is used up": Play(
        ("> call 1 price", "< answer 1 10", "> call 2 price", "< answer 2 11"),
        ("call 1 price", "call 2 price", "call 3 price"),
        ([], ["answer 1 10"], ["answer 2 11"], ["answer 3 11"]),
    ),
    "what changes the world is never repeated": Play(
        ("> order 1 buy", "< answer 1 done"),
        ("order 1 buy", "order 2 buy"),
        ([], ["answer 1 done"], ["answer 2 refused"]),
    ),
    "a subscription is never repeated": Play(
        ("> sub 1 deals", "< answer 1 ok"),
        ("sub 1 deals", "sub 2 deals"),
        ([], ["answer 1 ok"], ["answer 2 refused"]),
    ),
    "a notice that is missed meets silence": Play(
        ("> call 1 price", "< answer 1 10"),
        ("note - hi", "call 1 price"),
        ([], [], ["answer 1 10"]),
    ),
    "bytes that nobody can read are matched as they are": Play(
        ("> \x00\x01", "< push raw"),
        ("\x00\x02", "\x00\x01"),
        ([], [], ["push raw"]),
    ),
    "background gates nothing and is answered at any time": Play(
        ("> beat 1", "< beaten 1 a", "< push a", "> beat 2", "< beaten 2 b", "> call 3 x", "< answer 3 y"),
        ("beat 10", "call 3 x", "beat 2", "beat 12"),
        (["push a"], ["beaten 10 a"], ["answer 3 y"], ["beaten 2 b"], ["beaten 12 b"]),
    ),
    "background that was not recorded is answered by the protocol": Play(
        ("> call 1 price", "< answer 1 10"),
        ("beat 5",),
        ([], ["beaten 5 made up"]),
    ),
    "a range that moved with the clock matches by its span": Play(
        ("> range 1 10 20", "< answer 1 ten", "> range 2 10 30", "< answer 2 twenty"),
        ("range 1 110 130", "range 2 110 120", "range 3 5 15"),
        ([], ["answer 1 twenty"], ["answer 2 ten"], ["answer 3 ten"]),
    ),
    "an exact match goes before a relaxed one": Play(
        ("> range 1 10 20", "< answer 1 first", "> range 2 30 40", "< answer 2 second"),
        ("range 1 30 40", "range 2 30 40"),
        ([], ["answer 1 second"], ["answer 2 first"]),
    ),
}


@pytest.mark.parametrize("play", PLAYS.values(), ids=PLAYS.keys())
def test_each_client_message_is_answered_as_recorded(play: Play) -> None:
    stage = Stage(a_script(*play.recorded))
    heard = [stage.open()] + [stage.say(text) for text in play.said]
    assert heard == list(play.heard)


def test_an_equal_id_leaves_the_recorded_bytes_untouched() -> None:
    unprovable = Codec(CodecKind.GZIP, level=9)
    lines = ("> call 1 price", "< answer 1 10")
    script = compile_script(a_session(), messages(lines, codec=unprovable, opcode=Opcode.BINARY), TINY)
    stage = Stage(script)
    stage.open()
    stage.session.receive(b"call 1 price", Opcode.TEXT, 0)
    assert script.message(0)[1] == messages(lines, codec=unprovable)[1].wire


def test_a_changed_id_is_packed_like_the_recorded_answer() -> None:
    gzip = Codec(CodecKind.GZIP)
    lines = ("> call 1 price", "< answer 1 10")
    script = compile_script(a_session(), messages(lines, codec=gzip, opcode=Opcode.BINARY), TINY)
    session = ReplaySession(script, TINY, ReplaySettings(), Journal())
    session.open(0)
    (action,) = session.receive(b"call 2 price", Opcode.TEXT, 0)
    assert action == SendAnswer(0, b"2")
    sent = session.spell(0, b"2")
    assert sent.opcode is Opcode.BINARY
    assert decode(sent.wire).payload == b"answer 2 10"
    assert decode(sent.wire).codec.kind is CodecKind.GZIP


def test_a_refusal_is_packed_like_the_upstreams_first_message() -> None:
    gzip = Codec(CodecKind.GZIP)
    script = compile_script(a_session(), messages(("< push a",), codec=gzip, opcode=Opcode.BINARY), TINY)
    session = ReplaySession(script, TINY, ReplaySettings(), Journal())
    session.open(0)
    (action,) = session.receive(b"call 2 price", Opcode.TEXT, 0)
    assert isinstance(action, Send)
    assert (action.opcode, decode(action.wire).payload) == (Opcode.BINARY, b"answer 2 refused")


def test_a_miss_closes_the_connection_where_that_is_asked_for() -> None:
    stage = Stage(a_script("> call 1 price"), ReplaySettings(on_miss=OnMiss.CLOSE))
    stage.open()
    assert stage.say("call 1 depth", "call 1 price") == ["[close 1008 no recorded answer to call depth]"]


CLOSED = End(EndKind.CLOSED, from_client=False, code=4001, reason="bye")


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        pytest.param(CLOSED, ["[close 4001 bye]"], id="closed by the upstream"),
        pytest.param(End(EndKind.CLOSED, from_client=False), ["[close None]"], id="closed without a code"),
        pytest.param(End(EndKind.EOF, from_client=False), ["[abort]"], id="ended without a close frame"),
        pytest.param(End(EndKind.CLOSED, from_client=True, code=1000), [], id="closed by the client"),
        pytest.param(End(EndKind.EOF, from_client=True), [], id="ended by the client"),
        pytest.param(OPEN, [], id="interrupted"),
    ],
)
def test_an_end_is_replayed_where_the_upstream_began_it(end: End, expected: list[str]) -> None:
    stage = Stage(a_script("> call 1 price", "< answer 1 10", session=a_session(end=end)))
    assert stage.open() == []
    assert stage.say("call 1 price") == ["answer 1 10", *expected]


def test_an_end_waits_for_every_client_message() -> None:
    script = a_script("> call 1 price", "> call 2 price", "< answer 1 10", session=a_session(end=CLOSED))
    stage = Stage(script)
    stage.open()
    assert stage.say("call 1 price") == ["answer 1 10"]
    assert stage.say("call 2 price") == ["[close 4001 bye]"]
    assert stage.say("call 3 price") == []
    assert stage.session.next_wake_us is None


@pytest.mark.parametrize(
    ("pace", "times"),
    [
        pytest.param("realtime", [0, 3000, 4000, 5000], id="realtime"),
        pytest.param("x10", [0, 300, 400, 500], id="ten times faster"),
        pytest.param("x0.5", [0, 6000, 8000, 10000], id="half as fast"),
        pytest.param("asap", [0, 0, 0, 0], id="asap"),
    ],
)
def test_the_pace_says_when_and_never_what(pace: str, times: list[int]) -> None:
    session = a_session(end=CLOSED, ended_at_us=6 * STEP_US)
    stage = Stage(
        a_script("> call 1 price", "> note - x", "< push a", "< push b", session=session),
        ReplaySettings(pace=Pace.parse(pace)),
    )
    stage.open()
    stage.now_us = 50_000
    stage.say("call 1 price")
    heard = {0: stage.say("note - x")}
    for after_us in range(100, 12_000, 100):
        heard[after_us] = stage.wait(50_000 + after_us)
    told = [(text, after) for after, texts in heard.items() for text in texts]
    # The note was recorded at 2 ms, the pushes at 3 and 4, the end at 6.
    shifted = [0, times[1] - times[1] // 3 * 2, times[2] // 2, times[3] // 5 * 4]
    assert told == [("push a", shifted[1]), ("push b", shifted[2]), ("[close 4001 bye]", shifted[3])]


def test_a_client_ahead_of_the_recording_pulls_it_along_in_realtime() -> None:
    stage = Stage(
        a_script("< push a", "> call 1 x", "< answer 1 y"), ReplaySettings(pace=Pace.parse("realtime"))
    )
    assert stage.open() == []
    assert stage.say("call 1 x") == ["push a"]
    assert stage.wait(STEP_US) == ["answer 1 y"]


def test_background_and_what_is_off_the_recording_do_not_wait_for_the_pace() -> None:
    stage = Stage(
        a_script("> call 1 x", "< answer 1 y", "< push a"), ReplaySettings(pace=Pace.parse("x0.001"))
    )
    stage.open()
    assert stage.say("call 1 x") == []
    assert stage.say("beat 2", "call 3 x", "call 4 z") == [
        "beaten 2 made up",
        "answer 3 y",
        "answer 4 refused",
    ]


def test_a_stall_is_noted_once_for_each_held_message() -> None:
    stage = Stage(
        a_script("> call 1 x", "< push a", "> call 2 y", "< answer 2 z", "< push b"),
        ReplaySettings(stall_us=10_000),
    )
    stage.open()
    stage.wait(9_999)
    assert stage.kinds() == ["opened"]
    stage.wait(1_000_000)
    assert stage.kinds() == ["opened", "held"]
    stage.say("call 1 x")
    stage.wait(2_000_000)
    assert stage.kinds() == ["opened", "held", "matched", "pushed", "held"]
    first, second = (entry for entry in stage.journal.entries if entry.kind == "held")
    assert (first.seq, first.detail) == (1, "waits for message 0: call 1 x")
    assert (second.seq, second.detail) == (4, "waits for message 2: call 2 y")
    assert stage.session.verdict().stalls.count == 2


def test_a_message_that_is_not_due_yet_does_not_stall() -> None:
    stage = Stage(
        a_script("> call 1 x", "> call 2 y", "< push a"),
        ReplaySettings(stall_us=1_000, pace=Pace.parse("x0.01")),
    )
    stage.open()
    stage.say("call 1 x")
    stage.wait(200_000)
    assert "held" not in stage.kinds()
    stage.wait(201_000)
    assert "held" in stage.kinds()


def test_the_answer_to_a_call_that_never_comes_is_no_stall() -> None:
    stage = Stage(a_script("> call 1 x", "< answer 1 y"), ReplaySettings(stall_us=1))
    stage.open()
    assert stage.session.next_wake_us is None


SAID = (
    "call 1 price",
    "sub 2 deals",
    "call 3 time",
    "call 4 price",
    "order 5 x",
    "range 6 1 2",
    "beat 7",
    "note - n",
)


@given(
    order=st.permutations(SAID),
    gaps_us=st.lists(st.integers(0, 5_000), min_size=len(SAID), max_size=len(SAID)),
)
def test_the_bytes_depend_on_the_order_of_the_clients_messages_and_never_on_times(
    order: list[str], gaps_us: list[int]
) -> None:
    session = a_session(end=CLOSED)
    at_once, in_time = (Stage(a_script(*LOCKSTEP, session=session)) for _ in range(2))
    at_once.open()
    in_time.open()
    at_once.say(*order)
    for text, gap_us in zip(order, gaps_us, strict=True):
        in_time.wait(in_time.now_us + gap_us)
        in_time.say(text)
    assert in_time.bytes_sent == at_once.bytes_sent


@given(
    gaps_us=st.lists(st.integers(0, 10_000), min_size=3, max_size=3),
    order=st.permutations(("call 8 price", "sub 2 deals", "call 3 time")),
    factor=st.sampled_from(["realtime", "x3", "x0.7"]),
)
def test_every_pace_gives_one_transcript(gaps_us: list[int], order: list[str], factor: str) -> None:
    session = a_session(end=CLOSED, ended_at_us=20_000)
    asap = Stage(a_script(*LOCKSTEP, session=session))
    paced = Stage(a_script(*LOCKSTEP, session=session), ReplaySettings(pace=Pace.parse(factor)))
    asap.open()
    asap.say(*order)
    paced.open()
    for text, gap_us in zip(order, gaps_us, strict=True):
        paced.wait(paced.now_us + gap_us)
        paced.say(text)
    paced.wait(paced.now_us + 1_000_000)
    assert paced.bytes_sent == asap.bytes_sent


@given(st.lists(st.sampled_from([*SAID, "junk", "call 9 other"]), max_size=30))
def test_no_upstream_message_is_sent_twice_unless_the_journal_says_repeated(said: list[str]) -> None:
    stage = Stage(a_script(*LOCKSTEP))
    heard = stage.open() + stage.say(*said)
    pushes = [text for text in heard if text.startswith("push")]
    assert len(pushes) == len(set(pushes))
    answers = [text for text in heard if text.startswith("answer") and "refused" not in text]
    assert len(answers) == stage.kinds().count("matched") + stage.kinds().count("repeated")


def test_a_push_that_a_message_pulled_along_was_not_held_before() -> None:
    lines = ("> sub 1 deals", "< answer 1 ok", "< push a", "> call 5 x", "< push b", "> call 6 y")
    stage = Stage(a_script(*lines), ReplaySettings(pace=Pace(1.0), stall_us=STEP_US // 2))
    stage.open()
    stage.say("sub 1 deals")
    assert stage.wait(2 * STEP_US) == ["answer 1 ok", "push a"]
    stage.say("call 6 y")
    stage.wait(2 * STEP_US + STEP_US // 2 - 1)
    assert stage.session.verdict().stalls.count == 0
    stage.wait(2 * STEP_US + STEP_US // 2)
    assert stage.session.verdict().stalls.named == ["s1 message 4 waits for message 3: call 5 x"]
