"""What is said of a replay that is not what was recorded, word for word."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from replay_builders import a_handshake, a_session, messages

from wiretape_protocols import Opcode, Role
from wiretape_replay.player import Played
from wiretape_replay.verification import (
    Expectation,
    RunFound,
    Verification,
    compare,
    end_differences,
    expected_messages,
)
from wiretape_store.records import End, EndKind, Message, Session

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


def test_differing_digests_alone_spoil_a_verification() -> None:
    assert Verification("x", 2, 1, 1, [RunFound(1, "a", ()), RunFound(0, "a", ())]).ok
    differing = Verification("x", 2, 1, 1, [RunFound(1, "b", ()), RunFound(0, "a", ())])
    assert not differing.ok
    assert differing.digests == ["a", "b"]
    assert differing.differences == ["the runs differ from each other, though each gave what was recorded"]


def test_runs_that_were_not_played_spoil_a_verification() -> None:
    assert not Verification("x", 2, 1, 1, [RunFound(0, "a", ())]).ok


def test_differences_are_told_in_the_order_of_the_runs() -> None:
    found = [RunFound(2, "c", ("third",)), RunFound(0, "a", ("first",)), RunFound(1, "b", ("second",))]
    assert Verification("x", 3, 1, 1, found).differences == ["first", "second", "third"]


def expectation(*lines: str) -> Expectation:
    return Expectation.of(a_session(), with_background(lines))


def test_a_digest_tells_messages_handshakes_and_ends_apart_and_not_when_background_came() -> None:
    expected = expectation("> beat 9", "< beaten 9 a", "< push hi")
    one = expected.compare(played("beaten 9 a", "push hi")).digest
    assert expected.compare(played("push hi", "beaten 9 a")).digest == one
    others = (
        played("beaten 9 b", "push hi"),
        played("beaten 9 a", "push ho"),
        played("beaten 9 a", "push hi", opcode=Opcode.BINARY),
        played("beaten 9 a", "push hi", status=200),
        played("beaten 9 a", "push hi", close=(1000, None)),
    )
    assert len({one, *(expected.compare(other).digest for other in others)}) == 6


def test_a_client_that_waited_in_vain_is_told() -> None:
    came = replace(played(), gave_up="upstream message 0 of the recording, of 1")
    found = expectation("< push hi").compare(came)
    assert found.hangs
    assert found.differences == [
        "1 messages did not come, from message 0 ('push hi') on",
        "it hangs: nothing came while the client waited for upstream message 0 of the recording, of 1",
    ]
