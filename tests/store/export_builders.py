"""A store with every kind of session and message, and what of it must survive a way through another format."""

import gzip
import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from store_builders import START_US, a_writer, stored_blocks
from tape_builders import HANDSHAKE, OPAQUE, UPSTREAM

from wiretape_protocols import Opcode
from wiretape_store import (
    End,
    EndKind,
    Event,
    EventKind,
    Handshake,
    IncomingMessage,
    IncomingRecording,
    IncomingSession,
    StoreReader,
    import_recording,
)

AUTH = b'{"method": "server.auth", "params": ["key-0123456789", 1, "sign-0123456789"], "id": 7}'
PUSH = b'{"method": "price.update", "params": ["BTCUSDT", "10234.5"], "id": null}'
SUBSCRIBE = b'{"method": "price.subscribe", "params": ["BTCUSDT"], "id": 1}'
DONE = b'{"error": null, "result": {"status": "success"}, "id": 1}'

Write = Callable[[StoreReader, str, BinaryIO], None]


def sent(wire: bytes, at_us: int, *, deflated: bool = False) -> IncomingMessage:
    return IncomingMessage(True, Opcode.TEXT, at_us, wire, deflated=deflated)


def came(
    wire: bytes, at_us: int, opcode: Opcode = Opcode.BINARY, *, deflated: bool = False
) -> IncomingMessage:
    return IncomingMessage(False, opcode, at_us, wire, deflated=deflated)


def _of_every_codec() -> IncomingSession:
    items: list[IncomingMessage | Event] = [
        Event(-1, 1, False, EventKind.PING, b"first"),
        sent(SUBSCRIBE, 10),
        came(gzip.compress(DONE, 9, mtime=1_600_000_000), 1_000_003),
        Event(1, 1_000_003, True, EventKind.PONG, b"\xff\0"),
        came(zlib.compress(PUSH, 1), 1_000_004),
        came(stored_blocks(PUSH), 1_000_005),
        came(gzip.compress(PUSH, mtime=0)[:-3], 1_000_006),
        sent(AUTH, 1_000_007, deflated=True),
        IncomingMessage(True, Opcode.BINARY, 1_000_008, gzip.compress(AUTH, 9, mtime=0), deflated=True),
        came("grüß 😀".encode(), 1_000_009, Opcode.TEXT, deflated=True),
        came(b"no \xff text", 1_000_010, Opcode.TEXT),
        came(b"", 1_000_011, Opcode.TEXT),
        came(b"\0\xff", 1_000_012, deflated=True),
        Event(10, 1_000_013, True, EventKind.CLOSE, b"\x0f\xa1" + "später".encode()),
    ]
    end = End(EndKind.CLOSED, True, 4001, "später")
    handshake = Handshake(
        "/v2?symbol=BTC%20USDT&x=",
        (("Host", "localhost"), ("Cookie", "a=secret-0123456789"), ("X-Name", "gr\xfc\xdf")),
        101,
        (("Upgrade", "websocket"), ("X-Folded", "one\r\n two"), ("Set-Cookie", "b=secret-9876543210")),
    )
    return IncomingSession("hotbit", START_US + 5, handshake, items, START_US + 1_000_020, end)


def _ended(end: End, handshake: Handshake = HANDSHAKE, *items: IncomingMessage) -> IncomingSession:
    return IncomingSession("feed", START_US + 2_000_001, handshake, items, START_US + 2_000_033, end)


def every_kind() -> IncomingRecording:
    """A recording of two upstreams: every codec, opcode, event and end."""
    refused = Handshake("/no", (("Host", "x"),), 403, (("Content-Type", "text/plain"),), b"not you\n")
    sessions = [
        _of_every_codec(),
        _ended(End(EndKind.EOF, False), HANDSHAKE, came(b"last words", 3, Opcode.TEXT)),
        _ended(End(EndKind.CLOSED, False)),
        _ended(End(EndKind.REFUSED, False, 403), refused),
        _ended(End(EndKind.REFUSED, False, 502), Handshake("/no", (), 502, (), b"\xff\0")),
        _ended(End(EndKind.UNREACHABLE, None, None, "connection refused"), Handshake("/", ())),
        _ended(End(EndKind.EOF, True), Handshake("/left", ())),
        _ended(End(EndKind.INTERRUPTED), HANDSHAKE, came(b"x", 3)),
    ]
    return IncomingRecording("tuesday", START_US, START_US + 3_000_000, (UPSTREAM, OPAQUE), sessions)


def a_store_of(path: Path, incoming: IncomingRecording) -> Path:
    with a_writer(path) as writer:
        import_recording(writer, incoming)
    return path


def written(store: Path, write: Write, what: str = "tuesday") -> bytes:
    file = io.BytesIO()
    with StoreReader(str(store)) as reader:
        write(reader, what, file)
    return file.getvalue()


def facts(store: Path) -> list[Any]:
    """What comes back of a store: times to the microsecond, exact bytes, meaning, events, ends."""
    with StoreReader(str(store)) as reader:
        recordings = [
            (
                r.name,
                r.started_at_us,
                r.ended_at_us,
                [(u.name, u.protocol, u.url, u.listen) for u in r.upstreams],
            )
            for r in reader.recordings()
        ]
        sessions = [
            (
                (s.upstream.name, s.number, s.started_at_us, s.ended_at_us, s.handshake),
                (s.exchanges, s.pushes, s.end),
                [
                    (
                        *(m.seq, m.from_client, m.opcode, m.at_us, m.wire, m.payload, m.codec.kind),
                        *(m.role, m.method, m.answers, m.stream, m.deflated, m.redacted),
                    )
                    for m in reader.messages(s.id)
                ],
                reader.events(s.id),
            )
            for s in reader.sessions()
        ]
        return [recordings, sessions]
