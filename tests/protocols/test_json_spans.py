"""Spans of JSON values: json.loads is the oracle for what is valid and for what stands at a span."""

import json
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wiretape_protocols.json_spans import Span, element_spans, member_span, splice, value_span

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

SPACES = st.text(alphabet=" \t\n\r", max_size=3)
NAMES = st.sampled_from(["id", "Id", "", "é", 'a"b', "a\\b", "\b", "\U0001f600"]) | st.text(max_size=3)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)


@st.composite
def strings(draw: st.DrawFn, value: str) -> str:
    """Spell a string with any of its characters escaped, as JSON allows."""
    pieces = []
    for character in value:
        escaped = json.dumps(character)[1:-1]
        if draw(st.booleans()):
            units = character.encode("utf-16-be", "surrogatepass")
            escaped = "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
        elif draw(st.booleans()) and len(escaped) > 1 and not "\ud800" <= character <= "\udfff":
            escaped = json.dumps(character, ensure_ascii=False)[1:-1]
        pieces.append(escaped)
    return '"' + "".join(pieces) + '"'


@st.composite
def spellings(draw: st.DrawFn, depth: int = 5) -> str:
    """Any JSON value in any spelling: spaces, escapes, duplicate keys."""
    kind = draw(st.sampled_from(["scalar", "array", "object"])) if depth else "scalar"
    if kind == "scalar":
        value = draw(SCALARS)
        text = draw(strings(value)) if isinstance(value, str) else json.dumps(value)
    elif kind == "array":
        text = "[" + ",".join(draw(st.lists(spellings(depth - 1), max_size=3))) + draw(SPACES) + "]"
    else:
        text = draw(object_spellings(depth))
    return draw(SPACES) + text + draw(SPACES)


@st.composite
def object_spellings(draw: st.DrawFn, depth: int = 5) -> str:
    """An object in any spelling, names repeated at will."""
    members = []
    for name in draw(st.lists(NAMES, max_size=4)):
        key = draw(SPACES) + draw(strings(name)) + draw(SPACES)
        members.append(key + ":" + draw(spellings(depth - 1)))
    return "{" + ",".join(members) + draw(SPACES) + "}"


def at(text: bytes, span: Span | None) -> Json:
    assert span is not None
    return cast("Json", json.loads(text[slice(*span)]))


def paths(value: Json) -> list[tuple[tuple[str | int, ...], Json]]:
    """Every path into a parsed value, with what stands there."""
    found: list[tuple[tuple[str | int, ...], Json]] = [((), value)]
    steps: list[tuple[str | int, Json]] = []
    if isinstance(value, dict):
        steps = [*value.items()]
    elif isinstance(value, list):
        steps = [*enumerate(value)]
    for step, child in steps:
        found += [((step, *rest), deeper) for rest, deeper in paths(child)]
    return found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param(b'{"id":1}', b"1", id="plain"),
        pytest.param(b' { "id" : 1 } \r\n', b"1", id="spaces"),
        pytest.param(b'{"a":1,"id":"x\\"y"}', b'"x\\"y"', id="escaped-quote"),
        pytest.param(b'{"id":1,"id":{"id":2}}', b'{"id":2}', id="last-of-duplicates"),
        pytest.param(b'{"id":1,"\\u0069d":2}', b"2", id="escaped-key-is-the-same-key"),
        pytest.param(b'{"\\u0069\\u0064":2,"id":1}', b"1", id="plain-key-after-an-escaped-one"),
        pytest.param(b'{"x":{"id":1},"id":[ ]}', b"[ ]", id="only-the-top-level-counts"),
        pytest.param(b'{"x":"\\"id\\":7","id":-0.0e+1}', b"-0.0e+1", id="text-that-looks-like-a-member"),
        pytest.param(b'{"id":' + b"9" * 5000 + b"}", b"9" * 5000, id="number-too-long-for-int"),
        pytest.param(b'{"x":"\\ud800","id":3}', b"3", id="lone-surrogate-escape"),
        pytest.param(b'{"x":[[[[[[0],1]],2]]],"id":3}', b"3", id="deeper-than-the-pattern"),
        pytest.param('{"x":"é","id":3}'.encode(), b"3", id="utf-8"),
    ],
)
def test_a_member_is_found(text: bytes, value: bytes) -> None:
    span = member_span(text, "id")

    assert span is not None
    assert text[slice(*span)] == value


