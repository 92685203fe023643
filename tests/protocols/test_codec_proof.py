"""Proofs: packing anew gives the wire bytes back, or nobody says so; searching stays bounded."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiretape_protocols import codec_proof
from wiretape_protocols.codec_proof import Prover
from wiretape_protocols.codecs import Codec, CodecKind, decode, encode

TEXT = b'{"error": null, "result": "pong", "id": 100}'
ROWS = b"[" + b",".join(b'[%d,"%d.%03d","sell"]' % (n, n * n % 8191, n * 7 % 997) for n in range(100)) + b"]"

PAYLOADS = st.binary(max_size=300) | st.sampled_from([b"", TEXT, TEXT * 30, ROWS])


def foreign(payload: bytes, wrap: int = 31) -> bytes:
    """Pack as no call of deflate alone does: with a flush after the first byte, as streaming writers do."""
    deflater = zlib.compressobj(6, zlib.DEFLATED, wrap)
    return (
        deflater.compress(payload[:1])
        + deflater.flush(zlib.Z_SYNC_FLUSH)
        + deflater.compress(payload[1:])
        + deflater.flush()
    )


class CountedEncode:
    """Stands in for `encode` and counts how often a message is packed."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, payload: bytes, codec: Codec) -> bytes:
        self.calls += 1
        return encode(payload, codec)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> CountedEncode:
    counted = CountedEncode()
    monkeypatch.setattr(codec_proof, "encode", counted)
    return counted


def prove(prover: Prover, wire: bytes) -> Codec:
    return prover.prove(wire, decode(wire))


@given(st.lists(st.binary(max_size=200) | st.builds(encode, PAYLOADS, st.from_type(Codec)), max_size=4))
def test_any_bytes_come_back_as_they_were(wires: list[bytes]) -> None:
    prover = Prover()

    for wire in wires:
        decoded = decode(wire)
        codec = prover.prove(wire, decoded)
        kept = encode(decoded.payload, codec) if codec.exact else wire
        assert kept == wire
        assert codec.exact or codec == decoded.codec


@given(st.from_type(Codec), st.sampled_from([TEXT, ROWS]))
def test_what_zlib_wrote_is_proven(codec: Codec, payload: bytes) -> None:
    wire = encode(payload, codec)

    proven = prove(Prover(), wire)

    assert proven.exact
    assert encode(payload, proven) == wire


@pytest.mark.parametrize("level", range(10))
@pytest.mark.parametrize("memory_level", [1, 8, 9])
@pytest.mark.parametrize("window_bits", [9, 12, 15])
@pytest.mark.parametrize("strategy", range(5))
def test_every_parameter_is_found_in_a_long_message(
    level: int, memory_level: int, window_bits: int, strategy: int
) -> None:
    wire = encode(ROWS, Codec(CodecKind.DEFLATE, level, memory_level, window_bits, strategy))

    assert prove(Prover(), wire).exact


def test_identity_is_its_own_proof(counted: CountedEncode) -> None:
    assert prove(Prover(), TEXT).exact
    assert counted.calls == 0


def test_the_usual_parameters_cost_one_packing(counted: CountedEncode) -> None:
    assert prove(Prover(), encode(ROWS, Codec(CodecKind.GZIP))).exact
    assert counted.calls == 1


def test_what_worked_last_is_tried_first(counted: CountedEncode) -> None:
    prover = Prover()
    unusual = Codec(CodecKind.GZIP, level=3, memory_level=4)
    prove(prover, encode(ROWS, unusual))
    counted.calls = 0

    proven = [prove(prover, encode(ROWS[n:], unusual)) for n in range(10)]

    assert all(codec.exact for codec in proven)
    assert counted.calls == 10


def test_a_writer_that_alternates_costs_two_packings_at_most(counted: CountedEncode) -> None:
    prover = Prover()
    packed = [encode(ROWS, Codec(CodecKind.DEFLATE, level=level)) for level in (1, 9)]
    for wire in packed:
        prove(prover, wire)
    counted.calls = 0

    proven = [prove(prover, wire) for wire in packed * 4]

    assert all(codec.exact for codec in proven)
    assert counted.calls == 16


def test_writers_are_told_apart_by_their_headers(counted: CountedEncode) -> None:
    prover = Prover()
    hasty = gzip.compress(ROWS, 1, mtime=0)
    thorough = gzip.compress(ROWS, 9, mtime=0)
    proven = [prove(prover, wire) for wire in (hasty, thorough)]
    counted.calls = 0

    assert [prove(prover, wire) for wire in (hasty, thorough) * 5] == proven * 5
    assert counted.calls == 10


def test_times_and_names_in_headers_make_no_new_writer(counted: CountedEncode) -> None:
    prover = Prover()
    prove(prover, gzip.compress(ROWS, 4, mtime=9))
    counted.calls = 0

    proven = [prove(prover, gzip.compress(ROWS, 4, mtime=second)) for second in range(1, 6)]

    assert all(codec.exact for codec in proven)
    assert counted.calls == 5


@pytest.mark.parametrize("wrap", [31, 15, -15], ids=["gzip", "zlib", "deflate"])
def test_what_zlib_cannot_give_back_is_not_exact(wrap: int) -> None:
    wire = foreign(ROWS, wrap)

    proven = prove(Prover(), wire)

    assert not proven.exact
    assert proven == decode(wire).codec


def test_a_writer_that_fails_is_searched_for_ever_more_rarely(counted: CountedEncode) -> None:
    prover = Prover()
    wire = foreign(ROWS)
    searches = []
    for number in range(300):
        before = counted.calls
        prove(prover, wire)
        if counted.calls > before:
            searches.append(number)

    assert searches == [0, 2, 5, 10, 19, 36, 69, 134, 263]


def test_a_resting_writer_still_gets_what_worked_last(counted: CountedEncode) -> None:
    prover = Prover()
    prove(prover, encode(ROWS, Codec(CodecKind.GZIP, level=9)))
    prove(prover, foreign(ROWS))
    counted.calls = 0

    proven = [prove(prover, encode(ROWS, Codec(CodecKind.GZIP, level=9))), prove(prover, foreign(ROWS))]

    assert [codec.exact for codec in proven] == [True, False]
    assert counted.calls == 2


def test_a_long_message_is_searched_for_briefly(counted: CountedEncode) -> None:
    prove(Prover(), foreign(ROWS * 500))

    assert 1 <= counted.calls <= 8


def test_what_a_prover_remembers_is_bounded() -> None:
    prover = Prover()
    for trait in range(200):
        header = b"\x1f\x8b\x08\0\0\0\0\0\0" + bytes((trait,))
        prove(prover, encode(TEXT, Codec(CodecKind.GZIP, header=header)))
    for level in (1, 2, 3, 4, 6, 9):
        prove(prover, encode(ROWS, Codec(CodecKind.DEFLATE, level=level)))

    assert len(prover._shapes) == 64
    assert max(len(known.recent) for known in prover._shapes.values()) == 4


@given(st.lists(st.builds(encode, PAYLOADS, st.from_type(Codec)), max_size=5))
def test_the_same_messages_get_the_same_codecs(wires: list[bytes]) -> None:
    assert [prove(one, wire) for one in [Prover()] for wire in wires] == [
        prove(other, wire) for other in [Prover()] for wire in wires
    ]
