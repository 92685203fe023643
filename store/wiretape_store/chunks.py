"""
Chunks: the bytes of consecutive messages of one session, packed together. Pure.

Small messages hardly compress one by one; together they do. A chunk explains itself, so a damaged
one costs its own messages and no others.
"""

import struct
from collections.abc import Hashable, Iterable, Iterator, Sequence

import zstandard

from wiretape_store import grouped_chunks

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
COMPACTED_LEVEL = 15
"""34.3 bytes a push in chunks of 1024 (25 us each), 40.6 at 9; 19 and 22 give 34.1 for 60 us."""
COMPACTED_MESSAGES = 1024
"""In a compacted chunk; a message of it is read in 0.3 ms. In one of 256 a push takes 3 bytes more."""


class ChunkError(ValueError):
    """A chunk's bytes are not what `pack` made."""


class Packer:
    """Packs and unpacks chunks; zstd's contexts are costly to make and not to be shared between threads."""

    def __init__(self) -> None:
        """Prepare one context of each kind."""
        self._hot = zstandard.ZstdCompressor(level=HOT_LEVEL, write_checksum=True)
        self._settled = zstandard.ZstdCompressor(level=SETTLED_LEVEL, write_checksum=True)
        self._compacted: zstandard.ZstdCompressor | None = None
        self._decompressor = zstandard.ZstdDecompressor()

    def pack(self, entries: Sequence[Entry], *, settled: bool) -> bytes:
        """Make a chunk's data; each entry's bytes are shorter than 4 GiB."""
        codecs = [codec for codec, _ in entries]
        pieces = [piece for _, piece in entries]
        count = len(entries)
        head = struct.pack(f"<{1 + 2 * count}I", count, *codecs, *map(len, pieces))
        compressor = self._settled if settled else self._hot
        return compressor.compress(b"".join([head, *pieces]))

    def pack_grouped(self, entries: Sequence[Entry], kinds: Iterable[Hashable]) -> bytes:
        """Make the data of a compacted chunk; what is of one kind is packed side by side."""
        if self._compacted is None:
            self._compacted = zstandard.ZstdCompressor(level=COMPACTED_LEVEL, write_checksum=True)
        return self._compacted.compress(grouped_chunks.lay_out(entries, kinds))

    def unpack(self, data: bytes) -> list[Entry]:
        """Undo `pack` and `pack_grouped`. Raises ChunkError for damaged data: zstd's checksum covers it."""
        plain, count = self._plain(data)
        if count & grouped_chunks.MARK:
            try:
                return grouped_chunks.read(plain)
            except (ValueError, struct.error) as exc:
                raise ChunkError(str(exc)) from exc
        numbers = _numbers(plain, count)
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

    def shares(self, data: bytes) -> list[tuple[int, int, int]]:
        """
        Tell what a chunk holds, as (codec's id, messages, bytes of messages), without taking it apart.

        Raises ChunkError as `unpack` does, but does not look as closely.
        """
        plain, count = self._plain(data)
        if count & grouped_chunks.MARK:
            try:
                return list(grouped_chunks.shares(plain))
            except (ValueError, struct.error) as exc:
                raise ChunkError(str(exc)) from exc
        if plain[4 : 4 * count] == plain[8 : 4 + 4 * count] and len(plain) >= 4 + 8 * count > 4:
            # All codecs are the first one, as nearly always.
            return [(int.from_bytes(plain[4:8], "little"), count, len(plain) - 4 - 8 * count)]
        numbers = _numbers(plain, count)
        held: dict[int, tuple[int, int]] = {}
        for codec, length in zip(numbers, numbers[count:], strict=False):
            messages, size = held.get(codec, (0, 0))
            held[codec] = messages + 1, size + length
        return [(codec, *rest) for codec, rest in held.items()]

    def _plain(self, data: bytes) -> tuple[bytes, int]:
        """What zstd packed, and the number that it begins with."""
        try:
            plain = self._decompressor.decompress(data)
            (count,) = struct.unpack_from("<I", plain)
        except (zstandard.ZstdError, struct.error, MemoryError) as exc:
            raise ChunkError(str(exc)) from exc
        return plain, count


def _numbers(plain: bytes, count: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(f"<{2 * count}I", plain, 4)
    except (struct.error, MemoryError) as exc:
        raise ChunkError(str(exc)) from exc


def runs(
    messages: Iterable[tuple[int, Entry]], max_messages: int = MAX_MESSAGES
) -> Iterator[tuple[int, list[Entry]]]:
    """Cut messages, given as (seq, entry) in order, into chunks: (first seq, entries), gaps between chunks."""
    first, size = 0, 0
    entries: list[Entry] = []
    for seq, entry in messages:
        length = len(entry[1])
        full = len(entries) >= max_messages or size + length > MAX_BYTES
        if entries and (full or seq != first + len(entries)):
            yield first, entries
            entries, size = [], 0
        if not entries:
            first = seq
        entries.append(entry)
        size += length
    if entries:
        yield first, entries
