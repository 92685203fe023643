"""
Between a message's payload in a tape and its bytes on the wire: which codec a tape names, and back.

A tape is to give the wire's bytes again, also after somebody has edited the payload by hand.
"""

import zlib
from dataclasses import replace
from functools import lru_cache

from wiretape_protocols import (
    IDENTITY,
    Codec,
    CodecError,
    CodecKind,
    Decoded,
    Prover,
    decode,
    encode,
)
from wiretape_store.records import Message
from wiretape_store.tapes.errors import LineError

_SAMPLE = b"{}"
_WINDOWS = {
    CodecKind.GZIP: 16 | zlib.MAX_WBITS,
    CodecKind.ZLIB: zlib.MAX_WBITS,
    CodecKind.DEFLATE: -zlib.MAX_WBITS,
}


def codec_for_tape(message: Message, prover: Prover) -> Codec:
    """Name the codec of a message in a tape: `exact` unless the wire's bytes have to stand beside it."""
    codec = message.codec
    if message.kept_wire is not None:
        # It is tried here because a recording must give the same tape before it is settled and after.
        return prover.prove(message.kept_wire, Decoded(message.payload, codec))
    if codec.exact or message.redacted:
        return codec
    # Another build of zlib has proven it; what this build packs is what is replayed.
    return replace(codec, exact=True)


def unpacked(
    payload: bytes, codec: Codec, kept_wire: bytes | None, *, redacted: bool
) -> tuple[bytes, Decoded]:
    """
    Work out a message's bytes on the wire, and how a store is to keep them.

    `kept_wire` counts only if it unpacks to the payload: otherwise somebody has edited that, and it
    is packed anew. Raises LineError for a codec that cannot be written.
    """
    if codec.kind is CodecKind.IDENTITY:
        return payload, Decoded(payload, IDENTITY)
    if kept_wire is not None:
        decoded = decode(kept_wire)
        if decoded.payload == payload and decoded.codec.kind is codec.kind:
            return kept_wire, decoded
    if not redacted and not codec.exact:
        codec = replace(codec, exact=True)
    try:
        return encode(payload, codec), Decoded(payload, codec)
    except CodecError as exc:
        raise LineError(f"member 'codec' cannot pack the payload: {exc}") from exc


@lru_cache(maxsize=1024)
def codec_of_tape(text: str) -> Codec:
    """Read the member `codec`. Raises LineError for one that nothing can be packed and unpacked by."""
    try:
        codec = Codec.parse(text)
        packed = encode(_SAMPLE, codec)
    except CodecError as exc:
        raise LineError(f"member 'codec' is not one: {exc}") from exc
    if codec.kind is CodecKind.IDENTITY:
        raise LineError("member 'codec' is left out where nothing is packed")
    inflater = zlib.decompressobj(_WINDOWS[codec.kind])
    try:
        unpacks = inflater.decompress(packed, len(_SAMPLE) + 1) == _SAMPLE and inflater.eof
    except zlib.error:
        unpacks = False
    if not unpacks or inflater.unused_data:
        raise LineError(f"member 'codec' is not one: what {text!r} packs, nothing can unpack")
    return codec
