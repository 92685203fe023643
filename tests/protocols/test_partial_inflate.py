"""Looking into packed bytes that break off, go on, or are too much."""

import gzip
import os
import zlib

import pytest

from wiretape_protocols.partial_inflate import looks_packed, readable_parts

RANDOM = os.urandom(2000)


@pytest.mark.parametrize(
    ("wire", "parts"),
    [
        pytest.param(gzip.compress(b"one"), b"one", id="whole"),
        pytest.param(gzip.compress(b"one") + gzip.compress(b"two") + b"!", b"onetwo", id="two-and-more"),
        pytest.param(gzip.compress(b"one") + zlib.compress(b"two"), b"onetwo", id="two-kinds"),
        pytest.param(zlib.compress(RANDOM)[:1500], RANDOM[: 1500 - 7], id="cut-short"),
        pytest.param(b"{}", b"", id="text"),
        pytest.param(b"\x1f\x8b\x08junk-without-any-stream", b"", id="only-a-mark"),
        pytest.param(b"", b"", id="nothing"),
    ],
)
def test_what_can_be_read_is_read(wire: bytes, parts: bytes) -> None:
    assert readable_parts(wire)[: len(parts)] == parts
    assert len(readable_parts(wire)) <= len(parts) + 300
    assert looks_packed(wire) == wire.startswith((b"\x1f\x8b", b"\x78\x9c", b"\x78\x01"))


def test_no_more_than_eight_mebibytes_come_out() -> None:
    bomb = gzip.compress(bytes(64 << 20))

    assert len(readable_parts(bomb + bomb)) == 8 << 20
