"""The frame reader against hand-made frames and against the websockets library as the oracle."""

import random
import struct
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame
from websockets.frames import Opcode as TheirOpcode

from wiretape_addons.frames import (
    ControlFrame,
    DataMessage,
    Deflate,
    FrameReader,
    Item,
    Violation,
    deflate_parameters,
    unmask,
)
from wiretape_protocols import Opcode


def frame(opcode: int, data: bytes, *, fin: bool = True, mask: bool = False) -> bytes:
    return Frame(TheirOpcode(opcode), data, fin).serialize(mask=mask)


def read_all(reader: FrameReader, stream: bytes, cuts: list[int]) -> list[Item]:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    items: list[Item] = []
    for start, stop in pairwise(edges):
        items += reader.feed(stream[start:stop])
    return items


messages = st.lists(
    st.tuples(
        st.sampled_from([1, 2]), st.binary(max_size=300) | st.sampled_from([b"x" * 126, b"y" * 70_000])
    ),
    max_size=8,
)


@given(messages=messages, cuts=st.lists(st.integers(0, 1 << 20), max_size=20), mask=st.booleans())
def test_what_the_library_writes_comes_out_whole_however_tcp_cuts_it(
    messages: list[tuple[int, bytes]], cuts: list[int], mask: bool
) -> None:
    stream = b"".join(frame(opcode, data, mask=mask) for opcode, data in messages)
    reader = FrameReader(masked=mask)

    items = read_all(reader, stream, cuts)

    assert items == [DataMessage(Opcode(opcode), data) for opcode, data in messages]
    assert not reader.broken


@given(
    messages=st.lists(st.binary(max_size=2000), min_size=1, max_size=5),
    bits=st.integers(9, 15),
    takeover=st.booleans(),
    cuts=st.lists(st.integers(0, 1 << 16), max_size=10),
)
def test_permessage_deflate_is_undone_with_every_parameter(
    messages: list[bytes], bits: int, takeover: bool, cuts: list[int]
) -> None:
    peer = PerMessageDeflate(False, not takeover, 15, bits)
    stream = b"".join(
        Frame(TheirOpcode.BINARY, data).serialize(mask=False, extensions=[peer]) for data in messages
    )

    items = read_all(FrameReader(masked=False, deflate=Deflate(bits, takeover)), stream, cuts)

    assert items == [DataMessage(Opcode.BINARY, data, deflated=True) for data in messages]


@given(stream=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=5), masked=st.booleans())
def test_any_bytes_give_the_same_items_under_any_cuts(stream: bytes, cuts: list[int], masked: bool) -> None:
    whole = FrameReader(masked=masked, deflate=Deflate(), limit_bytes=10_000).feed(stream)
    in_parts = read_all(FrameReader(masked=masked, deflate=Deflate(), limit_bytes=10_000), stream, cuts)

    assert whole == in_parts
    assert all(not isinstance(item, Violation) for item in whole[:-1])


def test_fragments_are_joined_and_control_frames_between_them_are_seen() -> None:
    stream = (
        frame(1, b"one ", fin=False) + frame(9, b"ping") + frame(0, b"two ", fin=False) + frame(0, b"three")
    )

    assert FrameReader(masked=False).feed(stream) == [
        ControlFrame(Opcode.PING, b"ping"),
        DataMessage(Opcode.TEXT, b"one two three", sizes=(4, 4, 5)),
    ]


def test_a_large_message_in_small_chunks_is_joined_once() -> None:
    data = random.Random(1).randbytes(3_000_000)
    stream = frame(2, data)
    reader = FrameReader(masked=False)

    items = [
        item for start in range(0, len(stream), 1000) for item in reader.feed(stream[start : start + 1000])
    ]

    assert items == [DataMessage(Opcode.BINARY, data)]


