"""
The adapter of the Hotbit exchange, whose protocol is that of ViaBTC's exchange server.

Owns reading its messages: which answer belongs to which request, what a push belongs to, and which
params are secret. The methods themselves are in `hotbit_methods`, the match keys in `hotbit_keys`.
"""

import re
from collections.abc import Sequence
from typing import Any

from wiretape_protocols.adapter import Conversation, MethodInfo, Protocol, Relaxed, Reply, Request, Role
from wiretape_protocols.codecs import Codec, CodecKind
from wiretape_protocols.hotbit_keys import params_key
from wiretape_protocols.hotbit_methods import METHODS, PUSHES, Method, Params, Shape, unknown
from wiretape_protocols.json_spans import Span, member_span, splice, value_span
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

_PUSHES = {push.name: Reply(Role.PUSH, push.name, stream=push.stream) for push in PUSHES}
_UNSOLICITED = Reply(Role.PUSH, "")
_ALL_SHAPES = tuple(Shape)
# Where the server puts the id of an answer: the last member of the object that ends the text. No string can
# look so: its quotes would be escaped, and its end would stand before the brace.
_LAST_ID = re.compile(rb'"id"[ \t\r\n]*:[ \t\r\n]*(-?[0-9]+)[ \t\r\n]*\}[ \t\r\n]*\Z')
_REFUSAL_CODE = 3
_REFUSAL_TEXT = b"service unavailable"


class HotbitConversation(Conversation):
    """
    One connection to Hotbit.

    Only the id ties an answer to its request, ids repeat, and answers come in any order. So of the
    requests with the answer's id the oldest is answered whose result would look like this one, or
    else the oldest. An answer to nothing is a push without a stream: the upstream sent it unasked.
    """

    def __init__(self, *, correlate: bool) -> None:
        # None where nobody will feed answers.
        self._outstanding = Outstanding() if correlate else None
        # An auth message went before; whether it succeeded is not asked, replay could not know.
        self._authenticated = False

    def client(self, payload: bytes, opcode: Opcode, seq: int) -> Request:
        """Read a request; whatever has an id and is not in the tables is still a call."""
        message = read_request(payload)
        if message is None or not ("id" in message or isinstance(message.get("method"), str)):
            return unreadable(payload, effects=False)
        name = message.get("method")
        if not isinstance(name, str):
            method, params = unknown(""), _without_id(message)
        else:
            method, params = METHODS.get(name) or unknown(method_name(name)), message.get("params", [])
        request = self._request(method, params, "id" in message, _id_text(payload, message))
        if method.role is Role.AUTH:
            self._authenticated = True
        if self._outstanding is not None and "id" in message:
            role = Role.BACKGROUND if method.role is Role.BACKGROUND else Role.ANSWER
            waiting = Waiting(seq, method.name, role)
            self._outstanding.add((canonical(message["id"]), method.shape), waiting)
        return request

    def upstream(self, payload: bytes, opcode: Opcode) -> Reply:
        """Read an answer or a push; a push is what has a method, whatever its id."""
        message = read_reply(payload)
        if message is None:
            return UNREADABLE
        if "method" in message:
            name = message["method"]
            known = _PUSHES.get(name) if isinstance(name, str) else None
            return known or Reply(Role.PUSH, method_name(name))
        if self._outstanding is None or "id" not in message:
            return _UNSOLICITED
        answered = reply_id(payload, "id", message["id"])
        waiting = self._outstanding.take((answered, shape) for shape in fitting_shapes(message))
        waiting = waiting or self._outstanding.take((answered, shape) for shape in _ALL_SHAPES)
        return waiting.answered() if waiting else _UNSOLICITED

    def _request(self, method: Method, params: Json, has_id: bool, id_text: bytes | None) -> Request:  # noqa: FBT001
        exact, loose = params_key(method, params)
        marks = (self._auth_mark(method), "" if has_id else "without id")
        opens, closes = _streams(method, params)
        return Request(
            role=method.role if has_id or method.role is Role.BACKGROUND else Role.NOTICE,
            method=method.name,
            key=match_key(method.name, exact, *marks),
            id_text=id_text,
            opens=opens,
            closes=closes,
            relaxed=tuple(Relaxed(match_key(method.name, text, *marks), without) for text, without in loose),
        )

    def _auth_mark(self, method: Method) -> str:
        if not method.needs_auth:
            return ""
        return "after auth" if self._authenticated else "before auth"


_ENVELOPE = frozenset({"method", "params", "id"})
_LOGINS = ("server.auth", "server.sign", "server.login")
_LOGIN_WORDS = tuple(name.encode() for name in _LOGINS)


