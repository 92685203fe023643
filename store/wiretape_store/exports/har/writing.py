"""
Writing a recording, or one of its sessions, as a HAR: members as Chrome names and orders them.

One message is one line. What HAR has no member for stands in members `_wiretape`, which other tools
ignore and `reading` understands.
"""

import base64
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, urlsplit

from wiretape_protocols import CodecKind, Opcode
from wiretape_store.exports.addresses import asked_url
from wiretape_store.exports.chosen import choose
from wiretape_store.exports.extras import MEMBER, recording_object, session_object
from wiretape_store.message_objects import json_bytes, time_text
from wiretape_store.reader import StoreReader
from wiretape_store.records import EndKind, Headers, Message, Session, header_value

VERSION = "1.2"
MESSAGES = "_webSocketMessages"
_HTTP = "HTTP/1.1"
_UNKNOWN_TYPE = "x-unknown"
"""What Chrome writes for a response without a media type."""


def write_har(reader: StoreReader, what: str, file: BinaryIO) -> None:
    """
    Write a recording (name or id), or one session, as a HAR.

    A session that is still being recorded is written as far as it has come. Raises
    UnknownRecordingError.
    """
    chosen = choose(reader, what)
    log = {
        "version": VERSION,
        "creator": {"name": "wiretape", "version": version("wiretape")},
        "pages": [],
        MEMBER: recording_object(chosen),
    }
    file.write(b'{"log": ' + json_bytes(log)[:-1] + b', "entries": [')
    for number, session in enumerate(chosen.sessions):
        file.write(b",\n" if number else b"\n")
        file.writelines(_entry(reader, session))
    file.write(b"\n]}}\n")


def _entry(reader: StoreReader, session: Session) -> Iterator[bytes]:
    """The pieces of a session's entry; the messages are not gathered."""
    ended_at_us = session.ended_at_us or session.started_at_us
    took_ms = max(0, ended_at_us - session.started_at_us) / 1000
    members = {
        "_resourceType": "websocket",
        "startedDateTime": time_text(session.started_at_us),
        "time": took_ms,
        "request": _request(session),
        "response": _response(session),
        "cache": {},
        "timings": {
            "blocked": -1,
            "dns": -1,
            "ssl": -1,
            "connect": -1,
            "send": 0,
            "wait": 0,
            "receive": took_ms,
        },
        MEMBER: session_object(session, reader.events(session.id)),
    }
    yield json_bytes(members)[:-1] + b', "%b": [' % MESSAGES.encode()
    separator = b"\n"
    for message in reader.messages(session.id):
        yield separator + _message(message, session.started_at_us)
        separator = b",\n"
    yield b"]}"


def _message(message: Message, started_at_us: int) -> bytes:
    """A message as Chrome has it: text as text, binary as the base64 of what was on the wire."""
    wire = message.wire
    extras: dict[str, Any] = {}
    if message.opcode is Opcode.TEXT:
        data = wire.decode("utf-8", "replace")
        if data.encode() != wire:
            extras["wire_base64"] = base64.b64encode(wire).decode()
    else:
        data = base64.b64encode(wire).decode()
    if message.codec.kind is not CodecKind.IDENTITY:
        extras["codec"] = str(message.codec)
        with suppress(UnicodeDecodeError):
            extras["text"] = message.payload.decode()
    if message.deflated:
        extras["deflated"] = True
    if message.redacted:
        extras["redacted"] = True
    seconds, micros = divmod(started_at_us + message.at_us, 1_000_000)
    members: dict[str, Any] = {"opcode": message.opcode.value, "data": data}
    if extras:
        members[MEMBER] = extras
    head = b'{"type": "%b", "time": %d.%06d, ' % (
        b"send" if message.from_client else b"receive",
        seconds,
        micros,
    )
    return head + json_bytes(members)[1:]


def _request(session: Session) -> dict[str, Any]:
    url = asked_url(session.upstream.url, session.handshake.target)
    query = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    return {
        "method": "GET",
        "url": url,
        "httpVersion": _HTTP,
        "headers": _fields(session.handshake.request_headers),
        "queryString": [{"name": name, "value": value} for name, value in query],
        # The store has tokens in their place.
        "cookies": [],
        "headersSize": -1,
        "bodySize": 0,
    }


def _response(session: Session) -> dict[str, Any]:
    handshake = session.handshake
    headers = handshake.response_headers
    media_type = header_value(headers, "content-type")
    content: dict[str, Any] = {"size": len(handshake.body), "mimeType": media_type or _UNKNOWN_TYPE}
    if handshake.body:
        try:
            content["text"] = handshake.body.decode()
        except UnicodeDecodeError:
            content |= {"text": base64.b64encode(handshake.body).decode(), "encoding": "base64"}
    response = {
        # A request without an answer has status 0 in Chrome's files.
        "status": handshake.status or 0,
        "statusText": _phrase(handshake.status),
        "httpVersion": _HTTP if handshake.status else "",
        "headers": _fields(headers),
        "cookies": [],
        "content": content,
        "redirectURL": header_value(headers, "location"),
        "headersSize": -1,
        "bodySize": len(handshake.body),
    }
    if session.end.kind is EndKind.UNREACHABLE:
        response["_error"] = session.end.reason or "no connection"
    return response


def _phrase(status: int | None) -> str:
    try:
        return HTTPStatus(status or 0).phrase
    except ValueError:
        return ""


def _fields(headers: Headers) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers]
