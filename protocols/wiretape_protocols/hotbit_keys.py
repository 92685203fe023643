"""
What makes two Hotbit requests the same request.

Owns the params part of the match key, and the weaker keys of requests whose params come from the
clock. A key is read by people in the journal, so it looks like the message.
"""

import re
from decimal import Context, Decimal

from wiretape_protocols.hotbit_methods import Method, Params
from wiretape_protocols.json_values import Json, Number, canonical, plain_number

type Loose = tuple[str, str]
"""The params part of a weaker key, and what it leaves out."""

_NUMERIC = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_INTERVAL = 2
_LAST_ID = 2
# A difference of two numbers of this length needs less than twice the digits, so none is rounded.
_TIME_LENGTH = 24
_EXACT = Context(prec=2 * _TIME_LENGTH + 2)


def params_key(method: Method, params: Json) -> tuple[str, tuple[Loose, ...]]:
    """Spell the params the one way, and the weaker ways in the order in which to try them."""
    if method.params is Params.IGNORED:
        return "", ()
    if not isinstance(params, list):
        return canonical(params), ()
    exact = [_spelled(value) for value in params]
    loose: tuple[Loose, ...] = ()
    if method.params is Params.SET:
        exact = sorted(set(exact))
    elif method.params is Params.DEPTH:
        return _depth(params), ()
    elif method.params is Params.RANGE:
        loose = _without_time(params, exact, method.start)
    elif method.params is Params.DEALS and len(exact) > _LAST_ID:
        loose = ((_with(exact, _LAST_ID, "any"), "last_id"),)
    return _joined(exact), loose


def _spelled(value: Json) -> str:
    """
    A param the one way; 60.0 is not 60.

    The server's JSON library tells integers from reals, and answers a real where it wants an integer
    with error 1. A client that parsed a number as float sends another message.
    """
    if isinstance(value, Number) and not value.text.lstrip("-").isdigit():
        return f"{canonical(value)} (real)"
    return canonical(value)


def _depth(params: list[Json]) -> str:
    """One book `[market, limit, interval]`, or a list of such lists."""
    if any(isinstance(value, list) for value in params):
        return _joined([_depth(value) if isinstance(value, list) else canonical(value) for value in params])
    parts = [_spelled(value) for value in params]
    if len(params) > _INTERVAL:
        parts[_INTERVAL] = _interval(params[_INTERVAL])
    return _joined(parts)


def _interval(value: Json) -> str:
    """The server compares intervals as numbers: "0.10" is "0.1", and some clients send 0 for "0"."""
    if isinstance(value, str) and _NUMERIC.fullmatch(value):
        return plain_number(value)
    return canonical(value)


def _without_time(params: list[Json], exact: list[str], start: int) -> tuple[Loose, ...]:
    if len(params) <= start + 1:
        return ()
    span = _span(params[start], params[start + 1])
    anywhere = _with(exact, start, "any", "any")
    if span is None:
        return ((anywhere, "start and end"),)
    return ((_with(exact, start, "start", f"start+{span}"), "start"), (anywhere, "start and end"))


def _span(start: Json, end: Json) -> str | None:
    """How long a range of time is, exactly; None where its ends are not plain numbers."""
    texts = [value.text for value in (start, end) if isinstance(value, Number)]
    if len(texts) != 2 or any(len(text) > _TIME_LENGTH or "e" in text.lower() for text in texts):
        return None
    return plain_number(format(_EXACT.subtract(Decimal(texts[1]), Decimal(texts[0])), "f"))


def _with(parts: list[str], at: int, *others: str) -> str:
    return _joined([*parts[:at], *others, *parts[at + len(others) :]])


def _joined(parts: list[str]) -> str:
    return f"[{','.join(parts)}]"
