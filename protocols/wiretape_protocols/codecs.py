"""
How the bytes of a message are packed: recognising it, undoing it, doing it again.

The codec of a message is found by its bytes alone, because upstreams do not keep to what their
documents say. What cannot be told for certain stays as it is, under the identity codec. Which
parameters a packed message was written with is found in `codec_proof`.
"""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from wiretape_protocols import gzip_header
from wiretape_protocols.errors import WiretapeError

DEFAULT_LEVEL = 6
DEFAULT_MEMORY_LEVEL = 8
DEFAULT_WINDOW_BITS = 15
DEFAULT_STRATEGY = zlib.Z_DEFAULT_STRATEGY

# Added to the window bits, it makes zlib read a gzip member (zlib.h, inflateInit2).
_GZIP_WINDOW = 16
# CM and CINFO of a zlib header, RFC 1950 section 2.2: deflate, and a window of at most 32 KiB.
_ZLIB_METHODS = frozenset(bytes((window << 4 | 8,)) for window in range(8))
_ZLIB_HEADER_SIZE = 2
# FLEVEL, the two highest bits of a zlib header, and a level that zlib writes it for.
_LEVEL_OF_CLASS = (1, 5, 6, 9)

# No packed message begins with these, except raw deflate of text that begins with a byte above 0x8f.
_TEXT_STARTS = frozenset((b"", b"{", b"["))
_NOT_TEXT = re.compile(r"[^\t\n\r -~\xa0-\U0010ffff]")
# So many printable characters do not come out of bytes which only happen to be a deflate stream.
_CLEARLY_TEXT_CHARS = 32


class CodecKind(StrEnum):
    """The ways to pack a message."""

    IDENTITY = "identity"
    GZIP = "gzip"
    """RFC 1952, one member."""
    ZLIB = "zlib"
    """RFC 1950, without a preset dictionary."""
    DEFLATE = "deflate"
    """RFC 1951 without any wrapper."""


class CodecError(WiretapeError):
    """A codec's text cannot be read, or this build cannot write what the codec describes."""

    def __init__(self, codec: str, reason: str) -> None:
        super().__init__(codec, reason)
        self.codec = codec
        self.reason = reason

    def __str__(self) -> str:
        """Name the codec and say what is wrong with it."""
        return f"codec {self.codec!r}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Codec:
    """
    How one message is packed. `str()` of it is what a store keeps, `parse()` reads that.

    The parameters mean something for the packed kinds alone; their names are those of zlib.h,
    deflateInit2.
    """

    kind: CodecKind
    level: int = DEFAULT_LEVEL
    memory_level: int = DEFAULT_MEMORY_LEVEL
    window_bits: int = DEFAULT_WINDOW_BITS
    strategy: int = DEFAULT_STRATEGY
    header: bytes = b""
    """The whole gzip header as it was; empty for the other kinds, and for gzip's plain header."""
    exact: bool = False
    """Packing the payload anew gives the bytes that were on the wire; always so for identity."""

    def __post_init__(self) -> None:
        """Hold identity to what it is."""
        if self.kind is CodecKind.IDENTITY and not self.exact:
            object.__setattr__(self, "exact", True)

    def __str__(self) -> str:
        """Spell the codec in words and numbers, leaving out what is as usual."""
        words = [self.kind.value]
        words += [f"{word}={value}" for word, value, usual in self._numbers() if value != usual]
        if self.header:
            words.append(f"header={self.header.hex()}")
        if self.exact and self.kind is not CodecKind.IDENTITY:
            words.append("exact")
        return " ".join(words)

    @classmethod
    def parse(cls, text: str) -> "Codec":
        """Read what `str()` wrote. Raises CodecError for anything else."""
        return _parse(text)

    def _numbers(self) -> tuple[tuple[str, int, int], ...]:
        return (
            ("level", self.level, DEFAULT_LEVEL),
            ("memory", self.memory_level, DEFAULT_MEMORY_LEVEL),
            ("window", self.window_bits, DEFAULT_WINDOW_BITS),
            ("strategy", self.strategy, DEFAULT_STRATEGY),
        )