NOT_JSON = [
    pytest.param(b"", id="empty"),
    pytest.param(b"  ", id="only-space"),
    pytest.param(b'{"id":1', id="truncated"),
    pytest.param(b'{"id":1}x', id="trailing-garbage"),
    pytest.param(b'{"id":1}{"id":1}', id="two-texts"),
    pytest.param(b'{"id":1,}', id="comma-before-the-brace"),
    pytest.param(b'{,"id":1}', id="comma-after-the-brace"),
    pytest.param(b'{"id":1 "x":2}', id="no-comma"),
    pytest.param(b'{"id" 1}', id="no-colon"),
    pytest.param(b'{"id":1]', id="closed-by-a-bracket"),
    pytest.param(b'{"id":1,"x":[1}', id="array-closed-by-a-brace"),
    pytest.param(b'{"id":1,"x":[[[[[[1,]]]]]]}', id="comma-before-a-deep-bracket"),
    pytest.param(b'{"id":1,"x":[[[[[[1]]]]}]}', id="deep-array-closed-by-a-brace"),
    pytest.param(b'{"id":1,"x":[[[[[{"y":1,2}]]]]]}', id="deep-member-without-a-key"),
    pytest.param(b'{"id":1,"x":[[[[[{"y"}]]]]]}', id="deep-member-without-a-value"),
    pytest.param(b'{"id":1,"x":[[[[[1 2]]]]]}', id="deep-array-without-a-comma"),
    pytest.param(b'{"id":1,"x":"\xff"}', id="not-utf-8"),
    pytest.param(b'{"id":1,"x":"\xed\xa0\x80"}', id="surrogate-in-utf-8"),
    pytest.param(b'\xef\xbb\xbf{"id":1}', id="byte-order-mark"),
    pytest.param(b'{"id":1,"x":"\n"}', id="control-character-in-a-string"),
    pytest.param(b'{"id":1,"x":"\\x41"}', id="unknown-escape"),
    pytest.param(b'{"id":1,"x":"\\u00g0"}', id="escape-that-is-not-hex"),
    pytest.param(b'{"id":1,"x":NaN}', id="nan"),
    pytest.param(b'{"id":1,"x":-Infinity}', id="infinity"),
    pytest.param(b'{"id":01}', id="leading-zero"),
    pytest.param(b'{"id":+1}', id="plus"),
    pytest.param(b'{"id":1.}', id="no-digit-after-the-point"),
    pytest.param(b'{"id":.5}', id="no-digit-before-the-point"),
    pytest.param(b'{"id":1e}', id="no-exponent"),
    pytest.param(b"{'id':1}", id="single-quotes"),
    pytest.param(b'{id:1,"id":1}', id="bare-key"),
    pytest.param(b'{"id":1}\x0c', id="form-feed-is-not-space"),
    pytest.param('{"id":1}'.encode("utf-16"), id="utf-16"),
    pytest.param(b'{"id":' + b"[" * 100_000, id="opened-100000-times"),
]


@pytest.mark.parametrize("text", NOT_JSON)
def test_what_is_not_json_has_no_members_and_no_values(text: bytes) -> None:
    assert member_span(text, "id") is None
    assert value_span(text, ()) is None
    assert value_span(text, ("id",)) is None


@pytest.mark.parametrize(
    "text", [b"[]", b'["id"]', b'"id"', b"1", b"null", b"{}", b'{"Id":1}', b'{"x":{"id":1}}']
)
def test_json_without_the_member_has_none(text: bytes) -> None:
    assert member_span(text, "id") is None


@pytest.mark.parametrize(
    "deep",
    [
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="arrays"),
        pytest.param(b'{"id":' * 100_000 + b"1" + b"}" * 100_000, id="objects"),
        pytest.param(b'[{"id":' * 50_000 + b"1" + b"}, 2]" * 50_000, id="both"),
    ],
)
def test_nesting_100000_deep_is_stepped_over(deep: bytes) -> None:
    text = b'{"deep":' + deep + b',"id":7}'

    assert text[slice(*(member_span(text, "id") or (0, 0)))] == b"7"
    assert value_span(text, ("deep",)) == (8, 8 + len(deep))


