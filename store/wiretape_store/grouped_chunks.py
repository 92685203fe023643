"""
The layout of a compacted chunk: like messages stand together, one a line. Pure.

zstd packs messages of one kind better side by side than mixed with others, and a line break costs
less than a length. A message that holds a line break puts lengths before its whole group.
"""

import struct
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

Entry = tuple[int, bytes]
"""A codec's id and a payload, or 0 and the bytes as they were on the wire."""

MARK = 0x80000000
"""Added to the count that comes first; the older layout has no chunk of so many messages."""
MAX_GROUPS = 256
FEW_CODECS = 8
"""Up to so many in a chunk, each has groups of its own. A gzip header with the time in it makes many."""
_LINES = 0x80000000
"""Added to a group's number of messages where its messages stand one a line."""


def lay_out(entries: Sequence[Entry], kinds: Iterable[Hashable]) -> bytes:
    """
    Put the entries of a chunk, at least one, into one piece; equal kinds stand together.

    In order, in little-endian 32-bit numbers: the count, how many groups, each group's number of
    messages, each one's size and each message's codec, group by group. Then each message's group, a
    byte, in the messages' order; then the groups.
    """
    groups: dict[Hashable, list[Entry]] = {}
    numbers: dict[Hashable, int] = {}
    places = bytearray()
    few = len({codec for codec, _ in entries}) <= FEW_CODECS
    for entry, kind in zip(entries, kinds, strict=True):
        # Bytes as they were on the wire are packed already, and would stand between lines of text.
        key: Hashable = (kind, entry[0] if few else entry[0] == 0)
        if key not in numbers:
            if len(numbers) == MAX_GROUPS:
                key = next(reversed(numbers))
            else:
                numbers[key] = len(numbers)
                groups[key] = []
        groups[key].append(entry)
        places.append(numbers[key])
    blocks = [_block([piece for _, piece in group]) for group in groups.values()]
    counts = [len(group) | flag for group, (flag, _) in zip(groups.values(), blocks, strict=True)]
    codecs = [codec for group in groups.values() for codec, _ in group]
    sizes = [len(data) for _, data in blocks]
    head = [len(entries) | MARK, len(blocks), *counts, *sizes, *codecs]
    return b"".join([struct.pack(f"<{len(head)}I", *head), places, *(data for _, data in blocks)])


def read(plain: bytes) -> list[Entry]:
    """Undo `lay_out`. Raises ValueError or struct.error for bytes that it did not make."""
    counts, sizes, codecs, position = _head(plain)
    places = plain[position : position + len(codecs)]
    position += len(codecs)
    following: list[Callable[[], Entry]] = []  # Each gives the next message of its group.
    taken = 0
    for number, (counted, size) in enumerate(zip(counts, sizes, strict=True)):
        count = counted & ~_LINES
        pieces = _pieces(plain[position : position + size], counted)
        if len(pieces) != count or places.count(number) != count:
            msg = "a group of it holds another number of messages than it says"
            raise ValueError(msg)
        following.append(iter(zip(codecs[taken : taken + count], pieces, strict=True)).__next__)
        taken += count
        position += size
    if position != len(plain):
        msg = "its lengths do not add up"
        raise ValueError(msg)
    return [following[place]() for place in places]


def shares(plain: bytes) -> Iterator[tuple[int, int, int]]:
    """
    Tell what a chunk holds without taking it apart: (codec's id, messages, bytes of messages).

    In groups of several codecs the bytes stand with the first of them. Raises as `read` does.
    """
    counts, sizes, codecs, _ = _head(plain)
    start = 0
    for counted, size in zip(counts, sizes, strict=True):
        count = counted & ~_LINES
        size_bytes = size - (count - 1 if counted & _LINES else 4 * count)
        held = codecs[start : start + count]
        start += count
        for codec in dict.fromkeys(held):
            yield codec, held.count(codec), size_bytes
            size_bytes = 0


def _head(plain: bytes) -> tuple[Sequence[int], Sequence[int], Sequence[int], int]:
    """Each group's count and size, each message's codec, and where the rest begins."""
    marked, groups = struct.unpack_from("<2I", plain)
    count = marked & ~MARK
    if not 0 < groups <= MAX_GROUPS or 4 * count > len(plain):
        msg = "its head is not one"
        raise ValueError(msg)
    length = 2 * groups + count
    numbers = struct.unpack_from(f"<{length}I", plain, 8)
    counts = numbers[:groups]
    if sum(each & ~_LINES for each in counts) != count:
        msg = "its groups do not add up"
        raise ValueError(msg)
    return counts, numbers[groups : 2 * groups], numbers[2 * groups :], 8 + 4 * length


def _block(pieces: Sequence[bytes]) -> tuple[int, bytes]:
    """The bytes of a group, and the flag that says how they are told apart."""
    lines = b"\n".join(pieces)
    if lines.count(b"\n") == len(pieces) - 1:
        return _LINES, lines
    return 0, b"".join([struct.pack(f"<{len(pieces)}I", *map(len, pieces)), *pieces])


def _pieces(data: bytes, count: int) -> list[bytes]:
    if count & _LINES:
        return data.split(b"\n")
    lengths = struct.unpack_from(f"<{count}I", data)
    position = 4 * count
    pieces = []
    for length in lengths:
        pieces.append(data[position : position + length])
        position += length
    if position != len(data):
        msg = "the lengths of a group do not add up"
        raise ValueError(msg)
    return pieces
