"""What `verify` says of a replay that is not what was recorded, word for word."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from replay_builders import a_handshake, a_session, an_upstream, messages

from wiretape_protocols import Opcode, Role
from wiretape_replay.player import Played
from wiretape_replay.verification import (
    Verification,
    compare,
    end_differences,
    expected_messages,
    verify,
    verify_recording,
)
from wiretape_store.records import End, EndKind, Message, Redaction, Session

LINES = ("< push hi", "> call 1 x", "< answer 1 y", "< push z")
RIGHT = ("push hi", "answer 1 y", "push z")
CLOSED = End(EndKind.CLOSED, from_client=False, code=4001, reason="bye")
EOF = End(EndKind.EOF, from_client=False)


def played(
    *texts: str,
    opcode: Opcode = Opcode.TEXT,
    status: int | None = 101,
    close: tuple[int | None, str | None] | None = None,
) -> Played:
    return Played([(opcode, text.encode()) for text in texts], status, close)


@pytest.mark.parametrize(
    ("came", "told"),
    [
        pytest.param(played(*RIGHT), [], id="all is well"),
        pytest.param(
            played("push hi", "answer 1 Y", "push z"),
            ["upstream message 1 is 'answer 1 Y' and not message 2 of the recording"],
            id="a wrong byte",
        ),
        pytest.param(
            played("push hi", "push z", "answer 1 y"),
            ["upstream message 1 is 'push z' and not message 2 of the recording"],
            id="another order, told once",
        ),
        pytest.param(
            played(*RIGHT, opcode=Opcode.BINARY),
            ["upstream message 0 is 'push hi' and not message 0 of the recording"],
            id="another opcode",
        ),
        pytest.param(
            played("push hi", "answer 1 y"),
            ["1 messages did not come, from message 3 ('push z') on"],
            id="the last is missing",
        ),
        pytest.param(
            played("push hi", "push z"),
            [
                "upstream message 1 is 'push z' and not message 2 of the recording",
                "1 messages did not come, from message 3 ('push z') on",
            ],
            id="one in the middle is missing",
        ),
        pytest.param(
            played(*RIGHT, "push z"),
            ["upstream message 3 is 'push z' and not nothing more of the recording"],
            id="one more came",
        ),
        pytest.param(
            played("x" * 61, *RIGHT[1:]),
            [f"upstream message 0 is '{'x' * 60}'… and not message 0 of the recording"],
            id="a long one is cut",
        ),
    ],
)
def test_the_first_message_that_differs_is_named(came: Played, told: list[str]) -> None:
    expected, background = expected_messages(messages(LINES))
    transcript, differences = compare(expected, background, came)
    assert differences == told
    assert transcript == came.messages


def with_background(lines: Sequence[str]) -> list[Message]:
    return [
        replace(message, role=Role.BACKGROUND) if message.payload.startswith(b"beat ") else message
        for message in messages(lines)
    ]


@pytest.mark.parametrize(
    ("came", "told"),
    [
        pytest.param(("beaten 9 a", "push hi"), [], id="before"),
        pytest.param(("push hi", "beaten 9 a"), [], id="after"),
        pytest.param(("push hi",), ["1 answers to heartbeats did not come"], id="not at all"),
    ],
)
def test_answers_to_heartbeats_may_come_anywhere_but_must_come(
    came: tuple[str, ...], told: list[str]
) -> None:
    expected, background = expected_messages(with_background(("> beat 9", "< beaten 9 a", "< push hi")))
    transcript, differences = compare(expected, background, played(*came))
    assert differences == told
    assert [wire for _, wire in transcript] == [b"push hi"]


def test_an_answer_recorded_after_the_next_call_is_expected_with_its_own() -> None:
    expected, _ = expected_messages(
        messages(("> call 1 x", "> call 2 y", "< push a", "< answer 1 x", "< answer 2 y"))
    )
    assert [message.payload for message in expected] == [b"answer 1 x", b"push a", b"answer 2 y"]


REFUSED = a_session(end=End(EndKind.REFUSED, code=403), handshake=a_handshake(status=403))
REFUSED_WITHOUT_END = a_session(handshake=a_handshake(status=403))
UNREACHABLE = a_session(end=End(EndKind.UNREACHABLE), handshake=a_handshake(status=None))


@pytest.mark.parametrize(
    ("session", "came", "told"),
    [
        pytest.param(a_session(end=CLOSED), played(close=(4001, "bye")), "", id="closed as recorded"),
        pytest.param(
            a_session(end=CLOSED),
            played(close=(1000, None)),
            "the connection was closed with (1000, None) and not (4001, 'bye')",
            id="a wrong close code",
        ),
        pytest.param(
            a_session(end=CLOSED),
            played(),
            "the connection was closed with None and not (4001, 'bye')",
            id="no close frame",
        ),
        pytest.param(a_session(end=EOF), played(), "", id="TCP ended as recorded"),
        pytest.param(
            a_session(end=EOF),
            played(close=(1000, "x")),
            "a close frame (1000, 'x') came, and there was none",
            id="a close frame where TCP ended",
        ),
        pytest.param(a_session(), played(close=(1000, None)), "", id="the recorder ended it"),
        pytest.param(
            a_session(), played(status=403), "the handshake got 403 and not 101", id="a refused handshake"
        ),
        pytest.param(
            a_session(), played(status=None), "the handshake got no answer and not 101", id="nothing listens"
        ),
        pytest.param(REFUSED, played(status=403), "", id="refused as recorded"),
        pytest.param(REFUSED, played(), "the handshake got 101 and not 403", id="accepted"),
        pytest.param(REFUSED_WITHOUT_END, played(status=403), "", id="refused, and the recorder died"),
        pytest.param(UNREACHABLE, played(status=None), "", id="unreachable as recorded"),
        pytest.param(
            UNREACHABLE, played(), "the handshake got 101 and not a broken connection", id="reachable"
        ),
    ],
)
def test_an_end_that_differs_is_named(session: Session, came: Played, told: str) -> None:
    assert end_differences(session, came) == ([told] if told else [])


class ChangingReader:
    """A store whose messages are others from the second reading of a session on: those that replay reads."""

    def __init__(self, session: Session, *readings: list[Message]) -> None:
        self._session = session
        self._readings = list(readings)

    def redaction(self, what: str) -> Redaction:
        return Redaction(b"k" * 32, ())

    def sessions(self, what: str) -> list[Session]:
        return [self._session]

    def messages(self, session_id: str) -> Iterator[Message]:
        return iter(self._readings.pop(0) if len(self._readings) > 1 else self._readings[0])


def an_opaque_session(end: End = CLOSED) -> Session:
    return a_session(end=end, upstream=replace(an_upstream(), protocol="opaque"))


def pushes(*texts: str) -> list[Message]:
    return messages([f"< {text}" for text in texts])


@pytest.mark.parametrize(
    ("replayed", "told"),
    [
        pytest.param(pushes("a", "b"), [], id="the same"),
        pytest.param(
            pushes("a", "B"),
            ["s1, run 1: upstream message 1 is 'B' and not message 1 of the recording"],
            id="a wrong byte",
        ),
        pytest.param(
            pushes("a"), ["s1, run 1: 1 messages did not come, from message 1 ('b') on"], id="too few"
        ),
        pytest.param(
            pushes("a", "b", "c"),
            ["s1, run 1: upstream message 2 is 'c' and not nothing more of the recording"],
            id="too many",
        ),
    ],
)
def test_a_run_is_compared_with_the_recording(replayed: list[Message], told: list[str]) -> None:
    result = verify_recording(ChangingReader(an_opaque_session(), pushes("a", "b"), replayed), "fixture")
    assert result.differences == told
    assert result.ok == (not told)
    assert (result.runs, result.sessions, result.messages, len(result.digests)) == (1, 1, 2, 1)


@pytest.mark.parametrize("runs", [1, 7])
def test_every_manner_gives_one_digest(runs: int) -> None:
    reader = ChangingReader(an_opaque_session(EOF), pushes("a", "b"))
    result = asyncio.run(verify(reader, "fixture", runs=runs))
    assert result.ok
    assert (len(result.digests), len(set(result.digests))) == (runs, 1)


def test_a_code_that_may_not_be_sent_is_replayed_and_found() -> None:
    end = End(EndKind.CLOSED, from_client=False, code=999, reason="odd")
    assert verify_recording(ChangingReader(an_opaque_session(end), pushes("a")), "fixture").ok


def test_runs_that_differ_from_each_other_only_are_told_too() -> None:
    # Read for the plan and the first run, the session has no end; read for the second, it has one.
    ended = an_opaque_session(End(EndKind.INTERRUPTED))
    reader = ChangingReader(ended, pushes("a"))
    sessions = iter([ended, ended, replace(ended, end=CLOSED)])
    reader.sessions = lambda what: [next(sessions)]  # type: ignore[method-assign]
    result = verify_recording(reader, "fixture", runs=2)
    assert result.differences == ["the runs differ from each other, though each gave what was recorded"]
    assert not result.ok


def test_differing_digests_alone_spoil_a_verification() -> None:
    assert Verification("x", 2, 1, 1, digests=["a", "a"]).ok
    assert not Verification("x", 2, 1, 1, digests=["a", "b"]).ok
