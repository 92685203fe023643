"""Waiting messages: the oldest first, whatever group it is in, and never more than so many."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiretape_protocols.outstanding import OUTSTANDING_LIMIT, Outstanding, Waiting


def taken(outstanding: Outstanding, groups: Sequence[str]) -> int | None:
    waiting = outstanding.take(groups)
    return waiting.seq if waiting else None


def test_the_oldest_of_all_groups_asked_for_is_taken() -> None:
    outstanding = Outstanding()
    for seq, group in enumerate("abca"):
        outstanding.add(group, Waiting(seq, "x"))
    assert [taken(outstanding, groups) for groups in ("cb", "a", "cba", "cba", "cba")] == [1, 0, 2, 3, None]


@pytest.mark.parametrize("limit", [1, 3])
def test_the_oldest_is_given_up_when_too_many_wait(limit: int) -> None:
    outstanding = Outstanding(limit)
    for seq in range(5):
        outstanding.add("ab"[seq % 2], Waiting(seq, "x"))
    assert len(outstanding) == limit
    assert taken(outstanding, "ab") == 5 - limit


def test_a_connection_keeps_a_hundred_thousand() -> None:
    outstanding = Outstanding()
    for seq in range(OUTSTANDING_LIMIT + 1):
        outstanding.add(seq % 7, Waiting(seq, "x"))
    assert len(outstanding) == OUTSTANDING_LIMIT == 100_000
    assert outstanding.take([0]) == Waiting(7, "x")


@given(st.lists(st.tuples(st.booleans(), st.lists(st.sampled_from("abc"), min_size=1, max_size=3))))
def test_it_does_what_a_plain_list_does(steps: list[tuple[bool, list[str]]]) -> None:
    outstanding, model = Outstanding(limit=4), list[tuple[int, str]]()
    for seq, (add, groups) in enumerate(steps):
        if add:
            outstanding.add(groups[0], Waiting(seq, "x"))
            model = [*model, (seq, groups[0])][-4:]
        else:
            expected = next(((old, group) for old, group in model if group in groups), None)
            model = [waiting for waiting in model if waiting != expected]
            assert taken(outstanding, groups) == (expected[0] if expected else None)
        assert len(outstanding) == len(model)