IDENTITY = Codec(CodecKind.IDENTITY)
"""The payload is what was on the wire."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a message may expand; what goes beyond is kept packed, as opaque bytes."""

    limit_bytes: int = 64 * 1024 * 1024
    """No payload is longer."""
    expansion: int = 500
    """No payload is longer than so many times its packed bytes; deflate's own bound is 1032."""
    exempt_bytes: int = 1024 * 1024
    """A payload up to this long may have expanded by any factor: it harms nobody."""

    def allowed_bytes(self, wire_bytes: int) -> int:
        """Tell how long the payload of so many packed bytes may be."""
        return min(self.limit_bytes, max(self.exempt_bytes, wire_bytes * self.expansion))


DEFAULT_LIMITS = Limits()


class Decoded(NamedTuple):
    """A message's payload, and how it was packed."""

    payload: bytes
    codec: Codec
    note: str = ""
    """Why bytes that look packed were left as they are; empty otherwise."""


def decode(wire: bytes, limits: Limits = DEFAULT_LIMITS) -> Decoded:
    """
    Undo a message's packing, recognised by its bytes.

    Never raises for what a peer can send: bytes that are not one complete and undamaged packed
    stream come back as they are, with the identity codec and, where they began like such a stream,
    a note. The codec of a packed message is a guess, not `exact`, until a `Prover` has proven it.
    """
    if wire[:1] in _TEXT_STARTS:
        return Decoded(wire, IDENTITY)
    if wire[:2] == gzip_header.MAGIC:
        return _unpack(wire, "gzip", _GZIP_WINDOW | zlib.MAX_WBITS, _gzip_codec, limits)
    if wire[:1] in _ZLIB_METHODS and int.from_bytes(wire[:_ZLIB_HEADER_SIZE]) % 31 == 0:
        decoded = _unpack(wire, "zlib", zlib.MAX_WBITS, _zlib_codec, limits)
        # Text may begin with the two bytes of a zlib header, such as "x^"; it is no damaged stream.
        return Decoded(wire, IDENTITY) if decoded.note and _is_utf8(wire) else decoded
    return Decoded(wire, IDENTITY) if _is_utf8(wire) else _unpack_text(wire, limits)


def encode(payload: bytes, codec: Codec) -> bytes:
    """
    Pack a payload the way the upstream packed it.

    Returns the same bytes that were on the wire when `codec.exact` is set; otherwise bytes that
    decode to the same payload. Raises CodecError for a codec this build cannot write.
    """
    if codec.kind is CodecKind.IDENTITY:
        return payload
    try:
        if codec.kind is CodecKind.ZLIB:
            return _deflate(payload, codec, codec.window_bits)
        body = _deflate(payload, codec, -codec.window_bits)
    except (ValueError, OverflowError, zlib.error) as exc:
        raise CodecError(str(codec), f"zlib refuses it ({exc})") from exc
    if codec.kind is CodecKind.DEFLATE:
        return body
    if codec.header and not codec.header.startswith(gzip_header.MAGIC):
        raise CodecError(str(codec), "its header is not that of gzip")
    return b"".join((codec.header or gzip_header.PLAIN, body, _gzip_trailer(payload)))


@lru_cache(maxsize=1)
def deflater_fingerprint() -> str:
    """
    Name what this build's deflate writes: equal names, equal bytes, as far as a sample can tell.

    A codec is `exact` for the build that proved it. Another zlib (zlib-ng, say) unpacks the same
    payload, but may pack it to other bytes; who moves packed messages between machines compares.
    """
    sample = b"".join(b'{"id":%d,"price":"%d.%03d"}' % (n, n * n % 8191, n * 7 % 997) for n in range(400))
    crc = 0
    for level in range(10):
        crc = zlib.crc32(zlib.compress(sample, level), crc)
        crc = zlib.crc32(zlib.compress(sample[: 40 * level], level), crc)
    return f"{crc:08x}"


