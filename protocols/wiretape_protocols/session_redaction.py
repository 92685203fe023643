"""
What is replaced in the messages of one connection: the same when it is recorded, imported and replayed.

Owns which secrets a connection has shown so far, so that they are found where nobody would look for
them: in an answer, a close reason, a ping. What a token is, is for `redaction`.
"""

from collections.abc import Sequence

from wiretape_protocols.adapter import Conversation, Protocol, Reply, Role
from wiretape_protocols.json_spans import Span
from wiretape_protocols.messages import Opcode
from wiretape_protocols.partial_inflate import looks_packed, readable_parts
from wiretape_protocols.redaction import Redactor, json_secret, outermost
from wiretape_protocols.secret_names import worth_finding
from wiretape_protocols.secret_texts import spellings
from wiretape_protocols.tokens import is_token, with_equal_tokens

_LEARNED_BYTES = 6
"""A secret of the protocol that is shorter is not looked for elsewhere: it would be found by chance."""
_MOST_LEARNED = 32
"""Secrets of messages that are looked for; the newest count."""


class SessionRedaction:
    """
    Redacts one connection. Feed it the handshake, then each message once, in the order of the wire.

    A replay feeds it the client's messages alone, recorded or live: what they become depends on no
    message of the upstream that the client has not got from the replay.
    """

    def __init__(self, protocol: Protocol, redactor: Redactor) -> None:
        self.redactor = redactor
        self._protocol = protocol
        self._secrets = protocol.secrets
        # Rules that need each message to be looked at; without them only what was learned is looked for.
        self._ruled = bool(redactor.members) or not redactor.finder.idle
        # Secrets of the handshake and of messages, by each of their spellings.
        self._of_handshake: dict[bytes, bytes] = {}
        self._of_messages: dict[bytes, None] = {}
        self.learned: dict[bytes, bytes] = {}
        """Each secret that was met, by its spellings; to be looked for in whatever else is kept."""

    def learn_handshake(self, target: str, headers: Sequence[tuple[str, str]]) -> None:
        """Remember the credentials of one side of the handshake."""
        for secret in self.redactor.secrets_of(target, headers):
            if worth_finding(secret) and not is_token(secret):
                self._of_handshake |= dict.fromkeys(spellings(secret), secret)
        self.learned = self._of_handshake | self.learned

    def client(self, payload: bytes, opcode: Opcode) -> bytes | None:
        """A client's payload without its secrets; None where it has none."""
        spans = self._secrets(payload, from_client=True)
        if not spans and not self._ruled and not self._knows(payload):
            return None
        members: list[Span] = []
        if self.redactor.members:
            method = self._protocol.conversation(correlate=False).client(payload, opcode, 0).method
            members = self.redactor.member_spans(payload, method)
        return self._redacted(payload, spans, members)

    def upstream(
        self, payload: bytes, opcode: Opcode, conversation: Conversation
    ) -> tuple[bytes | None, Reply]:
        """
        An upstream's payload without its secrets, None where it has none; and what it means.

        The conversation reads it here, because the user's rules go by its method.
        """
        spans = self._secrets(payload, from_client=False)
        if not spans and not self._ruled and not self._knows(payload):
            return None, conversation.upstream(payload, opcode)
        redacted = self._redacted(payload, spans, [])
        reply = conversation.upstream(payload if redacted is None else redacted, opcode)
        if self.redactor.members:
            # What cannot be read any more could be any message: then every rule is for it.
            hidden = redacted is not None and reply.role is Role.OPAQUE
            members = self.redactor.member_spans(payload, None if hidden else reply.method)
            if members:
                redacted = self._redacted(payload, spans, members)
        return redacted, reply

    def replayed(self, payload: bytes, opcode: Opcode) -> bytes:
        """A client's payload as it is compared: redacted, and without a known key all tokens alike."""
        redacted = self.client(payload, opcode)
        if redacted is None:
            redacted = payload
        return with_equal_tokens(redacted) if self.redactor.blind else redacted

    def text(self, data: bytes) -> bytes:
        """Anything else of the session, such as a close reason or a ping, without the secrets."""
        if not data or (not self._ruled and not self._knows(data)):
            return data
        if looks_packed(data) and self._in_parts(data):
            return self.redactor.token(data)
        return self.redactor.text(data, self.learned)

    def _knows(self, data: bytes) -> bool:
        # A loop, since it runs for every message: any() with a generator takes twice as long.
        for spelled in self.learned:  # noqa: SIM110
            if spelled in data:
                return True
        return False

    def _redacted(self, payload: bytes, spans: list[Span], members: list[Span]) -> bytes | None:
        values = outermost({*spans, *members}) if members else spans
        self._learn(payload, spans, members)
        if looks_packed(payload) and self._in_parts(payload):
            return self.redactor.token(payload)
        redacted = self.redactor.payload(payload, values, self.learned)
        if redacted == payload:
            return None
        # A pattern may find more once its finds are gone; what is kept has to stay as it is at each reading.
        return self.redactor.text(redacted, self.learned) if self._ruled else redacted

    def _in_parts(self, data: bytes) -> bool:
        """Whether bytes that could not be unpacked have a secret packed in them all the same."""
        if self.redactor.finder.idle and not self.learned:
            return False
        return bool(self.redactor.finder.find(readable_parts(data), self.learned))

    def _learn(self, payload: bytes, spans: list[Span], members: list[Span]) -> None:
        secrets = [json_secret(payload[slice(*span)]) for span in spans]
        found = [secret for secret in secrets if len(secret) >= _LEARNED_BYTES]
        by_rule = (json_secret(payload[slice(*span)]) for span in members)
        found += [secret for secret in by_rule if worth_finding(secret)]
        found = [secret for secret in found if not is_token(secret)]
        if not found:
            return
        for secret in found:
            self._of_messages.pop(secret, None)
            self._of_messages[secret] = None
        while len(self._of_messages) > _MOST_LEARNED:
            del self._of_messages[next(iter(self._of_messages))]
        self.learned = self._of_handshake | {
            spelled: secret for secret in self._of_messages for spelled in spellings(secret)
        }


def comparable_target(redactor: Redactor, target: str) -> str:
    """A path and query as replay compares them: redacted, and without a known key all tokens alike."""
    redacted = redactor.target(target)
    if not redactor.blind:
        return redacted
    return with_equal_tokens(redacted.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")
