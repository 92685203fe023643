"""The framing of RFC 6455 section 5.2, as far as replay writes it itself and finds a client's frames."""

from wiretape_protocols import Opcode

_FIN = 0x80
_MASKED = 0x80
_NO_STATUS = 1005  # RFC 6455 section 7.4.1: stands for a close frame without a code, never sent
_KEPT_LENGTHS = 8192
_LONGEST_REASON = 123  # a control frame holds 125 bytes, two of them are the code


def header(opcode: int, length: int) -> bytes:
    """The header of a whole, unmasked message of `length` bytes."""
    if length < 126:
        return bytes((_FIN | opcode, length))
    if length < 65536:
        return bytes((_FIN | opcode, 126)) + length.to_bytes(2)
    return bytes((_FIN | opcode, 127)) + length.to_bytes(8)


class Headers(dict[int, bytes]):
    """Headers of one opcode by length, to be used for many messages of the same lengths."""

    def __init__(self, opcode: int) -> None:
        super().__init__()
        self._opcode = opcode

    def __missing__(self, length: int) -> bytes:
        """Make a header, and keep it unless there are too many to keep."""
        made = header(self._opcode, length)
        if length < _KEPT_LENGTHS:
            self[length] = made
        return made


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole message in one unmasked frame."""
    return header(opcode, len(payload)) + payload


def close_frame(code: int | None, reason: str | None) -> bytes:
    """
    A close frame with exactly this code, allowed or not: upstreams send what they send.

    None and 1005 both mean a frame without a code. A reason that is too long is cut at a character.
    """
    if code is None or code == _NO_STATUS:
        return frame(Opcode.CLOSE, b"")
    text = (reason or "").encode()[:_LONGEST_REASON].decode(errors="ignore")
    return frame(Opcode.CLOSE, (code & 0xFFFF).to_bytes(2) + text.encode())


def frame_size(data: bytes | bytearray, start: int) -> int | None:
    """The size of the frame that begins at `start`, header and all; None when too little is there to tell."""
    available = len(data) - start
    if available < 2:
        return None
    second = data[start + 1]
    length = second & 0x7F
    size = 6 if second & _MASKED else 2
    if length < 126:
        return size + length
    width = 2 if length == 126 else 8
    if available < 2 + width:
        return None
    return size + width + int.from_bytes(data[start + 2 : start + 2 + width])
