"""
Walking over a JSON text that is too long to be parsed as a whole: a browser's HAR has hundreds of MB.

Whoever walks parses the pieces that matter and passes over the others, whose commas and brackets
are all that is looked at.
"""

import json
import mmap
import re
from collections.abc import Iterator
from typing import Any

Text = bytes | mmap.mmap
_TOO_EARLY = "the file ends too early"

_SPACE = re.compile(rb"[ \t\n\r]*+")
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_SCALAR = re.compile(_STRING + rb'|[^\[\]{},:"\s]++', re.DOTALL)
_SCALARS = rb'(?:[^\[\]{}"]++|' + _STRING + rb")*+"
# An object of scalars, or of such objects, in one go: every message is one.
_FLAT = re.compile(rb"\{" + _SCALARS + rb"(?:\{" + _SCALARS + rb"\}" + _SCALARS + rb")*+\}", re.DOTALL)
_BRACKET = re.compile(rb"([\[{])|([\]}])|" + _STRING, re.DOTALL)


class PieceError(ValueError):
    """The text is not JSON at `offset`."""

    def __init__(self, offset: int, what: str) -> None:
        """Keep where it is and what is wrong there."""
        super().__init__(what)
        self.offset = offset
        self.what = what

    def __str__(self) -> str:
        """Say where."""
        return f"not JSON at byte {self.offset}: {self.what}"


class Walk:
    """A position in a JSON text; every method begins at a value and leaves the position behind it."""

    def __init__(self, text: Text, at: int = 0) -> None:
        """Begin before the value at `at`, or the space before it."""
        self._text = text
        self.at = _after_space(text, at)

    def byte(self) -> bytes:
        """The first byte of the value; empty at the end of the text."""
        return self._text[self.at : self.at + 1]

    def load(self) -> Any:
        """Parse the value."""
        start = self.at
        self.skip()
        try:
            return json.loads(self._text[start : self.at])
        except RecursionError as exc:
            raise PieceError(start, "it is nested too deep") from exc
        except (json.JSONDecodeError, UnicodeDecodeError) as exc:
            raise PieceError(start, str(exc)) from exc
        except ValueError as exc:
            # An integer of more digits than Python reads.
            raise PieceError(start, "it has a number that is too long") from exc

    def skip(self) -> None:
        """Pass over the value."""
        text, start = self._text, self.at
        first = text[start : start + 1]
        found = (_FLAT if first == b"{" else _SCALAR).match(text, start)
        if found is not None:
            self.at = found.end()
            return
        if first not in (b"{", b"["):
            raise PieceError(start, _TOO_EARLY if not first else "a value is missing")
        depth = 0
        for each in _BRACKET.finditer(text, start):
            if each.lastindex == 1:
                depth += 1
            elif each.lastindex == 2:
                depth -= 1
                if depth == 0:
                    self.at = each.end()
                    return
        raise PieceError(len(text), _TOO_EARLY)

    def finish(self) -> None:
        """Make sure that nothing but space is left."""
        self._to(self.at)
        if self.byte():
            raise PieceError(self.at, "something follows the end")

    def members(self) -> Iterator[str]:
        """
        The names of the members of an object. At each, the position is before the member's value.

        A value that the caller leaves there is passed over.
        """
        for _ in self._parts(b"{", b"}"):
            name = self.load()
            if not isinstance(name, str):
                raise PieceError(self.at, "a member has no name")
            self._colon()
            yield from self._left(name)

    def elements(self) -> Iterator[int]:
        """Count the elements of an array, from 0, in the same way."""
        for number in self._parts(b"[", b"]"):
            yield from self._left(number)

    def _left[Part](self, part: Part) -> Iterator[Part]:
        before = self.at
        yield part
        if self.at == before:
            self.skip()

    def _parts(self, begins: bytes, ends: bytes) -> Iterator[int]:
        if self.byte() != begins:
            raise PieceError(self.at, f"{begins.decode()} is expected")
        self._to(self.at + 1)
        if self.byte() == ends:
            self.at += 1
            return
        number = 0
        while True:
            if not self.byte():
                raise PieceError(self.at, _TOO_EARLY)
            yield number
            number += 1
            self._to(self.at)
            follower = self.byte()
            if follower not in (b",", ends):
                what = _TOO_EARLY if not follower else "a comma is missing"
                raise PieceError(self.at, what)
            if follower == ends:
                self.at += 1
                return
            self._to(self.at + 1)

    def _colon(self) -> None:
        self._to(self.at)
        if self.byte() != b":":
            raise PieceError(self.at, "a colon is missing")
        self._to(self.at + 1)

    def _to(self, at: int) -> None:
        self.at = _after_space(self._text, at)


def _after_space(text: Text, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
