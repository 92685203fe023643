"""Reading messages without rounding, and one text for all spellings of a value."""

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiretape_protocols.json_values import (
    DEPTH_LIMIT,
    KEY_LIMIT,
    canonical,
    match_key,
    method_name,
    plain_number,
    read_reply,
    read_request,
    reply_id,
)

SPELLINGS = st.from_regex(r"\A-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,2})?\Z")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=10,
)


def of_text(text: str) -> str:
    message = read_request(b'{"x":%s}' % text.encode())
    assert message is not None
    return canonical(message["x"])


@pytest.mark.parametrize(
    ("spelled", "plain"),
    [
        ("0", "0"),
        ("-0.0e5", "0"),
        ("100", "100"),
        ("1e2", "100"),
        ("1E+2", "100"),
        ("100.00", "100"),
        ("0.10", "0.1"),
        ("1e-8", "0.00000001"),
        ("-12.50", "-12.5"),
        ("18012644264110396442", "18012644264110396442"),
        ("1512442929.0405071", "1512442929.0405071"),
        ("1" + "0" * 70, "1e70"),
        ("1e70", "1e70"),
        ("1e-70", "1e-70"),
        ("1e9999999999999", "1e9999999999999"),
    ],
)
def test_a_number_has_one_plain_spelling(spelled: str, plain: str) -> None:
    assert plain_number(spelled) == plain


@given(SPELLINGS, SPELLINGS)
def test_plain_spellings_are_equal_where_the_values_are(one: str, other: str) -> None:
    assert (plain_number(one) == plain_number(other)) is (Fraction(one) == Fraction(other))
    assert Fraction(plain_number(one)) == Fraction(one)


@given(JSON)
def test_the_canonical_text_is_the_value_without_its_spelling(value: object) -> None:
    spaced, compact = json.dumps(value, indent=1), json.dumps(value, ensure_ascii=False, sort_keys=True)
    text = of_text(json.dumps(value))
    assert json.loads(text) == value
    assert text.isascii()
    if not any("\ud800" <= character <= "\udfff" for character in compact):
        assert of_text(compact) == text
    assert of_text(spaced) == text


@pytest.mark.parametrize("wrapped", [b'{"x":%s}', b'{"x":1,"x":%s}'])
def test_a_request_may_nest_so_deep_and_no_deeper(wrapped: bytes) -> None:
    allowed, too_deep = (b"[" * depth + b"]" * depth for depth in (DEPTH_LIMIT - 1, DEPTH_LIMIT))
    assert read_request(wrapped % allowed) is not None
    assert read_request(wrapped % too_deep) is None


def test_a_request_may_be_wide() -> None:
    assert read_request(b'{"x":[' + b"[]," * 500 + b"[]]}") is not None


@pytest.mark.parametrize(
    "payload",
    [b"", b"1", b"[]", b"null", b'{"a":NaN}', b'{"a":-Infinity}', b"{", b"{}x", b'"\xff"', b"\xef\xbb\xbf{}"],
)
def test_only_json_objects_are_read(payload: bytes) -> None:
    assert (read_request(payload), read_reply(payload)) == (None, None)


def test_an_integer_too_long_for_python_is_a_number_all_the_same() -> None:
    digits = "7" * 5000
    payload = b'{"id":%s}' % digits.encode()
    reply = read_reply(payload)
    assert reply is not None
    assert reply_id(payload, "id", reply["id"]) == of_text(digits)
    assert read_request(payload) is not None
    assert read_reply(payload[:-1]) is None


@pytest.mark.parametrize(
    "id_", ["5", "-5", "5.0", '"5"', "true", "null", '{"b":1,"a":2}', "1" + "0" * 80, "0.1"]
)
def test_a_replys_id_is_the_canonical_text_of_the_request_with_the_same_id(id_: str) -> None:
    payload = b'{"id":%s}' % id_.encode()
    reply = read_reply(payload)
    assert reply is not None
    assert reply_id(payload, "id", reply["id"]) == of_text(id_)


def test_long_keys_end_in_a_digest() -> None:
    long = "x" * KEY_LIMIT
    assert match_key("a", "", "b") == "a b"
    assert match_key(long) == long
    assert match_key("m", long) != match_key("m", long[:-1] + "y")
    assert len(match_key("m", long)) < KEY_LIMIT
    assert match_key("m", long).startswith("m xxx")


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("price.query", "price.query"),
        ("précis", "précis"),
        ("a\nb", '"a\\nb"'),
        ("\ud800", '"\\ud800"'),
        (5, ""),
        (None, ""),
    ],
)
def test_a_method_is_printed_as_it_is_or_escaped(name: object, printed: str) -> None:
    assert method_name(name) == printed
