"""Codecs: recognising, undoing, and giving back the very bytes, whatever the peer sends."""

import gzip
import subprocess
import sys
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wiretape_protocols.codecs import (
    IDENTITY,
    Codec,
    CodecError,
    CodecKind,
    Limits,
    decode,
    deflater_fingerprint,
    encode,
)
from wiretape_protocols.gzip_header import header_size

TEXT = b'{"error": null, "result": "pong", "id": 100}'
MEMBER = gzip.compress(TEXT, mtime=0)
STREAM = zlib.compress(TEXT)
RAW = STREAM[2:-4]

# Written down once, so that they do not depend on the zlib that reads them.
KNOWN = [
    pytest.param("1f8b080000000000000303000000000000000000", b"", CodecKind.GZIP, id="gzip-of-nothing"),
    pytest.param("1f8b0800000000000003abae05 0043bfa6a302000000", b"{}", CodecKind.GZIP, id="gzip"),
    pytest.param("789cabae0500017500f9", b"{}", CodecKind.ZLIB, id="zlib"),
    pytest.param("7801abae0500017500f9", b"{}", CodecKind.ZLIB, id="zlib-fastest"),
    pytest.param("789c030000000001", b"", CodecKind.ZLIB, id="zlib-of-nothing"),
    pytest.param("78010300000000 01", b"", CodecKind.ZLIB, id="zlib-of-ascii-bytes-only"),
    pytest.param("abae0500", b"{}", CodecKind.DEFLATE, id="raw-deflate"),
    pytest.param("010200fdff7b7d", b"{}", CodecKind.DEFLATE, id="raw-deflate-stored"),
]

PAYLOADS = (
    st.binary(max_size=300)
    | st.text(max_size=100).map(str.encode)
    | st.builds(lambda piece, times: piece * times, st.binary(min_size=1, max_size=20), st.integers(1, 400))
    | st.sampled_from([b"", TEXT, TEXT * 30, b"[" + b'"0.0",' * 500 + b"0]"])
)


@pytest.mark.parametrize(("wire", "payload", "kind"), KNOWN)
def test_a_packed_message_is_recognised_by_its_bytes(wire: str, payload: bytes, kind: CodecKind) -> None:
    decoded = decode(bytes.fromhex(wire))

    assert (decoded.payload, decoded.codec.kind, decoded.note) == (payload, kind, "")
    assert not decoded.codec.exact


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(TEXT, id="json"),
        pytest.param(b"[" + TEXT + b"]", id="json-array"),
        pytest.param(b"ping", id="word"),
        pytest.param("привет".encode(), id="utf-8"),
        pytest.param(b"x^2", id="text-with-the-start-of-a-zlib-header"),
        pytest.param("x^é".encode(), id="utf-8-with-the-start-of-a-zlib-header"),
        pytest.param(b"\x00\x01\x02\x03", id="small-binary"),
        pytest.param(bytes(range(256)), id="every-byte"),
        pytest.param(b"\xff" * 100, id="ones"),
        pytest.param(b"\x03\x00", id="raw-deflate-of-nothing"),
        pytest.param(b"\x4b\x04\x00", id="raw-deflate-of-one-letter"),
        pytest.param(zlib.compress(b"\x00\xff" * 100)[2:-4], id="raw-deflate-of-binary"),
        pytest.param(zlib.compress(b'{"\x00":1}')[2:-4], id="raw-deflate-of-control-characters"),
        pytest.param(RAW[:-1], id="truncated-raw-deflate"),
        pytest.param(RAW + b"\0", id="raw-deflate-and-more"),
    ],
)
def test_what_is_not_packed_stays_without_a_note(wire: bytes) -> None:
    assert decode(wire) == (wire, IDENTITY, "")


def test_raw_deflate_of_plain_words_is_recognised_when_they_are_many() -> None:
    words = b"the quick brown fox jumps over the lazy dog"

    assert decode(zlib.compress(words)[2:-4]).payload == words
    assert decode(zlib.compress(words[:20])[2:-4]).codec is IDENTITY


