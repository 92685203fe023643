"""Views: every spelling of a word is found, and leads back to its own bytes."""

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiretape_protocols.text_views import views_of


def places(text: bytes, word: bytes) -> set[bytes]:
    """The bytes of the text at which any view has the word."""
    found: set[bytes] = set()
    for view in views_of(text):
        start = view.text.find(word)
        if start >= 0:
            found.add(text[slice(*view.raw((start, start + len(word))))])
    return found


@pytest.mark.parametrize(
    ("text", "word", "place"),
    [
        pytest.param(b"a p/q b", b"p/q", b"p/q", id="plain"),
        pytest.param(rb"a p\/q b", b"p/q", rb"p\/q", id="escaped-slash"),
        pytest.param(rb"a p\u002fq b", b"p/q", rb"p\u002fq", id="unicode"),
        pytest.param(b"a p%2Fq b", b"p/q", b"p%2Fq", id="percent"),
        pytest.param(rb"a p\\\/q b", b"p/q", rb"p\\\/q", id="json-in-json"),
        pytest.param(rb"a \"p%2fq\" b", b"p/q", b"p%2fq", id="percent-in-json"),
        pytest.param(b"%5Cu0070%2F%5Cu0071", b"p/q", b"%5Cu0070%2F%5Cu0071", id="json-in-percent"),
        pytest.param(b"%2570%252F%2571", b"p/q", b"%2570%252F%2571", id="percent-twice"),
        pytest.param(rb"\ud83d\ude00", "\U0001f600".encode(), rb"\ud83d\ude00", id="surrogate-pair"),
        pytest.param(rb"x\n\ty", b"\n\t", rb"\n\t", id="control-characters"),
        pytest.param(rb"\u00e9t\u00e9", "été".encode(), rb"\u00e9t\u00e9", id="two-bytes"),
    ],
)
def test_a_word_is_found_however_it_is_spelled(text: bytes, word: bytes, place: bytes) -> None:
    assert place in places(text, word)


def test_a_part_of_an_escape_is_all_of_it() -> None:
    *_, view = views_of(rb"a\u00e9b")

    start = view.text.index(b"\xc3")
    assert view.raw((start, start + 1)) == (1, 7)
    assert view.raw((start + 1, start + 3)) == (1, 8)


@given(st.text(max_size=8), st.text(min_size=1, max_size=8), st.text(max_size=8), st.booleans())
def test_what_json_spells_is_found(before: str, word: str, after: str, plain: bool) -> None:
    # Marks around the word, so that no other place has it.
    marked = f"<{word}>"
    text = json.dumps(before + marked + after, ensure_ascii=not plain).encode("utf-8", "surrogatepass")

    found = places(text, marked.encode("utf-8", "surrogatepass"))

    spelled = json.dumps(marked, ensure_ascii=not plain)[1:-1].encode("utf-8", "surrogatepass")
    assert spelled in found


@given(st.binary(max_size=20), st.binary(min_size=1, max_size=20))
def test_what_a_url_quotes_is_found(before: bytes, word: bytes) -> None:
    assert places((quote(before) + quote(word)).encode(), word)


@given(st.binary(max_size=60))
def test_every_view_of_anything_leads_back_into_it(text: bytes) -> None:
    for view in views_of(text):
        for start in range(len(view.text)):
            first, last = view.raw((start, start + 1))
            assert 0 <= first < last <= len(text)
