"""
Turns a client's bytes after the handshake into messages.

Whole, masked data frames are read here, since a round trip spends much of its time in them; every
other frame goes to the `websockets` library, one at a time, so the library always stands between frames.
"""

from collections.abc import Callable

from websockets.frames import Frame
from websockets.frames import Opcode as FrameOpcode
from websockets.protocol import State
from websockets.server import ServerProtocol

try:
    from websockets.speedups import apply_mask
except ImportError:  # the library was installed without its C extension
    from websockets.utils import apply_mask

from wiretape_protocols import Opcode
from wiretape_replay.frames import frame_size

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_WHOLE = {0x81: Opcode.TEXT, 0x82: Opcode.BINARY}  # FIN, no reserved bit, RFC 6455 section 5.2
_MASKED = 0x80
_READING = (State.OPEN, State.CLOSING)


class ClientFrames:
    """
    Cuts the byte stream into frames and hands whole messages to `receive`, one by one.

    `answer` is called after each frame that the library may have answered (with a pong, or a close
    frame), before the next one is read: so its answers keep their place, however TCP cut the stream.
    As long as `waits` says so, no frame is read; `feed` reads them later, with more or without.
    """

    def __init__(
        self,
        websocket: ServerProtocol,
        receive: Callable[[bytes, Opcode], None],
        answer: Callable[[], None],
        waits: Callable[[], bool] = lambda: False,
    ) -> None:
        self._websocket = websocket
        self._receive = receive
        self._answer = answer
        self._waits = waits
        self.may_wait = False
        """Whether `waits` need be asked: that costs something for each message."""
        self._partial = bytearray()
        """The beginning of a frame whose end has not arrived."""
        self._needed = 0
        """How long `partial` must be before it is worth a look: copying it at every read adds up."""
        self.waiting = False
        """Something was not read because it has to wait."""
        self._fragments: list[bytes] = []
        self._fragmented = Opcode.TEXT
        """The opcode of the message that `fragments` belong to."""

    def feed(self, data: bytes) -> None:
        """Read on. Nothing is read any more once both sides have closed."""
        if self._partial:
            self._partial += data
            if len(self._partial) < self._needed:
                return
            data, self._partial = bytes(self._partial), bytearray()
        start = 0
        self.waiting = False
        while start < len(data) and self._websocket.state in _READING and not self._websocket.eof_sent:
            if self.may_wait and self._waits():
                self._partial += data[start:]
                self._needed = 0
                self.waiting = True
                return
            size = frame_size(data, start)
            if size is not None and size > MAX_MESSAGE_BYTES:
                self._websocket.receive_data(data[start:])  # it refuses such a frame by its header
                self._answer()
                return
            if size is None or start + size > len(data):
                self._partial += data[start:]
                self._needed = size or 0
                return
            self._read(data, start, start + size)
            start += size

    def _read(self, data: bytes, start: int, end: int) -> None:
        """Read the one frame at `start`."""
        opcode = _WHOLE.get(data[start])
        if opcode is not None and data[start + 1] & _MASKED and not self._fragments:
            size = data[start + 1] & 0x7F
            mask = start + (2 if size < 126 else 4 if size == 126 else 10)
            self._receive(apply_mask(data[mask + 4 : end], data[mask : mask + 4]), opcode)
            return
        self._websocket.receive_data(data[start:end])
        self._answer()
        for event in self._websocket.events_received():
            if isinstance(event, Frame):
                self._collect(event)

    def _collect(self, frame: Frame) -> None:
        if frame.opcode in (FrameOpcode.TEXT, FrameOpcode.BINARY):
            self._fragmented = Opcode(frame.opcode)
        elif frame.opcode is not FrameOpcode.CONT:
            return
        self._fragments.append(bytes(frame.data))
        if frame.fin:
            message = b"".join(self._fragments)
            self._fragments.clear()
            self._receive(message, self._fragmented)
