"""What one connection still has to write, in order, cut into pieces that the socket can take."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from wiretape_protocols import Opcode
from wiretape_replay.actions import Send, SendAnswer
from wiretape_replay.fault_actions import SendFilled, SendHalf
from wiretape_replay.pages import Page
from wiretape_replay.script import Script

SLICE_BYTES = 256 * 1024
_COPIED_BYTES = 4096  # below this a copy takes less time than a view


@dataclass(slots=True)
class _Run:
    """Recorded messages on their way out."""

    number: int
    last: int
    sent: int = 0
    """How many bytes of the frame of message `number` are out already; only one that is larger than a piece is cut."""


@dataclass(slots=True)
class _Filling:
    """A frame on its way out: `head` and then `left` times one byte."""

    head: bytes
    filler: int
    left: int
    begun: bool = False


class Outbox:
    """
    A queue of frames and of runs of recorded frames.

    A run takes the same memory however long it is: its frames are asked for page by page, when their
    turn comes. Pieces end where a frame ends, except within a frame that is larger than a piece. Messages are framed when their turn comes, never before: the
    compressor remembers what went through it, so it must see them in the order of the wire.
    """

    def __init__(self, pack: Callable[[Opcode, bytes, bool], bytes]) -> None:
        self._pack = pack
        """Frames a message; its last argument says whether to compress it."""
        self._script: Script | None = None
        self._spell: Callable[[int, bytes | None], Send]
        """Both are unset before `play`: until then there are only frames."""
        self._deflated = False
        self._waiting: deque[bytes | Send | SendAnswer | SendHalf | _Run | _Filling] = deque()
        self._waiting_bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait that are not the script's own."""
        return self._waiting_bytes

    def play(self, script: Script, spell: Callable[[int, bytes | None], Send], *, deflated: bool) -> None:
        """
        Name the script that runs are taken from, and what gives its answers other ids.

        `deflated`: permessage-deflate was agreed on.
        """
        self._script = script
        self._spell = spell
        self._deflated = deflated

    def add(self, item: bytes | Send | SendAnswer) -> None:
        """Append a frame, or a message to be framed."""
        self._waiting.append(item)
        self._waiting_bytes += _size(item)

    def add_faulty(self, item: SendFilled | SendHalf) -> None:
        """Append what a fault has made of a message; a half is the last of all."""
        waiting = _filling(item)
        self._waiting.append(waiting)
        self._waiting_bytes += _size(waiting)

    def add_run(self, first: int, last: int) -> None:
        """Append the recorded upstream messages `first` to `last`."""
        self._waiting.append(_Run(first, last))

    @property
    def within_frame(self) -> bool:
        """Whether the latest piece ended within a frame, so that nothing but its rest may follow."""
        head = self._waiting[0] if self._waiting else None
        return (isinstance(head, _Run) and head.sent > 0) or (isinstance(head, _Filling) and head.begun)

    def take(self) -> bytes | memoryview:
        """
        Remove and return the next piece; empty when nothing waits.

        Raises what reading the recording raises; then nothing was removed.
        """
        if not self._waiting:
            return b""
        head = self._waiting[0]
        if isinstance(head, _Run):
            return self._take_of_run(head)
        if isinstance(head, _Filling):
            return self._take_filling(head)
        size = _size(head)
        if isinstance(head, SendAnswer):
            head = self._spell(head.number, head.id_text)
        self._waiting.popleft()
        self._waiting_bytes -= size
        if isinstance(head, Send):
            return self._pack(head.opcode, head.wire, head.deflated)
        return self._half(head) if isinstance(head, SendHalf) else head

    def truncate(self) -> None:
        """Forget everything that waits, except for the rest of a frame that has begun."""
        head = self._waiting[0] if self._waiting else None
        self._waiting.clear()
        self._waiting_bytes = 0
        if isinstance(head, _Filling) and head.begun:
            self._waiting.append(head)
        if isinstance(head, _Run) and head.sent:
            self._waiting.append(_Run(head.number, head.number, head.sent))

    def _take_of_run(self, run: _Run) -> bytes | memoryview:
        assert self._script is not None
        page = self._script.page(run.number)
        if self._deflated and page.deflated:
            return self._take_packed(run, page)
        ends, first = page.ends, page.first
        last = run.last if run.last < page.stop else page.stop - 1
        start = (ends[run.number - first - 1] if run.number > first else 0) + run.sent
        end = ends[last - first]
        if end - start > SLICE_BYTES:
            last = page.last_within(start, start + SLICE_BYTES)
            if last < 0:
                run.sent += SLICE_BYTES
                return memoryview(page.frames)[start : start + SLICE_BYTES]
            end = ends[last - first]
        self._advance(run, last)
        return page.frames[start:end] if end - start < _COPIED_BYTES else memoryview(page.frames)[start:end]

    def _half(self, half: SendHalf) -> bytes:
        assert isinstance(half.send, Send)
        whole = self._pack(half.send.opcode, half.send.wire, half.send.deflated)
        return whole[: len(whole) // 2]

    def _take_filling(self, filling: _Filling) -> bytes | memoryview:
        """The next piece of a frame that is filled up: one block of the filler serves them all."""
        filling.begun = True
        piece: bytes | memoryview = filling.head
        if piece:
            filling.head = b""
            self._waiting_bytes -= len(piece)
        else:
            piece = _block(filling.filler)[: filling.left]
            filling.left -= len(piece)
        if not filling.left:
            self._waiting.popleft()
        return piece

    def _take_packed(self, run: _Run, page: Page) -> bytes:
        """Frame messages one by one, because some go out compressed."""
        pieces: list[bytes] = []
        size, number, stop = 0, run.number, min(run.last + 1, page.stop)
        while number < stop and size < SLICE_BYTES:
            opcode, wire = page.message(number)
            pieces.append(self._pack(opcode, wire, number in page.deflated))
            size += len(pieces[-1])
            number += 1
        self._advance(run, number - 1)
        return b"".join(pieces)

    def _advance(self, run: _Run, last: int) -> None:
        """All of a run up to message `last` is out."""
        if last == run.last:
            self._waiting.popleft()
        else:
            run.number, run.sent = last + 1, 0


def _filling(item: SendFilled | SendHalf) -> _Filling | SendHalf:
    if isinstance(item, SendFilled):
        return _Filling(item.head, item.filler, item.left)
    if not isinstance(item.send, SendFilled):
        return item
    head = item.send.head
    half = (len(head) + item.send.left) // 2
    return _Filling(head[:half], item.send.filler, half - len(head[:half]))


@cache
def _block(filler: int) -> memoryview:
    return memoryview(bytes((filler,)) * SLICE_BYTES)


def _size(item: bytes | Send | SendAnswer | SendHalf | _Filling) -> int:
    if isinstance(item, SendAnswer):
        return len(item.id_text or b"")
    if isinstance(item, Send):
        return len(item.wire)
    if isinstance(item, _Filling):
        return len(item.head)
    return len(item.send.wire) if isinstance(item, SendHalf) else len(item)
