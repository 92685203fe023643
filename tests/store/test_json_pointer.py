import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiretape_store.queries.json_pointer import MISSING, Pointer, PointerError, text_of

TEXT = b"""{"a": [1, 2.50, {"x/y": "z"}], "n": 123456789012345678901234567890, "t": true, "o": {"0": 5, "": 6},
 "s": "\\u0041\\ud83d\\ude00", "a~b": null, "twice": 1, "twice": [2], "": "empty", "e": 1e400}"""
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)  # fmt: skip


@pytest.mark.parametrize(
    ("pointer", "text"),
    [
        pytest.param("/a/0", "1", id="index"),
        pytest.param("/a/1", "2.50", id="number-as-spelled"),
        pytest.param("/a/2/x~1y", "z", id="escaped-slash"),
        pytest.param("/a~0b", "null", id="escaped-tilde"),
        pytest.param("/n", "123456789012345678901234567890", id="long-integer"),
        pytest.param("/e", "1e400", id="beyond-a-float"),
        pytest.param("/t", "true", id="true"),
        pytest.param("/o/0", "5", id="digits-as-a-name"),
        pytest.param("/o/", "6", id="empty-name"),
        pytest.param("/", "empty", id="empty-name-at-the-top"),
        pytest.param("/s", "A😀", id="escapes"),
        pytest.param("/a", '[1, 2.50, {"x/y": "z"}]', id="array-as-it-stands"),
        pytest.param("/twice", "[2]", id="the-last-of-two"),
        pytest.param("/twice/0", "2", id="in-the-last-of-two"),
        pytest.param("", TEXT.decode(), id="the-whole"),
    ],
)
def test_a_pointer_finds_a_value(pointer: str, text: str) -> None:
    found = Pointer(pointer).value(TEXT)

    assert found is not MISSING
    assert text_of(found) == text


@pytest.mark.parametrize(
    "pointer", ["/b", "/a/3", "/a/-", "/a/01", "/a/x", "/a/٣", "/t/0", "/n/x", f"/a/{10**30}"]
)
def test_what_is_not_there_is_missing(pointer: str) -> None:
    assert Pointer(pointer).value(TEXT) is MISSING


@pytest.mark.parametrize(
    "payload", [b"", b"{", b'{"a": NaN}', b'{"a": 1} x', b'{"a": "\xff"}', b"\x1f\x8b\x08"]
)
def test_what_is_not_json_has_no_values(payload: bytes) -> None:
    assert Pointer("/a").value(payload) is MISSING
    assert Pointer("").value(payload) is MISSING


@pytest.mark.parametrize("text", ["a", "a/b", "/~", "/~2", "/a~"])
def test_what_is_no_pointer_is_refused(text: str) -> None:
    with pytest.raises(PointerError, match="write it like /params/0/price"):
        Pointer(text)


def test_a_payload_may_nest_deeper_than_pythons_parser_goes() -> None:
    deep = b'{"k": ' + b"[" * 100_000 + b'{"x": 7}' + b"]" * 100_000 + b', "b": ["v", 1.0]}'

    assert Pointer("/b/0").value(deep) == "v"
    assert Pointer("/b/1").value(deep) == "1.0"
    assert Pointer("/b/2").value(deep) is MISSING
    assert Pointer("/b").value(deep) == '["v", 1.0]'
    assert Pointer("/k/0/0").value(deep) == "[" * 99_998 + '{"x": 7}' + "]" * 99_998
    assert Pointer("/no/x").value(deep) is MISSING


@given(VALUES, st.booleans())
def test_every_value_of_a_text_is_found_where_it_stands(value: object, ascii_only: bool) -> None:
    payload = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")

    def check(pointer: str, inner: object) -> None:
        found = Pointer(pointer).value(payload)
        assert found is not MISSING
        if isinstance(inner, str):
            assert found == inner
        else:
            assert json.loads(text_of(found)) == inner
        if isinstance(inner, dict):
            for name, each in inner.items():
                check(f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}", each)
        elif isinstance(inner, list):
            for index, each in enumerate(inner):
                check(f"{pointer}/{index}", each)

    check("", value)
