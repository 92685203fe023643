"""
The adapter of the Ontology node.

Owns reading its messages: which answer belongs to which request, what a push belongs to, and the
answers that wiretape gives in the node's place. The actions themselves are in `ontology_actions`,
what `subscribe` does in `ontology_subscription`.
"""

import json
import re
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from wiretape_protocols.adapter import Conversation, MethodInfo, Protocol, Relaxed, Reply, Request, Role
from wiretape_protocols.codecs import Codec, CodecKind
from wiretape_protocols.json_spans import member_span, splice
from wiretape_protocols.json_values import (
    DEPTH_LIMIT,
    Json,
    Number,
    id_spelling,
    match_key,
    method_name,
    nests_deeper,
    read_reply,
    read_request,
)
from wiretape_protocols.messages import Opcode
from wiretape_protocols.ontology_actions import (
    ACTIONS,
    PUSHES,
    Action,
    action_key,
    changes_world,
    members_key,
    refused_early,
)
from wiretape_protocols.ontology_errors import INTERNAL_ERROR, SESSION_EXPIRED
from wiretape_protocols.ontology_subscription import Change, Subscription, go_json
from wiretape_protocols.opaque import UNREADABLE, unreadable
from wiretape_protocols.outstanding import OUTSTANDING_LIMIT, Waiting

_PUSHES = {push.name: Reply(Role.PUSH, push.name, stream=push.stream) for push in PUSHES}
# What the node sends about a client's own transaction needs no subscription.
_UNSUBSCRIBED = {push.name: Reply(Role.PUSH, push.name) for push in PUSHES if push.stream == "event"}
# How a node begins an answer: its members are sorted.
_USUAL_ID = re.compile(rb'\{"Action":"[^"\\]*","Desc":"[^"\\]*","Error":-?[0-9]+,"Id":(-?[0-9]+|null)[,}]')
_UNSOLICITED = Reply(Role.PUSH, "")


class _Outstanding(NamedTuple):
    """A request that waits, and what its answer will carry."""

    waiting: Waiting
    action: str | None
    """None where the request named none: only an early error can answer it."""
    id_key: str


class OntologyConversation(Conversation):
    """
    One connection to a node.

    The node answers strictly in order, so the oldest request is answered. Action and Id are
    checked where an answer has them: some requests never get an answer, and are given up when a
    later one does. An error that the node finds before it looks for an action names neither, and
    so answers the oldest. What answers nothing is a push without a stream; so are the notice that
    the session expired, and `Notify` and `Log` while events are not subscribed, which the node
    sends for the client's own transactions.
    """

    def __init__(self, *, correlate: bool) -> None:
        # None where nobody will feed answers. A full deque drops its oldest.
        self._outstanding: deque[_Outstanding] | None = deque(maxlen=OUTSTANDING_LIMIT) if correlate else None
        self._subscription = Subscription()

    def client(self, payload: bytes, opcode: Opcode, seq: int) -> Request:
        """Read a request; one that cannot be read waits for its error as any other does."""
        message = read_request(payload)
        if message is None:
            self._expect(Waiting(seq, ""), None, "")
            # Go reads more than Python does (bytes that are not UTF-8, for one), so it may act on it.
            return unreadable(payload, effects=True)
        id_text = id_spelling(payload, "Id", message["Id"]) if "Id" in message else None
        name = message.get("Action")
        request = self._request(message, name if isinstance(name, str) else None, id_text)
        role = Role.BACKGROUND if request.role is Role.BACKGROUND else Role.ANSWER
        action = name if isinstance(name, str) else None
        self._expect(Waiting(seq, request.method, role), action, _id_key(message.get("Id")))
        return request

    def upstream(self, payload: bytes, opcode: Opcode) -> Reply:
        """Read an answer or a push; a push has an Action of its own and no Id."""
        message = read_reply(payload)
        if message is None:
            return UNREADABLE
        action = message.get("Action")
        if not isinstance(action, str):
            return _UNSOLICITED
        if "Id" not in message:
            if action in _PUSHES:
                return self._push(action)
            if not action:
                return self._answer_oldest(message)
        if nests_deeper(message.get("Id"), DEPTH_LIMIT):
            return _UNSOLICITED
        return self._answer_fitting(action, _id_key(message["Id"]) if "Id" in message else None)

    def _request(self, message: dict[str, Json], name: str | None, id_text: bytes | None) -> Request:
        action = ACTIONS.get(name or "")
        if action is None or refused_early(message):
            role = Role.BACKGROUND if action and action.role is Role.BACKGROUND else Role.CALL
            return Request(role, method_name(name), members_key(message), id_text)
        if action.role is Role.SUBSCRIBE:
            return self._subscribe(Change.read(message), id_text)
        if action.role is Role.BACKGROUND:
            # Never shortened: `background_answer` reads the state out of it.
            return Request(action.role, action.name, f"{action.name} {self._subscription.key()}", id_text)
        key = action_key(action, message)
        return Request(action.role, action.name, key, id_text, effects=changes_world(message))

    def _subscribe(self, change: Change, id_text: bytes | None) -> Request:
        closes = self._subscription.closed(change)
        self._subscription = self._subscription.merged(change)
        only_off = bool(change.switches) and not any(change.switches.values())
        relaxed = Relaxed(
            match_key("subscribe", change.key(one_filter=True)), "the spelling of ContractsFilter"
        )
        return Request(
            role=Role.UNSUBSCRIBE if only_off else Role.SUBSCRIBE,
            method="subscribe",
            key=match_key("subscribe", change.key()),
            id_text=id_text,
            opens=self._subscription.opened(change),
            closes=closes,
            relaxed=(relaxed,) if change.filters else (),
        )

    def _expect(self, waiting: Waiting, action: str | None, id_key: str) -> None:
        if self._outstanding is not None:
            self._outstanding.append(_Outstanding(waiting, action, id_key))

    def _push(self, action: str) -> Reply:
        if action in _UNSUBSCRIBED and "SubscribeEvent" not in self._subscription.on:
            return _UNSUBSCRIBED[action]
        return _PUSHES[action]

    def _answer_oldest(self, message: dict[str, Any]) -> Reply:
        if message.get("Error") == SESSION_EXPIRED or not self._outstanding:
            return _UNSOLICITED
        return self._outstanding.popleft().waiting.answered()

    def _answer_fitting(self, action: str, id_key: str | None) -> Reply:
        outstanding = self._outstanding or deque()
        chosen = -1
        for index, request in enumerate(outstanding):
            if request.action == action and id_key in (None, request.id_key):
                chosen = index
                break
            if request.action == action and chosen < 0:
                chosen = index
        if chosen < 0:
            return _PUSHES.get(action, _UNSOLICITED)
        for _ in range(chosen):
            outstanding.popleft()
        return outstanding.popleft().waiting.answered()


