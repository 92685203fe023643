r"""
A text as it is, and as it reads once escapes are undone, with the way back to its bytes.

The same word may stand on the wire as `p\/q`, `p\u002fq` or `p%2Fq`. Whoever looks for it looks in
each view, and gets the bytes of the text itself to replace.
"""

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator

from wiretape_protocols.json_spans import Span

_JSON_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[^u])", re.DOTALL
)
_PERCENT_ESCAPE = re.compile(rb"%[0-9a-fA-F]{2}")
_LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_ESCAPED_TWICE = 2


class View:
    """One reading of a text."""

    __slots__ = ("_before", "_plain_at", "_raw_at", "text")

    def __init__(self, text: bytes, before: "View | None" = None) -> None:
        self.text = text
        self._before = before
        """What this one was made of; None for the text itself."""
        # Where a run of unchanged bytes or an escape begins, here and in the view before.
        self._plain_at = array("q", (0,))
        self._raw_at = array("q", (0,))

    def raw(self, span: Span) -> Span:
        """The bytes of the text itself that a span of this view was read from."""
        if self._before is None:
            return span
        return self._before.raw((self._raw(span[0], end=False), self._raw(span[1], end=True)))

    def without(self, escape: re.Pattern[bytes]) -> "View":
        """This view with each escape in the place of what it stands for."""
        pieces: list[bytes] = []
        view = View(b"", self)
        done = length = 0
        for found in escape.finditer(self.text):
            verbatim = self.text[done : found.start()]
            plain = _meaning(found[0])
            pieces += (verbatim, plain)
            view._plain_at.append(length + len(verbatim))
            view._raw_at.append(found.start())
            length += len(verbatim) + len(plain)
            done = found.end()
            view._plain_at.append(length)
            view._raw_at.append(done)
        pieces.append(self.text[done:])
        view.text = b"".join(pieces)
        return view

    def _raw(self, position: int, *, end: bool) -> int:
        index = bisect_right(self._plain_at, position) - 1
        at = self._plain_at[index]
        if position == at:
            return self._raw_at[index]
        # Odd entries begin escapes: within one, a span covers all of it.
        if index % 2:
            return self._raw_at[index + 1] if end else self._raw_at[index]
        return self._raw_at[index] + position - at


def views_of(text: bytes) -> Iterator[View]:
    """The text itself, then what it is with JSON's escapes undone, twice for JSON in JSON, and with URLs' undone."""
    view = View(text)
    yield view
    if b"%" in text:
        yield view.without(_PERCENT_ESCAPE)
    for _ in range(_ESCAPED_TWICE):
        if b"\\" not in view.text:
            return
        view = view.without(_JSON_ESCAPE)
        yield view
        if b"%" in view.text:
            yield view.without(_PERCENT_ESCAPE)


def escape_ends(text: bytes) -> tuple["array[int]", "array[int]"]:
    """Where JSON's escapes in a text begin, and where they end."""
    starts, stops = array("q"), array("q")
    for found in _JSON_ESCAPE.finditer(text):
        starts.append(found.start())
        stops.append(found.end())
    return starts, stops


def _meaning(escape: bytes) -> bytes:
    if escape.startswith(b"%"):
        return bytes.fromhex(escape[1:].decode())
    if escape.startswith(b"\\u"):
        units = (escape[start : start + 4] for start in range(2, len(escape), 6))
        utf16 = b"".join(bytes.fromhex(unit.decode()) for unit in units)
        return utf16.decode("utf-16-be", "surrogatepass").encode("utf-8", "surrogatepass")
    return _LETTERS.get(escape[1:], escape[1:])
