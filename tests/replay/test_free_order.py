"""The free order: each push with its own subscription, each answer with its call."""

from replay_builders import STEP_US, Stage, a_script, a_session

from wiretape_replay import Order, Pace, ReplaySettings
from wiretape_store.records import End, EndKind

FREE = ReplaySettings(order=Order.FREE)
TWO_STREAMS = (
    "> sub 1 deals",
    "< answer 1 ok",
    "< push deals:1",
    "> sub 2 depth",
    "< push deals:2",
    "< answer 2 ok",
    "< push depth:1",
    "< push deals:3",
    "> call 3 time",
    "< push depth:2",
    "< answer 3 noon",
    "> unsub 4 deals",
    "< answer 4 ok",
    "< push depth:3",
)


def free(*lines: str, pace: str = "asap") -> Stage:
    stage = Stage(a_script(*lines), ReplaySettings(order=Order.FREE, pace=Pace.parse(pace)))
    stage.open()
    return stage


def test_a_push_waits_for_its_own_subscription_only() -> None:
    stage = free(*TWO_STREAMS)
    assert stage.say("sub 8 depth") == ["answer 8 ok", "push depth:1", "push depth:2", "push depth:3"]
    assert stage.say("sub 9 deals") == ["answer 9 ok", "push deals:1", "push deals:2", "push deals:3"]


def test_answers_go_with_their_calls_whatever_else_is_missing() -> None:
    stage = free(*TWO_STREAMS)
    assert stage.say("call 7 time") == ["answer 7 noon"]


def test_in_one_message_answer_and_pushes_keep_the_recorded_order() -> None:
    stage = free("> sub 1 deals", "< push deals:0", "< answer 1 ok", "< push deals:1")
    assert stage.say("sub 1 deals") == ["push deals:0", "answer 1 ok", "push deals:1"]


def test_a_push_without_a_subscription_waits_for_the_message_before_it() -> None:
    stage = Stage(a_script("< push hello", "> order 1 buy", "< answer 1 done", "< push filled:1"), FREE)
    assert stage.open() == ["push hello"]
    assert stage.say("order 1 buy") == ["answer 1 done", "push filled:1"]


def test_a_stream_that_the_client_closes_ends_there() -> None:
    stage = free(*TWO_STREAMS, pace="step")
    assert stage.say("sub 1 deals", "sub 2 depth") == ["answer 1 ok", "answer 2 ok"]
    assert stage.say("unsub 4 deals") == ["answer 4 ok"]
    dropped = [entry for entry in stage.journal.entries if entry.kind == "dropped"]
    assert [(entry.seq, entry.pushes) for entry in dropped] == [(2, 2), (7, 1)]
    assert stage.step(messages=9) == ["push depth:1", "push depth:2", "push depth:3"]


def test_each_stream_goes_by_the_clock_of_its_own_subscription() -> None:
    stage = free(*TWO_STREAMS, pace="realtime")
    assert stage.say("sub 2 depth") == []
    # Recorded two steps after its subscription, and the next three after that.
    assert stage.wait(2 * STEP_US) == ["answer 2 ok"]
    stage.now_us = 2 * STEP_US
    assert stage.say("sub 1 deals") == []
    assert stage.wait(3 * STEP_US) == ["answer 1 ok", "push depth:1"]
    assert stage.wait(4 * STEP_US) == ["push deals:1"]
    assert stage.wait(6 * STEP_US) == ["push deals:2", "push depth:2"]


def test_the_recorded_end_comes_when_everything_was_said_and_sent() -> None:
    session = a_session(end=End(EndKind.CLOSED, from_client=False, code=1001))
    stage = Stage(
        a_script("> call 1 x", "< answer 1 y", "> sub 2 deals", "< push deals:1", session=session), FREE
    )
    stage.open()
    assert stage.say("sub 2 deals") == ["push deals:1"]
    assert stage.say("call 1 x") == ["answer 1 y", "[close 1001]"]


def test_a_stall_names_the_subscription_that_a_push_waits_for() -> None:
    stage = free(*TWO_STREAMS)
    stage.say("sub 1 deals")
    stage.wait(10_000_000)
    assert stage.session.verdict().stalls.named == ["s1 message 6 waits for message 3: sub 2 depth"]


def test_in_recorded_order_a_stream_closed_early_is_not_pushed_to() -> None:
    stage = Stage(
        a_script(
            "> sub 1 deals", "< push deals:1", "> call 2 x", "< push deals:2", "< push z", "< answer 2 y",
            "> unsub 3 deals", "< answer 3 ok",
        )
    )  # fmt: skip
    stage.open()
    assert stage.say("sub 1 deals") == ["push deals:1"]
    assert stage.say("unsub 3 deals") == ["answer 3 ok"]
    assert stage.say("call 2 x") == ["push z", "answer 2 y"]
    assert [entry.seq for entry in stage.journal.entries if entry.kind == "dropped"] == [3]
    assert stage.session.verdict().ok


def test_in_recorded_order_a_stream_closed_late_is_not_pushed_to_either() -> None:
    stage = Stage(
        a_script(
            "> unsub 1 deals",
            "> sub 1 deals",
            "< answer 1 ok",
            "< push deals:1",
            "> call 2 x",
            "< push deals:2",
        )
    )
    stage.open()
    assert stage.say("sub 1 deals", "unsub 1 deals") == ["answer 1 ok"]
    assert stage.say("call 2 x") == []
    assert [entry.pushes for entry in stage.journal.entries if entry.kind == "dropped"] == [1, 1]


def test_what_was_under_way_when_its_stream_was_closed_keeps_its_order() -> None:
    stage = free(
        "> sub 1 depth", "< answer 1 ok", "> unsub 2 depth", "< push depth:4", "< answer 2 ok", "> note - hi",
        "< push depth:7",
    )  # fmt: skip
    assert stage.say("note - hi") == []
    assert stage.say("unsub 2 depth") == ["push depth:4", "answer 2 ok", "push depth:7"]


def test_a_message_that_nobody_waits_for_does_not_put_a_stall_off() -> None:
    stage = free("> call 1 x", "> note - y", "< push a")
    stage.now_us = 4_000_000
    stage.say("call 1 x")
    stage.wait(5_000_000)
    assert stage.session.verdict().stalls.count == 1
