"""A long JSON text is walked over without being parsed, and what is no JSON is told where."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiretape_store.exports.har.pieces import PieceError, Walk

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def rebuilt(walk: Walk) -> Any:
    """The value, put together from its pieces."""
    if walk.byte() == b"{":
        return {name: rebuilt(walk) for name in walk.members()}
    if walk.byte() == b"[":
        return [rebuilt(walk) for _ in walk.elements()]
    return walk.load()


@given(VALUES, st.sampled_from((None, 2)), st.booleans())
def test_the_pieces_of_a_text_are_the_text(value: Any, indent: int | None, is_ascii: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")

    walk = Walk(b" \n" + text + b"\n")

    assert rebuilt(walk) == value
    walk.finish()


@given(VALUES)
def test_a_value_is_passed_over_to_its_end(value: Any) -> None:
    text = json.dumps([value, "after"]).encode()
    walk = Walk(text)

    for number in walk.elements():
        if number == 1:
            assert walk.load() == "after"

    walk.finish()


def test_what_nobody_takes_is_passed_over() -> None:
    walk = Walk(b'{"a": {"b": [1, "}]", {}]}, "c": [[]], "d": 5}')

    assert [walk.load() if name == "d" else name for name in walk.members()] == ["a", "c", 5]


def read_members(text: bytes) -> None:
    walk = Walk(text)
    for _ in walk.members():
        walk.load()
    walk.finish()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        pytest.param(b'{"a": 1', "ends too early", id="open object"),
        pytest.param(b'{"a": [1, {"b": "', "ends too early", id="open string"),
        pytest.param(b'{"a": }', "a value is missing", id="no value"),
        pytest.param(b'{"a" 1}', "a colon is missing", id="no colon"),
        pytest.param(b'{"a": 1 "b": 2}', "a comma is missing", id="no comma"),
        pytest.param(b"{1: 1}", "no name", id="no name"),
        pytest.param(b'{"a": 1} 2', "something follows", id="more than one"),
        pytest.param(b'{"a": nul}', "Expecting value", id="no literal"),
        pytest.param(b'{"a": "\xff"}', "utf-8", id="not utf-8"),
        pytest.param(b'{"a": [}', "Expecting value", id="wrong bracket"),
        pytest.param(b"[1]", "{ is expected", id="an array"),
        pytest.param(b"", "{ is expected", id="nothing"),
        pytest.param(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too deep", id="deep"),
    ],
)
def test_what_is_no_json_is_told_where(text: bytes, what: str) -> None:
    with pytest.raises(PieceError, match=what) as caught:
        read_members(text)

    assert str(caught.value).startswith(f"not JSON at byte {caught.value.offset}: ")
    assert 0 <= caught.value.offset <= len(text)
