"""How hypothesis makes codecs: any codec that this build can write."""

import zlib

from hypothesis import strategies as st

from wiretape_protocols.codecs import IDENTITY, Codec, CodecKind

PARAMETERS = st.fixed_dictionaries(
    {
        "level": st.integers(0, 9),
        "memory_level": st.integers(1, 9),
        "window_bits": st.integers(9, 15),
        "strategy": st.integers(0, 4),
    }
)


@st.composite
def gzip_headers(draw: st.DrawFn) -> bytes:
    """Any header that RFC 1952 section 2.3 allows."""
    flags = draw(st.sampled_from([0, 0x02, 0x04, 0x08, 0x10, 0x1E, 0x0C, 0x1F]))
    fixed = b"\x1f\x8b\x08" + bytes((flags,)) + draw(st.binary(min_size=6, max_size=6))
    parts = [fixed]
    if flags & 0x04:
        extra = draw(st.binary(max_size=20))
        parts.append(len(extra).to_bytes(2, "little") + extra)
    texts = [text for text in (0x08, 0x10) if flags & text]
    parts += [draw(st.binary(max_size=12)).replace(b"\0", b"") + b"\0" for _ in texts]
    header = b"".join(parts)
    return header + (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little") if flags & 0x02 else header


@st.composite
def codecs(draw: st.DrawFn) -> Codec:
    """Any codec that this build can write."""
    kind = draw(st.sampled_from(CodecKind))
    if kind is CodecKind.IDENTITY:
        return IDENTITY
    header = draw(gzip_headers()) if kind is CodecKind.GZIP else b""
    return Codec(kind, header=header, exact=draw(st.booleans()), **draw(PARAMETERS))
