"""
One element of `_webSocketMessages`, as Chrome writes it and as others vary it, made a message or an event.

Chrome: type `send`, `receive` or `error`; time in seconds since 1970; opcode; data, which is text
for opcode 1 and base64 for any other.
"""

import base64
import binascii
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeGuard

from wiretape_protocols import Codec, CodecError, Decoded, Opcode
from wiretape_store.exports.extras import MEMBER, repacked
from wiretape_store.importing import IncomingMessage, event_fault
from wiretape_store.records import End, EndKind, Event, EventKind

_SIDES = {
    "send": True,
    "sent": True,
    "outgoing": True,
    "receive": False,
    "received": False,
    "incoming": False,
}
_ERROR = "error"
_CONTROL = {Opcode.CLOSE: EventKind.CLOSE, Opcode.PING: EventKind.PING, Opcode.PONG: EventKind.PONG}
_OPCODES = {opcode.value: opcode for opcode in (Opcode.TEXT, Opcode.BINARY, *_CONTROL)}
_EARLIEST_MS = 1e11
"""A greater number is in milliseconds: in seconds it is the year 5138, in milliseconds 1973."""
_LATEST_S = 253_402_300_799
_CLOSE_CODES = range(1000, 5000)


class FrameError(ValueError):
    """An element cannot be read; whoever knows which one it is says so."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Chrome's word for the end of a connection that failed."""

    text: str


Frame = IncomingMessage | Event | Failure


def frame_of(value: Any, started_at_us: int, latest_us: int) -> Frame:
    """
    Read an element of a session that began at `started_at_us`. Raises FrameError.

    Its time is at least `latest_us`, the time of the one before, which it has where it tells none.
    """
    if not isinstance(value, dict):
        raise FrameError("it is not an object")
    given = time_us(value.get("time"), "time")
    at_us = latest_us if given is None else max(latest_us, given - started_at_us)
    data = value.get("data")
    if not isinstance(data, str):
        raise FrameError("member 'data' must be a text")
    side = value.get("type")
    if side == _ERROR:
        return Failure(data)
    if not isinstance(side, str) or side not in _SIDES:
        raise FrameError("member 'type' must be 'send' or 'receive'")
    number = value.get("opcode", Opcode.TEXT.value)
    opcode = _OPCODES.get(number) if isinstance(number, int) else None
    if opcode is None:
        raise FrameError("member 'opcode' must be 1 (text) or 2 (binary)")
    if opcode in _CONTROL:
        event = Event(-1, at_us, _SIDES[side], _CONTROL[opcode], _control_data(value, opcode, data))
        fault = event_fault(event)
        if fault is not None:
            raise FrameError(fault)
        return event
    extras = value.get(MEMBER, {})
    if not isinstance(extras, dict):
        raise FrameError(f"member '{MEMBER}' must be an object")
    wire = _wire(opcode, data, extras)
    redacted = extras.get("redacted") is True
    decoded = _as_redacted(wire, extras.get("codec")) if redacted else None
    deflated = extras.get("deflated") is True
    return IncomingMessage(_SIDES[side], opcode, at_us, wire, decoded, deflated, redacted)


def time_us(value: Any, member: str) -> int | None:
    """
    Microseconds since 1970 of seconds, milliseconds, or ISO 8601; None for none. Raises FrameError.
    """
    if value is None:
        return None
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as exc:
            raise FrameError(f"member '{member}' must be a time (ISO 8601)") from exc
        value = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not _is_finite(value):
        raise FrameError(f"member '{member}' must be a number of seconds since 1970")
    # Before it is divided: an integer may be too large for that.
    if abs(value) > _LATEST_S * 1000:
        raise FrameError(f"member '{member}' is no time between 1970 and 9999")
    seconds = value / 1000 if value > _EARLIEST_MS else value
    if not 0 <= seconds <= _LATEST_S:
        raise FrameError(f"member '{member}' is no time between 1970 and 9999")
    return round(seconds * 1_000_000)


def _is_finite(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def close_of(event: Event) -> End:
    """The end that a close frame tells."""
    code = int.from_bytes(event.data[:2], "big") if len(event.data) >= 2 else None
    return End(EndKind.CLOSED, event.from_client, code, event.data[2:].decode("utf-8", "replace") or None)


def _wire(opcode: Opcode, data: str, extras: dict[str, Any]) -> bytes:
    if opcode is Opcode.BINARY:
        return _unpacked("data", data)
    kept = extras.get("wire_base64")
    # The kept bytes count unless somebody has edited the text.
    if isinstance(kept, str) and (wire := _unpacked("wire_base64", kept)).decode("utf-8", "replace") == data:
        return wire
    return data.encode("utf-8", "surrogatepass")


def _unpacked(member: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise FrameError(f"member '{member}' must be base64, as a binary message's is") from exc


def _as_redacted(wire: bytes, codec: Any) -> Decoded | None:
    try:
        return repacked(wire, Codec.parse(codec)) if isinstance(codec, str) else None
    except CodecError:
        return None


def _control_data(value: dict[str, Any], opcode: Opcode, data: str) -> bytes:
    """The body of a control frame: base64 as Chrome would have it, or the text that others write."""
    try:
        body = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        body = data.encode("utf-8", "surrogatepass")
    if opcode is not Opcode.CLOSE:
        return body
    if int.from_bytes(body[:2], "big") in _CLOSE_CODES and len(body) >= 2:
        return body
    code = value.get("code")
    if isinstance(code, int) and code in _CLOSE_CODES:
        return code.to_bytes(2, "big") + data.encode("utf-8", "surrogatepass")
    return b""