class HotbitProtocol(Protocol):
    """The Hotbit exchange: JSON text from the client, one gzip stream a binary message back."""

    name = "hotbit"
    opcode = Opcode.BINARY
    codec = Codec(CodecKind.GZIP, level=6)

    def conversation(self, *, correlate: bool = True) -> Conversation:
        """Start reading a connection."""
        return HotbitConversation(correlate=correlate)

    def methods(self) -> Sequence[MethodInfo]:
        """The methods in the order of the published document, then the pushes."""
        return (
            *map(_method_info, METHODS.values()),
            *(
                MethodInfo(push.name, Role.PUSH, "", push.stream, documented=push.documented)
                for push in PUSHES
            ),
        )

    def secrets(self, payload: bytes, *, from_client: bool) -> list[Span]:
        """
        The params that log in; params that are not the documented list are secret as a whole.

        The sign of server.auth is computed without a time or a nonce: the message is a permanent
        credential.
        """
        # A name can be spelled without these bytes only by escaping, which takes a backslash.
        if not from_client or (b'"server.' not in payload and b"\\" not in payload):
            return []
        message = read_request(payload)
        name = message.get("method") if message else None
        method = METHODS.get(name) if isinstance(name, str) else None
        if message is None or any(payload.count(member) > 1 for member in (b'"method"', b'"params"')):
            # What the server makes of it is anybody's guess, and so is where the secret stands.
            return [(0, len(payload))] if any(word in payload for word in _LOGIN_WORDS) else []
        # A login that nobody has seen yet, such as a server.auth3, has its secrets nobody knows where.
        unknown_login = method is None and isinstance(name, str) and name.startswith(_LOGINS)
        if not unknown_login and (method is None or not method.secrets):
            return []
        params = message.get("params")
        if method is None or not isinstance(params, list):
            span = member_span(payload, "params")
            return [span] if span else []
        secret = (index for index in range(len(params)) if index not in method.plain)
        spans = [value_span(payload, ("params", index)) for index in secret]
        spans += [member_span(payload, member) for member in message if member not in _ENVELOPE]
        return sorted({span for span in spans if span})

    def with_id(self, payload: bytes, id_text: bytes | None) -> bytes:
        """Put the live id in the place of the recorded one."""
        if id_text is None:
            return payload
        at = payload.rfind(b'"id"')
        last = _LAST_ID.match(payload, at) if at > 0 else None
        if last and payload[max(0, at - 8) : at].rstrip()[-1:] in (b",", b"{"):
            return payload[: last.start(1)] + id_text + payload[last.end(1) :]
        span = member_span(payload, "id")
        return splice(payload, [(span, id_text)]) if span else payload

    def refusal(self, request: Request) -> bytes | None:
        """The server's error 3, in its own spelling; a message without an id is never answered."""
        if request.id_text is None:
            return None
        error = b'{"code": %d, "message": "%s"}' % (_REFUSAL_CODE, _REFUSAL_TEXT)
        return b'{"error": %s, "result": null, "id": %s}' % (error, request.id_text)

    def background_answer(self, request: Request) -> bytes | None:
        """The answer to a ping."""
        if request.role is not Role.BACKGROUND or request.id_text is None:
            return None
        return b'{"error": null, "result": "pong", "id": %s}' % request.id_text


def _id_text(payload: bytes, message: dict[str, Json]) -> bytes | None:
    """The id's bytes; None where there is none. An id of null is an id."""
    return id_spelling(payload, "id", message["id"]) if "id" in message else None


def fitting_shapes(message: dict[str, Any]) -> tuple[Shape, ...]:
    """Which requests an answer may belong to, by its result; an error fits every request."""
    result = message.get("result")
    if message.get("error") is not None or result is None:
        return _ALL_SHAPES
    if isinstance(result, dict):
        return (*_shapes_of_object(result), Shape.ANY)
    if isinstance(result, list):
        return (Shape.LIST, Shape.ANY)
    if not isinstance(result, str):
        return (Shape.TIME, Shape.ANY)
    if result == "pong":
        return (Shape.PONG, Shape.ANY)
    # An older document has the time of the server as a string.
    return (Shape.STRING, Shape.TIME, Shape.ANY) if result.isdecimal() else (Shape.STRING, Shape.ANY)


def _shapes_of_object(result: dict[str, Any]) -> tuple[Shape, ...]:
    if isinstance(result.get("status"), str):
        return (Shape.STATUS,)
    if "asks" in result or "bids" in result:
        return (Shape.BOOK,)
    # A book without levels may come without sides.
    return (Shape.DICT,) if result else (Shape.DICT, Shape.BOOK)


def _without_id(message: dict[str, Json]) -> Json:
    return {name: value for name, value in message.items() if name != "id"}


def _streams(method: Method, params: Json) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a message opens and closes: subscribing replaces, and to an empty list it ends."""
    stream = (method.stream,) if method.stream else ()
    if method.role is Role.SUBSCRIBE and (params != [] or method.params is Params.IGNORED):
        return stream, ()
    return (), stream


def _method_info(method: Method) -> MethodInfo:
    secrets = ", ".join(f"params[{index}]" for index in method.secrets)
    match = f"{method.params.value}; auth before or not" if method.needs_auth else method.params.value
    return MethodInfo(method.name, method.role, match, method.stream, secrets, documented=method.documented)
