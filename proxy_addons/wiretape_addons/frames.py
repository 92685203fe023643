"""
Reads WebSocket frames out of one direction of a byte stream, and messages out of frames.

RFC 6455 section 5 and, for compressed messages, RFC 7692. Pure: bytes in, items out. It only
listens: nothing is answered, and what a peer may not send is reported instead of refused.
"""

import zlib
from dataclasses import dataclass
from struct import unpack_from

from wiretape_protocols import Opcode

_TEXT = Opcode.TEXT
_BINARY = Opcode.BINARY
_OPCODES = {int(opcode): opcode for opcode in Opcode}
_CONTROL = 0x8
_DEFLATED = 0x40
_RESERVED = 0x30
_PLAIN = frozenset((0x81, 0x82))
# What holding a fragment costs besides its bytes: empty ones count too.
_FRAGMENT_COST = 64
# RFC 7692 section 7.2.2: what the sender cut off the end of each compressed message.
_TAIL = b"\x00\x00\xff\xff"
_AFTER_FINAL_BLOCK = frozenset((b"", _TAIL, b"\x00" + _TAIL))


@dataclass(frozen=True, slots=True)
class DataMessage:
    """A whole text or binary message."""

    opcode: Opcode
    data: bytes
    deflated: bool = False
    sizes: tuple[int, ...] = ()
    """The sizes of its fragments when there was more than one."""


@dataclass(frozen=True, slots=True)
class ControlFrame:
    """A ping, pong or close frame, which may come between the fragments of a message."""

    opcode: Opcode
    data: bytes


@dataclass(frozen=True, slots=True)
class Violation:
    """What the peer may not send. Nothing after it is read: the stream has lost its meaning."""

    text: str


Item = DataMessage | ControlFrame | Violation


@dataclass(frozen=True, slots=True)
class Deflate:
    """The permessage-deflate parameters of one direction."""

    window_bits: int = 15
    takeover: bool = True


