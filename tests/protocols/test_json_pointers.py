"""Pointers: the values of RFC 6901's own examples, any element or member, every one of a repeated name."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiretape_protocols.json_pointers import Pointer

# RFC 6901 section 5.
DOCUMENT = rb'{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8}'


def values(pointer: str, text: bytes) -> list[object] | None:
    spans = Pointer.parse(pointer).spans(text)
    return None if spans is None else [json.loads(text[slice(*span)]) for span in spans]


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        (r"/i\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
        ("", json.loads(DOCUMENT)),
    ],
)
def test_the_examples_of_the_rfc(pointer: str, value: object) -> None:
    assert values(pointer, DOCUMENT) == [value]


@pytest.mark.parametrize(
    ("pointer", "text", "found"),
    [
        pytest.param("/*", b"[1, 2]", [1, 2], id="every-element"),
        pytest.param("/*", b'{"a": 1, "b": 2}', [1, 2], id="every-member"),
        pytest.param(
            "/p/*/k", b'{"p": [{"k": 1}, {"j": 2}, {"k": 3}]}', [1, 3], id="members-of-every-element"
        ),
        pytest.param("/a", b'{"a": 1, "a": 2}', [1, 2], id="both-of-a-repeated-name"),
        pytest.param("/a", rb'{"\u0061": 1}', [1], id="an-escaped-name"),
        pytest.param("/0", b'{"0": 1}', [1], id="a-name-of-digits"),
        pytest.param("/2", b"[1, 2]", [], id="beyond-the-end"),
        pytest.param("/-", b"[1, 2]", [], id="after-the-end"),
        pytest.param("/01", b"[1, 2]", [], id="leading-zero"),
        pytest.param("/9999999999999999999999", b"[1]", [], id="no-number-at-all"),
        pytest.param("/a/b", b'{"a": "b"}', [], id="through-a-string"),
        pytest.param("/a", b'{"a": 1', None, id="not-json"),
        pytest.param("/a", b'{"a": "\xff"}', None, id="not-utf-8"),
    ],
)
def test_what_a_pointer_finds(pointer: str, text: bytes, found: list[object] | None) -> None:
    assert values(pointer, text) == found


@pytest.mark.parametrize("text", ["a", "a/b", "/a~", "/a~2"])
def test_what_is_no_pointer_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="JSON pointer"):
        Pointer.parse(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(JSON, st.booleans())
def test_every_value_is_found_by_its_own_pointer(document: object, plain: bool) -> None:
    text = json.dumps(document, ensure_ascii=not plain).encode("utf-8", "surrogatepass")
    pending: list[tuple[str, object]] = [("", document)]
    while pending:
        pointer, value = pending.pop()
        assert values(pointer, text) == [value]
        items = value.items() if isinstance(value, dict) else ()
        pending += [(f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}", each) for name, each in items]
        if isinstance(value, list):
            pending += [(f"{pointer}/{index}", each) for index, each in enumerate(value)]