@pytest.mark.parametrize(
    ("wire", "note"),
    [
        pytest.param(MEMBER + b"x", "1 bytes follow", id="gzip-and-a-byte"),
        pytest.param(MEMBER + MEMBER, f"{len(MEMBER)} bytes follow", id="two-members"),
        pytest.param(MEMBER[:-1], "breaks off", id="gzip-without-its-last-byte"),
        pytest.param(MEMBER[:12], "breaks off", id="gzip-cut-in-the-data"),
        pytest.param(MEMBER[:2], "breaks off", id="gzip-magic-alone"),
        pytest.param(MEMBER[:-8] + b"\0" + MEMBER[-7:], "not readable as gzip", id="gzip-checksum"),
        pytest.param(MEMBER[:-1] + b"\1", "not readable as gzip", id="gzip-length"),
        pytest.param(b"\x1f\x8b\x08junk-and-more-junk", "not readable as gzip", id="gzip-magic-but-broken"),
        pytest.param(b"\x1f\x8b\x07" + MEMBER[3:], "not readable as gzip", id="gzip-of-another-method"),
        pytest.param(STREAM + b"x", "1 bytes follow", id="zlib-and-a-byte"),
        pytest.param(STREAM[:-1], "breaks off", id="zlib-without-its-last-byte"),
        pytest.param(STREAM[:-1] + b"\xff", "not readable as zlib", id="zlib-checksum"),
    ],
)
def test_a_damaged_stream_stays_as_it_is_with_a_note(wire: bytes, note: str) -> None:
    decoded = decode(wire)

    assert (decoded.payload, decoded.codec) == (wire, IDENTITY)
    assert note in decoded.note


def test_a_stream_with_a_preset_dictionary_stays_as_it_is() -> None:
    deflater = zlib.compressobj(zdict=b'{"error": null')
    wire = deflater.compress(TEXT) + deflater.flush()

    decoded = decode(wire)

    assert (decoded.payload, decoded.codec) == (wire, IDENTITY)
    assert "not readable as zlib" in decoded.note


@given(st.integers(0, len(MEMBER) - 1))
def test_every_truncation_of_a_member_stays_as_it_is(length: int) -> None:
    assert decode(MEMBER[:length])[:2] == (MEMBER[:length], IDENTITY)


@pytest.mark.parametrize("wrap", [31, 15, -15], ids=["gzip", "zlib", "deflate"])
@pytest.mark.parametrize(
    ("length", "limits", "fits"),
    [
        pytest.param(100, Limits(100, 1, 100), True, id="just-the-limit"),
        pytest.param(101, Limits(100, 1, 100), False, id="a-byte-more"),
        pytest.param(2000, Limits(5000, 1, 2000), True, id="exempt-from-the-expansion"),
        pytest.param(2001, Limits(5000, 1, 2000), False, id="expands-too-much"),
        pytest.param(2001, Limits(5000, 1000, 0), True, id="expands-as-allowed"),
    ],
)
def test_a_payload_beyond_the_limits_stays_packed(length: int, limits: Limits, wrap: int, fits: bool) -> None:
    wire = zlib.compress(b"[" + b"0" * (length - 2) + b"]", 9, wrap)

    decoded = decode(wire, limits)

    assert (len(decoded.payload) == length) == fits
    if not fits:
        assert (decoded.payload, decoded.codec) == (wire, IDENTITY)
        assert decoded.note == (
            "" if wrap < 0 else f"expands to more than {limits.allowed_bytes(len(wire))} bytes"
        )


def test_the_default_limits_pass_dense_traffic_and_stop_bombs() -> None:
    rows = b"[" + b",".join(b'[%d,"0","0","0","0"]' % n for n in range(50_000)) + b"]"

    assert decode(gzip.compress(rows, mtime=0)).payload == rows
    assert decode(zlib.compress(bytes(8_000_000))).note.startswith("expands to more than")


def test_a_bomb_takes_no_more_memory_than_the_limit() -> None:
    """A quarter of a gigabyte unpacked, in a process that may not have so much."""
    script = (
        "import resource, sys, zlib; from wiretape_protocols.codecs import decode\n"
        "bomb = sys.stdin.buffer.read()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "decoded = decode(bomb)\n"
        "grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "print(decoded.payload == bomb, decoded.note, grown_kib < 200 * 1024)\n"
    )
    deflater = zlib.compressobj(1, zlib.DEFLATED, 31)
    bomb = b"".join(deflater.compress(bytes(1 << 20)) for _ in range(256)) + deflater.flush()

    done = subprocess.run([sys.executable, "-c", script], input=bomb, capture_output=True, check=True)

    assert done.stdout.decode().split("\n")[0] == "True expands to more than 67108864 bytes True"


