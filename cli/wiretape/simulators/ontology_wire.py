"""
The bytes an Ontology node writes: Go's JSON, the answer envelope and the error codes.

Knows no chain, session or socket. Strings may hold bytes that are no UTF-8 as surrogate escapes; they
are written the way Go writes them.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from enum import IntEnum
from math import isinf
from typing import Final

VERSION: Final = "1.0.0"

# encoding/json escapes these (HTML-safe by default); \b and \f have no short form before Go 1.22.
_ESCAPED: Final = re.compile('[\x00-\x1f"\\\\<>&\u2028\u2029\ud800-\udfff]')
_SHORT_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
# encoding/json's floatEncoder: shortest digits, in 'f' form between these two and in 'e' form outside.
_FIXED_FROM: Final = 1e-6
_FIXED_BELOW: Final = 1e21
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class ErrorCode(IntEnum):
    """The codes a node answers with on its own; a scripted failure may use any other integer."""

    SUCCESS = 0
    SESSION_EXPIRED = 41001
    ILLEGAL_DATAFORMAT = 41003
    INVALID_METHOD = 42001
    INVALID_PARAMS = 42002
    INVALID_TRANSACTION = 43001
    UNKNOWN_TRANSACTION = 44001
    UNKNOWN_BLOCK = 44003
    UNKNOWN_CONTRACT = 44004
    INTERNAL_ERROR = 45001
    DUPLICATED_TX = 45002
    DUPLICATE_INPUT = 45003
    SMARTCODE_ERROR = 47001


# http/base/error/error.go:55-85. Codes without an entry (45015 and up) are described by "".
_DESCRIPTIONS: Final[dict[int, str]] = {
    -2: "INTERNAL ERROR, ErrNoCode",
    -1: "INTERNAL ERROR, ErrUnknown",
    0: "SUCCESS",
    41001: "SESSION EXPIRED",
    41002: "SERVICE CEILING",
    41003: "ILLEGAL DATAFORMAT",
    41004: "INVALID VERSION",
    42001: "INVALID METHOD",
    42002: "INVALID PARAMS",
    43001: "INVALID TRANSACTION",
    43002: "INVALID ASSET",
    43003: "INVALID BLOCK",
    44001: "UNKNOWN TRANSACTION",
    44002: "UNKNOWN ASSET",
    44003: "UNKNOWN BLOCK",
    44004: "UNKNOWN CONTRACT",
    45001: "INTERNAL ERROR",
    45002: "INTERNAL ERROR, ErrDuplicatedTx",
    45003: "INTERNAL ERROR, ErrDuplicateInput",
    45004: "INTERNAL ERROR, ErrAssetPrecision",
    45005: "INTERNAL ERROR, ErrTransactionBalance",
    45006: "INTERNAL ERROR, ErrAttributeProgram",
    45007: "INTERNAL ERROR, ErrTransactionContracts",
    45008: "INTERNAL ERROR, ErrTransactionPayload",
    45009: "INTERNAL ERROR, ErrDoubleSpend",
    45010: "INTERNAL ERROR, ErrTxHashDuplicate",
    45011: "INTERNAL ERROR, ErrStateUpdaterVaild",
    45012: "INTERNAL ERROR, ErrSummaryAsset",
    45013: "INTERNAL ERROR, ErrXmitFail",
    45014: "INTERNAL ERROR, ErrNoAccount",
    47001: "SMARTCODE EXEC ERROR",
    47002: "SMARTCODE PREPARE EXEC ERROR",
}


def describe(code: int) -> str:
    """Return the ``Desc`` of a code, "" for the codes the node has no text for."""
    return _DESCRIPTIONS.get(code, "")


def decode(message: bytes) -> object:
    """
    Read a request the way Go's encoding/json reads it into an interface.

    Numbers become floats, object keys are sorted, bytes that are no UTF-8 become U+FFFD one by one.
    Raises ValueError for anything Go refuses, a number beyond float64 included.
    """
    text = _SURROGATE.sub("\ufffd", message.decode("utf-8", "surrogateescape"))
    try:
        return json.loads(
            text,
            parse_float=_finite,
            parse_int=_finite,
            parse_constant=_refuse_constant,
            object_pairs_hook=_sorted_object,
        )
    except RecursionError as exc:
        msg = "nested too deep"
        raise ValueError(msg) from exc


def encode(value: object) -> str:
    """Write a value as Go's json.Marshal does, keeping the order of dict keys (a Go struct's)."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_string(key)}:{encode(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(encode, value)) + "]"
    return _scalar(value)


def pack_answer(action: str, error: int, request_id: object, result: object) -> str:
    """Build the answer of a handler; an absent ``Id`` in the request is a null here."""
    return _envelope(action, error, result, {"Id": request_id})


def pack_early_error(error: int) -> str:
    """Build the answer to a request that reached no handler: no ``Id`` key, an empty Action."""
    return _envelope("", error, "", {})


def pack_push(action: str, result: object) -> str:
    """Build a message that answers no request: no ``Id`` key."""
    return _envelope(action, ErrorCode.SUCCESS, result, {})


def _envelope(action: str, error: int, result: object, echo: dict[str, object]) -> str:
    fields = {
        "Action": action,
        "Desc": describe(error),
        "Error": int(error),
        **echo,
        "Result": result,
        "Version": VERSION,
    }
    return encode(dict(sorted(fields.items())))


def _scalar(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return _string(value)
    msg = f"the node has no value of type {type(value).__name__}"
    raise TypeError(msg)


def _string(text: str) -> str:
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def _escape(found: re.Match[str]) -> str:
    char = found.group()
    if "\ud800" <= char <= "\udfff":  # a byte that is no UTF-8: Go writes the escape, not the character
        return "\\ufffd"
    return _SHORT_ESCAPES.get(char) or f"\\u{ord(char):04x}"


def _float(number: float) -> str:
    if number != 0 and not _FIXED_FROM <= abs(number) < _FIXED_BELOW:
        return re.sub(r"e-0(\d)$", r"e-\1", repr(number))
    return format(Decimal(repr(number)).normalize(), "f")


def _finite(literal: str) -> float:
    number = float(literal)
    if isinf(number):
        msg = f"{literal[:40]} does not fit a float64"
        raise ValueError(msg)
    return number


def _refuse_constant(literal: str) -> float:
    msg = f"{literal} is not JSON"
    raise ValueError(msg)


def _sorted_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # Go writes a decoded object back with sorted keys; the last of two equal keys wins. An escaped lone
    # surrogate is U+FFFD to Go already when it reads.
    clean = {_clean(key): _clean(value) for key, value in pairs}
    return dict(sorted(clean.items()))


def _clean[T](value: T) -> T | str:
    return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value
