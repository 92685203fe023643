"""
The handshake in an entry of a HAR: its status, header fields and body, as they crossed the wire.
"""

import base64
import binascii
import re
from typing import Any, NoReturn

from wiretape_store.records import Headers
from wiretape_store.tapes.parsing import STATUSES, header_fault

SWITCHING = 101
# Chrome puts fields of one name together, one a line. A line that begins with space is a folded one.
_LINE_END = re.compile(r"\n(?![ \t])")


class EntryError(ValueError):
    """An entry, or a message of it, cannot be read; whoever knows the file says which."""

    def __init__(self, what: str, message: int | None = None) -> None:
        """Say what is wrong, and with which message, counted from 1."""
        super().__init__(what)
        self.message = message


def asks_for_upgrade(request: Any) -> bool:
    """Whether a request is a WebSocket handshake; whatever is wrong with it is said when it is read."""
    headers = request.get("headers") if isinstance(request, dict) else None
    return isinstance(headers, list) and any(
        isinstance(each, dict)
        and str(each.get("name")).lower() == "upgrade"
        and str(each.get("value")).lower() == "websocket"
        for each in headers
    )


def status_of(response: dict[str, Any]) -> int | None:
    """The status; None where no answer came. Raises EntryError."""
    status = response.get("status")
    if isinstance(status, int) and STATUSES[0] <= status <= STATUSES[1]:
        return status
    if status not in (None, 0, -1):
        _wrong("response.status", "an HTTP status")
    return None


def headers_of(message: dict[str, Any], where: str) -> Headers:
    """The header fields as they would be sent; HTTP/2's pseudo-fields are none. Raises EntryError."""
    given = message.get("headers")
    if given is None:
        return ()
    if not isinstance(given, list):
        _wrong(f"{where}.headers", "an array")
    fields: list[tuple[str, str]] = []
    for each in given:
        name, value = (each.get("name"), each.get("value")) if isinstance(each, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(value, str | None):
            _wrong(f"{where}.headers", "an array of objects with 'name' and 'value'")
        if not name.startswith(":"):
            fields += [(name, _as_sent(line)) for line in _LINE_END.split(value or "")]
    fault = header_fault(tuple(fields))
    if fault is not None:
        raise EntryError(f"member '{where}.headers': {fault}")
    return tuple(fields)


def _as_sent(value: str) -> str:
    """Header fields are kept as the characters of latin-1, which stand for the bytes of the wire."""
    if all(char <= "\xff" for char in value):
        return value
    return value.encode("utf-8", "replace").decode("latin-1")


def body_of(response: dict[str, Any], status: int | None) -> bytes:
    """The body of a refusal. Raises EntryError."""
    content = response.get("content")
    text = content.get("text") if isinstance(content, dict) else None
    if status in (None, SWITCHING) or not isinstance(content, dict) or not isinstance(text, str):
        return b""
    if content.get("encoding") != "base64":
        return text.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise EntryError("member 'response.content.text' must be base64, as its encoding says") from exc


def _wrong(member: str, expected: str) -> NoReturn:
    raise EntryError(f"member '{member}' must be {expected}")
