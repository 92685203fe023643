"""
Finding secrets in any text: values that are known, and what patterns find.

Owns where they stand and what they say; what is put in their place is for `redaction`.
"""

import base64
import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

from wiretape_protocols.json_spans import Span
from wiretape_protocols.text_views import View, escape_ends, views_of
from wiretape_protocols.tokens import outside, token_spans

_ENCODED_BYTES = 8
"""A secret that is shorter is not looked for in base64 or hexadecimal: it would be found by chance."""
_NO_TAILS: Mapping[bytes, re.Pattern[bytes]] = {}
_JSON_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SCALAR_PART = re.compile(rb"[-+.\w]*")
_SCALAR_BEFORE = re.compile(rb"[-+.\w]*\Z")


class Found(NamedTuple):
    """A secret in a text."""

    start: int
    stop: int
    secret: bytes
    """What it says, however it is spelled there."""
    quoted: bool = False
    """It stands where JSON has a number or a word: what replaces it needs quotes."""


def spellings(secret: bytes) -> tuple[bytes, ...]:
    """A secret as it is, and as JSON and URLs may escape it."""
    quoted = (quote(secret, safe=safe).encode() for safe in ("", "/", "/:@"))
    every = (*_json_spellings(secret), *quoted)
    plus = quote(secret, safe=" ").replace(" ", "+").encode()
    return tuple(dict.fromkeys((*every, plus, plus.lower() if b"%" in plus else plus)))


def encodings(secret: bytes) -> tuple[bytes, ...]:
    """A secret, or JSON with it, in hexadecimal, and in base64 wherever in the encoded bytes it begins."""
    if len(secret) < _ENCODED_BYTES:
        return ()
    found: list[bytes] = []
    for spelled in dict.fromkeys(_json_spellings(secret)):
        found += (spelled.hex().encode(), spelled.hex().upper().encode())
        for words, _ in _base64(spelled):
            found += words
    return tuple(dict.fromkeys(found))


def _json_spellings(secret: bytes) -> tuple[bytes, ...]:
    text = secret.decode("utf-8", "surrogateescape")
    escaped = json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogateescape")
    ascii_only = json.dumps(text)[1:-1].encode()
    slashes = (each.replace(b"/", rb"\/") for each in (escaped, ascii_only))
    return (secret, escaped, ascii_only, *slashes)


def _tails(secret: bytes) -> dict[bytes, re.Pattern[bytes]]:
    """What follows each of the `encodings` in base64 where the secret ends what is encoded."""
    found: dict[bytes, re.Pattern[bytes]] = {}
    for spelled in _json_spellings(secret) if len(secret) >= _ENCODED_BYTES else ():
        for words, digit in _base64(spelled):
            if digit:
                tail = re.compile(re.escape(digit) + rb"={0,2}(?![\w+/=-]|\\/)")
                found |= dict.fromkeys(words, tail)
    return found


def _base64(secret: bytes) -> Iterator[tuple[tuple[bytes, ...], bytes]]:
    """The digits that are the secret's alone, as they may be spelled, and the one with its last bits."""
    for before, skipped in enumerate((0, 2, 3)):
        encoded = base64.b64encode(b"\0" * before + secret)
        stop = (before + len(secret)) * 8 // 6
        whole = encoded[skipped:stop]
        words = whole, whole.replace(b"+", b"-").replace(b"/", b"_"), whole.replace(b"/", rb"\/")
        # Its other bits are zeros: it is never + or /.
        yield words, encoded[stop:].rstrip(b"=")


