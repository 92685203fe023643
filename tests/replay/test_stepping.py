"""A stepped run: no push goes before somebody lets it."""

import pytest
from replay_builders import STEP_US, Stage, a_script, a_session

from wiretape_replay import NothingToStepError, Order, Pace, ReplaySettings, SettingError, Step
from wiretape_store.records import End, EndKind

LINES = (
    "> sub 1 deals",
    "< answer 1 ok",
    "< push deals:1",
    "< tick depth:1",
    "< push deals:2",
    "> call 2 time",
    "< push deals:3",
    "< answer 2 noon",
    "< tick depth:2",
)


def stepped(*lines: str, order: Order = Order.RECORDED, end: End | None = None) -> Stage:
    session = a_session(end=end) if end else None
    stage = Stage(
        a_script(*(lines or LINES), session=session), ReplaySettings(pace=Pace.parse("step"), order=order)
    )
    stage.open()
    return stage


def test_no_push_goes_before_it_is_let_go_and_answers_do() -> None:
    stage = stepped()
    assert stage.say("sub 1 deals") == ["answer 1 ok"]
    assert stage.wait(60_000_000) == []
    assert stage.step(messages=1) == ["push deals:1"]
    assert stage.step(messages=2) == ["tick depth:1", "push deals:2"]


def test_a_step_counts_for_pushes_that_become_free_later() -> None:
    stage = stepped()
    assert stage.step(messages=2) == []
    assert stage.session.owed == 2
    assert stage.say("sub 1 deals") == ["answer 1 ok", "push deals:1", "tick depth:1"]
    assert stage.session.owed == 0


def test_steps_are_taken_one_after_the_other() -> None:
    stage = stepped()
    stage.step(messages=1)
    stage.step(method="tick")
    stage.step(messages=1)
    assert stage.session.owed == 2
    assert stage.say("sub 1 deals") == ["answer 1 ok", "push deals:1", "tick depth:1", "push deals:2"]
    assert stage.session.owed == 0


def test_an_answer_keeps_its_place_behind_pushes_that_are_held() -> None:
    stage = stepped()
    stage.say("sub 1 deals")
    stage.step(messages=3)
    assert stage.say("call 2 time") == []
    assert stage.step(messages=1) == ["push deals:3", "answer 2 noon"]


def test_in_free_order_answers_go_at_once() -> None:
    stage = stepped(order=Order.FREE)
    assert stage.say("call 2 time", "sub 1 deals") == ["answer 2 noon", "answer 1 ok"]
    assert stage.step(messages=2) == ["push deals:1", "tick depth:1"]


@pytest.mark.parametrize(
    ("step", "heard"),
    [
        pytest.param({"method": "tick"}, ["push deals:1", "tick depth:1"], id="a method"),
        pytest.param({"stream": "depth"}, ["push deals:1", "tick depth:1"], id="a stream"),
        pytest.param({"until_us": 4 * STEP_US}, ["push deals:1", "tick depth:1"], id="a recorded time"),
        pytest.param({"until_us": 4 * STEP_US - 1}, ["push deals:1"], id="just before it"),
    ],
)
def test_steps_go_as_far_as_they_say(step: dict[str, int | str], heard: list[str]) -> None:
    stage = stepped()
    stage.say("sub 1 deals")
    assert stage.step(**step) == heard


def test_the_next_push_of_a_method_is_one_that_has_not_gone() -> None:
    stage = stepped()
    stage.say("sub 1 deals")
    assert stage.step(method="tick")[-1] == "tick depth:1"
    assert stage.step(method="tick") == ["push deals:2"]
    assert stage.say("call 2 time") == ["push deals:3", "answer 2 noon", "tick depth:2"]
    with pytest.raises(
        NothingToStepError, match="cannot step until method tick: session s1 has no such push"
    ):
        stage.step(method="tick")
    with pytest.raises(NothingToStepError, match="until stream trades"):
        stage.step(stream="trades")


