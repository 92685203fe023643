"""
The adapter for JSON traffic that nobody wrote an adapter for.

Owns a cautious guess at what messages of the JSON-RPC kind mean; the names that it goes by are in
`generic_names`. It guesses for each message, and a message that gives nothing to go by is opaque.
"""

import json
from collections.abc import Mapping, Sequence

from wiretape_protocols.adapter import Conversation, MethodInfo, Protocol, Reply, Request, Role
from wiretape_protocols.codecs import Codec, CodecKind
from wiretape_protocols.generic_names import ID_NAMES, has_effects, id_member, method_member, role_of
from wiretape_protocols.json_spans import member_span, splice
from wiretape_protocols.json_values import (
    Json,
    canonical,
    id_spelling,
    match_key,
    method_name,
    read_reply,
    read_request,
    reply_id,
)
from wiretape_protocols.messages import Opcode
from wiretape_protocols.opaque import UNREADABLE, unreadable
from wiretape_protocols.outstanding import Outstanding, Waiting

# The group of pings without an id: a pong answers the oldest.
_PINGS = ("", "ping")
_TEXT_PING, _TEXT_PONG = b"ping", b"pong"
_PING_KEY = "ping"
_CLOCK_MEMBERS = frozenset(("ts", "timestamp", "time"))
# How a request of JSON-RPC 2.0 begins once its members are sorted and its id is gone.
_JSON_RPC_KEY = '{"jsonrpc":"2.0","method":'
_JSON_RPC_SERVER_ERROR = -32000


class GenericConversation(Conversation):
    """
    One connection that carries JSON objects.

    A client message with an id is answered by the first upstream message with an equal id under
    the same name, the oldest first; every other upstream message is a push without a stream, which
    a replay sends in the recorded order.
    """

    def __init__(self, *, correlate: bool) -> None:
        # None where nobody will feed answers.
        self._outstanding = Outstanding() if correlate else None

    def client(self, payload: bytes, opcode: Opcode, seq: int) -> Request:
        """Read a request: a call with an id, a notice without, a heartbeat only where it is sure."""
        message = read_request(payload)
        if message is None:
            return self._text(payload, seq)
        id_name = id_member(message)
        rest = {name: value for name, value in message.items() if name != id_name}
        id_text = id_spelling(payload, id_name, message[id_name]) if id_name else None
        group = (id_name, canonical(message[id_name])) if id_name else _PINGS
        heartbeat = _heartbeat(rest)
        if heartbeat:
            if heartbeat == "ping":
                self._expect(group, Waiting(seq, heartbeat, Role.BACKGROUND))
            key = match_key(_heartbeat_key(heartbeat, rest), "with id" if id_name else "")
            return Request(Role.BACKGROUND, heartbeat, key, id_text)
        member = method_member(rest)
        method = method_name(rest[member]) if member else ""
        if id_name:
            self._expect(group, Waiting(seq, method))
        role = role_of(method) if id_name else Role.NOTICE
        key = match_key(canonical(rest), "" if id_name else "without id")
        return Request(role, method, key, id_text, effects=has_effects(method))

    def upstream(self, payload: bytes, opcode: Opcode) -> Reply:
        """Read an answer or a push."""
        message = read_reply(payload)
        if message is None:
            waiting = self._take([_PINGS]) if payload.strip().lower() == _TEXT_PONG else None
            return waiting.answered() if waiting else UNREADABLE
        member = method_member(message)
        method = method_name(message[member]) if member else ""
        groups: list[tuple[str, str]] = []
        if not _is_server_request(message):
            groups = [
                (name, reply_id(payload, name, message[name]))
                for name in ID_NAMES
                if message.get(name) is not None
            ]
        waiting = self._take(groups)
        if waiting is None and method.lower() == "pong":
            waiting = self._take([_PINGS])
        return waiting.answered() if waiting else Reply(Role.PUSH, method)

    def _text(self, payload: bytes, seq: int) -> Request:
        text = payload.strip().lower()
        if text == _TEXT_PING:
            self._expect(_PINGS, Waiting(seq, "ping", Role.BACKGROUND))
            return Request(Role.BACKGROUND, "ping", _PING_KEY)
        if text == _TEXT_PONG:
            return Request(Role.BACKGROUND, "pong", "pong")
        return unreadable(payload, effects=True)

    def _expect(self, group: tuple[str, str], waiting: Waiting) -> None:
        if self._outstanding is not None:
            self._outstanding.add(group, waiting)

    def _take(self, groups: Sequence[tuple[str, str]]) -> Waiting | None:
        return self._outstanding.take(groups) if self._outstanding is not None else None


