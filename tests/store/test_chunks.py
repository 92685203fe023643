import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiretape_store.chunks import MAX_BYTES, MAX_MESSAGES, ChunkError, Entry, Packer, runs

ENTRIES: list[Entry] = [(0, b"\x1f\x8b"), (3, b""), (1, b'{"id": 1}'), (1, b'{"id": 1}')]


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=50)), max_size=20), st.booleans())
def test_a_chunk_gives_back_what_was_packed(entries: list[Entry], settled: bool) -> None:
    packer = Packer()
    assert packer.unpack(packer.pack(entries, settled=settled)) == entries


@pytest.mark.parametrize("settled", [False, True], ids=["hot", "settled"])
def test_a_damaged_chunk_is_an_error_whichever_bit_it_is(settled: bool) -> None:
    packer = Packer()
    data = packer.pack(ENTRIES, settled=settled)
    for place in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[place] ^= 1 << bit
            try:
                assert packer.unpack(bytes(damaged)) == ENTRIES, (place, bit)
            except ChunkError:
                continue


def test_a_chunk_cut_anywhere_is_an_error() -> None:
    packer = Packer()
    data = packer.pack(ENTRIES, settled=True)
    for length in range(len(data)):
        with pytest.raises(ChunkError):
            packer.unpack(data[:length])


def test_a_chunk_whose_lengths_do_not_add_up_is_an_error() -> None:
    packer = Packer()
    lying = packer._settled.compress(b"\1\0\0\0" + b"\0\0\0\0" + b"\5\0\0\0" + b"four")
    with pytest.raises(ChunkError, match="lengths"):
        packer.unpack(lying)


@pytest.mark.parametrize(
    ("messages", "shape"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([(0, 1), (1, 1)], [(0, 2)], id="together"),
        pytest.param([(5, 1), (6, 1), (8, 1)], [(5, 2), (8, 1)], id="gap"),
        pytest.param(
            [(n, 1) for n in range(MAX_MESSAGES + 1)], [(0, MAX_MESSAGES), (MAX_MESSAGES, 1)], id="count"
        ),
        pytest.param([(0, MAX_BYTES), (1, 0), (2, 1)], [(0, 2), (2, 1)], id="size"),
        pytest.param([(0, 1), (1, MAX_BYTES + 1), (2, 1)], [(0, 1), (1, 1), (2, 1)], id="large-one-alone"),
    ],
)
def test_messages_are_cut_into_chunks(messages: list[tuple[int, int]], shape: list[tuple[int, int]]) -> None:
    cut = list(runs((seq, (0, bytes(size))) for seq, size in messages))
    assert [(first, len(entries)) for first, entries in cut] == shape
