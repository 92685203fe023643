"""
Reading one value of a JSON payload, found by a JSON pointer (RFC 6901), without changing it. Pure.

Numbers keep their spelling and containers their exact text, so that nothing is rounded on the way.
"""

import json
import re
from enum import Enum
from typing import Any, Final

from wiretape_protocols import WiretapeError, value_span


class PointerError(WiretapeError):
    """A text is not a JSON pointer."""

    usage = True

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        """Name the text and show a pointer."""
        return (
            f"{self.text!r} is not a JSON pointer: write it like /params/0/price, with ~1 for / and ~0 for ~"
        )


class Number(str):
    """A JSON number as it is spelled."""

    __slots__ = ()


class Container(str):
    """The exact text of an object or an array."""

    __slots__ = ()


class Missing(Enum):
    """There is no value at the pointer."""

    MISSING = 0


MISSING: Final = Missing.MISSING
Value = str | Number | Container | bool | None
"""A string, a number, an object or an array, true or false, or null."""

_POINTER = re.compile(r"(?:/(?:[^/~]|~[01])*+)*+")
_INDEX = re.compile(r"0|[1-9][0-9]*+")
_DIGITS = 12
"""Of an array's index; no payload has as many elements as a longer number says."""


def _no_json(name: str) -> None:
    text = f"{name} is not JSON"
    raise ValueError(text)


_decode = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_no_json).decode


class Pointer:
    """A JSON pointer, ready to be used on many payloads."""

    def __init__(self, text: str) -> None:
        """Read the pointer. Raises PointerError."""
        if not _POINTER.fullmatch(text):
            raise PointerError(text)
        self.text = text
        self.tokens = tuple(token.replace("~1", "/").replace("~0", "~") for token in text.split("/")[1:])
        """The names and indexes on the way; none for the whole text."""

    def value(self, payload: bytes) -> Value | Missing:
        """The value in `payload`; MISSING where there is none, and where it is not JSON in UTF-8."""
        try:
            found: Any = _decode(payload.decode())
        except (UnicodeDecodeError, ValueError):
            return MISSING
        except RecursionError:
            return self._deep_value(payload)
        path: list[str | int] = []
        for token in self.tokens:
            if isinstance(found, dict):
                step: str | int = token
                found = found.get(token, MISSING)
            elif isinstance(found, list) and _INDEX.fullmatch(token):
                step = min(int(token[:_DIGITS]), len(found))
                found = found[step] if step < len(found) else MISSING
            else:
                return MISSING
            path.append(step)
        if isinstance(found, dict | list):
            return _text_at(payload, path)
        value: Value | Missing = found
        return value

    def _deep_value(self, payload: bytes) -> Value | Missing:
        """As `value`, for what nests deeper than Python's parser goes: step by step over the bytes."""
        span = value_span(payload, ())
        for token in self.tokens:
            if span is None:
                return MISSING
            text = payload[slice(*span)]
            is_index = text.startswith(b"[") and _INDEX.fullmatch(token)
            inner = value_span(text, (int(token[:_DIGITS]) if is_index else token,))
            span = None if inner is None else (span[0] + inner[0], span[0] + inner[1])
        if span is None:
            return MISSING
        text = payload[slice(*span)]
        value: Value | Missing = (
            Container(text.decode()) if text[:1] in {b"{", b"["} else _decode(text.decode())
        )
        return value


def _text_at(payload: bytes, path: list[str | int]) -> Value | Missing:
    span = value_span(payload, path)
    return MISSING if span is None else Container(payload[slice(*span)].decode())


def text_of(value: Value) -> str:
    """A value as a text: a string's own characters, everything else as JSON spells it."""
    if isinstance(value, str):
        return value
    return json.dumps(value)
