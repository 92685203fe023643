"""What readers of a store get back: frozen records, never rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from wiretape_protocols import Codec, CodecKind, Opcode, Role, encode

Headers = tuple[tuple[str, str], ...]
"""Header fields in the order of the wire, names as they were spelled."""


def header_value(headers: Sequence[tuple[str, str]], name: str) -> str:
    """All values of the field `name` (lower case), joined by commas as RFC 9110 does; empty without any."""
    return ", ".join(value for field, value in headers if field.lower() == name)


class EndKind(StrEnum):
    """How a session ended."""

    CLOSED = "closed"
    """A close frame passed; `code` and `reason` are its own."""
    EOF = "eof"
    """TCP ended without a close frame."""
    REFUSED = "refused"
    """The upstream answered the handshake with a status other than 101; `code` is that status."""
    UNREACHABLE = "unreachable"
    """No connection to the upstream; `reason` says why."""
    INTERRUPTED = "interrupted"
    """The recorder ended first."""
    OPEN = "open"
    """Still being recorded."""


@dataclass(frozen=True, slots=True)
class End:
    """The end of a session, and which side began it (None where neither did or nobody can tell)."""

    kind: EndKind
    from_client: bool | None = None
    code: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class UpstreamSpec:
    """An upstream as the user named it, and the address (`host:port`) where its listener is."""

    name: str
    protocol: str
    url: str
    listen: str


@dataclass(frozen=True, slots=True)
class Upstream:
    """An upstream of one recording."""

    id: int
    name: str
    protocol: str
    url: str
    listen: str


@dataclass(frozen=True, slots=True)
class Recording:
    """The sessions of one run of the recorder; times are microseconds since 1970, UTC."""

    id: str
    """`r` and a number."""
    name: str
    started_at_us: int
    ended_at_us: int | None
    upstreams: tuple[Upstream, ...]
    pinned: bool = False
    """Pruning leaves it alone."""
    redaction_rules: tuple[str, ...] = ()
    """The rules by which the user added to the adapters' secrets."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """How the secrets of a recording became tokens."""

    key: bytes
    """What the tokens were made with; empty where nobody knows."""
    rules: tuple[str, ...]
    """The rules by which the user added to the adapters' secrets."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """The opening handshake as it passed; header values that are secret hold tokens."""

    target: str
    """Path and query as the client asked the listener for."""
    request_headers: Headers
    status: int | None = None
    """None where the upstream never answered."""
    response_headers: Headers = ()
    body: bytes = b""
    """Of a refused handshake."""


@dataclass(frozen=True, slots=True)
class Session:
    """One client connection to one upstream."""

    id: str
    """`s` and a number."""
    recording: str
    """The recording's name."""
    upstream: Upstream
    number: int
    """Counts the upstream's sessions within the recording, from 0: the nth connection."""
    started_at_us: int
    ended_at_us: int | None
    handshake: Handshake
    messages_from_client: int
    messages_from_upstream: int
    exchanges: int
    pushes: int
    wire_bytes: int
    """Sum of the messages' bytes as they crossed the wire."""
    end: End


@dataclass(frozen=True, slots=True)
class Message:
    """One WebSocket message of a session."""

    seq: int
    """Counts the session's messages in both directions, from 0, in the order of the wire."""
    from_client: bool
    opcode: Opcode
    at_us: int
    """Microseconds since the session's start."""
    payload: bytes
    """The decoded bytes: what `codec` unpacks `wire` to."""
    codec: Codec
    role: Role
    method: str
    answers: int | None
    stream: str
    deflated: bool = False
    """It crossed the wire under permessage-deflate (RFC 7692)."""
    redacted: bool = False
    """A secret was replaced by a token: `wire` is packed anew from `payload`."""
    kept_wire: bytes | None = None
    """The exact bytes, where they are not known to be what `codec` packs `payload` to."""

    @property
    def wire(self) -> bytes:
        """The exact bytes, after the WebSocket framing and permessage-deflate are undone."""
        if self.kept_wire is not None:
            return self.kept_wire
        return self.payload if self.codec.kind is CodecKind.IDENTITY else encode(self.payload, self.codec)


class EventKind(StrEnum):
    """What else happened on a connection, between its messages."""

    PING = "ping"
    PONG = "pong"
    CLOSE = "close"
    FRAGMENTS = "fragments"
    """The message before came in fragments; `data` is their sizes in decimal, separated by commas."""
    VIOLATION = "violation"
    """Bytes that are not WebSocket; `data` says what was wrong. Everything after is not read."""
    UNDECODABLE = "undecodable"
    """The message before could not be decoded and is opaque; `data` says why."""
    GAP = "gap"
    """Traffic passed that could not be stored; `data` says how much."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something on the wire that is not a message."""

    after_seq: int
    """The number of the message before it, -1 for none."""
    at_us: int
    from_client: bool
    kind: EventKind
    data: bytes
