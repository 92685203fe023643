"""
Which regular expressions may run over traffic: those that find something and do not try for ever.

A peer decides what the patterns meet, so one that takes exponential time on some text is refused.
"""

import re
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

LONGEST_PATTERN = 1000
# A repetition that may match fewer times than this is tried so rarely that it does no harm.
_MANY = 10
_CHARS = 128

# The standard library's own parser: there is no public one.
_parser: Any = import_module("re._parser")

Items = Sequence[tuple[Any, Any]]


def compile_safely(pattern: str) -> re.Pattern[str]:
    """Compile a pattern for text from the wire. Raises ValueError with the reason where it may not be used."""
    if len(pattern) > LONGEST_PATTERN:
        message = f"it is longer than {LONGEST_PATTERN} characters"
        raise ValueError(message)
    with warnings.catch_warnings():
        # What Python may read otherwise one day is read as it is today.
        warnings.simplefilter("ignore")
        try:
            compiled = re.compile(pattern)
            parsed = _parser.parse(pattern)
        except (re.error, RecursionError, OverflowError) as exc:
            message = f"Python's re cannot read it ({exc})"
            raise ValueError(message) from exc
    if parsed.getwidth()[0] == 0:
        message = "it matches the empty text, which stands everywhere"
        raise ValueError(message)
    _refuse_explosions(parsed, repeated=False)
    return compiled


def _refuse_explosions(items: Items, *, repeated: bool) -> None:
    """Refuse repetitions within repetitions, and alternatives within them that can begin alike."""
    for op, value in items:
        name = str(op)
        if name in {"MAX_REPEAT", "MIN_REPEAT"}:
            least, most, body = value
            many = most - least >= _MANY
            if many and repeated:
                message = "a repetition within a repetition can take for ever; write the inner one possessive, as in a++"
                raise ValueError(message)
            _refuse_explosions(body, repeated=repeated or most >= _MANY)
        elif name == "BRANCH":
            if repeated and _begin_alike(value[1]):
                message = (
                    "repeated alternatives that can begin alike can take for ever; write (?>...) around them"
                )
                raise ValueError(message)
            for branch in value[1]:
                _refuse_explosions(branch, repeated=repeated)
        elif name in {"ATOMIC_GROUP", "POSSESSIVE_REPEAT"}:
            _refuse_explosions(value if name == "ATOMIC_GROUP" else value[2], repeated=False)
        else:
            for body in _bodies(name, value):
                _refuse_explosions(body, repeated=repeated)


def _bodies(name: str, value: Any) -> list[Items]:
    if name == "SUBPATTERN":
        return [value[-1]]
    if name in {"ASSERT", "ASSERT_NOT"}:
        return [value[1]]
    if name == "GROUPREF_EXISTS":
        return [body for body in value[1:] if body is not None]
    return []


def _begin_alike(branches: Sequence[Items]) -> bool:
    seen: set[int] = set()
    for branch in branches:
        first = _first_chars(branch)
        if first & seen:
            return True
        seen |= first
    return False


def _first_chars(items: Items) -> set[int]:
    """Which ASCII characters a pattern may begin with; all of them where that is hard to tell."""
    everything = set(range(_CHARS))
    for op, value in items:
        name = str(op)
        if name == "LITERAL":
            return {value} if value < _CHARS else {_CHARS}
        if name == "IN":
            return _members(value)
        if name == "SUBPATTERN":
            return _first_chars(value[-1])
        if name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"} and value[0] > 0:
            return _first_chars(value[2])
        return everything
    return everything


def _members(items: Items) -> set[int]:
    found: set[int] = set()
    for op, value in items:
        name = str(op)
        if name == "LITERAL":
            found.add(value)
        elif name == "RANGE":
            found.update(range(value[0], min(value[1], _CHARS) + 1))
        else:
            return set(range(_CHARS))
    return found
