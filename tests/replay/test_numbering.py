"""The two numbers of an upstream message, told apart by what lies between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiretape_replay.numbering import Numberer, Numbering

CLIENT, UPSTREAM, LOST = "client", "upstream", "lost"


def spans_of(kinds: list[str]) -> list[tuple[int, int]]:
    """The runs of messages that are there, each as short as a store may have it."""
    return [(seq, seq + 1) for seq, kind in enumerate(kinds) if kind != LOST]


def numbered(kinds: list[str], spans: list[tuple[int, int]] | None = None) -> Numbering:
    numberer = Numberer(spans_of(kinds) if spans is None else spans)
    for seq, kind in enumerate(kinds):
        if kind == CLIENT:
            numberer.client(seq)
    return numberer.finished()


KINDS = st.lists(st.sampled_from([CLIENT, UPSTREAM, UPSTREAM, LOST]), max_size=30)


@given(KINDS)
def test_every_upstream_message_is_found_by_either_number(kinds: list[str]) -> None:
    upstream = [seq for seq, kind in enumerate(kinds) if kind == UPSTREAM]
    numbering = numbered(kinds)
    assert numbering.count == len(upstream)
    assert [numbering.seq(number) for number in range(numbering.count)] == upstream
    for seq in range(len(kinds) + 1):
        assert numbering.before(seq) == sum(each < seq for each in upstream)


@given(KINDS, st.integers(0, 30))
def test_a_numbering_that_ends_early_is_the_beginning_of_the_whole(kinds: list[str], stop: int) -> None:
    numberer = Numberer(spans_of(kinds))
    for seq, kind in enumerate(kinds[:stop]):
        if kind == CLIENT:
            numberer.client(seq)
    beginning, whole = numberer.finished(stop), numbered(kinds)
    assert beginning.count == whole.before(stop)
    assert [beginning.seq(number) for number in range(beginning.count)] == [
        whole.seq(number) for number in range(beginning.count)
    ]


@given(KINDS)
def test_numbers_are_known_while_the_session_is_told(kinds: list[str]) -> None:
    numberer = Numberer(spans_of(kinds))
    count = 0
    for seq, kind in enumerate(kinds):
        if kind == CLIENT:
            assert numberer.client(seq) == count
        elif kind == UPSTREAM:
            assert numberer.upstream(seq) == count
            count += 1
        else:
            assert numberer.upstream(seq) is None


def test_a_run_takes_the_same_memory_however_long_it_is() -> None:
    numbering = numbered([CLIENT], [(0, 10_000_000)])
    assert numbering.count == 9_999_999
    assert numbering.seq(9_999_998) == 9_999_999
    assert len(numbering._numbers) == 1


@pytest.mark.parametrize("number", [-1, 2])
def test_a_message_that_is_not_there_has_no_seq(number: int) -> None:
    with pytest.raises(IndexError):
        numbered([UPSTREAM, CLIENT, UPSTREAM]).seq(number)
