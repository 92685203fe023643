"""
What a protocol adapter answers about the messages of one upstream family.

Everything above this package is blind to protocols: it asks a `Protocol` and, for what depends on
the messages before, the `Conversation` of one connection. Both are pure: bytes in, values out.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum

from wiretape_protocols.codecs import Codec
from wiretape_protocols.json_spans import Span
from wiretape_protocols.messages import Opcode


class Role(IntEnum):
    """What a message is for. The first six and OPAQUE are the client's, the rest the upstream's."""

    CALL = 1
    SUBSCRIBE = 2
    UNSUBSCRIBE = 3
    AUTH = 4
    BACKGROUND = 5
    """Says nothing about the client's behaviour (a heartbeat), or answers such a message."""
    NOTICE = 6
    """Expects no answer."""
    OPAQUE = 7
    """The adapter cannot read it; it is matched by its bytes and passed on as it is."""
    ANSWER = 8
    PUSH = 9


@dataclass(frozen=True, slots=True)
class Relaxed:
    """A weaker match key, and in words what it leaves out; tried only when the exact key finds nothing."""

    key: str
    without: str
    asked: bool = False
    """The user asked for it: a match by it is no finding."""
    number: Decimal | None = None
    within: Decimal | None = None
    """Messages of this key match only if their numbers are at most so far from each other."""


@dataclass(frozen=True, slots=True)
class Request:
    """What one client message means."""

    role: Role
    method: str
    """The protocol's name for it; empty when there is none."""
    key: str
    """The match key: equal keys ask the same thing in the same state of the connection."""
    id_text: bytes | None = None
    """The id exactly as the client spelled it in its JSON text; None where it sent none."""
    effects: bool = False
    """It changes the world beyond this connection, so a replay never repeats its answer."""
    opens: tuple[str, ...] = ()
    """The streams that it opens, and those that it closes."""
    closes: tuple[str, ...] = ()
    relaxed: tuple[Relaxed, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """What one upstream message means: `ANSWER`, `PUSH`, `BACKGROUND` or `OPAQUE`."""

    role: Role
    method: str
    answers: int | None = None
    """The number (`seq`) of the client message that it answers."""
    stream: str = ""
    """The stream that a push belongs to; empty for a push that no subscription causes."""


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """One line of the table of methods in the documentation."""

    name: str
    role: Role
    match: str
    stream: str = ""
    secrets: str = ""
    effects: bool = False
    documented: bool = True
    """False where the upstream's published document does not have it."""


class Conversation(ABC):
    """
    The state of one connection, as far as its messages' meaning depends on it.

    Feed it each message of a connection once, in the order of the wire. The meaning of a client
    message depends on earlier client messages alone, so replay feeds it only those
    (`correlate=False`: nothing is kept for answers that will never be fed).
    """

    @abstractmethod
    def client(self, payload: bytes, opcode: Opcode, seq: int) -> Request:
        """Read the client message number `seq`, decoded. Never raises for what a peer can send."""

    @abstractmethod
    def upstream(self, payload: bytes, opcode: Opcode) -> Reply:
        """Read an upstream message, decoded. Never raises for what a peer can send."""


class Protocol(ABC):
    """One upstream family. Instances hold no state and are shared."""

    name: str
    """What the command line, the store and the entry point call it."""
    opcode: Opcode = Opcode.TEXT
    """How the upstream sends; used for answers that no recorded message can lend its form to."""
    codec: Codec

    @abstractmethod
    def conversation(self, *, correlate: bool = True) -> Conversation:
        """Start reading a connection."""

    @abstractmethod
    def methods(self) -> Sequence[MethodInfo]:
        """Every method and push the adapter knows, in the order of the documentation's table."""

    def secrets(self, payload: bytes, *, from_client: bool) -> list[Span]:
        """
        The byte spans of the JSON values in `payload` that must not be stored, in ascending order.

        Called for every message that is recorded, imported or compared in a replay, before any other
        method and before the user's own rules: on what a peer sent, and on what is stored of it, which
        holds tokens there. It must find the same places in both, and know each by the message alone.
        A message that may hold a secret and cannot be read for certain is one span as a whole. What a
        span holds is also looked for in the rest of the connection, where it has six bytes or more.
        """
        return []

    def with_id(self, payload: bytes, id_text: bytes | None) -> bytes:
        """
        An answer's text with the live id in place of the recorded one, otherwise untouched.

        `id_text` is the live client's own spelling, None where it sent no id. A text without an id
        comes back as it is.
        """
        return payload

    def refusal(self, request: Request) -> bytes | None:
        """How the upstream would refuse a message the recording cannot answer; None: it would be silent."""
        return None

    def background_answer(self, request: Request) -> bytes | None:
        """An answer to a heartbeat that was not recorded; None where the protocol has none."""
        return None
