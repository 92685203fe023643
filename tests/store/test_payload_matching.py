import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiretape_store.queries.json_pointer import Pointer
from wiretape_store.queries.payload_matching import PatternError, inverted, text_matcher, value_matcher


@pytest.mark.parametrize(
    ("pattern", "payload", "found"),
    [
        pytest.param("b.d", b"abcd", True, id="regex"),
        pytest.param("^b", b"abcd", False, id="start"),
        pytest.param("^a.*d$", b"abcd", True, id="both-ends"),
        pytest.param("a.b", "aéb".encode(), True, id="a-character-is-one"),
        pytest.param("[é]x?", "é".encode(), True, id="class-of-characters"),
        pytest.param("é?x", b"x", True, id="optional-character"),
        pytest.param("\\u00e9", "é".encode(), True, id="character-by-number"),
        pytest.param("\\xe9", "é".encode(), True, id="character-by-code"),
        pytest.param("\\xff", b"\x80\xff", True, id="byte-of-what-is-no-text"),
        pytest.param("é", b"\xff" + "é".encode(), True, id="text-within-what-is-no-text"),
        pytest.param("\\u00e9", b"\xff" + "é".encode(), False, id="character-by-number-in-no-text"),
        pytest.param("", b"", True, id="empty"),
    ],
)
def test_a_regular_expression_reads_text_as_text(pattern: str, payload: bytes, found: bool) -> None:
    assert text_matcher(pattern)(payload) is found
    assert inverted(text_matcher(pattern))(payload) is not found


@pytest.mark.parametrize(
    ("pattern", "payload", "found"),
    [
        pytest.param("a.c", b"abc", False, id="a-dot-is-a-dot"),
        pytest.param('{"a', b'{"a": 1}', True, id="braces"),
        pytest.param("É", "xÉ".encode(), True, id="beyond-ascii"),
        pytest.param("\udcff", b"a\xffb", True, id="a-byte-that-is-no-text"),
    ],
)
def test_a_fixed_text_is_taken_as_it_is(pattern: str, payload: bytes, found: bool) -> None:
    assert text_matcher(pattern, fixed=True)(payload) is found


@pytest.mark.parametrize("fixed", [True, False])
def test_case_may_be_ignored_also_beyond_ascii(fixed: bool) -> None:
    matches = text_matcher("straßeÉ", fixed=fixed, ignore_case=True)

    assert matches("STRAßEé".encode())
    assert not matches(b"strasse")
    assert text_matcher("btc", fixed=fixed, ignore_case=True)(b"BTCUSDT")


def test_what_is_no_regular_expression_is_refused_with_its_reason() -> None:
    with pytest.raises(PatternError, match=r"unterminated subpattern.*-F"):
        text_matcher("(")


@pytest.mark.parametrize(
    ("value", "payload", "found"),
    [
        pytest.param("BTC", b'{"a": "BTC"}', True, id="string"),
        pytest.param("BTC", b'{"a": "\\u0042TC"}', True, id="escaped"),
        pytest.param("BTC", b'{"\\u0061": "BTC"}', True, id="escaped-name"),
        pytest.param("BTC", b'{"a": "BTCUSDT"}', False, id="longer"),
        pytest.param("BTC", b'{"b": "BTC", "a": 1}', False, id="elsewhere"),
        pytest.param("a/b", b'{"a": "a\\/b"}', True, id="escaped-slash"),
        pytest.param('a"b', b'{"a": "a\\"b"}', True, id="quote"),
        pytest.param("a\nb", b'{"a": "a\\nb"}', True, id="line-break"),
        pytest.param("1.0", b'{"a": 1.0}', True, id="number"),
        pytest.param("1", b'{"a": 1.0}', False, id="number-spelled-otherwise"),
        pytest.param("1", b'{"a": "1"}', True, id="string-of-digits"),
        pytest.param("true", b'{"a": true}', True, id="true"),
        pytest.param("null", b'{"a": null}', True, id="null"),
        pytest.param('{"x": [1]}', b'{"a": {"x": [1]}}', True, id="object-as-it-stands"),
        pytest.param('{"x":[1]}', b'{"a": {"x": [1]}}', False, id="object-spelled-otherwise"),
        pytest.param("", b'{"a": ""}', True, id="empty"),
        pytest.param("\ud800", b'{"a": "\\ud800"}', True, id="lone-surrogate"),
        pytest.param("BTC", b'{"a": "BTC"', False, id="broken"),
    ],
)
def test_a_value_is_compared_as_it_is_spelled(value: str, payload: bytes, found: bool) -> None:
    assert value_matcher(Pointer("/a"), value)(payload) is found


def test_a_text_is_looked_for_in_the_value_alone() -> None:
    matches = value_matcher(Pointer("/a"), text=text_matcher("^B"))

    assert matches(b'{"a": "BTC"}')
    assert not matches(b'{"b": "BTC", "a": "x"}')
    assert not matches(b'{"b": "BTC"}')


@given(st.data())
def test_nothing_that_matches_is_ruled_out_by_its_bytes(data: st.DataObject) -> None:
    text = st.text(st.sampled_from('ab"\\/\n\x01é\u2028😀'), max_size=4)
    wanted, key = data.draw(text), data.draw(text)
    spelled = "".join(data.draw(st.sampled_from(_spellings(char))) for char in wanted)
    name = "".join(data.draw(st.sampled_from(_spellings(char))) for char in key)
    payload = f'{{"{name}": "{spelled}"}}'.encode()
    pointer = Pointer("/" + re.sub("[~/]", lambda found: {"~": "~0", "/": "~1"}[found[0]], key))

    assert json.loads(payload) == {key: wanted}
    assert value_matcher(pointer, wanted)(payload)


def _spellings(char: str) -> list[str]:
    units = char.encode("utf-16-be")
    by_number = "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
    short = {'"': ['\\"'], "\\": ["\\\\"], "/": ["/", "\\/"], "\n": ["\\n"], "\x01": []}
    return [by_number, by_number.upper().replace("\\U", "\\u"), *short.get(char, [char])]
