"""What the faults of a run do to handshakes, and which of them concern a connection."""

import pytest
from fault_builders import faults

from wiretape_replay.fault_plan import FaultPlan, HandshakeFate


def refused(plan: FaultPlan, count: int, upstream: str = "up", *, first: int = 1) -> list[int]:
    """Which of so many handshakes are refused."""
    return [
        number
        for number in range(first, first + count)
        if plan.handshake(upstream, number).refusal is not None
    ]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("refuse", [1, 2, 3, 4, 5, 6]),
        ("refuse,connection=2", [2]),
        ("refuse,nth=2", [2]),
        ("refuse,every=2", [2, 4, 6]),
        ("refuse,times=2", [1, 2]),
        ("refuse,upstream=other", []),
        ("refuse,upstream=up,nth=3", [3]),
        ("drop", []),
    ],
)
def test_a_refusal_strikes_the_handshakes_it_selects(text: str, numbers: list[int]) -> None:
    assert refused(FaultPlan(faults(text)), 6) == numbers


def test_the_handshakes_of_each_upstream_are_counted_for_themselves() -> None:
    plan = FaultPlan(faults("refuse,times=1"))

    assert [refused(plan, 2, "one"), refused(plan, 2, "two")] == [[1], [1]]


def test_chance_is_drawn_for_each_handshake_from_the_seed() -> None:
    def drawn(seed: int) -> list[int]:
        return refused(FaultPlan(faults("refuse,chance=0.5"), seed), 100)

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert 30 < len(drawn(1)) < 70


def test_delays_add_up_and_the_first_refusal_holds() -> None:
    plan = FaultPlan(
        faults("refuse,status=503", "delay_handshake,delay_s=0.25", "refuse", "delay_handshake,delay_s=1")
    )

    fate = plan.handshake("up", 1)

    assert fate.delay_us == 1_250_000
    assert fate.refusal == faults("refuse,status=503")[0]
    assert fate.details() == [
        "the handshake is delayed by 0.25 s",
        "the handshake is delayed by 1 s",
        "the handshake is refused with status 503",
    ]


def test_a_refusal_without_a_status_resets() -> None:
    assert FaultPlan(faults("refuse")).handshake("up", 1).details() == [
        "the handshake is refused: TCP is reset"
    ]


def test_a_fault_of_handshakes_that_stays_at_its_place_goes_on_counting() -> None:
    plan = FaultPlan(faults("refuse,every=2"))
    assert refused(plan, 1) == []
    plan.faults = faults("refuse,every=2", "drop")
    assert refused(plan, 2, first=2) == [2]
    plan.faults = faults("drop", "refuse,every=2")
    assert refused(plan, 2, first=4) == [5]
    plan.faults = ()
    assert plan.handshake("up", 6) == HandshakeFate()


def test_only_faults_of_messages_are_armed_for_a_connection() -> None:
    plan = FaultPlan(
        faults("refuse", "drop,connection=2", "cut,upstream=up", "delay,delay_s=1,upstream=other")
    )

    assert [each.place for each in plan.armed("up", 1)] == [2]
    assert [each.place for each in plan.armed("up", 2)] == [1, 2]
    assert [each.place for each in plan.armed("other", 1)] == [3]
    assert FaultPlan(faults("refuse")).armed("up", 1) == ()
