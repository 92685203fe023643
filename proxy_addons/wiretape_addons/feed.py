"""
The records that the proxy's process hands to the writer's process, as bytes.

A record is a fixed header and a body; both ends run the same build, so there is no version.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct
from typing import Any, NamedTuple

from wiretape_store import KeepWire

_HEADER = Struct("<BBIqI")
HEADER_BYTES = _HEADER.size


class Kind(IntEnum):
    """What a record tells the writer."""

    OPEN = 1
    """A handshake passed or failed. Body: the JSON of `Opening`."""
    DATA = 2
    """Bytes after the handshake, as they came off the socket (the tap)."""
    MESSAGE = 3
    """A whole message (mitmproxy's WebSocket hooks)."""
    END = 4
    """A connection ended. Body: the JSON of `Ending`."""
    STOP = 5
    """Nothing more will come: close what is open and end the recording."""


class Record(NamedTuple):
    """One thing that happened on one connection."""

    kind: Kind
    key: int
    """Tells the connections of one recorder apart."""
    from_client: bool
    opcode: int
    """Of a MESSAGE; 0 elsewhere."""
    at_us: int
    """Microseconds on the proxy's monotonic clock."""
    body: bytes


class Opening(NamedTuple):
    """A handshake. Times are microseconds since 1970; headers are in the order of the wire."""

    upstream: int
    """Its place on the command line, from 0."""
    started_at_us: int
    target: str
    request_headers: list[tuple[str, str]]
    status: int | None
    response_headers: list[tuple[str, str]]
    body_hex: str
    unreachable: str | None
    """Why the upstream gave no answer; None when it gave one."""


class Ending(NamedTuple):
    """The end of a connection, as far as the proxy saw it."""

    from_client: bool | None
    code: int | None = None
    """A close code that only the WebSocket hooks know."""
    reason: str | None = None
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class IntakeSettings:
    """What the proxy's process tells the writer's process before any record, as a line of JSON."""

    store: str
    recording: str | None
    upstreams: list[dict[str, str]]
    commit_interval_us: int
    limit_bytes: int
    pass_unrecorded: bool
    """Go on when the store cannot be written, and record the gap when it can again."""
    redaction_rules: list[str] = field(default_factory=list)
    """The values of their variables are in the environment that both processes have."""
    keep_wire: str = KeepWire.NEEDED


def header(kind: Kind, key: int, *, from_client: bool, opcode: int, at_us: int, length: int) -> bytes:
    """The bytes before a body of `length` bytes."""
    return _HEADER.pack(kind, from_client << 7 | opcode, key, at_us, length)


def json_body(value: Opening | Ending) -> bytes:
    """The body of an OPEN or END record."""
    return json.dumps(value._asdict(), separators=(",", ":")).encode()


def opening(body: bytes) -> Opening:
    """Read the body of an OPEN record."""
    fields: dict[str, Any] = json.loads(body)
    for name in ("request_headers", "response_headers"):
        fields[name] = [(key, value) for key, value in fields[name]]
    return Opening(**fields)


def ending(body: bytes) -> Ending:
    """Read the body of an END record."""
    return Ending(**json.loads(body))


class RecordReader:
    """Cuts a byte stream into records; what is left of the last one waits for more."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._needed = HEADER_BYTES

    def feed(self, chunk: bytes) -> Iterator[Record]:
        """Take the next bytes; yield the records that they complete."""
        self._waiting.append(chunk)
        self._waiting_bytes += len(chunk)
        if self._waiting_bytes < self._needed:
            return
        stream = b"".join(self._waiting)
        position = 0
        self._needed = HEADER_BYTES
        while len(stream) - position >= HEADER_BYTES:
            kind, bits, key, at_us, length = _HEADER.unpack_from(stream, position)
            start = position + HEADER_BYTES
            stop = start + length
            if stop > len(stream):
                self._needed = HEADER_BYTES + length
                break
            yield Record(Kind(kind), key, bool(bits & 0x80), bits & 0x0F, at_us, stream[start:stop])
            position = stop
        self._waiting = [stream[position:]]
        self._waiting_bytes = len(stream) - position
