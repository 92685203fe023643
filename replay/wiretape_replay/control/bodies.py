"""What a request says: its body and its query, bounded, and held against their schemas."""

import json
import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, NoReturn

from starlette.requests import Request

from wiretape_replay.control.errors import MalformedError, RequestError
from wiretape_replay.control.schemas import PARAMETERS, SCHEMAS, Schema
from wiretape_replay.control.validation import check, shown

_WHOLE = re.compile(r"-?[0-9]{1,19}")
_NUMBER = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,19})?")


async def read_body(request: Request, schema: str, limit_bytes: int) -> dict[str, Any]:
    """The body's object. Raises RequestError; ClientDisconnect where the client goes away."""
    body = await _bounded(request, limit_bytes)
    if not body.strip() and schema == "Nothing":
        return {}
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "media_type",
            "the body must be JSON: send the header 'Content-Type: application/json' with it",
        )
    try:
        text = body.decode()
        value = json.loads(text, parse_constant=_no_constant)
        if "\\u" in text:  # half a surrogate pair is JSON, and no text that anybody could write down
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise MalformedError("the body is nested too deeply: nothing here nests deeper than 4") from None
    except ValueError as exc:
        raise MalformedError(f"the body is not JSON: {_reason(exc)}") from None
    check(value, SCHEMAS[schema])
    assert isinstance(value, dict)
    return value


def read_query(items: Iterable[tuple[str, str]], names: Sequence[str]) -> dict[str, Any]:
    """The query's parameters, by name, defaults filled in. Raises MalformedError."""
    values: dict[str, Any] = {}
    for name, text in items:
        if name not in names:
            known = f"use {', '.join(names)}" if names else "nothing is accepted here"
            raise MalformedError(f"the query's {shown(name)} is not known: {known}", "unknown_member")
        schema, where = PARAMETERS[name], f"the query's {name}"
        if schema["type"] == "array":
            values.setdefault(name, []).append(text)
        elif name in values:
            raise MalformedError(f"{where} is given twice: give it once")
        else:
            values[name] = text if schema["type"] == "string" else read_number(text, schema, where)
    for name, value in values.items():
        check(value, PARAMETERS[name], f"the query's {name}")
    return {name: PARAMETERS[name].get("default") for name in names} | values


def read_number(text: str, schema: Schema, where: str) -> int | float:
    """A number that stands outside of JSON. Raises MalformedError."""
    whole = schema["type"] == "integer"
    if not (_WHOLE if whole else _NUMBER).fullmatch(text):
        raise MalformedError(f"{where} is {shown(text)}: use a {'whole ' if whole else ''}number")
    value = int(text) if whole else float(text)
    check(value, schema, where)
    return value


async def _bounded(request: Request, limit_bytes: int) -> bytes:
    """The whole body, and no more of it than the limit in memory."""
    body = bytearray()
    promised = request.headers.get("content-length", "0")
    if promised.isascii() and promised.isdecimal() and int(promised[:20]) > limit_bytes:
        _too_large(limit_bytes)
    async for piece in request.stream():
        body += piece
        if len(body) > limit_bytes:
            _too_large(limit_bytes)
    return bytes(body)


def _too_large(limit_bytes: int) -> NoReturn:
    sentence = f"the body is larger than {limit_bytes} bytes: send less"
    raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", sentence)


def _reason(exc: ValueError) -> str:
    match exc:
        case json.JSONDecodeError():
            return f"line {exc.lineno}, column {exc.colno}: {exc.msg}"
        case UnicodeDecodeError():
            return f"byte {exc.start} is not UTF-8"
        case UnicodeEncodeError():
            return "it holds half of a surrogate pair"
        case _:  # a number of thousands of digits
            return "a number is too long"


def _no_constant(name: str) -> NoReturn:
    raise MalformedError(f"the body is not JSON: {name} is no number there")
