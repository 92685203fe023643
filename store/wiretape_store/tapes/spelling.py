"""
How texts and bytes are spelled in a tape: one spelling for each, that an editor and git leave alone.

Owns the choice between `json`, `text` and `base64`, and the way back. What they mean is for others.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable
from typing import Any

from wiretape_protocols import value_span
from wiretape_store.tapes.errors import LineError

JSON_DEPTH = 60
"""Other people's parsers stop at 64 levels (.NET's by default); a line is one level itself."""

# What moves the cursor, ends a line for some programs, or turns the direction of the text around it.
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LINE_ENDS = re.compile(rb"[\r\n]")
_BRACKETS = re.compile(rb'[\[\]{}]|"(?:[^"\\]|\\.)*+"')


def quoted(text: str) -> str:
    """Spell a text as a JSON string: readable, but for what would show as something else than it is."""
    spelled = json.dumps(text, ensure_ascii=False)
    return spelled if spelled.isascii() and "\x7f" not in spelled else _UNSAFE.sub(_escaped, spelled)


def spelled(value: Any) -> str:
    """Spell a text, number, flag, or a list of such: as `json.dumps` does, texts as `quoted`."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(name)}: {spelled(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(spelled, value)) + "]"
    return json.dumps(value)


def line(members: Iterable[tuple[str, Any]], last: bytes = b"") -> bytes:
    """Spell a line of members, those that are None left out; `last` is one that is spelled already."""
    pieces = [f'"{name}": {spelled(value)}' for name, value in members if value is not None]
    text = ", ".join(pieces).encode()
    return b"{" + text + (b", " if last and text else b"") + last + b"}\n"


def payload_member(payload: bytes) -> bytes:
    """Spell a payload: its own text where that is a JSON object or array fit to stand in a line."""
    if payload[:1] in (b"{", b"[") and _is_embeddable(payload):
        return b'"json": ' + payload
    name, text = bytes_member(payload)
    return f'"{name}": {quoted(text)}'.encode()


def bytes_member(data: bytes) -> tuple[str, str]:
    """Choose `text` where the bytes read as text, else `base64`."""
    if not _CONTROL.search(data):
        try:
            return "text", data.decode()
        except UnicodeDecodeError:
            pass
    return "base64", base64.b64encode(data).decode()


def bytes_of_text(name: str, text: str) -> bytes:
    """Undo the member `text`."""
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise LineError(f"member {name!r} has half a surrogate pair, which is no text") from exc


def bytes_of_base64(name: str, text: str) -> bytes:
    """Undo the member `base64`."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise LineError(f"member {name!r} is not valid base64 (RFC 4648)") from exc


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _is_embeddable(payload: bytes) -> bool:
    """Whether a line may hold the payload as it is, and gives exactly its bytes back."""
    if _LINE_ENDS.search(payload) or value_span(payload, ()) != (0, len(payload)):
        return False
    plain = b"\x7f" not in payload if payload.isascii() else not _UNSAFE.search(payload.decode())
    return plain and _is_shallow(payload)


def _is_shallow(payload: bytes) -> bool:
    if payload.count(b"[") + payload.count(b"{") <= JSON_DEPTH:
        return True
    depth = 0
    for found in _BRACKETS.finditer(payload):
        bracket = found[0]
        depth += (bracket in b"[{") - (bracket in b"]}")
        if depth > JSON_DEPTH:
            return False
    return True
