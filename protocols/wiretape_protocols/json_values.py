"""
Reading messages as JSON without losing what decides a match.

Owns the two ways to read: a client's message, whose numbers keep their spelling, and an upstream's,
which is read fast; and the one text that stands for all spellings of a value. What a message means
is for the adapters; where its bytes stand is for `json_spans`.
"""

import json
from hashlib import sha256
from typing import Any

from wiretape_protocols.json_spans import member_span

type Json = bool | str | Number | list[Json] | dict[str, Json] | None

DEPTH_LIMIT = 100
"""A client's message that nests deeper is not read: no protocol here needs more than five levels."""

KEY_LIMIT = 1000
"""Characters of a match key; a longer one keeps its beginning and ends in a digest of the whole."""

_KEY_KEPT = 200
_NAME_LIMIT = 100
_DIGITS_LIMIT = 60
_EXPONENT_LIMIT = 12


class Number:
    """A JSON number that keeps its spelling, so that nothing is rounded and no size is refused."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def _refuse_constant(name: str) -> None:
    message = f"{name} is not JSON"
    raise ValueError(message)


_REQUESTS = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_refuse_constant)
_REPLIES = json.JSONDecoder(parse_constant=_refuse_constant)
# For what has an integer of more digits than Python reads; as a float it is at least a number.
_LONG_REPLIES = json.JSONDecoder(parse_int=float, parse_constant=_refuse_constant)


def read_request(payload: bytes) -> dict[str, Json] | None:
    """Read a client's message; None for anything but a JSON object in UTF-8 of bounded depth."""
    try:
        value = _REQUESTS.decode(payload.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or _too_deep(payload, value):
        return None
    return value


def read_reply(payload: bytes) -> dict[str, Any] | None:
    """Read an upstream's message, numbers as Python has them; None for anything but a JSON object."""
    try:
        value = _REPLIES.decode(payload.decode())
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return None
    except ValueError:
        return _read_long_reply(payload)
    return value if isinstance(value, dict) else None


def _read_long_reply(payload: bytes) -> dict[str, Any] | None:
    try:
        value = _LONG_REPLIES.decode(payload.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def canonical(value: Json) -> str:
    """Spell a value the one way: members sorted, no space, ASCII only, numbers by their exact value."""
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, Number):
        return plain_number(value.text)
    if isinstance(value, list):
        return f"[{','.join(map(canonical, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(name)}:{canonical(value[name])}' for name in sorted(value))}}}"
    return "null" if value is None else "true" if value else "false"


def plain_number(spelled: str) -> str:
    """Spell a JSON number the one way: 100 for 1e2 and 100.0, 0.1 for 0.10, exact at any size."""
    if spelled.isdecimal() and len(spelled) <= _DIGITS_LIMIT:
        return spelled
    mantissa, _, exponent = spelled.lower().partition("e")
    if len(exponent) > _EXPONENT_LIMIT:
        return spelled.lower()
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.removeprefix("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    kept = digits.rstrip("0")
    if not kept:
        return "0"
    decimals = len(fraction) - int(exponent or "0") - (len(digits) - len(kept))
    if decimals <= 0 and len(kept) - decimals <= _DIGITS_LIMIT:
        return sign + kept + "0" * -decimals
    if 0 < decimals <= _DIGITS_LIMIT:
        kept = kept.rjust(decimals + 1, "0")
        return f"{sign}{kept[:-decimals]}.{kept[-decimals:]}"
    return f"{sign}{kept}e{-decimals}"


def id_spelling(payload: bytes, name: str, value: Json) -> bytes:
    """The bytes of the top-level member `name`, which was read from `payload` as `value`."""
    if isinstance(value, Number):
        return value.text.encode()
    span = member_span(payload, name)
    return payload[span[0] : span[1]] if span else canonical(value).encode()


def reply_id(payload: bytes, name: str, value: object) -> str:
    """The canonical text of a reply's id; what Python may have rounded is read again with care."""
    if type(value) is int:
        return plain_number(str(value))
    if isinstance(value, str):
        return json.dumps(value)
    message = read_request(payload)
    return canonical(message.get(name)) if message else ""


def match_key(*parts: str) -> str:
    """Join the parts of a match key that are not empty, and bound its length."""
    key = " ".join(part for part in parts if part)
    if len(key) <= KEY_LIMIT:
        return key
    return f"{key[:_KEY_KEPT]}... sha256:{sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


def method_name(value: object) -> str:
    """A name from the wire, fit to be stored and printed; empty where it is no string."""
    if not isinstance(value, str):
        return ""
    return value if value.isprintable() and len(value) <= _NAME_LIMIT else json.dumps(value)[:_NAME_LIMIT]


def nests_deeper(value: object, limit: int) -> bool:
    """Whether arrays and objects stand in each other more than `limit` deep, found without recursion."""
    level = [value]
    for _ in range(limit):
        level = [inner for outer in level for inner in _containers(outer)]
        if not level:
            return False
    return True


def _too_deep(payload: bytes, value: Json) -> bool:
    brackets = payload.count(b"[") + payload.count(b"{")
    return brackets > DEPTH_LIMIT and nests_deeper(value, DEPTH_LIMIT)


def _containers(value: object) -> list[object]:
    if isinstance(value, dict):
        value = list(value.values())
    return [inner for inner in value if isinstance(inner, list | dict)] if isinstance(value, list) else []