class SecretFinder:
    """Finds values and what patterns find; without either it finds nothing and costs nothing."""

    def __init__(self, values: Sequence[bytes] = (), patterns: Sequence[re.Pattern[str]] = ()) -> None:
        """Look for `values` in every spelling and encoding, and for the groups of `patterns`, or all of them."""
        self._spelled = {
            spelled: value for value in values for spelled in (*spellings(value), *encodings(value))
        }
        # Hexadecimal digits may be of either case, so these are looked for in lower case.
        self._digits = {value.hex().encode(): value for value in values if len(value) >= _ENCODED_BYTES}
        self._tails = {spelled: tail for value in values for spelled, tail in _tails(value).items()}
        self._patterns = tuple(patterns)
        self.idle = not self._spelled and not self._patterns
        """There is nothing to look for."""

    def find(self, text: bytes, learned: dict[bytes, bytes]) -> list[Found]:
        """
        Find them, and `learned` secrets by their spellings, in order; overlapping ones as one.

        What touches a token that is there already is not found: it was replaced before.
        """
        found = list(_literal(View(text), text, learned))
        if not self.idle:
            for view in views_of(text):
                found += self._valued(view)
                found += self._matched(view)
        if not found:
            return found
        is_json = text.lstrip()[:1] in (b"{", b"[")
        if is_json and b"\\" in text:
            found = _whole_escapes(text, found)
        united = _united(text, sorted(found, key=lambda each: (each.start, -each.stop)))
        kept = outside([(each.start, each.stop) for each in united], token_spans(text))
        united = [united[index] for index in kept]
        return _with_quotes(text, united) if is_json else united

    def _valued(self, view: View) -> Iterator[Found]:
        if not self._spelled:
            return
        yield from _literal(view, view.text, self._spelled, self._tails)
        if self._digits:
            yield from _literal(view, view.text.lower(), self._digits)
            if b"\n" in view.text:
                unbroken = view.unbroken()
                yield from _literal(unbroken, unbroken.text, self._spelled, self._tails)

    def _matched(self, view: View) -> Iterator[Found]:
        if not self._patterns:
            return
        text = view.text.decode("utf-8", "surrogateescape")
        for pattern in self._patterns:
            offsets = _Offsets(text)
            for match in pattern.finditer(text):
                for start, stop in _groups(match):
                    span = offsets.bytes_at(start), offsets.bytes_at(stop)
                    yield Found(*view.raw(span), view.text[slice(*span)])


class _Offsets:
    """Where characters of a text begin in its bytes; quickest when asked in ascending order."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._ascii = text.isascii()
        self._char = self._byte = 0

    def bytes_at(self, char: int) -> int:
        if self._ascii:
            return char
        if char < self._char:
            self._char = self._byte = 0
        self._byte += len(self._text[self._char : char].encode("utf-8", "surrogateescape"))
        self._char = char
        return self._byte


def _groups(match: re.Match[str]) -> list[Span]:
    """The groups that took part, in order; where none did, the whole match."""
    spans = sorted(match.span(number) for number in range(1, match.re.groups + 1))
    spans = [(start, stop) for start, stop in spans if start >= 0]
    return [(start, stop) for start, stop in spans or [match.span()] if stop > start]


def _literal(
    view: View,
    text: bytes,
    spelled: dict[bytes, bytes],
    tails: Mapping[bytes, re.Pattern[bytes]] = _NO_TAILS,
) -> Iterator[Found]:
    """
    The words in a text that is the view's byte for byte, but for the case of its letters.

    What follows a word and matches its tail belongs to it.
    """
    for word, secret in spelled.items():
        start = text.find(word)
        while start >= 0:
            stop = start + len(word)
            if word in tails and (tail := tails[word].match(text, stop)):
                stop = tail.end()
            yield Found(*view.raw((start, stop)), secret)
            start = text.find(word, stop)


def _united(text: bytes, found: list[Found]) -> list[Found]:
    """Make one of those that overlap; what the whole says is then what stands there."""
    united: list[Found] = []
    for each in found:
        last = united[-1] if united else None
        if last is None or each.start >= last.stop:
            united.append(each)
        elif each.stop > last.stop:
            united[-1] = Found(last.start, each.stop, text[last.start : each.stop])
    return united


def _whole_escapes(text: bytes, found: list[Found]) -> list[Found]:
    r"""Leave out what is found within an escape, as 12 in \u0012, and widen what takes a part of one."""
    starts, stops = escape_ends(text)
    kept: list[Found] = []
    for each in found:
        start, stop = each.start, each.stop
        first, last = bisect_right(starts, start) - 1, bisect_right(starts, stop - 1) - 1
        if first >= 0 and starts[first] < start < stops[first]:
            if stop <= stops[first]:
                continue
            start = starts[first]
        if last >= 0 and stop < stops[last]:
            stop = stops[last]
        same = (start, stop) == (each.start, each.stop)
        kept.append(each if same else Found(start, stop, text[start:stop]))
    return kept


def _with_quotes(text: bytes, found: list[Found]) -> list[Found]:
    """Widen what stands in a number or a word of JSON to all of it: a part cannot become a string."""
    strings = [match.span() for match in _JSON_STRING.finditer(text)]
    spans = [(each.start, each.stop) for each in found]
    bare = set(outside(spans, strings))
    widened: list[Found] = []
    for index, each in enumerate(found):
        if index in bare and _SCALAR_PART.fullmatch(text, each.start, each.stop):
            before = _SCALAR_BEFORE.search(text, max(0, each.start - 64), each.start)
            after = _SCALAR_PART.match(text, each.stop)
            start = before.start() if before else each.start
            stop = after.end() if after else each.stop
            whole = (start, stop) == (each.start, each.stop)
            secret = each.secret if whole else text[start:stop]
            if not widened or widened[-1].stop <= start:
                widened.append(Found(start, stop, secret, quoted=True))
        else:
            widened.append(each)
    return widened