@pytest.mark.parametrize("name", ["a\\b", 'a"b', "\x08", "a\x08", "\ud800", "é", ""])
@pytest.mark.parametrize("other", ["a\\b", 'a"b', "\x08", "a\x08", "\ud800", "é", ""])
def test_names_that_need_escapes_are_told_apart(name: str, other: str) -> None:
    text = json.dumps({name: 1}).encode()

    assert (member_span(text, other) is not None) == (name == other)


@given(object_spellings(), NAMES)
@example('{"a\\b":1}', "a\\b")
def test_a_member_is_what_json_loads_finds(spelling: str, name: str) -> None:
    text = spelling.encode()
    expected = json.loads(text)

    span = member_span(text, name)

    assert (span is not None) == (name in expected)
    if span is not None:
        assert at(text, span) == expected[name]


@given(spellings())
def test_every_path_leads_to_what_json_loads_finds(spelling: str) -> None:
    text = spelling.encode()

    for path, value in paths(json.loads(text)):
        assert at(text, value_span(text, path)) == value


@pytest.mark.parametrize("path", [("b",), ("a", 2), ("a", -1), ("a", "x"), ("a", 0, 0), (0,), ("a", 3, 0)])
def test_a_path_that_leads_nowhere_has_no_span(path: tuple[str | int, ...]) -> None:
    assert value_span(b'{"a":[1,[2]]}', path) is None


@given(spellings())
def test_elements_are_those_of_json_loads(spelling: str) -> None:
    text = spelling.encode()
    value = json.loads(text)

    elements = element_spans(text, value_span(text, ()) or (0, 0))

    assert [at(text, span) for span in elements] == (value if isinstance(value, list) else [])


@given(object_spellings())
def test_a_truncated_text_has_no_members(spelling: str) -> None:
    text = spelling.rstrip().encode()

    for length in range(len(text)):
        assert member_span(text[:length], "id") is None


@given(st.binary(max_size=40) | st.text(alphabet='{}[]",:\\ued081.-+ \n', max_size=30).map(str.encode))
def test_a_text_is_valid_when_json_loads_says_so(text: bytes) -> None:
    try:
        json.loads(text.decode(), parse_constant=lambda name: 1 / 0)
        valid = True
    except (ValueError, ZeroDivisionError):
        valid = False

    assert (value_span(text, ()) is not None) == valid


@given(object_spellings(), spellings())
def test_a_spliced_value_is_the_only_change(spelling: str, replacement: str) -> None:
    text, new = spelling.encode(), replacement.encode()
    before = json.loads(text)

    for name in before:
        span = member_span(text, name)
        assert span is not None
        spliced = splice(text, [(span, new)])
        assert json.loads(spliced) == {**before, name: json.loads(new)}
        assert spliced.startswith(text[: span[0]] + new)
        assert spliced.endswith(text[span[1] :])


@pytest.mark.parametrize(
    ("replacements", "spliced"),
    [
        pytest.param([], b"abcdef", id="nothing"),
        pytest.param([((4, 6), b"Z"), ((0, 2), b"A")], b"AcdZ", id="any-order"),
        pytest.param([((0, 3), b""), ((3, 6), b"")], b"", id="neighbours"),
        pytest.param([((6, 6), b"g")], b"abcdefg", id="empty-span-inserts"),
    ],
)
def test_replacements_stand_where_their_spans_were(
    replacements: list[tuple[Span, bytes]], spliced: bytes
) -> None:
    assert splice(b"abcdef", replacements) == spliced


@pytest.mark.parametrize("spans", [[(0, 3), (2, 4)], [(-1, 2)], [(3, 2)], [(5, 7)]])
def test_overlapping_and_foreign_spans_are_refused(spans: list[Span]) -> None:
    with pytest.raises(ValueError, match="span"):
        splice(b"abcdef", [(span, b"") for span in spans])