class GenericProtocol(Protocol):
    """JSON messages with ids, whoever speaks them: the adapter that is used where none is named."""

    name = "json"
    opcode = Opcode.TEXT
    codec = Codec(CodecKind.IDENTITY)

    def conversation(self, *, correlate: bool = True) -> Conversation:
        """Start reading a connection."""
        return GenericConversation(correlate=correlate)

    def methods(self) -> Sequence[MethodInfo]:
        """What the adapter tells apart; it knows no method by name."""
        return (
            MethodInfo("(message with an id)", Role.CALL, "the message without its id", effects=True),
            MethodInfo("(subscribing, by its name)", Role.SUBSCRIBE, "the message without its id"),
            MethodInfo("(unsubscribing, by its name)", Role.UNSUBSCRIBE, "the message without its id"),
            MethodInfo("(logging in, by its name)", Role.AUTH, "the message without its id"),
            MethodInfo("(message without an id)", Role.NOTICE, "the message", effects=True),
            MethodInfo("ping, pong", Role.BACKGROUND, "the message without its id and time"),
            MethodInfo("(anything else of the client)", Role.OPAQUE, "the bytes", effects=True),
            MethodInfo("(upstream message that answers nothing)", Role.PUSH, ""),
        )

    def with_id(self, payload: bytes, id_text: bytes | None) -> bytes:
        """Put the live id in the place of the recorded one, whatever its member is called."""
        message = read_reply(payload) if id_text is not None else None
        name = id_member(message) if message else None
        span = member_span(payload, name) if name else None
        return splice(payload, [(span, id_text)]) if span and id_text is not None else payload

    def refusal(self, request: Request) -> bytes | None:
        """An error of JSON-RPC 2.0 for a request of JSON-RPC 2.0; silence for all others."""
        if request.id_text is None or not request.key.startswith(_JSON_RPC_KEY):
            return None
        error = b'{"code":%d,"message":"Server error"}' % _JSON_RPC_SERVER_ERROR
        return b'{"jsonrpc":"2.0","error":%s,"id":%s}' % (error, request.id_text)

    def background_answer(self, request: Request) -> bytes | None:
        """A pong of the ping's own form; None for one with an id, whose answer's form nobody knows."""
        if request.method != "ping" or request.id_text is not None:
            return None
        return request.key.removeprefix("ping ").replace(_PING_KEY, "pong", 1).encode()


def _is_server_request(message: Mapping[str, object]) -> bool:
    """A request that a JSON-RPC server makes; its ids are its own and mean none of the client's."""
    return "jsonrpc" in message and "method" in message and "result" not in message and "error" not in message


def _heartbeat(rest: dict[str, Json]) -> str:
    """
    `ping` or `pong` for a message that says nothing else, otherwise empty.

    Nothing waits for a heartbeat in a replay and nobody misses one, so a message that could mean
    more is never taken for one: one word, perhaps the time, perhaps params that are empty.
    """
    name = method_member(rest)
    value = rest[name] if name else None
    word = value.lower() if isinstance(value, str) else ""
    if word not in ("ping", "pong"):
        return ""
    others = [other for other in rest if other != name and other not in _CLOCK_MEMBERS]
    return word if all(other == "jsonrpc" or rest[other] in (None, [], {}) for other in others) else ""


def _heartbeat_key(word: str, rest: dict[str, Json]) -> str:
    """The word and the message's form, of which `background_answer` makes a pong."""
    name = method_member(rest)
    return f"{word} {json.dumps({name: word}, separators=(',', ':'))}"