class OntologyProtocol(Protocol):
    """The Ontology node: one JSON object a text message, both ways."""

    name = "ontology"
    opcode = Opcode.TEXT
    codec = Codec(CodecKind.IDENTITY)

    def conversation(self, *, correlate: bool = True) -> Conversation:
        """Start reading a connection."""
        return OntologyConversation(correlate=correlate)

    def methods(self) -> Sequence[MethodInfo]:
        """The actions in the order of the published document, then the pushes."""
        pushes = (MethodInfo(push.name, Role.PUSH, "", push.stream, documented=False) for push in PUSHES)
        return (*map(_method_info, ACTIONS.values()), *pushes)

    def with_id(self, payload: bytes, id_text: bytes | None) -> bytes:
        """Put the live Id in the place of the recorded one: null for a request that had none."""
        usual = _USUAL_ID.match(payload)
        if usual and payload.count(b'"Id"') == 1:
            return payload[: usual.start(1)] + (id_text or b"null") + payload[usual.end(1) :]
        span = member_span(payload, "Id")
        return splice(payload, [(span, id_text or b"null")]) if span else payload

    def refusal(self, request: Request) -> bytes | None:
        """The node's error 45001, which it hardly ever sends, with Action and Id so that clients find it."""
        return _answer(request, "INTERNAL ERROR", INTERNAL_ERROR, b'""')

    def background_answer(self, request: Request) -> bytes | None:
        """The answer to a heartbeat: what the live connection has subscribed to, as a node since v1.6.0 has it."""
        if request.role is not Role.BACKGROUND or not request.key.startswith("heartbeat {"):
            return None
        start = len("heartbeat ")
        end = json.JSONDecoder().raw_decode(request.key, start)[1]
        return _answer(request, "SUCCESS", 0, request.key[start:end].encode())


def _answer(request: Request, desc: str, error: int, result: bytes) -> bytes:
    parts = (go_json(request.method).encode(), desc.encode(), error, request.id_text or b"null", result)
    return b'{"Action":%s,"Desc":"%s","Error":%d,"Id":%s,"Result":%s,"Version":"1.0.0"}' % parts


def _id_key(value: object) -> str:
    """An Id as it comes back: every number in it went through a float, absent is null."""
    if isinstance(value, Number):
        return _rounded(value.text)
    if isinstance(value, bool | str) or value is None:
        return json.dumps(value)
    if isinstance(value, list):
        return f"[{','.join(map(_id_key, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(name)}:{_id_key(value[name])}' for name in sorted(value))}}}"
    return _rounded(value)


def _rounded(number: Any) -> str:
    try:
        return repr(float(number) + 0.0)
    except OverflowError:
        return "inf"


def _method_info(action: Action) -> MethodInfo:
    if action.role is Role.SUBSCRIBE:
        streams = ", ".join(dict.fromkeys(push.stream for push in PUSHES))
        return MethodInfo(action.name, action.role, "the members given, by type", streams)
    match = "action, current subscriptions" if action.role is Role.BACKGROUND else action.match()
    effects = action.name == "sendrawtransaction"
    return MethodInfo(action.name, action.role, match, effects=effects, documented=action.documented)
