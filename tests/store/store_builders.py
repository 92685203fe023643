"""Builders of what the tests of the store put into it, and a clock that stands still."""

import gzip
import os
import platform
import sqlite3
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from wiretape_protocols import Opcode, Role, decode
from wiretape_store import (
    Handshake,
    Message,
    NewMessage,
    RecorderProcess,
    StoreReader,
    StoreWriter,
    UpstreamSpec,
)

HOTBIT = UpstreamSpec("hotbit", "hotbit", "wss://ws.hotbit.example", "127.0.0.1:8081")
ONTOLOGY = UpstreamSpec("ontology", "ontology", "ws://node.example:20335", "127.0.0.1:8082")
HANDSHAKE = Handshake(
    "/v2?x=1", (("Host", "localhost"), ("Sec-WebSocket-Key", "x" * 24)), 101, (("Upgrade", "websocket"),)
)
START_US = 1_600_000_000_000_000
DEAD = RecorderProcess(platform.node(), os.getpid(), "another boot 1")
"""A process which had our number before the machine was started anew."""

PUSH = b'{"method": "price.update", "params": ["BTCUSDT", "10234.5"], "id": null}'


@dataclass
class Clock:
    """A clock that moves when it is told to."""

    now_us: int = START_US

    def __call__(self) -> int:
        return self.now_us


def stored_blocks(payload: bytes) -> bytes:
    """A gzip member of twenty or so stored blocks, where zlib would write one."""
    size = min(max(7, len(payload) // 20), 60_000)
    pieces = [payload[start : start + size] for start in range(0, len(payload) or 1, size)]
    blocks = [
        bytes([number == len(pieces) - 1])
        + len(piece).to_bytes(2, "little")
        + (len(piece) ^ 0xFFFF).to_bytes(2, "little")
        + piece
        for number, piece in enumerate(pieces)
    ]
    return b"".join((b"\x1f\x8b\x08\0\0\0\0\0\0\x03", *blocks, _trailer(payload)))


def two_blocks(payload: bytes) -> bytes:
    """A gzip member whose writer flushed in the middle, as a stream does."""
    deflater = zlib.compressobj(6, zlib.DEFLATED, 31)
    half = len(payload) // 2
    return b"".join(
        (
            deflater.compress(payload[:half]),
            deflater.flush(zlib.Z_FULL_FLUSH),
            deflater.compress(payload[half:]),
            deflater.flush(),
        )
    )


def raw_deflate(payload: bytes) -> bytes:
    """A raw deflate stream."""
    return zlib.compress(payload, 6, -15)


def packed(payload: bytes) -> dict[str, bytes]:
    """A payload on the wire, by every codec and by some that nobody can prove."""
    return {
        "text": payload,
        "gzip": gzip.compress(payload, 6, mtime=0),
        "gzip-9-with-time": gzip.compress(payload, 9, mtime=1_600_000_000),
        "zlib": zlib.compress(payload),
        "zlib-1": zlib.compress(payload, 1),
        "raw-deflate": raw_deflate(payload),
        "gzip-of-stored-blocks": stored_blocks(payload),
        "gzip-of-two-blocks": two_blocks(payload),
        "two-gzip-members": gzip.compress(payload, mtime=0) * 2,
        "gzip-cut-short": gzip.compress(payload, mtime=0)[:-3],
    }


def a_message(
    seq: int, wire: bytes = PUSH, *, from_client: bool = False, redacted: bytes | None = None
) -> NewMessage:
    """A push of the upstream, or a call of the client."""
    decoded = decode(wire)
    role, method, stream = (
        (Role.CALL, "price.query", "") if from_client else (Role.PUSH, "price.update", "price")
    )
    opcode = Opcode.TEXT if decoded.payload == wire else Opcode.BINARY
    return NewMessage(
        seq, from_client, opcode, seq * 10, wire, decoded, role, method, None, stream, redacted=redacted
    )


def a_writer(
    path: Path | str, clock: Clock | None = None, *, process: RecorderProcess | None = None
) -> StoreWriter:
    """A writer that does not wait for the disk."""
    return StoreWriter(str(path), clock_us=clock or Clock(), synchronous="OFF", process=process)


def begin(writer: StoreWriter, name: str | None = "tuesday") -> int:
    """A recording with one session, to Hotbit."""
    upstream = writer.begin_recording(name, [HOTBIT]).upstreams[0]
    return writer.begin_session(upstream.id, START_US, HANDSHAKE)


def a_store(path: Path | str, wires: list[bytes]) -> None:
    """A closed store with one recording of one session, `s1`."""
    with a_writer(path) as writer:
        session = begin(writer)
        for seq, wire in enumerate(wires):
            writer.add(session, a_message(seq, wire))


def read(path: Path | str, session: str = "s1") -> list[Message]:
    """All messages of a session."""
    with StoreReader(str(path)) as reader:
        return list(reader.messages(session))


def query(path: Path | str, statement: str) -> list[tuple[Any, ...]]:
    """Ask the database, past the code under test."""
    if "://" in str(path):
        with psycopg.connect(str(path).replace("+psycopg", ""), autocommit=True) as server:
            cursor = server.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []
    connection = sqlite3.connect(path)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.commit()
        connection.close()


def _trailer(payload: bytes) -> bytes:
    return zlib.crc32(payload).to_bytes(4, "little") + len(payload).to_bytes(4, "little")
