"""
A script's upstream messages as ready frames, page by page; which pages are in memory, and for how long.

A page is made of a stretch of the recording. What was sent once is sent again without being made
again, as long as there is room; what there is no room for is made anew, with the same bytes.
"""

from array import array
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from operator import add
from weakref import WeakMethod

from wiretape_protocols import Codec, CodecKind, Opcode
from wiretape_replay.frames import Headers, frame
from wiretape_store.stretches import Details, Kind, Stretch

BUDGET_BYTES = 256 * 1024 * 1024
_MESSAGE_BYTES = 24
"""What a message takes in a page besides its frame."""
_OPCODES = {frame(opcode, b"")[0]: opcode for opcode in (Opcode.TEXT, Opcode.BINARY)}
_HEADERS = {opcode: Headers(opcode) for opcode in (Opcode.TEXT, Opcode.BINARY)}


@dataclass(frozen=True, slots=True)
class Form:
    """How an upstream packs its messages: what a made-up answer is packed like."""

    opcode: Opcode
    codec: Codec
    deflated: bool = False


class Page:
    """Consecutive upstream messages of a script, at least one; each is asked for by its number in the script."""

    def __init__(
        self,
        first: int,
        stretch: Stretch,
        details: Callable[[], Details],
        answers: Collection[int] = (),
    ) -> None:
        """
        Frame the upstream's messages of a stretch; the first one has the number `first`.

        `details` are asked for when they are needed. `answers` are the numbers of those messages that
        answer a client message.
        """
        kinds, wires = stretch.kinds, stretch.wires()
        self._places: Sequence[int] = range(len(kinds))
        """Where they stand in the stretch."""
        if not _are_one(kinds):
            self._places = [place for place in self._places if not kinds[place].from_client]
            kinds = [kinds[place] for place in self._places]
            wires = [wires[place] for place in self._places]
        headers = _headers(kinds, wires)
        pieces = [b""] * (2 * len(wires))
        pieces[::2], pieces[1::2] = headers, wires
        self.first, self.stop = first, first + len(wires)
        """The number of its first message, and the one after its last."""
        self.frames = b"".join(pieces)
        """One after the other, unmasked."""
        self.ends: array[int] = array("q", accumulate(map(add, map(len, headers), map(len, wires))))
        """Where each ends in `frames`."""
        self.deflated: Collection[int] = ()
        """Those that were recorded under permessage-deflate."""
        if any(kind.deflated for kind in set(kinds)):
            self.deflated = {number for number, kind in enumerate(kinds, first) if kind.deflated}
        place = self._places[0]
        self.form = Form(kinds[0].opcode, stretch.packing(place)[0], kinds[0].deflated)
        """Of the first message."""
        packings = {number: stretch.packing(self._places[number - first]) for number in answers}
        self._packed = {
            number: packing
            for number, packing in packings.items()
            if packing[0].kind is not CodecKind.IDENTITY
        }
        self._ask_details = details
        self.size = len(self.frames) + _MESSAGE_BYTES * len(wires)
        """Bytes of memory, roughly."""
        self.size += sum(len(payload) for _, payload in self._packed.values())

    @cached_property
    def _times_us(self) -> "array[int]":
        # A time before its predecessor's would break the search for what is due.
        times_us = self._details.times_us
        made: array[int] = array("q", accumulate((times_us[place] for place in self._places), max))
        return made

    @cached_property
    def _details(self) -> Details:
        return self._ask_details()

    def start(self, number: int) -> int:
        """Where the frame of a message begins in `frames`."""
        return self.ends[number - self.first - 1] if number > self.first else 0

    def end(self, number: int) -> int:
        """Where it ends."""
        return self.ends[number - self.first]

    def last_within(self, start: int, limit: int) -> int:
        """The last message whose frame ends above `start` and not above `limit`; -1 for none."""
        place = bisect_right(self.ends, limit) - 1
        return self.first + place if place >= 0 and self.ends[place] > start else -1

    def message(self, number: int) -> tuple[Opcode, bytes]:
        """A message as it was on the wire, without its frame."""
        frames, place = self.frames, number - self.first
        start = self.ends[place - 1] if place else 0
        length = frames[start + 1]
        size = 2 if length < 126 else 4 if length == 126 else 10
        return _OPCODES[frames[start]], frames[start + size : self.ends[place]]

    def packed(self, number: int) -> tuple[Codec, bytes] | None:
        """Codec and payload of an answer; None where the bytes on the wire are the payload."""
        return self._packed.get(number)

    def time_us(self, number: int) -> int:
        """When a message was recorded; never less than its predecessor's in the page."""
        return self._times_us[number - self.first]

    def names(self, number: int) -> tuple[str, str]:
        """A message's method and stream."""
        return self._details.names[self._places[number - self.first]]

    def after(self, time_us: int, first: int) -> int:
        """The first message, from `first` on, recorded after a time; the one after the page's last for none."""
        return self.first + bisect_right(self._times_us, time_us, lo=first - self.first)