@pytest.mark.parametrize(
    "wrong",
    [{}, {"messages": 0}, {"messages": -1}, {"messages": 1, "method": "x"}, {"stream": "a", "until_us": 1}],
)
def test_a_step_says_exactly_one_thing(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingError, match="use one of messages"):
        Step(**wrong)  # type: ignore[arg-type]


def test_what_waits_for_a_step_is_no_stall() -> None:
    stage = stepped()
    stage.say("sub 1 deals")
    stage.wait(60_000_000)
    assert stage.session.verdict().stalls.count == 0
    stage.step(messages=3)
    stage.wait(120_000_000)
    assert stage.session.verdict().stalls.named == ["s1 message 6 waits for message 5: call 2 time"]


def test_the_end_comes_after_the_last_step() -> None:
    stage = stepped(
        "> sub 1 deals",
        "< push deals:1",
        "< push deals:2",
        end=End(EndKind.CLOSED, from_client=False, code=1012),
    )
    stage.say("sub 1 deals")
    assert stage.step(messages=1) == ["push deals:1"]
    assert stage.step(messages=1) == ["push deals:2", "[close 1012]"]


def test_a_pause_holds_pushes_and_the_end_until_it_is_over() -> None:
    end = End(EndKind.CLOSED, from_client=False, code=1012)
    stage = Stage(a_script("> sub 1 deals", "< answer 1 ok", "< push deals:1", session=a_session(end=end)))
    stage.open()
    stage.perform(stage.session.pause(0))
    assert stage.say("sub 1 deals") == ["answer 1 ok"]
    assert stage.step(messages=1) == ["push deals:1"]
    assert stage.wait(60_000_000) == []
    assert stage.perform(stage.session.resume(stage.now_us)) == ["[close 1012]"]


def test_a_pause_stops_the_recorded_clock() -> None:
    stage = Stage(
        a_script("> sub 1 deals", "< push deals:1", "< push deals:2"), ReplaySettings(pace=Pace(1.0))
    )
    stage.open()
    stage.say("sub 1 deals")
    assert stage.wait(STEP_US) == ["push deals:1"]
    stage.now_us = STEP_US + STEP_US // 2
    stage.perform(stage.session.pause(stage.now_us))
    assert stage.wait(100 * STEP_US) == []
    assert stage.perform(stage.session.resume(stage.now_us)) == []
    assert stage.wait(100 * STEP_US + STEP_US // 2 - 1) == []
    assert stage.wait(100 * STEP_US + STEP_US // 2) == ["push deals:2"]


def test_another_pace_goes_on_from_where_the_recording_is() -> None:
    stage = Stage(
        a_script("> sub 1 deals", "< push deals:1", "< push deals:2", "< push deals:3"),
        ReplaySettings(pace=Pace(1.0)),
    )
    stage.open()
    stage.say("sub 1 deals")
    assert stage.wait(STEP_US) == ["push deals:1"]
    stage.perform(stage.session.set_pace(Pace.parse("x10"), stage.now_us))
    assert stage.wait(STEP_US + STEP_US // 10) == ["push deals:2"]
    assert stage.perform(stage.session.set_pace(Pace.parse("asap"), stage.now_us)) == ["push deals:3"]


def test_a_pause_lets_answers_go_that_waited_for_their_time() -> None:
    stage = Stage(
        a_script("> sub 1 deals", "< answer 1 ok", "> call 2 x", "< answer 2 y"),
        ReplaySettings(pace=Pace(1.0)),
    )
    stage.open()
    assert stage.say("sub 1 deals") == []
    assert stage.perform(stage.session.pause(0)) == ["answer 1 ok"]


def test_another_pace_does_not_change_the_order() -> None:
    lines = ("> sub 1 deals", "< answer 1 ok", "> call 2 x", "> call 3 z", "< answer 2 y")
    stage = Stage(a_script(*lines), ReplaySettings(pace=Pace(1.0)))
    stage.open()
    assert stage.say("call 2 x", "sub 1 deals") == []
    assert stage.perform(stage.session.set_pace(Pace(), 0)) == ["answer 2 y", "answer 1 ok"]
