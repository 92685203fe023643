"""Pages: frames and what is known of them, and which of them stay in memory."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paged_builders import PieceReader, a_paged_script, told
from replay_builders import messages

from wiretape_protocols import Codec, CodecKind, Opcode
from wiretape_replay.frames import frame, frame_size, header
from wiretape_replay.pages import Form, Page, PageCache, Pages
from wiretape_store.stretches import stretch_of


def a_page(*lines: str, first: int = 0) -> Page:
    stretch, details = stretch_of(messages(lines))
    return Page(first, stretch, lambda: details)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_a_frame_of_any_size_holds_its_message(size: int) -> None:
    page = a_page("< push a", "< " + "x" * size, "< push b", first=5)
    assert page.message(6) == (Opcode.TEXT, b"x" * size)
    start, end = page.start(6), page.end(6)
    assert page.frames[start:end] == frame(Opcode.TEXT, b"x" * size)
    assert frame_size(page.frames, start) == end - start


@given(st.lists(st.integers(0, 300), min_size=1, max_size=20), st.integers(0, 3_000), st.integers(1, 3_000))
def test_pieces_end_where_frames_end(sizes: list[int], start: int, width: int) -> None:
    page = a_page(*(f"< {'x' * size}" for size in sizes), first=7)
    ends = {page.end(number): number for number in range(7, 7 + len(sizes))}
    expected = max((number for end, number in ends.items() if start < end <= start + width), default=-1)
    assert page.last_within(start, start + width) == expected


def test_the_clients_messages_of_a_stretch_are_left_out() -> None:
    page = a_page("> call 1 x", "< push a", "> call 2 x", "< push b", first=3)
    assert (page.first, page.stop) == (3, 5)
    assert [page.message(number)[1] for number in (3, 4)] == [b"push a", b"push b"]
    assert [page.time_us(number) for number in (3, 4)] == [2000, 4000]
    assert [page.after(time_us, 3) for time_us in (0, 2000, 3999, 4000)] == [3, 4, 4, 5]


def test_names_and_times_are_asked_for_when_they_are_needed() -> None:
    stretch, details = stretch_of(messages(("< push deals:1", "> call 1 x", "< push kline:1")))
    asked: list[int] = []

    def ask() -> object:
        asked.append(1)
        return details

    page = Page(0, stretch, ask)  # type: ignore[arg-type]
    assert (page.message(0), asked) == ((Opcode.TEXT, b"push deals:1"), [])
    assert [page.names(number) for number in (0, 1)] == [("push", "deals"), ("push", "kline")]
    assert [page.time_us(number) for number in (0, 1)] == [1000, 3000]
    assert asked == [1]


def test_an_answer_is_kept_twice_only_where_its_two_forms_differ() -> None:
    lines = ("> call 1 x", "< answer 1 y", "< push a")
    plain, details = stretch_of(messages(lines))
    packed, _ = stretch_of(messages(lines, codec=Codec(CodecKind.GZIP, exact=True)))
    assert Page(0, plain, lambda: details, [0]).packed(0) is None
    page = Page(0, packed, lambda: details, [0])
    assert page.packed(0) == (Codec(CodecKind.GZIP, exact=True), b"answer 1 y")
    assert page.packed(1) is None
    assert gzip.decompress(page.message(1)[1]) == b"push a"
    assert page.form == Form(Opcode.TEXT, Codec(CodecKind.GZIP, exact=True))


def test_what_was_deflated_is_known() -> None:
    stretch, details = stretch_of(messages(("< push a", "> call 1 x", "< push b"), deflated=True))
    assert Page(4, stretch, lambda: details).deflated == {4, 5}
    assert not a_page("< push a").deflated


@pytest.mark.parametrize("length", [0, 125, 126, 8191, 8192, 65535, 65536])
def test_a_header_that_is_kept_is_the_header(length: int) -> None:
    page = a_page(*["< " + "x" * length] * 2)
    assert page.frames == (header(1, length) + b"x" * length) * 2


@given(st.lists(st.integers(0, 19), max_size=40), st.integers(0, 400))
def test_a_budget_bounds_what_is_kept_and_never_changes_what_is_sent(asked: list[int], budget: int) -> None:
    recorded = told(*(f"< push {number}" for number in range(20)))
    reader = PieceReader(recorded)
    script = a_paged_script(reader, budget_bytes=budget)
    cache = script._pages._cache
    for number in asked:
        assert script.message(number)[1] == b"push %d" % number
        assert cache.size <= budget or len(cache._pages) == 1
        assert cache.size == sum(page.size for page in cache._pages)
        assert sorted(page.first for page in cache._pages) == script._pages._starts


def test_what_was_used_last_stays() -> None:
    reader = PieceReader(told(*(f"< push {number}" for number in range(9))))
    script = a_paged_script(reader)
    page = script.page(0).size
    script = a_paged_script(reader, budget_bytes=2 * page)
    reader.stretches.clear()
    for number in (0, 3, 0, 6, 0, 3):
        script.page(number)
    assert reader.stretches == [0, 3, 6, 3]


def test_a_cache_is_shared_by_scripts() -> None:
    cache = PageCache(1)
    reader = PieceReader(told("< push a"))
    first, second = (Pages(lambda _: a_page("< push a"), cache) for _ in range(2))
    kept = first.page(0)
    assert first.page(0) is kept
    second.page(0)
    assert first.page(0) is not kept
    assert reader.stretches == []


def test_a_page_takes_the_place_of_one_that_began_with_the_same_message() -> None:
    cache = PageCache()
    pages = Pages(lambda _: a_page("< push a"), cache)
    pages.add(a_page("< push a"))
    pages.add(longer := a_page("< push a", "< push b"))
    assert pages.page(1) is longer
    assert cache.size == longer.size
    pages.clear()
    assert cache.size == 0
    assert pages.page(0) is not longer