class PageCache:
    """
    Keeps what was used last, up to a budget: one for all scripts of a recording, or of several.

    The page that was added last stays, however large.
    """

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self.size = 0
        """Bytes of all its pages."""
        self._budget_bytes = budget_bytes
        self._pages: OrderedDict[Page, WeakMethod[Callable[[Page], None]]] = OrderedDict()
        """The least recently used first, each with who is to be told when it has to go, if that is still there."""

    def add(self, page: Page, drop: Callable[[Page], None]) -> None:
        """Keep a page, and let others go for it; `drop`, a method, is called when this one has to go."""
        self._pages[page] = WeakMethod(drop)
        self.size += page.size
        while self.size > self._budget_bytes and len(self._pages) > 1:
            self._remove(*self._pages.popitem(last=False))

    def use(self, page: Page) -> None:
        """Note that a page is used."""
        self._pages.move_to_end(page)

    def forget(self, page: Page) -> None:
        """Let a page go."""
        self._remove(page, self._pages.pop(page))

    def _remove(self, page: Page, told: WeakMethod[Callable[[Page], None]]) -> None:
        self.size -= page.size
        drop = told()
        if drop is not None:
            drop(page)


class Pages:
    """The pages of one script."""

    def __init__(self, load: Callable[[int], Page], cache: PageCache) -> None:
        """Take what makes the page that holds a message, from the recording."""
        self._load = load
        self._cache = cache
        self._starts: list[int] = []
        self._by_start: dict[int, Page] = {}
        self._latest: Page | None = None
        """The one that was asked for last, which nearly always is the one that is asked for next."""

    def page(self, number: int) -> Page:
        """The page that holds a message, which must be there. Raises what reading the recording raises."""
        latest = self._latest
        if latest is None or not latest.first <= number < latest.stop:
            latest = self._latest = self._found(number) or self._loaded(number)
        return latest

    def add(self, page: Page) -> None:
        """Keep a page, in place of one that began with the same message."""
        former = self._by_start.get(page.first)
        if former is not None:
            self._cache.forget(former)
        insort(self._starts, page.first)
        self._by_start[page.first] = page
        self._cache.add(page, self._drop)

    def clear(self) -> None:
        """Let all pages go."""
        for page in list(self._by_start.values()):
            self._cache.forget(page)

    def _found(self, number: int) -> Page | None:
        place = bisect_right(self._starts, number) - 1
        if place < 0:
            return None
        page = self._by_start[self._starts[place]]
        if number >= page.stop:
            return None
        self._cache.use(page)
        return page

    def _loaded(self, number: int) -> Page:
        page = self._load(number)
        self.add(page)
        return page

    def _drop(self, page: Page) -> None:
        del self._starts[bisect_left(self._starts, page.first)]
        del self._by_start[page.first]
        if self._latest is page:
            self._latest = None


def _are_one(kinds: Sequence[Kind]) -> bool:
    """Whether all of a stretch is the upstream's and of one kind, as nearly always."""
    return not kinds[0].from_client and kinds.count(kinds[0]) == len(kinds)


def _headers(kinds: Sequence[Kind], wires: Sequence[bytes]) -> list[bytes]:
    if _are_one(kinds):
        headers = _HEADERS[kinds[0].opcode]
        return [headers[size] for size in map(len, wires)]
    return [_HEADERS[kind.opcode][len(wire)] for kind, wire in zip(kinds, wires, strict=True)]
