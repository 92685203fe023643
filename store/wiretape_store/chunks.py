"""
Chunks: the bytes of consecutive messages of one session, packed together. Pure.

Small messages hardly compress one by one; together they do. A chunk explains itself, so a damaged
one costs its own messages and no others.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence

import zstandard

Entry = tuple[int, bytes]
"""A codec's id and a payload, or RAW and the bytes as they were on the wire."""

RAW = 0
"""The codec id of bytes which are stored as they were on the wire."""
MAX_MESSAGES = 256
MAX_BYTES = 256 * 1024
"""A message longer than this has a chunk of its own, so that its neighbours stay cheap to read."""
HOT_LEVEL = 1
SETTLED_LEVEL = 9
"""Of zstd, on exchange pushes: 44.9 bytes a push at 3, 43.6 at 6, 41.1 at 9 (2.6 us each), 40.5 at 12 (5.5 us)."""


class ChunkError(ValueError):
    """A chunk's bytes are not what `pack` made."""


class Packer:
    """Packs and unpacks chunks; zstd's contexts are costly to make and not to be shared between threads."""

    def __init__(self) -> None:
        """Prepare one context of each kind."""
        self._hot = zstandard.ZstdCompressor(level=HOT_LEVEL, write_checksum=True)
        self._settled = zstandard.ZstdCompressor(level=SETTLED_LEVEL, write_checksum=True)
        self._decompressor = zstandard.ZstdDecompressor()

    def pack(self, entries: Sequence[Entry], *, settled: bool) -> bytes:
        """Make a chunk's data; each entry's bytes are shorter than 4 GiB."""
        codecs = [codec for codec, _ in entries]
        pieces = [piece for _, piece in entries]
        count = len(entries)
        head = struct.pack(f"<{1 + 2 * count}I", count, *codecs, *map(len, pieces))
        compressor = self._settled if settled else self._hot
        return compressor.compress(b"".join([head, *pieces]))

    def unpack(self, data: bytes) -> list[Entry]:
        """Undo `pack`. Raises ChunkError for damaged data: zstd's checksum covers all of it."""
        try:
            plain = self._decompressor.decompress(data)
            (count,) = struct.unpack_from("<I", plain)
            numbers = struct.unpack_from(f"<{2 * count}I", plain, 4)
        except (zstandard.ZstdError, struct.error, MemoryError) as exc:
            raise ChunkError(str(exc)) from exc
        position = 4 + 8 * count
        if position + sum(numbers[count:]) != len(plain):
            msg = "its lengths do not add up"
            raise ChunkError(msg)
        entries = []
        for codec, length in zip(numbers, numbers[count:], strict=False):
            end = position + length
            entries.append((codec, plain[position:end]))
            position = end
        return entries


def runs(messages: Iterable[tuple[int, Entry]]) -> Iterator[tuple[int, list[Entry]]]:
    """Cut messages, given as (seq, entry) in order, into chunks: (first seq, entries), gaps between chunks."""
    first, size = 0, 0
    entries: list[Entry] = []
    for seq, entry in messages:
        length = len(entry[1])
        full = len(entries) >= MAX_MESSAGES or size + length > MAX_BYTES
        if entries and (full or seq != first + len(entries)):
            yield first, entries
            entries, size = [], 0
        if not entries:
            first = seq
        entries.append(entry)
        size += length
    if entries:
        yield first, entries
