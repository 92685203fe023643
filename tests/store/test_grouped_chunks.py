import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiretape_store import grouped_chunks
from wiretape_store.chunks import ChunkError, Entry, Packer

KINDS = ["push", "call", "answer"]
ENTRIES: list[Entry] = [(1, b'{"a": 1}'), (2, b"two\nlines"), (0, b"\x1f\x8b\n"), (1, b""), (1, b'{"a": 2}')]
PLACES = ["push", "call", "push", "answer", "push"]

messages = st.tuples(
    st.tuples(st.integers(0, 12), st.binary(max_size=30) | st.sampled_from([b"", b"\n", b"a\nb"])),
    st.sampled_from(KINDS),
)


def with_plain(plain: bytes) -> bytes:
    return Packer()._settled.compress(plain)


@given(st.lists(messages, min_size=1, max_size=60))
def test_a_grouped_chunk_gives_back_what_was_packed_in_its_order(mixed: list[tuple[Entry, str]]) -> None:
    entries, kinds = [entry for entry, _ in mixed], [kind for _, kind in mixed]
    packer = Packer()
    assert packer.unpack(packer.pack_grouped(entries, kinds)) == entries


@given(st.lists(messages, min_size=1, max_size=60))
def test_the_shares_of_a_chunk_are_those_of_its_messages(mixed: list[tuple[Entry, str]]) -> None:
    entries, kinds = [entry for entry, _ in mixed], [kind for _, kind in mixed]
    packer = Packer()
    for data in (packer.pack_grouped(entries, kinds), packer.pack(entries, settled=True)):
        shares = packer.shares(data)
        assert sum(size for _, _, size in shares) == sum(len(piece) for _, piece in entries)
        for codec in range(13):
            messages = sum(count for number, count, _ in shares if number == codec)
            assert messages == sum(number == codec for number, _ in entries)


@given(st.lists(messages, min_size=1, max_size=60))
def test_the_bytes_of_each_codec_are_told_apart_where_there_are_few(mixed: list[tuple[Entry, str]]) -> None:
    entries = [(codec % grouped_chunks.FEW_CODECS, piece) for (codec, piece), _ in mixed]
    kinds = [kind for _, kind in mixed]
    packer = Packer()
    held: dict[int, int] = {}
    for codec, _, size in packer.shares(packer.pack_grouped(entries, kinds)):
        held[codec] = held.get(codec, 0) + size
    expected: dict[int, int] = {}
    for codec, piece in entries:
        expected[codec] = expected.get(codec, 0) + len(piece)
    assert held == expected


def test_more_kinds_than_groups_share_the_last_one() -> None:
    entries: list[Entry] = [(1, b"%d" % number) for number in range(700)]
    packer = Packer()
    assert packer.unpack(packer.pack_grouped(entries, range(700))) == entries


def test_like_messages_together_take_less_room_than_mixed_ones() -> None:
    randomness = random.Random(1)
    bases = [randomness.randrange(10**7, 10**8) for _ in range(20)]
    kinds = [randomness.randrange(20) for _ in range(1000)]
    entries: list[Entry] = [
        (1, b'{"market": "M%d", "price": "%d.%02d"}' % (kind, bases[kind], randomness.randrange(100)))
        for kind in kinds
    ]
    packer = Packer()
    grouped = packer.pack_grouped(entries, kinds)
    assert len(grouped) < 0.95 * len(packer.pack_grouped(entries, [0] * len(entries)))
    assert len(grouped) < 0.8 * len(packer.pack(entries, settled=True))


def test_a_damaged_grouped_chunk_is_an_error_whichever_bit_it_is() -> None:
    packer = Packer()
    data = packer.pack_grouped(ENTRIES, PLACES)
    for place in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[place] ^= 1 << bit
            try:
                assert packer.unpack(bytes(damaged)) == ENTRIES, (place, bit)
            except ChunkError:
                continue


def test_bytes_that_pass_for_a_grouped_chunk_are_an_error_whatever_they_say() -> None:
    packer = Packer()
    plain = grouped_chunks.lay_out(ENTRIES, PLACES)
    for place in range(len(plain) - 3):
        for value in (0, 1, 7, 0x80000000, 0xFFFFFFFF):
            lying = plain[:place] + struct.pack("<I", value) + plain[place + 4 :]
            for ask in (packer.unpack, packer.shares):
                try:
                    assert isinstance(ask(with_plain(lying)), list)
                except ChunkError:
                    continue


@pytest.mark.parametrize("length", range(4, 30))
def test_a_grouped_chunk_cut_short_is_an_error(length: int) -> None:
    plain = grouped_chunks.lay_out(ENTRIES, PLACES)
    with pytest.raises(ChunkError):
        Packer().unpack(with_plain(plain[:length]))