def _unpack(
    wire: bytes, name: str, window_bits: int, codec_of: Callable[[bytes], Codec], limits: Limits
) -> Decoded:
    allowed = limits.allowed_bytes(len(wire))
    inflater = zlib.decompressobj(window_bits)
    try:
        # One byte more than allowed, so that a payload of just the allowed length reaches its end.
        payload = inflater.decompress(wire, allowed + 1)
    except zlib.error as exc:
        return Decoded(wire, IDENTITY, f"not readable as {name}: {exc}")
    if len(payload) > allowed:
        return Decoded(wire, IDENTITY, f"expands to more than {allowed} bytes")
    if not inflater.eof:
        return Decoded(wire, IDENTITY, f"not readable as {name}: it breaks off after {len(wire)} bytes")
    if inflater.unused_data:
        return Decoded(
            wire, IDENTITY, f"{len(inflater.unused_data)} bytes follow the end of the {name} stream"
        )
    return Decoded(payload, codec_of(wire))


def _unpack_text(wire: bytes, limits: Limits) -> Decoded:
    """Undo raw deflate where the result is beyond doubt: it has no mark of its own to be known by."""
    decoded = _unpack(wire, "deflate", -zlib.MAX_WBITS, _deflate_codec, limits)
    if decoded.note or not _is_clearly_text(decoded.payload):
        return Decoded(wire, IDENTITY)
    return decoded


def _is_clearly_text(payload: bytes) -> bool:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return False
    if _NOT_TEXT.search(text):
        return False
    ends = (text.strip()[:1], text.strip()[-1:])
    return ends in (("{", "}"), ("[", "]")) or len(text) >= _CLEARLY_TEXT_CHARS


def _is_utf8(wire: bytes) -> bool:
    if wire.isascii():
        return True
    try:
        wire.decode()
    except UnicodeDecodeError:
        return False
    return True


def _gzip_codec(wire: bytes) -> Codec:
    return _gzip_codec_with(wire[: gzip_header.header_size(wire)])


# Codecs are kept because building one costs as much as a third of the unpacking.
@lru_cache(maxsize=256)
def _gzip_codec_with(header: bytes) -> Codec:
    return Codec(CodecKind.GZIP, header=header)


def _zlib_codec(wire: bytes) -> Codec:
    return _zlib_codec_with(wire[0], wire[1])


@lru_cache(maxsize=256)
def _zlib_codec_with(method: int, flags: int) -> Codec:
    return Codec(CodecKind.ZLIB, level=_LEVEL_OF_CLASS[flags >> 6], window_bits=(method >> 4) + 8)


def _deflate_codec(_wire: bytes) -> Codec:
    return Codec(CodecKind.DEFLATE)


def _deflate(payload: bytes, codec: Codec, window_bits: int) -> bytes:
    if codec.memory_level == DEFAULT_MEMORY_LEVEL and codec.strategy == DEFAULT_STRATEGY:
        # The same bytes for a third of the time, but it has no parameter for either of the two.
        return zlib.compress(payload, codec.level, window_bits)
    deflater = zlib.compressobj(codec.level, zlib.DEFLATED, window_bits, codec.memory_level, codec.strategy)
    return deflater.compress(payload) + deflater.flush()


def _gzip_trailer(payload: bytes) -> bytes:
    return (zlib.crc32(payload) | (len(payload) & 0xFFFFFFFF) << 32).to_bytes(8, "little")


# A store names the codec of each message or chunk, and there are few different ones.
@lru_cache(maxsize=1024)
def _parse(text: str) -> Codec:
    kind, *words = text.split(" ")
    numbers: dict[str, int] = {}
    header, exact = b"", False
    try:
        for word in words:
            name, _, value = word.partition("=")
            if word == "exact":
                exact = True
            elif name == "header":
                header = bytes.fromhex(value)
            else:
                numbers[_FIELDS[name]] = int(value)
        codec = Codec(CodecKind(kind), header=header, exact=exact, **numbers)
    except (KeyError, ValueError) as exc:
        raise CodecError(text, "not a codec as wiretape writes it") from exc
    if str(codec) != text:
        raise CodecError(text, f"wiretape writes it {str(codec)!r}")
    return codec


_FIELDS = {
    "level": "level",
    "memory": "memory_level",
    "window": "window_bits",
    "strategy": "strategy",
}
