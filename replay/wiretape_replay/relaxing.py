"""
What the user says need not be equal for a match, on top of what a protocol's adapter relaxes itself.

Owns reading such a rule and giving each client message that it concerns a weaker key. A value that is
ignored is replaced by `null` in the message's text before the adapter reads it, so that everything the
adapter knows about spelling and state still counts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Self

from wiretape_protocols import (
    Conversation,
    MethodInfo,
    Opcode,
    Protocol,
    Relaxed,
    Reply,
    Request,
    Role,
    Span,
    splice,
)
from wiretape_protocols.json_pointers import Pointer
from wiretape_replay.errors import SettingError

_RULE = re.compile(
    r"(?P<method>.+?)(?::(?P<pointer>/.*?)(?:\+-(?P<within>[0-9]+(?:\.[0-9]+)?))?)?", re.DOTALL
)
_NUMBER = re.compile(rb"-?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_ACCEPTED = (
    "METHOD (match by method only), METHOD:/params/1 (ignore what the JSON pointer leads to) or "
    "METHOD:/params/1+-60 (a number within that range)"
)


@dataclass(frozen=True, slots=True)
class Relaxation:
    """One rule: for messages of `method`, ignore `pointer`, or everything where there is none."""

    text: str
    """As the user wrote it."""
    method: str
    pointer: Pointer | None = None
    within: Decimal | None = None
    """How far the number at `pointer` may be from the recorded one; None: any distance, any value."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `METHOD`, `METHOD:/pointer` or `METHOD:/pointer+-RANGE`. Raises SettingError."""
        found = _RULE.fullmatch(text)
        if found is None:
            raise SettingError("relax", text, _ACCEPTED)
        if found["pointer"] is None:
            return cls(text, found["method"])
        try:
            pointer = Pointer.parse(found["pointer"])
        except ValueError as exc:
            raise SettingError("relax", text, f"{_ACCEPTED}; {exc}") from exc
        within = None if found["within"] is None else Decimal(found["within"])
        return cls(text, found["method"], pointer, within)

    @property
    def without(self) -> str:
        """What a match by this rule left out, in words."""
        if self.pointer is None:
            return "everything but the method"
        where = self.text.removeprefix(f"{self.method}:").partition("+-")[0]
        return where if self.within is None else f"{where}, a number within {self.within}"

    def weakened(self, payload: bytes) -> tuple[bytes, Decimal | None] | None:
        """
        A message with `null` where the pointer leads, and the number that stood there.

        None where nothing is there, or no number where a range is asked for: the rule says nothing then.
        """
        assert self.pointer is not None
        spans = _outermost(self.pointer.spans(payload) or [])
        if not spans:
            return None
        number = _number(payload, spans)
        if self.within is not None and number is None:
            return None
        return splice(payload, [(span, b"null") for span in spans]), number


def _outermost(spans: Sequence[Span]) -> list[Span]:
    kept: list[Span] = []
    for span in sorted(spans):
        if not kept or span[0] >= kept[-1][1]:
            kept.append(span)
    return kept


def _number(payload: bytes, spans: Sequence[Span]) -> Decimal | None:
    """The one number that stands there, also within quotes, as exchanges send them."""
    if len(spans) != 1:
        return None
    text = payload[slice(*spans[0])].strip(b'"')
    return Decimal(text.decode()) if _NUMBER.fullmatch(text) else None


class RelaxingConversation(Conversation):
    """A connection's conversation, and beside it one for each rule, which hears the weakened messages."""

    def __init__(self, protocol: Protocol, rules: Sequence[Relaxation], *, correlate: bool) -> None:
        self._plain = protocol.conversation(correlate=correlate)
        self._rules = [
            (rule, protocol.conversation(correlate=False) if rule.pointer is not None else None)
            for rule in rules
        ]

    def client(self, payload: bytes, opcode: Opcode, seq: int) -> Request:
        """Read a message; what the rules leave of it comes after what the adapter itself relaxes."""
        request = self._plain.client(payload, opcode, seq)
        weaker: list[Relaxed] = []
        for rule, conversation in self._rules:
            concerned = request.method == rule.method and request.role is not Role.BACKGROUND
            if conversation is None:
                if concerned:
                    weaker.append(Relaxed(f"any {request.role.name} {rule.method}", rule.without, asked=True))
                continue
            weakened = rule.weakened(payload) if concerned else None
            heard = conversation.client(payload if weakened is None else weakened[0], opcode, seq)
            if weakened is not None:
                key = f"{rule.text} {heard.key}"
                number = weakened[1] if rule.within is not None else None
                weaker.append(Relaxed(key, rule.without, asked=True, number=number, within=rule.within))
        return replace(request, relaxed=(*request.relaxed, *weaker)) if weaker else request

    def upstream(self, payload: bytes, opcode: Opcode) -> Reply:
        """Read an upstream message."""
        return self._plain.upstream(payload, opcode)


class RelaxingProtocol(Protocol):
    """A protocol whose client messages have the weaker keys of the user's rules as well."""

    def __init__(self, protocol: Protocol, rules: Sequence[Relaxation]) -> None:
        self._protocol = protocol
        self._rules = tuple(rules)
        self.name, self.opcode, self.codec = protocol.name, protocol.opcode, protocol.codec

    def conversation(self, *, correlate: bool = True) -> Conversation:
        """Start reading a connection."""
        return RelaxingConversation(self._protocol, self._rules, correlate=correlate)

    def methods(self) -> Sequence[MethodInfo]:
        """Those of the protocol."""
        return self._protocol.methods()

    def secrets(self, payload: bytes, *, from_client: bool) -> list[Span]:
        """Those of the protocol."""
        return self._protocol.secrets(payload, from_client=from_client)

    def with_id(self, payload: bytes, id_text: bytes | None) -> bytes:
        """As the protocol does it."""
        return self._protocol.with_id(payload, id_text)

    def refusal(self, request: Request) -> bytes | None:
        """As the protocol does it."""
        return self._protocol.refusal(request)

    def background_answer(self, request: Request) -> bytes | None:
        """As the protocol does it."""
        return self._protocol.background_answer(request)
