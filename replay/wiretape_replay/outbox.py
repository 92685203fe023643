"""What one connection still has to write, in order, cut into pieces that the socket can take."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from wiretape_protocols import Opcode
from wiretape_replay.actions import Send, SendAnswer
from wiretape_replay.fault_actions import SendFilled, SendHalf
from wiretape_replay.script import Script

SLICE_BYTES = 256 * 1024


@dataclass(slots=True)
class _Run:
    """Recorded frames on their way out: the bytes from `position` to `end` of the script's frames."""

    position: int
    end: int


@dataclass(slots=True)
class _PackedRun:
    """Recorded messages that must be framed one by one, because some go out compressed."""

    number: int
    last: int


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

    A run takes the same memory however long it is. Pieces end where a frame ends, except within a
    frame that is larger than a piece. Messages are framed when their turn comes, never before: the
    compressor remembers what went through it, so it must see them in the order of the wire.
    """

    def __init__(self, pack: Callable[[Opcode, bytes, bool], bytes]) -> None:
        self._pack = pack
        """Frames a message; its last argument says whether to compress it."""
        self._script: Script | None = None
        self._spell: Callable[[int, bytes | None], Send]
        """Both are unset before `play`: until then there are only frames."""
        self._frames = memoryview(b"")
        self._deflated = False
        self._waiting: deque[bytes | Send | SendAnswer | SendHalf | _Run | _PackedRun | _Filling] = deque()
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
        self._frames = script.frames()
        self._deflated = deflated and bool(script.deflated)

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
        assert self._script is not None
        if self._deflated:
            self._waiting.append(_PackedRun(first, last))
            return
        self._waiting.append(_Run(self._script.frame_start(first), self._script.frame_end(last)))

    def take(self) -> bytes | memoryview:
        """Remove and return the next piece; empty when nothing waits."""
        if not self._waiting:
            return b""
        head = self._waiting[0]
        if isinstance(head, _Run):
            return self._take_slice(head)
        if isinstance(head, _PackedRun):
            return self._take_packed(head)
        if isinstance(head, _Filling):
            return self._take_filling(head)
        self._waiting.popleft()
        self._waiting_bytes -= _size(head)
        if isinstance(head, SendAnswer):
            head = self._spell(head.number, head.id_text)
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
        if not isinstance(head, _Run) or self._script is None:
            return
        frame_end = self._script.last_frame_end(head.position - 1, head.position)
        if head.position and not frame_end:
            head.end = self._script.frame_end_after(head.position)
            self._waiting.append(head)

    def _take_slice(self, run: _Run) -> memoryview:
        assert self._script is not None
        start, limit = run.position, run.position + SLICE_BYTES
        if run.end <= limit:
            self._waiting.popleft()
            return self._frames[start : run.end]
        run.position = self._script.last_frame_end(start, limit) or limit
        return self._frames[start : run.position]

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

    def _take_packed(self, run: _PackedRun) -> bytes:
        assert self._script is not None
        script, pieces, size = self._script, [], 0
        while run.number <= run.last and size < SLICE_BYTES:
            opcode, wire = script.message(run.number)
            pieces.append(self._pack(opcode, wire, run.number in script.deflated))
            size += len(pieces[-1])
            run.number += 1
        if run.number > run.last:
            self._waiting.popleft()
        return b"".join(pieces)


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
