"""What a session makes of faults that strike it: entries, and nothing that counts against the client."""

import pytest
from replay_builders import STEP_US, Stage, a_script

from wiretape_protocols import Opcode
from wiretape_replay import Fault, ReplaySettings, Send, SendAnswer, SendRun
from wiretape_replay.fault_strikes import Strike

LINES = ("> call 1 a", "< answer 1 b", "> call 2 c", "< answer 2 d", "< push deals:1")


def struck(text: str, *, at_us: int = 0, until_us: int = 0) -> Strike:
    return Strike(Fault.parse(text), at_us, "struck", 1, "call a", until_us)


def test_a_client_that_waits_for_what_is_delayed_does_not_stall() -> None:
    stage = Stage(a_script(*LINES), ReplaySettings(stall_us=STEP_US))
    stage.open()
    stage.say("call 1 a")
    stage.session.struck(struck("delay,delay_s=1", until_us=1_000_000))

    stage.wait(1_000_000 + STEP_US - 1)
    assert stage.session.verdict().stalls.count == 0
    stage.wait(1_000_000 + STEP_US)
    assert stage.session.verdict().stalls.count == 1


@pytest.mark.parametrize("fault", ["cut", "close", "stop_reading"])
def test_a_client_that_is_not_heard_any_more_neither_stalls_nor_leaves_anything_unused(fault: str) -> None:
    stage = Stage(a_script(*LINES), ReplaySettings(stall_us=STEP_US))
    stage.open()
    stage.say("call 1 a", "call 3 unknown")
    stage.session.struck(struck(fault))

    stage.wait(10 * STEP_US)

    verdict = stage.session.verdict()
    assert (verdict.misses.count, verdict.unused.count, verdict.stalls.count) == (1, 0, 0)


@pytest.mark.parametrize("fault", ["drop", "truncate", "stop_pongs"])
def test_other_faults_excuse_nothing(fault: str) -> None:
    stage = Stage(a_script(*LINES), ReplaySettings(stall_us=STEP_US))
    stage.open()
    stage.session.struck(struck(fault))
    stage.wait(10 * STEP_US)

    verdict = stage.session.verdict()
    assert (verdict.unused.count, verdict.stalls.count) == (2, 1)


def test_a_strike_is_in_the_journal_with_the_connection_it_struck() -> None:
    stage = Stage(a_script(*LINES))
    stage.now_us = 100
    stage.open()
    stage.session.struck(struck("drop", at_us=150))

    assert stage.journal.entries[-1].to_object() == {
        "number": 2, "kind": "fault", "upstream": "up", "connection": 1, "session": "s1", "at_us": 50,
        "seq": 1, "method": "call a", "detail": "struck",
    }  # fmt: skip


def test_what_is_sent_again_says_how_often_it_was_sent_before() -> None:
    script = a_script("> beat 1 x", "< beaten 1 y", "> call 2 a", "< answer 2 b")
    session = Stage(script).session
    session.open(0)

    def asked(text: bytes) -> object:
        (action,) = session.receive(text, Opcode.TEXT, 0)
        return action

    assert [asked(b"call 2 a") for _ in range(3)] == [SendRun(1, 1), SendRun(1, 1, 1), SendRun(1, 1, 2)]
    assert asked(b"call 9 a") == SendAnswer(1, b"9", 3)
    assert asked(b"beat 1 x") == SendRun(0, 0)
    assert [asked(b"beat 7 x") for _ in range(2)] == [SendAnswer(0, b"7", 2), SendAnswer(0, b"7", 3)]


def test_what_is_made_up_for_a_call_has_its_method() -> None:
    session = Stage(a_script("> call 1 a", "< answer 1 b")).session
    session.open(0)

    assert session.receive(b"call 5 other", Opcode.TEXT, 0) == [
        Send(Opcode.TEXT, b"answer 5 refused", method="call other")
    ]
    assert session.receive(b"beat 6 x", Opcode.TEXT, 0) == [
        Send(Opcode.TEXT, b"beaten 6 made up", method="beat x")
    ]