class FrameReader:
    """
    One direction of a connection after its handshake.

    Feed it every chunk in order; it returns what was completed. `limit_bytes` bounds a message:
    a larger one is a violation, since holding it would let a peer fill the memory.
    """

    def __init__(self, *, masked: bool, deflate: Deflate | None = None, limit_bytes: int = 1 << 28) -> None:
        self._masked = masked
        self._deflate = deflate
        self._limit = limit_bytes
        # Chunks not read yet, and how many bytes the frame at their start needs to be whole.
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._needed = 2
        # The message whose fragments are being gathered; None between messages.
        self._opcode: Opcode | None = None
        self._deflated = False
        self._fragments: list[bytes] = []
        self._fragment_bytes = 0
        self._inflater: zlib._Decompress | None = None
        self.broken = False

    def feed(self, chunk: bytes) -> list[Item]:
        """Take the next bytes of the stream; return the items that they complete, in order."""
        if self.broken:
            return []
        if self._waiting:
            self._waiting.append(chunk)
            self._waiting_bytes += len(chunk)
            if self._waiting_bytes < self._needed:
                return []
            chunk = b"".join(self._waiting)
            self._waiting = []
        items: list[Item] = []
        read = self._read_unmasked if not self._masked else self._read
        try:
            position = read(chunk, items)
        except _ViolationError as exc:
            self.broken = True
            items.append(Violation(str(exc)))
            return items
        if position < len(chunk):
            self._waiting = [chunk[position:]]
            self._waiting_bytes = len(chunk) - position
        return items

    def _read_unmasked(self, chunk: bytes, items: list[Item]) -> int:
        """Read the run of short, whole, plain messages that most streams of pushes are."""
        position = 0
        end = len(chunk)
        append = items.append
        while end - position >= 2:
            first = chunk[position]
            length = chunk[position + 1]
            if first not in _PLAIN or self._opcode is not None or length > 126:
                return self._read(chunk, items, position)
            start = position + 2
            if length == 126:
                if end - position < 4:
                    break
                length = chunk[position + 2] << 8 | chunk[position + 3]
                start = position + 4
            stop = start + length
            if stop > end:
                break
            append(DataMessage(_TEXT if first == 0x81 else _BINARY, chunk[start:stop]))
            position = stop
        return self._read(chunk, items, position)

    def _read(self, chunk: bytes, items: list[Item], position: int = 0) -> int:
        """Read whole frames from `position` on; return where the first unfinished one starts."""
        while True:
            header = self._header(chunk, position)
            if header is None:
                return position
            first, start, length = header
            stop = start + length
            if stop > len(chunk):
                self._needed = stop - position
                return position
            data = chunk[start:stop]
            if self._masked:
                data = unmask(data, chunk[start - 4 : start])
            position = stop
            item = self._frame(first, data)
            if item is not None:
                items.append(item)

    def _header(self, chunk: bytes, position: int) -> tuple[int, int, int] | None:
        """The first byte, the start of the payload and its length; None while the header is cut."""
        left = len(chunk) - position
        if left < 2:
            self._needed = 2
            return None
        first, second = chunk[position], chunk[position + 1]
        length = second & 0x7F
        size = 2 + (0 if length < 126 else 2 if length == 126 else 8) + (4 if second & 0x80 else 0)
        self._check(first, second, length)
        if left < size:
            self._needed = size
            return None
        if length == 126:
            (length,) = unpack_from("!H", chunk, position + 2)
        elif length == 127:
            (length,) = unpack_from("!Q", chunk, position + 2)
        held = self._fragment_bytes + _FRAGMENT_COST * len(self._fragments)
        if not first & _CONTROL and length + held > self._limit:
            message = f"a message of more than {self._limit} bytes"
            raise _ViolationError(message)
        return first, position + size, length

    def _check(self, first: int, second: int, length: int) -> None:
        """Refuse what RFC 6455 section 5.2 does, before any of the payload has come."""
        opcode = first & 0x0F
        if bool(second & 0x80) is not self._masked:
            raise _ViolationError("an unmasked frame from the client" if self._masked else "a masked frame")
        if opcode not in _OPCODES:
            message = f"the unknown opcode {opcode}"
            raise _ViolationError(message)
        if first & _RESERVED or (first & _DEFLATED and (self._deflate is None or not opcode & 0x3)):
            message = f"reserved bits {first >> 4 & 0x7:03b} that no extension explains"
            raise _ViolationError(message)
        if opcode & _CONTROL:
            if length > 125 or not first & 0x80:
                raise _ViolationError("a control frame that is fragmented or longer than 125 bytes")
        elif (opcode == 0) is (self._opcode is None):
            raise _ViolationError("a fragment out of place")

    def _frame(self, first: int, data: bytes) -> Item | None:
        opcode = _OPCODES[first & 0x0F]
        if opcode & _CONTROL:
            return ControlFrame(opcode, data)
        if opcode:
            self._opcode = opcode
            self._deflated = bool(first & _DEFLATED)
        self._fragments.append(data)
        self._fragment_bytes += len(data)
        if not first & 0x80:
            return None
        sizes = tuple(map(len, self._fragments)) if len(self._fragments) > 1 else ()
        whole = b"".join(self._fragments) if sizes else data
        message_opcode = self._opcode or opcode
        self._opcode = None
        self._fragments = []
        self._fragment_bytes = 0
        if self._deflated:
            whole = self._inflate(whole)
        return DataMessage(message_opcode, whole, self._deflated, sizes)

    def _inflate(self, data: bytes) -> bytes:
        """Undo permessage-deflate, never holding more than the limit."""
        deflate = self._deflate
        if deflate is None:
            raise AssertionError("_check lets no compressed frame through without the extension")
        inflater = self._inflater or zlib.decompressobj(-deflate.window_bits)
        try:
            whole = inflater.decompress(data + _TAIL, self._limit)
        except zlib.error as exc:
            message = f"a message that permessage-deflate cannot undo ({exc})"
            raise _ViolationError(message) from exc
        if inflater.unconsumed_tail:
            message = f"a message that expands to more than {self._limit} bytes"
            raise _ViolationError(message)
        if inflater.unused_data not in _AFTER_FINAL_BLOCK:
            raise _ViolationError("blocks of permessage-deflate after a final one")
        # A final block ends the stream; RFC 7692 section 7.2.3.4 lets a sender do so.
        self._inflater = inflater if deflate.takeover and not inflater.eof else None
        return whole


class _ViolationError(Exception):
    """Carries the words of a `Violation` out of the parser."""


def unmask(data: bytes, key: bytes) -> bytes:
    """XOR a payload with its masking key (RFC 6455 section 5.3), as one large integer."""
    length = len(data)
    if not length:
        return data
    pad = (key * (length // 4 + 1))[:length]
    return (int.from_bytes(data, "little") ^ int.from_bytes(pad, "little")).to_bytes(length, "little")


def deflate_parameters(extensions: str) -> tuple[Deflate | None, Deflate | None]:
    """
    What the upstream's `Sec-WebSocket-Extensions` says for (client, upstream) messages.

    RFC 7692 section 7.1; (None, None) when permessage-deflate was not agreed on.
    """
    for offer in extensions.split(","):
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name.lower() != "permessage-deflate":
            continue
        given = dict(part.lower().partition("=")[::2] for part in parameters)
        bits = {side: _bits(given.get(f"{side}_max_window_bits")) for side in ("client", "server")}
        return (
            Deflate(bits["client"], "client_no_context_takeover" not in given),
            Deflate(bits["server"], "server_no_context_takeover" not in given),
        )
    return None, None


def _bits(text: str | None) -> int:
    value = (text or "").strip(' "')
    return int(value) if value.isdecimal() and 8 <= int(value) <= 15 else 15
