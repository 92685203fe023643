"""Builders of tapes and of the stores that they come from and go to."""

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from store_builders import START_US, a_writer

from wiretape_protocols import Decoded, Opcode
from wiretape_store import (
    End,
    EndKind,
    Event,
    Handshake,
    IncomingMessage,
    IncomingRecording,
    IncomingSession,
    Message,
    StoreReader,
    UpstreamSpec,
    import_recording,
)
from wiretape_store.tapes import read_tape, write_tape

UPSTREAM = UpstreamSpec("hotbit", "hotbit", "wss://ws.hotbit.example", "127.0.0.1:8081")
OPAQUE = UpstreamSpec("feed", "opaque", "ws://feed.example", "127.0.0.1:8082")
CLOSED = End(EndKind.CLOSED, True, 1000)
HANDSHAKE = Handshake("/", (("Host", "localhost"),), 101, (("Upgrade", "websocket"),))

HEADER: dict[str, Any] = {
    "wiretape": "tape",
    "version": 1,
    "recording": "tuesday",
    "started_at_us": START_US,
    "ended_at_us": START_US + 100,
    "upstreams": [
        {"name": each.name, "protocol": each.protocol, "url": each.url, "listen": each.listen}
        for each in (UPSTREAM, OPAQUE)
    ],
}
SESSION: dict[str, Any] = {"session": "hotbit", "started_at_us": START_US, "target": "/", "status": 101}
END: dict[str, Any] = {"at_us": 50, "end": "closed", "from": "client", "code": 1000}


def a_session(
    items: Iterable[IncomingMessage | Event], *, upstream: str = "hotbit", handshake: Handshake = HANDSHAKE
) -> IncomingSession:
    """A session, ended by the client."""
    items = list(items)
    last_us = items[-1].at_us if items else 0
    return IncomingSession(upstream, START_US, handshake, items, START_US + last_us, CLOSED)


def a_message(
    wire: bytes, at_us: int = 0, *, decoded: Decoded | None = None, from_client: bool = False
) -> IncomingMessage:
    """A text message of the upstream."""
    return IncomingMessage(from_client, Opcode.TEXT, at_us, wire, decoded)


def a_recording(*sessions: IncomingSession, rules: tuple[str, ...] = ()) -> IncomingRecording:
    """A recording with both upstreams."""
    return IncomingRecording("tuesday", START_US, START_US + 100, (UPSTREAM, OPAQUE), sessions, rules)


def stored(path: Path, incoming: IncomingRecording, name: str | None = None) -> Path:
    """A store with the recording, settled."""
    with a_writer(path) as writer:
        import_recording(writer, incoming, name)
    return path


def exported(store: Path, what: str = "tuesday") -> bytes:
    """The tape of a recording."""
    file = io.BytesIO()
    with StoreReader(str(store)) as reader:
        write_tape(reader, what, file)
    return file.getvalue()


def a_tape(path: Path, *lines: dict[str, Any] | bytes, header: dict[str, Any] | bytes = HEADER) -> Path:
    """A tape of lines, after a header."""
    texts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in (header, *lines)]
    path.write_bytes(b"".join(text + b"\n" for text in texts))
    return path


def imported(tape: Path, name: str | None = None) -> Path:
    """A store beside the tape, with what it holds."""
    return stored(tape.with_suffix(".db"), read_tape(tape), name)


def messages(store: Path, session: str = "s1") -> list[Message]:
    """The messages of a session."""
    with StoreReader(str(store)) as reader:
        return list(reader.messages(session))
