"""
One line of a tape as checked members: whatever is not as it should be is a LineError with its reason.

The payload of a message is not decoded: its bytes are taken from the line as they stand there.
"""

import json
from collections.abc import Collection
from typing import Any, NoReturn

from wiretape_protocols import member_span, splice, value_span
from wiretape_store.tapes.errors import LineError

EMBEDDED = "json"
"""The member whose value is a payload's own text."""
_LAST = b', "json": '
_SHOWN_CHARS = 40


class Members:
    """The members of a line; each is taken once, and `finish` refuses those that nobody took."""

    def __init__(self, text: bytes) -> None:
        """Read a line, given without what ends it."""
        self.embedded: bytes | None = None
        """The exact bytes of the payload; None where the line embeds none."""
        self._members = self._read_as_written(text) or self._read(text)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def _read_as_written(self, text: bytes) -> dict[str, Any] | None:
        """Read a line whose last member is the payload, as it is written: in half the time."""
        head, mark, rest = text.partition(_LAST)
        embedded = rest[:-1]
        if not mark or rest[-1:] != b"}" or value_span(embedded, ()) != (0, len(embedded)):
            return None
        try:
            members = _object(head + b"}")
        except LineError:
            # The mark may have stood in a text.
            return None
        if EMBEDDED in members:
            return None
        self.embedded = embedded
        return members

    def _read(self, text: bytes) -> dict[str, Any]:
        span = member_span(text, EMBEDDED)
        if span is None:
            return _object(text)
        self.embedded = text[slice(*span)]
        members = _object(splice(text, [(span, b"0")]))
        del members[EMBEDDED]
        return members

    def finish(self) -> None:
        """Refuse members that do not belong here."""
        for name in self._members:
            raise LineError(f"unknown member {_short(name)}; docs/tape.md lists those of each line")
        if self.embedded is not None:
            raise LineError(f"unknown member {EMBEDDED!r}; only messages have a payload")

    def text(self, name: str, default: str | None = None) -> str:
        """Take a text; required without a default."""
        value = self._take(name, default)
        if not isinstance(value, str):
            self._wrong(name, "a text", value)
        return value

    def number(self, name: str, *, limits: tuple[int, int], default: int | None = None) -> int:
        """Take a whole number within limits, both included; required without a default."""
        value = self._take(name, default)
        low, high = limits
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self._wrong(name, f"a whole number from {low} to {high}", value)
        return value

    def flag(self, name: str) -> bool:
        """Take true; a flag that is not set is left out, but may be false."""
        value = self._take(name, default=False)
        if not isinstance(value, bool):
            self._wrong(name, "true or false", value)
        return value

    def choice(self, name: str, choices: Collection[str], default: str | None = None) -> str:
        """Take one of several texts; required without a default."""
        value = self.text(name, default)
        if value not in choices:
            self._wrong(name, " or ".join(map(repr, choices)), value)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Take a list of texts; empty where it is left out."""
        value = self._take(name, [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            self._wrong(name, "a list of texts", value)
        return tuple(value)

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """Take a list of [name, value]; empty where it is left out."""
        value = self._take(name, [])
        if not isinstance(value, list) or not all(_is_pair(each) for each in value):
            self._wrong(name, "a list of [name, value]", value)
        return tuple((first, second) for first, second in value)

    def objects(self, name: str) -> list["Members"]:
        """Take a list of objects, each as members of its own; required."""
        value = self._take(name, None)
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            self._wrong(name, "a list of objects", value)
        return [_nested(each) for each in value]

    def _take(self, name: str, default: Any) -> Any:
        if name in self._members:
            return self._members.pop(name)
        if default is None:
            raise LineError(f"member {name!r} is missing")
        return default

    @staticmethod
    def _wrong(name: str, expected: str, value: Any) -> NoReturn:
        found = "" if expected.startswith("a list") and isinstance(value, list) else f", not {_shown(value)}"
        raise LineError(f"member {name!r} must be {expected}{found}")


def _nested(members: dict[str, Any]) -> Members:
    nested = Members(b"{}")
    nested._members = members  # noqa: SLF001  it is made here
    return nested


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(each, str) for each in value)


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text.decode(), object_pairs_hook=_without_doubles, parse_constant=_no_constant)
    except UnicodeDecodeError as exc:
        raise LineError(f"not UTF-8 (byte {exc.start + 1} of the line); save it as UTF-8") from exc
    except RecursionError as exc:
        raise LineError("nested too deep; only the payload in member 'json' may be") from exc
    except json.JSONDecodeError as exc:
        what = f"not one whole JSON object ({exc.msg}, column {exc.colno})"
        raise LineError(f"{what}; a tape has one object in each line") from exc
    except LineError:
        raise
    except ValueError as exc:
        # An integer of more digits than Python reads.
        raise LineError("it has a number that is too long") from exc
    if not isinstance(value, dict):
        raise LineError("not a JSON object; a tape has one object in each line")
    return value


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise LineError(f"member {_short(name)} stands there twice")
        members[name] = value
    return members


def _no_constant(name: str) -> NoReturn:
    raise LineError(f"{name} is no JSON; a payload with it is written as member 'text'")


def _short(name: str) -> str:
    return repr(name if len(name) <= _SHOWN_CHARS else name[: _SHOWN_CHARS - 3] + "...")


def _shown(value: Any) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."
