"""What a fault strikes is decided by what it is about, and by nothing else."""

import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise

import pytest
from fault_builders import faults, pushes
from hypothesis import given
from hypothesis import strategies as st

from wiretape_replay import Fault
from wiretape_replay.fault_selection import ArmedFault, Draws, MessageId, arm

ALL = 2000
SCRIPT = pushes(ALL)
EXPECTED = [0.8145898331771622, 0.9965912118024317, 0.01882861498185489]
EXPECTED_OTHERS = [646, 0.9217357601988659]


def armed(
    text: str, *, seed: int = 0, place: int = 0, upstream: str = "up", connection: int = 1
) -> ArmedFault:
    ((one,)) = arm([(place, Fault.parse(text))], seed, upstream, connection)
    return one


def struck(text: str, **where: int | str) -> list[int]:
    return list(armed(text, **where).in_run(SCRIPT, 0, ALL - 1))  # type: ignore[arg-type]


def test_chance_strikes_about_as_often_as_it_says() -> None:
    assert len(struck("drop,chance=0.1")) == pytest.approx(ALL * 0.1, abs=60)
    assert len(struck("drop,chance=0.9")) == pytest.approx(ALL * 0.9, abs=60)
    assert struck("drop,chance=1") == list(range(ALL))


def test_a_decision_depends_on_seed_place_upstream_connection_and_message_alone() -> None:
    others: Sequence[dict[str, int | str]] = (
        {},
        {"seed": 1},
        {"place": 1},
        {"upstream": "down"},
        {"connection": 2},
    )
    decisions = [struck("drop,chance=0.5", **other) for other in others]

    assert decisions == [struck("drop,chance=0.5", **other) for other in others]
    assert len({tuple(decision) for decision in decisions}) == len(others)


def test_the_same_chance_of_another_kind_strikes_the_same_messages() -> None:
    assert struck("drop,chance=0.3") == struck("truncate,chance=0.3")
    assert set(struck("drop,chance=0.1")) < set(struck("drop,chance=0.3"))


@given(
    st.lists(st.integers(1, ALL - 1), max_size=20),
    st.sampled_from(("chance=0.2", "every=7", "nth=123,times=1")),
)
def test_how_a_run_is_cut_changes_no_decision(cuts: list[int], pick: str) -> None:
    one = armed(f"drop,{pick}")
    bounds = [0, *sorted(set(cuts)), ALL]

    assert [
        number for first, after in pairwise(bounds) for number in one.in_run(SCRIPT, first, after - 1)
    ] == struck(f"drop,{pick}")


def test_one_message_at_a_time_is_decided_on_as_in_a_run() -> None:
    one = armed("drop,chance=0.2,every=3,times=50")

    alone = [number for number in range(ALL) if one.strikes(MessageId(number), "push", "deals")]

    assert alone == struck("drop,chance=0.2,every=3,times=50")
    assert len(alone) == 50
    assert one.spent


def test_a_message_that_is_sent_again_is_decided_on_anew() -> None:
    one = armed("drop,chance=0.5")

    assert {one.strikes(MessageId(7, again), "", "") for again in range(20)} == {True, False}
    assert {one.strikes(MessageId(-1, count), "", "") for count in range(20)} == {True, False}


def test_chance_picks_among_what_nth_and_every_have_picked() -> None:
    sevenths = set(range(6, ALL, 7))

    assert set(struck("drop,every=7,chance=0.5")) < sevenths
    assert struck("drop,nth=10,chance=0.5") in ([], [9])


def test_other_faults_do_not_change_what_a_fault_counts() -> None:
    alone, _, beside = arm(
        [(0, faults("drop,every=2")[0]), (1, faults("drop")[0]), (0, faults("drop,every=2")[0])], 0, "up", 1
    )

    assert list(alone.in_run(SCRIPT, 0, 9)) == list(beside.in_run(SCRIPT, 0, 9)) == [1, 3, 5, 7, 9]


@pytest.mark.parametrize(
    "text", ["drop,nth=3", "drop,times=2", "cut", "stop_pongs,nth=1", "stop_reading,method=push"]
)
def test_a_fault_is_spent_when_it_can_strike_no_more(text: str) -> None:
    one = armed(text)
    assert not one.spent
    one.in_run(SCRIPT, 0, 9)
    assert one.spent
    assert list(one.in_run(SCRIPT, 10, 19)) == []


def test_picking_from_ten_million_messages_takes_no_time_and_no_room() -> None:
    assert armed("drop,nth=9999999").in_run(SCRIPT, 0, 10**7 - 1) == range(9999998, 9999999)
    every = armed("drop,every=3").in_run(SCRIPT, 0, 10**7 - 1)
    assert isinstance(every, range)
    assert len(every) == 10**7 // 3


def test_draws_are_the_same_on_every_machine_and_under_every_hash_seed() -> None:
    draws = Draws(7, 0, "hotbit", 1)
    assert [draws.chance(MessageId(number)) for number in (0, 1, 9)] == EXPECTED
    assert [draws.below(1000, MessageId(5), b"byte"), draws.chance(MessageId(5, 1))] == EXPECTED_OTHERS

    code = (
        "from wiretape_replay.fault_selection import Draws, MessageId\n"
        "draws = Draws(7, 0, 'hotbit', 1)\n"
        "print([draws.chance(MessageId(number)) for number in (0, 1, 9)])"
    )
    for hash_seed in ("0", "1", "4711"):
        printed = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert printed.stdout.strip() == str(EXPECTED)