@pytest.mark.parametrize(
    ("stream", "masked", "words"),
    [
        pytest.param(b"\x91\x00", False, "reserved bits 001", id="rsv3"),
        pytest.param(b"\xc1\x00", False, "reserved bits 100", id="compressed-without-extension"),
        pytest.param(b"\x83\x00", False, "unknown opcode 3", id="opcode-3"),
        pytest.param(b"\x09\x00", False, "control frame", id="fragmented-ping"),
        pytest.param(b"\x89\x7e\x00\x80", False, "control frame", id="long-ping"),
        pytest.param(b"\x80\x00", False, "out of place", id="continuation-of-nothing"),
        pytest.param(b"\x01\x00\x81\x00", False, "out of place", id="new-message-inside-a-message"),
        pytest.param(b"\x81\x80abcd", False, "masked", id="masked-server-frame"),
        pytest.param(b"\x81\x00", True, "unmasked", id="unmasked-client-frame"),
        pytest.param(b"\x82\x7f" + struct.pack("!Q", 1 << 40), False, "more than", id="over-the-limit"),
    ],
)
def test_what_rfc_6455_forbids_is_a_violation_and_ends_the_reading(
    stream: bytes, masked: bool, words: str
) -> None:
    reader = FrameReader(masked=masked)

    items = reader.feed(frame(1, b"before", mask=masked) + stream + b"after")

    assert items[0] == DataMessage(Opcode.TEXT, b"before")
    assert isinstance(items[-1], Violation)
    assert words in items[-1].text
    assert reader.feed(frame(1, b"later", mask=masked)) == []


def test_fragments_are_limited_in_number_too() -> None:
    """Empty fragments cost memory, and reading them must not take longer the more there are."""
    stream = b"\x01\x00" + b"\x00\x00" * 300_000

    *rest, last = FrameReader(masked=False, limit_bytes=1_000_000).feed(stream)

    assert rest == []
    assert last == Violation("a message of more than 1000000 bytes")


def test_a_ping_between_fragments_is_not_measured_with_them() -> None:
    stream = b"\x01\x05" + b"x" * 5 + b"\x89\x03abc" + b"\x80\x00"

    items = FrameReader(masked=False, limit_bytes=5 + 64).feed(stream)

    assert items == [ControlFrame(Opcode.PING, b"abc"), DataMessage(Opcode.TEXT, b"x" * 5, sizes=(5, 0))]


@pytest.mark.parametrize("tail", [b"", b"\x00"], ids=["bare", "with-the-octet-of-rfc-7692"])
def test_a_message_may_end_with_a_final_block(tail: bytes) -> None:
    packer = zlib.compressobj(wbits=-15)
    data = packer.compress(b"Hello") + packer.flush() + tail

    items = FrameReader(masked=False, deflate=Deflate()).feed(bytes([0xC1, len(data)]) + data)

    assert items == [DataMessage(Opcode.TEXT, b"Hello", deflated=True)]


def test_blocks_after_a_final_one_are_not_dropped_silently() -> None:
    first, second = zlib.compressobj(wbits=-15), zlib.compressobj(wbits=-15)
    data = first.compress(b"Hel") + first.flush()
    data += (second.compress(b"lo") + second.flush(zlib.Z_SYNC_FLUSH))[:-4]

    items = FrameReader(masked=False, deflate=Deflate()).feed(bytes([0xC1, len(data)]) + data)

    assert items == [Violation("blocks of permessage-deflate after a final one")]


def test_a_compressed_bomb_is_a_violation() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = (packer.compress(bytes(10_000_000)) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    stream = b"\xc2\x7f" + struct.pack("!Q", len(bomb)) + bomb

    (item,) = FrameReader(masked=False, deflate=Deflate(), limit_bytes=100_000).feed(stream)

    assert item == Violation("a message that expands to more than 100000 bytes")


@given(data=st.binary(max_size=1000), key=st.binary(min_size=4, max_size=4))
def test_unmasking_is_xor_byte_by_byte(data: bytes, key: bytes) -> None:
    assert unmask(data, key) == bytes(byte ^ key[index % 4] for index, byte in enumerate(data))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param("", (None, None), id="none"),
        pytest.param("x-webkit-deflate-frame", (None, None), id="another"),
        pytest.param("permessage-deflate", (Deflate(), Deflate()), id="bare"),
        pytest.param(
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15",
            (Deflate(15, takeover=False), Deflate(15, takeover=False)),
            id="coinex",
        ),
        pytest.param(
            'foo, Permessage-Deflate; client_max_window_bits="10"; server_max_window_bits=9',
            (Deflate(10), Deflate(9)),
            id="bits",
        ),
    ],
)
def test_the_handshake_decides_the_parameters(
    header: str, expected: tuple[Deflate | None, Deflate | None]
) -> None:
    assert deflate_parameters(header) == expected
