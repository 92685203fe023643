"""
Looking into packed bytes that do not unpack as a whole: several members, cut short, damaged.

What comes out is for searching alone: nobody can tell that it is what the sender meant.
"""

import zlib
from collections.abc import Iterator

from wiretape_protocols import gzip_header

_LIMIT_BYTES = 8 * 1024 * 1024
_STEP_BYTES = 256
_MOST_MEMBERS = 64
_ZLIB_METHOD = 0x78
# Added to the window bits, it makes zlib read a gzip member (zlib.h, inflateInit2).
_GZIP_WINDOW = 16


def looks_packed(wire: bytes) -> bool:
    """Whether bytes begin like a gzip member or a zlib stream."""
    return wire[:2] == gzip_header.MAGIC or (
        wire[:1] == bytes((_ZLIB_METHOD,)) and int.from_bytes(wire[:2]) % 31 == 0
    )


def readable_parts(wire: bytes) -> bytes:
    """What can be read of packed bytes, at most 8 MiB of it; empty where that is nothing."""
    return b"".join(_parts(wire))


def _parts(wire: bytes) -> Iterator[bytes]:
    left = _LIMIT_BYTES
    for _ in range(_MOST_MEMBERS):
        if not looks_packed(wire) or left <= 0:
            return
        window = zlib.MAX_WBITS | (_GZIP_WINDOW if wire[:2] == gzip_header.MAGIC else 0)
        inflater = zlib.decompressobj(window)
        taken = 0
        while taken < len(wire) and left > 0 and not inflater.eof:
            step = wire[taken : taken + _STEP_BYTES]
            taken += len(step)
            try:
                part = inflater.decompress(step, left)
            except zlib.error:
                return
            yield part
            left -= len(part)
        wire = wire[taken - len(inflater.unused_data) :] if inflater.eof else b""
