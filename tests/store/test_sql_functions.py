import json
import re
import zlib
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from query_builders import ANSWER, CALL, UPDATE, a_conversation, ask
from store_builders import a_store, packed, query

from wiretape_protocols import decode
from wiretape_store import RefusedStoreError
from wiretape_store.chunks import Entry, Packer
from wiretape_store.queries.errors import QueryError
from wiretape_store.queries.functions import sql_number
from wiretape_store.queries.json_pointer import PointerError
from wiretape_store.queries.query import open_query


@pytest.mark.parametrize("settled", [True, False], ids=["settled", "hot"])
def test_payload_is_decoded_whatever_its_packing(settled: bool, tmp_path: Path) -> None:
    a_conversation(tmp_path / "t.db", settled=settled)

    rows = ask(tmp_path / "t.db", "select payload(message) from pushes where stream = 'price' order by seq")

    wires = packed(UPDATE).values()
    payloads = [decode(wire).payload for wire in wires]
    assert [row[0] for row in rows[:7]] == [UPDATE.decode()] * 7
    assert [row[0].encode() if isinstance(row[0], str) else row[0] for row in rows] == payloads


def test_payload_takes_a_message_and_says_null_for_none(tmp_path: Path) -> None:
    a_conversation(tmp_path / "t.db")
    statement = "select payload('s1/0'), payload(null), payload('s1/39'), payload('s1/41'), payload('s9/0'), payload('s1/40')"

    assert ask(tmp_path / "t.db", statement) == [(CALL.decode(), None, None, None, None, b"\xff\x00 bytes")]


def test_calls_and_answers_are_read_side_by_side(tmp_path: Path) -> None:
    a_conversation(tmp_path / "t.db")

    rows = ask(tmp_path / "t.db", "select payload(message), payload(answer) from calls where session = 's1'")

    assert rows == [(CALL.decode(), ANSWER.decode()), (CALL.decode(), None)]


VALUES = {
    "string": ('"a\\u00e9"', "aé"),
    "lone-surrogate": ('"\\ud800"', b"\xed\xa0\x80"),
    "integer": ("42", 42),
    "largest-integer": ("9223372036854775807", 9223372036854775807),
    "smallest-integer": ("-9223372036854775808", -9223372036854775808),
    "beyond-64-bits": ("9223372036854775808", "9223372036854775808"),
    "long-integer": ("1" * 5000, "1" * 5000),
    "float": ("0.1", 0.1),
    "float-with-zeros": ("7998.01000000", 7998.01),
    "17-digits": ("1564617600.1234567", 1564617600.1234567),
    "too-many-digits": ("1564617600.12345678901", "1564617600.12345678901"),
    "exponent": ("1e5", 100000.0),
    "infinite": ("1e400", "1e400"),
    "endless-exponent": ("1e99999999999999999999", "1e99999999999999999999"),
    "vanishing": ("1e-400", "1e-400"),
    "zero": ("0.000e7", 0.0),
    "true": ("true", 1),
    "false": ("false", 0),
    "null": ("null", None),
    "object": ('{"a":  1.0}', '{"a":  1.0}'),
    "array": ("[1,  2]", "[1,  2]"),
}


@pytest.mark.parametrize(("text", "value"), VALUES.values(), ids=VALUES)
def test_json_keeps_every_digit(text: str, value: object, tmp_path: Path) -> None:
    a_store(tmp_path / "t.db", [f'{{"a/b": [{text}]}}'.encode()])

    ((found, kind),) = ask(
        tmp_path / "t.db", "select json('s1/0', '/a~1b/0'), typeof(json('s1/0', '/a~1b/0'))"
    )

    assert found == value
    assert type(found) is type(value)
    assert (
        kind == {str: "text", bytes: "blob", int: "integer", float: "real", type(None): "null"}[type(value)]
    )


def test_json_is_null_where_there_is_nothing(tmp_path: Path) -> None:
    a_store(tmp_path / "t.db", [b'{"a": 1}', b"no json"])

    assert ask(tmp_path / "t.db", "select json('s1/0', '/b'), json('s1/1', ''), json(null, ''), json('s1/7', '')") == [
        (None, None, None, None)
    ]  # fmt: skip


def test_sqlites_own_json_is_still_there(tmp_path: Path) -> None:
    a_store(tmp_path / "t.db", [b"{}"])

    assert ask(tmp_path / "t.db", "select json(' [1]'), json_extract('[7]', '$[0]')") == [("[1]", 7)]