@given(
    st.binary() | st.binary().map(lambda tail: b"\x1f\x8b\x08" + tail) | st.binary().map(b"\x78\x9c".__add__)
)
@example(b"\x1f\x8b\x08\x1f" + bytes(20))
def test_any_bytes_are_read_without_an_error(wire: bytes) -> None:
    decoded = decode(wire)

    assert decoded.codec.kind is not CodecKind.IDENTITY or (decoded.payload == wire and decoded.codec.exact)


@given(PAYLOADS, st.from_type(Codec))
@example(b"", Codec(CodecKind.ZLIB, level=1))
@example(bytes(100), Codec(CodecKind.GZIP, level=0, window_bits=9))
def test_what_is_packed_is_unpacked(payload: bytes, codec: Codec) -> None:
    wire = encode(payload, codec)

    decoded = decode(wire)

    assert decoded.codec.kind in {codec.kind, CodecKind.IDENTITY}
    assert encode(payload, codec) == wire
    if codec.kind in {CodecKind.GZIP, CodecKind.ZLIB}:
        assert (decoded.payload, decoded.codec.kind) == (payload, codec.kind)
    if codec.header:
        assert decoded.codec.header == codec.header
    if codec.kind is CodecKind.ZLIB:
        assert decoded.codec.window_bits == codec.window_bits


@given(PAYLOADS, st.from_type(Codec))
def test_an_unproven_codec_packs_the_same_payload(payload: bytes, codec: Codec) -> None:
    decoded = decode(encode(payload, codec))

    assert decode(encode(decoded.payload, decoded.codec)).payload == decoded.payload


def test_a_header_that_breaks_off_has_no_size() -> None:
    with pytest.raises(ValueError, match="ends at byte 17 of 11"):
        header_size(b"\x1f\x8b\x08\x04\0\0\0\0\0\0\x05")


def test_a_member_without_a_recorded_header_gets_a_plain_one() -> None:
    wire = encode(TEXT, Codec(CodecKind.GZIP))

    assert wire[:10].hex() == "1f8b0800000000000003"
    assert gzip.decompress(wire) == TEXT


@given(st.from_type(Codec))
def test_a_codec_survives_its_text(codec: Codec) -> None:
    assert Codec.parse(str(codec)) == codec


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        (IDENTITY, "identity"),
        (Codec(CodecKind.IDENTITY, exact=False), "identity"),
        (Codec(CodecKind.GZIP), "gzip"),
        (Codec(CodecKind.ZLIB, 9, 9, 13, 1, exact=True), "zlib level=9 memory=9 window=13 strategy=1 exact"),
        (Codec(CodecKind.GZIP, header=b"\x1f\x8b", exact=True), "gzip header=1f8b exact"),
    ],
)
def test_a_codec_is_spelled_in_words(codec: Codec, text: str) -> None:
    assert str(codec) == text
    assert Codec.parse(text) == codec


@pytest.mark.parametrize(
    "text",
    [
        "",
        "brotli",
        "gzip level=six",
        "gzip speed=1",
        "gzip header=1f8",
        "gzip level=6",
        "gzip  exact",
        "identity exact",
    ],
)
def test_a_text_that_is_no_codec_is_refused(text: str) -> None:
    with pytest.raises(CodecError, match="codec"):
        Codec.parse(text)


@pytest.mark.parametrize(
    "codec",
    [
        pytest.param(Codec(CodecKind.GZIP, level=10), id="level"),
        pytest.param(Codec(CodecKind.ZLIB, window_bits=16), id="zlib-window"),
        pytest.param(Codec(CodecKind.DEFLATE, window_bits=7), id="raw-window"),
        pytest.param(Codec(CodecKind.ZLIB, memory_level=10), id="memory-level"),
        pytest.param(Codec(CodecKind.ZLIB, strategy=1 << 70), id="number-too-large"),
        pytest.param(Codec(CodecKind.GZIP, header=b"PK"), id="header"),
    ],
)
def test_a_codec_that_zlib_cannot_write_is_refused(codec: Codec) -> None:
    with pytest.raises(CodecError) as refused:
        encode(TEXT, codec)

    assert refused.value.codec == str(codec)
    assert str(codec) in str(refused.value)


def test_the_fingerprint_names_this_build() -> None:
    assert len(deflater_fingerprint()) == 8
    assert deflater_fingerprint() == deflater_fingerprint.__wrapped__()
