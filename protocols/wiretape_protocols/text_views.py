r"""
A text as it is, and as it reads once escapes are undone, with the way back to its bytes.

The same word may stand on the wire as `p\/q`, `p\u002fq` or `p%2Fq`. Whoever looks for it looks in
each view, and gets the bytes of the text itself to replace.
"""

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import islice

from wiretape_protocols.json_spans import Span

_JSON_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[^u])", re.DOTALL
)
_PERCENT_ESCAPE = re.compile(rb"%[0-9a-fA-F]{2}")
_LINE_BREAK = re.compile(rb"(?<=[\w+/=-]{4})\r?\n[ \t]*+(?=[\w+/=-])")
_LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_TIMES = 2
"""How often a text may be escaped, in each way."""


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

    def unbroken(self) -> "View":
        """This view without the line breaks that base64 and hexadecimal may have anywhere."""
        return self.without(_LINE_BREAK)

    def _raw(self, position: int, *, end: bool) -> int:
        index = bisect_right(self._plain_at, position) - 1
        at = self._plain_at[index]
        if position == at:
            # A span does not end with an escape that stands for nothing.
            return self._raw_at[bisect_left(self._plain_at, position) if end else index]
        # Odd entries begin escapes: within one, a span covers all of it.
        if index % 2:
            return self._raw_at[index + 1] if end else self._raw_at[index]
        return self._raw_at[index] + position - at


def views_of(text: bytes) -> Iterator[View]:
    """The text itself, then with JSON's escapes undone, URLs' in that, and JSON's in those; each up to twice."""
    for view in _undone(View(text), b"\\", _JSON_ESCAPE):
        yield view
        for unquoted in islice(_undone(view, b"%", _PERCENT_ESCAPE), 1, None):
            # Escapes that stood there already are undone in the next view of all.
            if unquoted.text.count(b"\\") > view.text.count(b"\\"):
                yield from _undone(unquoted, b"\\", _JSON_ESCAPE)
            else:
                yield unquoted


def unescaped(text: bytes) -> bytes:
    """What JSON's escapes in a text stand for, wherever in it they are."""
    return View(text).without(_JSON_ESCAPE).text


def _undone(view: View, mark: bytes, escape: re.Pattern[bytes]) -> Iterator[View]:
    """A view, then with an escape undone, then with those undone that this brought to light."""
    yield view
    for _ in range(_TIMES):
        if mark not in view.text:
            return
        view = view.without(escape)
        yield view


def escape_ends(text: bytes) -> tuple["array[int]", "array[int]"]:
    """Where JSON's escapes in a text begin, and where they end."""
    starts, stops = array("q"), array("q")
    for found in _JSON_ESCAPE.finditer(text):
        starts.append(found.start())
        stops.append(found.end())
    return starts, stops


def _meaning(escape: bytes) -> bytes:
    if escape[:1] in b"\r\n":
        return b""
    if escape.startswith(b"%"):
        return bytes.fromhex(escape[1:].decode())
    if escape.startswith(b"\\u"):
        units = (escape[start : start + 4] for start in range(2, len(escape), 6))
        utf16 = b"".join(bytes.fromhex(unit.decode()) for unit in units)
        return utf16.decode("utf-16-be", "surrogatepass").encode("utf-8", "surrogatepass")
    return _LETTERS.get(escape[1:], escape[1:])