@given(st.decimals(allow_nan=False, allow_infinity=False) | st.integers().map(str) | st.floats(allow_nan=False, allow_infinity=False).map(repr))  # fmt: skip
def test_a_number_is_never_changed(number: object) -> None:
    text = str(number)
    found = sql_number(text)

    # A float is printed by the shortest digits that lead to it; those are the number's own.
    assert found == text or _same(repr(found), text)


def _same(one: str, other: str) -> bool:
    return Decimal(one) == Decimal(other)


def test_regexp_finds_and_passes_null_on(tmp_path: Path) -> None:
    a_conversation(tmp_path / "t.db")
    statement = "select 'abc' regexp 'b.$', regexp('^b', 'abc'), null regexp 'a', 'a' regexp null, x'ff41' regexp 'A$', 12 regexp '2'"

    assert ask(tmp_path / "t.db", statement) == [(1, 0, None, None, 1, 1)]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        pytest.param("payload('s1')", QueryError, "'s1', which is no message", id="no-message"),
        pytest.param("payload(7)", QueryError, "such as 's1/34'", id="number"),
        pytest.param("payload(x'00')", QueryError, "which is no message", id="blob"),
        pytest.param("json('s1/0', 'a')", PointerError, "'a' is not a JSON pointer", id="pointer"),
        pytest.param("json('s1/0', 7)", QueryError, "the pointer 7", id="number-as-pointer"),
        pytest.param("'a' regexp '('", QueryError, "not a regular expression", id="pattern"),
        pytest.param("'x' regexp '(?a)(?u)x'", QueryError, "not a regular expression", id="flags"),
        pytest.param("json('s1/0', char(55296))", QueryError, "half a surrogate pair", id="surrogate"),
        pytest.param("json('s1/5')", QueryError, "json(message, pointer)", id="no-pointer"),
        pytest.param("recorder_lives('a', 9999999999999, 'b')", QueryError, "is no process", id="huge"),
        pytest.param("recorder_lives('a', 1e300, 'b')", QueryError, "is no process", id="float"),
        pytest.param("'a' regexp 7", QueryError, "the pattern 7", id="number-as-pattern"),
    ],
)
def test_a_wrong_argument_gets_one_sentence(
    call: str, error: type[Exception], words: str, tmp_path: Path
) -> None:
    a_conversation(tmp_path / "t.db")

    with pytest.raises(error, match=re.escape(words)) as caught:
        ask(tmp_path / "t.db", f"select {call}")

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("x'00'", "damaged: "),
        ("(select data from chunk where session_id = 1 and first_seq = 0)", "messages, not"),
    ],
    ids=["bytes", "count"],
)
def test_a_damaged_chunk_gets_one_sentence(damage: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    a_conversation(path)
    query(path, f"update chunk set data = {damage} where first_seq = 40")

    with open_query(str(path)) as running:
        with pytest.raises(RefusedStoreError, match="session s1 at message 40") as caught:
            list(running.run("select payload(message) from pushes").rows)
        assert list(running.run("select payload('s1/0')").rows) == [(CALL.decode(),)]

    assert words in str(caught.value)


def test_each_chunk_is_unpacked_once_in_order_and_now_and_then_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.db"
    a_store(path, [json.dumps({"n": n, "x": zlib.crc32(b"%d" % n)}).encode() for n in range(3000)])
    unpacked: list[bytes] = []
    unpack = Packer.unpack

    def counted(self: Packer, data: bytes) -> list[Entry]:
        unpacked.append(data)
        return unpack(self, data)

    monkeypatch.setattr(Packer, "unpack", counted)
    chunks = query(path, "select count(*) from chunk")[0][0]

    total = ask(path, "select sum(json(message, '/n')), count(payload(message)) from messages")

    assert total == [(sum(range(3000)), 3000)]
    assert len(unpacked) == chunks


def test_few_unpacked_chunks_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.db"
    a_store(path, [b'{"n": %d}' % n for n in range(1024)])
    monkeypatch.setattr("wiretape_store.queries.functions.CACHE_BYTES", 5000)

    rows = ask(path, "select json(message, '/n') from messages order by seq % 256, seq")

    assert [row[0] for row in rows] == sorted(range(1024), key=lambda n: (n % 256, n))
