"""The header of a gzip member (RFC 1952): where it ends, and the one written where none was recorded."""

MAGIC = b"\x1f\x8b"

PLAIN = MAGIC + b"\x08\x00\x00\x00\x00\x00\x00\x03"
"""Deflate, no flags, no time, no hint, Unix: what zlib itself writes."""

_FLAGS_AT = 3
_EXTRA_HINT_AT = 8
_SYSTEM_AT = 9
_FIXED_SIZE = 10
_FHCRC, _FEXTRA, _FNAME, _FCOMMENT = 0x02, 0x04, 0x08, 0x10


def header_size(member: bytes) -> int:
    """
    Count the bytes before the deflated data of a gzip member (RFC 1952 section 2.3).

    The header has to be a whole and valid one, as it is once zlib has read the member. Raises
    ValueError where it breaks off.
    """
    flags = member[_FLAGS_AT]
    at = _FIXED_SIZE
    if flags & _FEXTRA:
        at += 2 + int.from_bytes(member[at : at + 2], "little")
    for text in (_FNAME, _FCOMMENT):
        if flags & text:
            at = member.index(b"\0", at) + 1
    if flags & _FHCRC:
        at += 2
    if at > len(member):
        message = f"the gzip header ends at byte {at} of {len(member)}"
        raise ValueError(message)
    return at


def writer_traits(header: bytes) -> bytes:
    """
    Pick the header's bytes that tell one writer from another, and stay the same between its messages.

    These are the flags, the compression hint and the system; time, name and the rest may vary.
    """
    return bytes((header[_FLAGS_AT], header[_EXTRA_HINT_AT], header[_SYSTEM_AT]))
