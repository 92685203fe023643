"""What faults leave of the messages of a connection, without a socket: every kind, and how they combine."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from fault_builders import Staged, at_most, faults, pushes, shown
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_builders import a_script

from wiretape_protocols import Opcode
from wiretape_replay import Abort, Close, FaultKind, Send, SendAnswer, SendRun
from wiretape_replay.fault_actions import Queued, SendFilled
from wiretape_replay.fault_selection import arm
from wiretape_replay.fault_stage import FaultStage
from wiretape_replay.fault_windows import WINDOW
from wiretape_replay.frames import frame

PONG = frame(0xA, b"x")
MIXED = (
    "> sub 1 deals",
    "< answer 1 ok",
    "< push deals:1",
    "< push depth:1",
    "< push deals:2",
    "> call 2 price",
    "< push deals:3",
    "< answer 2 10",
    "< push depth:2",
)


def said(*numbers: int | str) -> list[str]:
    return [f"push deals:{number}" for number in numbers]


@pytest.mark.parametrize(
    ("fault", "heard", "details"),
    [
        ("drop,nth=2", said(0, 2, 3), ["1 dropped"]),
        ("drop,every=2", said(0, 2), ["1 dropped", "3 dropped"]),
        ("drop,every=2,times=1", said(0, 2, 3), ["1 dropped"]),
        ("drop,times=3", said(3), ["0 dropped", "1 dropped", "2 dropped"]),
        ("duplicate,nth=2", said(0, 1, 1, 2, 3), ["1 sent twice"]),
        ("duplicate,nth=2,copies=3", said(0, 1, 1, 1, 1, 2, 3), ["1 sent 4 times"]),
        ("reorder,nth=2", said(0, 2, 1, 3), ["1 held back behind the next of its stream"]),
        ("truncate,nth=2", ["push deals:0", "push d", *said(2, 3)], ["1 truncated to 6 of 12 bytes"]),
        ("truncate,nth=2,bytes=0", ["push deals:0", "", *said(2, 3)], ["1 truncated to 0 of 12 bytes"]),
        ("truncate,nth=2,bytes=12", said(0, 1, 2, 3), []),
        ("corrupt,nth=2,byte=0", ["push deals:0", "3ush deals:1", *said(2, 3)], ["1 byte 0 of 12 is 0x33 instead of 0x70"]),
        ("corrupt,nth=2,byte=99", ["push deals:0", "push deals:r", *said(2, 3)], ["1 byte 11 of 12 is 0x72 instead of 0x31"]),
        ("oversize,nth=2", ["push deals:0", "[push deals:1, filled up with ' ' to 16777217]", *said(2, 3)], ["1 16777217 bytes instead of 12"]),
        ("oversize,nth=2,bytes=12", said(0, 1, 2, 3), []),
        ("close,nth=2", ["push deals:0", "[close 1001]"], ["1 closed with code 1001 instead"]),
        ("close,nth=2,code=1012,reason=back soon", ["push deals:0", "[close 1012 back soon]"], ["1 closed with code 1012 instead"]),
        ("cut,nth=2", ["push deals:0", "[half of push deals:1, reset]"], ["1 cut after 7 of 14 bytes"]),
        ("cut,nth=2,reset=false", ["push deals:0", "[half of push deals:1, end]"], ["1 cut after 7 of 14 bytes"]),
        ("stop_reading,nth=2", said(0, 1, 2, 3), ["1 nothing that the client sends is read from here on"]),
        ("stop_pongs,nth=2", said(0, 1, 2, 3), ["1 pings are not answered from here on"]),
        ("drop,nth=9", said(0, 1, 2, 3), []),
    ],
)  # fmt: skip
def test_every_kind_does_what_it_says_to_the_message_it_selects(
    fault: str, heard: list[str], details: list[str]
) -> None:
    staged = Staged(pushes(4), fault)

    assert staged.run() == heard
    assert staged.details() == details
    assert [strike.method for strike in staged.strikes] == ["push"] * len(details)


@pytest.mark.parametrize(
    ("fault", "struck"),
    [
        (
            "drop,method=push",
            ["push deals:1", "push depth:1", "push deals:2", "push deals:3", "push depth:2"],
        ),
        ("drop,stream=depth", ["push depth:1", "push depth:2"]),
        ("drop,stream=depth,nth=2", ["push depth:2"]),
        ("drop,stream=deals,every=2", ["push deals:2"]),
        ("drop,method=call price", ["answer 2 10"]),
        ("drop,method=sub deals", ["answer 1 ok"]),
        ("drop,method=push,stream=depth", ["push depth:1", "push depth:2"]),
        ("drop,method=other", []),
        ("drop,nth=1", ["answer 1 ok"]),
    ],
)
def test_messages_are_selected_by_method_and_stream(fault: str, struck: list[str]) -> None:
    script = a_script(*MIXED)
    everything = [line[2:] for line in MIXED if line.startswith("<")]
    staged = Staged(script, fault)

    heard = staged.run()

    assert [text for text in everything if text not in heard] == struck
    assert [script.message(number)[1].decode() for number in range(script.count) if script.seq(number) in
            {strike.seq for strike in staged.strikes}] == struck  # fmt: skip


def test_an_answer_under_another_id_is_struck_like_the_recorded_one() -> None:
    script = a_script("> call 1 price", "< answer 1 10", "> call 2 time", "< answer 2 noon")
    staged = Staged(script, "truncate,method=call price,bytes=9", "duplicate,method=call time")

    assert staged.send(SendAnswer(0, b"77"), SendAnswer(1, b"78")) == [
        "answer 77",
        "answer 78 noon",
        "answer 78 noon",
    ]


def test_a_message_that_is_not_in_the_recording_has_the_method_of_its_call_and_no_stream() -> None:
    script = pushes(1)
    injected, refused = Send(Opcode.TEXT, b"injected"), Send(Opcode.TEXT, b"refused", method="call x")

    assert Staged(script, "drop,method=call x").send(injected, refused) == ["injected"]
    assert Staged(script, "drop,stream=deals").send(injected, refused) == ["injected", "refused"]
    staged = Staged(script, "drop,nth=2")
    assert staged.send(injected, refused) == ["injected"]
    assert [(strike.seq, strike.method) for strike in staged.strikes] == [(None, "call x")]


def test_counting_goes_on_from_one_run_to_the_next() -> None:
    staged = Staged(pushes(10), "drop,every=3")

    heard = staged.run(0, 3) + staged.run(4, 4) + staged.run(5, 9)

    assert heard == said(0, 1, 3, 4, 6, 7, 9)


def test_a_message_that_leaves_nothing_to_change_is_not_struck() -> None:
    script = a_script("< ", "< push deals:1")

    staged = Staged(script, "corrupt", "truncate")

    assert staged.run(0, 0) == [""]
    assert staged.details() == []


@pytest.mark.parametrize("byte", [*range(0, 12, 5)])
def test_a_corrupted_byte_is_never_the_same(byte: int) -> None:
    script = pushes(1)
    for seed in range(100):
        (heard,) = Staged(script, f"corrupt,byte={byte}", seed=seed).run()
        assert heard != "push deals:0"
        assert len(heard) == 12


def test_without_a_place_each_byte_may_be_the_corrupted_one() -> None:
    places = set()
    for seed in range(300):
        staged = Staged(pushes(1), "corrupt", seed=seed)
        staged.run()
        places.add(staged.details()[0].split()[2])
    assert places == {str(place) for place in range(12)}


# Delays


def test_a_delayed_message_and_all_behind_it_wait() -> None:
    staged = Staged(pushes(4), "delay,nth=2,delay_s=0.5")

    assert staged.run() == said(0)
    assert staged.stage.next_wake_us == 500_000
    assert staged.send(PONG, Send(Opcode.TEXT, b"injected")) == []
    assert staged.wait(0.499_999) == []
    assert staged.wait(0.5) == [*said(1, 2, 3), "[pong]", "injected"]
    assert staged.stage.next_wake_us is None
    assert staged.details() == ["1 delayed by 0.5 s"]


def test_delays_count_from_when_a_message_could_have_gone() -> None:
    staged = Staged(pushes(4), "delay,delay_s=1")

    assert staged.run(0, 1) == []
    assert staged.wait(0.25) == []
    assert staged.run(2, 3) == []
    assert staged.wait(1) == said(0, 1)
    assert staged.stage.next_wake_us == 1_250_000
    assert staged.wait(1.25) == said(2, 3)
    assert staged.details() == [f"{seq} delayed by 1 s" for seq in range(4)]


def test_two_delays_add_up_and_an_end_waits_behind_them() -> None:
    staged = Staged(pushes(2), "delay,nth=1,delay_s=1", "delay,nth=1,delay_s=2")

    assert staged.send(SendRun(0, 1), Close(1000, "")) == []
    assert staged.wait(2.9) == []
    assert staged.wait(3) == [*said(0, 1), "[close 1000]"]


def test_nothing_is_delayed_any_more_once_the_client_is_about_to_go() -> None:
    staged = Staged(pushes(4), "delay,every=2,delay_s=5")

    assert staged.run() == said(0)
    staged.stage.hurry()
    assert staged.send(Abort()) == [*said(1, 2, 3), "[abort]"]
    assert staged.stage.next_wake_us is None


# Reordering


def test_messages_change_places_within_their_stream_only() -> None:
    staged = Staged(a_script(*MIXED), "reorder,stream=deals,nth=1")

    assert staged.run() == [
        "answer 1 ok", "push depth:1", "push deals:2", "push deals:1", "push deals:3", "answer 2 10",
        "push depth:2",
    ]  # fmt: skip


def test_answers_change_places_among_themselves() -> None:
    script = a_script("> call 1 a", "> call 2 b", "< answer 1 a", "< push deals:1", "< answer 2 b")

    assert Staged(script, "reorder,method=call a").run() == ["push deals:1", "answer 2 b", "answer 1 a"]


def test_with_every_message_reordered_they_change_places_in_pairs() -> None:
    staged = Staged(pushes(5), "reorder")

    assert staged.run() == said(1, 0, 3, 2)
    assert staged.send(Abort()) == [*said(4), "[abort]"]
    assert staged.details() == [f"{seq} held back behind the next of its stream" for seq in (0, 2, 4)]


@pytest.mark.parametrize("end", [Close(1000, ""), Abort()])
def test_nothing_that_is_held_back_is_lost_when_the_connection_ends(end: Close | Abort) -> None:
    staged = Staged(a_script(*MIXED), "reorder,stream=depth,nth=2", "reorder,stream=deals,nth=3")

    heard = staged.send(SendRun(0, 6), end)

    assert heard[-3:-1] == ["push deals:3", "push depth:2"]
    assert sorted(heard[:-1]) == sorted(line[2:] for line in MIXED if line.startswith("<"))


def test_what_is_held_back_goes_before_a_fault_ends_the_connection() -> None:
    staged = Staged(pushes(4), "reorder,nth=2", "close,nth=3")

    assert staged.run() == [*said(0, 1), "[close 1001]"]


def test_a_dropped_message_is_no_partner() -> None:
    assert Staged(pushes(4), "reorder,nth=1", "drop,nth=2").run() == said(2, 0, 3)


# Several faults, and ends


def test_several_faults_strike_one_message_in_the_order_of_their_list() -> None:
    staged = Staged(pushes(3), "truncate,nth=2,bytes=6", "duplicate,nth=2", "reorder,nth=2")

    assert staged.run() == ["push deals:0", "push deals:2", "push d", "push d"]
    assert Staged(pushes(2), "duplicate,nth=1", "truncate,nth=1,bytes=6").run() == [
        "push d",
        "push d",
        *said(1),
    ]


def test_a_message_that_is_dropped_is_not_struck_by_those_behind_but_counted() -> None:
    staged = Staged(pushes(3), "drop,nth=1", "duplicate,nth=2", "cut,nth=1")

    assert staged.run() == said(1, 1, 2)
    assert staged.details() == ["0 dropped", "1 sent twice"]


def test_a_message_that_is_filled_up_is_changed_no_more() -> None:
    staged = Staged(pushes(1), "oversize,bytes=1000", "corrupt", "truncate", "oversize", "cut")

    assert staged.run() == ["[half of 1000 bytes]"]
    assert staged.details() == ["0 1000 bytes instead of 12", "0 cut after 502 of 1004 bytes"]


@pytest.mark.parametrize("end", ["close,nth=2", "cut,nth=2"])
def test_nothing_is_sent_after_a_fault_that_cannot_be_undone(end: str) -> None:
    staged = Staged(pushes(4), end)

    assert len(staged.send(SendRun(0, 3), Abort())) == 2
    staged.set_faults()
    assert staged.send(SendRun(0, 3), PONG, Close(1000, "")) == []
    assert not staged.stage.ready


def test_an_end_that_no_fault_brought_about_is_the_last_as_well() -> None:
    staged = Staged(pushes(4), "drop,nth=9")

    assert staged.send(Close(1000, "bye"), SendRun(0, 3)) == ["[close 1000 bye]"]


# Reading and pongs


def test_pongs_stop_behind_the_selected_message_and_come_back_when_that_is_cleared() -> None:
    staged = Staged(pushes(2), "stop_pongs,nth=1")

    assert staged.send(PONG, SendRun(0, 0), PONG, SendRun(1, 1), frame(8, b"")) == [
        "[pong]", *said(0), *said(1), "[8800]",
    ]  # fmt: skip
    staged.set_faults()
    assert staged.send(PONG) == ["[pong]"]


@pytest.mark.parametrize("fault", ["stop_reading", "stop_reading,nth=2", "stop_reading,method=push"])
def test_reading_stops_until_that_is_cleared(fault: str) -> None:
    staged = Staged(pushes(2), fault)

    assert staged.stage.deaf is (fault == "stop_reading")
    staged.run()
    assert staged.stage.deaf
    staged.set_faults()
    assert not staged.stage.deaf


def test_what_lasts_begins_with_the_connection_where_nothing_selects_a_message() -> None:
    staged = Staged(pushes(2), "stop_pongs,times=1", "stop_reading,upstream=up")

    assert staged.send(PONG, SendRun(0, 1)) == said(0, 1)
    assert staged.details() == [
        "pings are not answered from here on",
        "nothing that the client sends is read from here on",
    ]


@pytest.mark.parametrize(
    ("texts", "holds"),
    [
        (["delay,nth=1,delay_s=1", "cut,nth=2"], True),
        (["delay,nth=1,delay_s=1", "close,nth=2"], True),
        (["delay,nth=1,delay_s=1", "stop_reading,nth=9"], True),
        (["delay,nth=1,delay_s=1", "stop_pongs,nth=2"], False),
        (["delay,nth=1,delay_s=1", "drop,nth=2"], False),
    ],
)
def test_the_client_is_not_read_while_what_goes_before_may_end_that(texts: list[str], holds: bool) -> None:
    staged = Staged(pushes(4), *texts)

    assert not staged.stage.holds_input
    assert staged.run() == []
    assert staged.stage.holds_input is holds
    staged.wait(1)
    assert not staged.stage.holds_input


# Faults that change


def test_a_delayed_message_goes_at_once_when_its_fault_is_cleared() -> None:
    staged = Staged(pushes(4), "delay,nth=2,delay_s=5", "drop,nth=4")

    assert staged.run() == said(0)
    staged.set_faults()
    assert staged.take() == said(1, 2, 3)


def test_a_delayed_message_waits_on_when_another_fault_is_cleared() -> None:
    staged = Staged(pushes(4), "delay,nth=2,delay_s=5", "drop,nth=3")

    assert staged.run() == said(0)
    staged.set_faults("delay,nth=2,delay_s=5")
    assert staged.take() == []
    assert staged.wait(5) == said(1, 2, 3)


def test_what_waits_behind_is_judged_by_the_faults_of_its_turn() -> None:
    staged = Staged(pushes(4), "delay,nth=2,delay_s=5")

    assert staged.run() == said(0)
    staged.set_faults("delay,nth=2,delay_s=5", "truncate,nth=3,bytes=6")
    assert staged.wait(5) == [*said(1, 2), "push d"]


def test_a_message_that_is_held_back_goes_at_once_when_its_fault_is_cleared() -> None:
    staged = Staged(pushes(4), "reorder,nth=2")

    assert staged.run(0, 1) == said(0)
    staged.set_faults("drop,nth=2")
    assert staged.run(2, 3) == said(1, 2)


def test_a_fault_that_stays_at_its_place_goes_on_counting() -> None:
    staged = Staged(pushes(6), "drop,every=3", "duplicate,nth=1")

    assert staged.run(0, 1) == said(0, 0, 1)
    staged.set_faults("drop,every=3", "truncate,nth=9", "duplicate,nth=2")
    assert staged.run(2, 5) == said(3, 3, 4)  # the second since the last fault is at its place


def test_a_stage_without_a_fault_that_can_still_strike_is_idle() -> None:
    staged = Staged(pushes(4), "drop,nth=2", "reorder,nth=1")

    assert not staged.stage.idle
    assert staged.run(0, 0) == []
    assert staged.run(1, 1) == []
    assert not staged.stage.idle
    assert staged.run(2, 2) == said(2, 0)
    assert staged.stage.idle
    staged.set_faults("stop_pongs")
    assert not staged.stage.idle
    staged.set_faults()
    assert staged.stage.idle


# Long runs


def test_a_long_run_is_passed_on_as_a_whole_once_no_fault_can_strike() -> None:
    script = pushes(10)
    stage = FaultStage(script, lambda *_: Send(Opcode.TEXT, b""), lambda _: None)
    stage.set_faults(arm(enumerate(faults("drop,nth=3")), 0, "up", 1), 0)

    stage.put([SendRun(0, 9_999_999)], 0)

    taken = stage.take(0)
    assert taken == [SendRun(0, 1), SendRun(3, 9_999_999)]


def test_a_long_run_is_taken_apart_only_as_far_as_it_is_taken() -> None:
    class Endless:
        """A script of ten million messages that takes no room."""

        answers: dict[int, object] = {}  # noqa: RUF012 - nobody writes to it
        looked_at = 0

        def method(self, number: int) -> str:
            self.looked_at = max(self.looked_at, number)
            return "push"

        def stream(self, number: int) -> str:
            return "deals"

        def seq(self, number: int) -> int:
            return number

        def message(self, number: int) -> tuple[Opcode, bytes]:
            return Opcode.TEXT, b"0123456789"

        def is_deflated(self, number: int) -> bool:
            return False

    script, struck = Endless(), 0

    def count(_: object) -> None:
        nonlocal struck
        struck += 1

    stage = FaultStage(script, lambda *_: Send(Opcode.TEXT, b""), count)  # type: ignore[arg-type]
    stage.set_faults(arm(enumerate(faults("truncate,method=push,every=2")), 0, "up", 1), 0)
    stage.put([SendRun(0, 9_999_999)], 0)
    sent = 0
    with at_most(2_000_000):
        for _ in range(15):
            passed = stage.take(0, 1000)
            assert 1000 <= len(passed) <= 1001
            sent += sum(each.last - each.first + 1 if isinstance(each, SendRun) else 1 for each in passed)
            assert script.looked_at < sent + WINDOW
            assert stage.ready
    assert sent == pytest.approx(15_000, abs=100)
    assert struck == sent // 2


# Against a model that looks at one message after the other


def modelled(texts: Iterable[str], count: int, seed: int) -> list[str]:
    """What is sent of `count` pushes, told without windows, runs or pieces."""
    armed = arm(enumerate(faults(*texts)), seed, "up", 1)
    script = pushes(count)
    heard: list[str] = []
    held: list[str] = []
    for number in range(count):
        struck = [each for each in armed if list(each.in_run(script, number, number))]
        copies, reordered, text = 1, False, f"push deals:{number}"
        for fault in (each.fault for each in struck):
            if fault.kind is FaultKind.DROP:
                copies = 0
                break
            if fault.kind is FaultKind.CLOSE:
                return [*heard, *held, "[close 1001]"]
            if fault.kind is FaultKind.DUPLICATE:
                copies += fault.copies or 1
            elif fault.kind is FaultKind.TRUNCATE:
                text = text[: fault.size_bytes]
            elif fault.kind is FaultKind.REORDER:
                reordered = True
        if reordered and not held and copies:
            held = [text] * copies
        elif copies:
            heard += [text] * copies + held
            held = []
    return [*heard, *held, "[abort]"]


picks = st.one_of(
    st.just(""),
    st.builds(",nth={}".format, st.integers(1, 40)),
    st.builds(",every={}".format, st.integers(1, 40)),
    st.builds(",chance={}".format, st.sampled_from((0.02, 0.3, 1))),
)
limits = st.one_of(st.just(""), st.builds(",times={}".format, st.integers(1, 5)))
kinds = st.sampled_from(
    ("drop", "duplicate", "duplicate,copies=3", "reorder", "truncate,bytes=3", "close", "delay,delay_s=1")
)
lists = st.lists(st.builds("{}{}{}".format, kinds, picks, limits), max_size=4)


@settings(max_examples=150, deadline=None)
@given(
    texts=lists,
    cuts=st.lists(st.integers(1, 119), max_size=6),
    pieces=st.integers(1, 50),
    seed=st.integers(0, 2**64),
)
def test_what_is_sent_does_not_depend_on_how_runs_and_pieces_are_cut(
    texts: list[str], cuts: list[int], pieces: int, seed: int
) -> None:
    count = 120
    staged = Staged(pushes(count), *texts, seed=seed)
    bounds = [0, *sorted(set(cuts)), count]
    items: list[Queued] = [SendRun(first, after - 1) for first, after in pairwise(bounds)]

    heard = staged.send(*items, Abort(), pieces=pieces)
    while staged.stage.next_wake_us is not None:
        heard += staged.wait(staged.stage.next_wake_us / 1_000_000)

    assert heard == modelled(texts, count, seed)


changes = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 30)),
    st.tuples(st.just("wait"), st.integers(0, 3)),
    st.tuples(st.just("set"), st.lists(st.builds("{}{}".format, st.sampled_from(("reorder", "delay,delay_s=1", "delay,delay_s=2", "stop_pongs")), picks), max_size=3)),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(happens=st.lists(changes, max_size=12), pieces=st.integers(1, 20))
def test_nothing_is_lost_or_sent_twice_while_faults_come_and_go(
    happens: list[tuple[str, int | list[str]]], pieces: int
) -> None:
    staged = Staged(pushes(400))
    heard: list[str] = []
    sent, now_s = 0, 0
    for what, how in happens:
        if isinstance(how, list):
            staged.set_faults(*how)
            heard += staged.take(pieces=pieces)
        elif what == "send":
            heard += staged.send(SendRun(sent, sent + how - 1), pieces=pieces)
            sent += how
        else:
            now_s += how
            heard += staged.wait(now_s)
    staged.set_faults()
    heard += staged.take()

    assert sorted(heard) == sorted(said(*range(sent)))
    assert staged.stage.idle
    assert staged.stage.next_wake_us is None


def test_windows_leave_no_trace() -> None:
    script = pushes(2 * WINDOW + 10)
    texts = ("drop,every=1000", "duplicate,nth=4096", "truncate,nth=4097,bytes=3", "reorder,every=4095")

    staged = Staged(script, *texts)

    assert staged.send(SendRun(0, script.count - 1), Abort()) == modelled(texts, script.count, 0)


def test_a_filled_message_is_never_held_as_a_whole() -> None:
    with at_most(100_000):
        filled = SendFilled(Opcode.TEXT, b"{}", 32, 2**40)
        assert filled.head == bytes((0x81, 127)) + (2**40).to_bytes(8) + b"{}"
        assert filled.left == 2**40 - 2
    assert shown(pushes(1), filled) == ["[{}, filled up with ' ' to 1099511627776]"]


def test_binary_messages_are_filled_up_with_zeros() -> None:
    staged = Staged(pushes(1), "oversize,bytes=9")

    assert staged.send(Send(Opcode.BINARY, b"\x1f\x8b")) == ["[\x1f\ufffd, filled up with '\\\\x00' to 9]"]
