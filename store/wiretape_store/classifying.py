"""
What a store keeps of one session: its messages and whatever else came, without secrets, and what it means.

Whoever brings sessions into a store (the recorder, an import) passes them through here, in the order
of the wire. No I/O and no clock.
"""

from dataclasses import replace

from wiretape_protocols import Decoded, Opcode, Protocol, Redactor, SessionRedaction, decode, encode
from wiretape_store.pending import NewMessage
from wiretape_store.records import End, Event, EventKind, Handshake

_CONTROL_BYTES = 125
"""RFC 6455 section 5.5: no control frame holds more, so none is kept that does."""
_PLAIN_HEADER_BYTES = 10
"""A longer gzip header has fields of the writer's own (RFC 1952 section 2.3)."""
_REASON_BYTES = _CONTROL_BYTES - 2
_CONTROLS = frozenset((EventKind.PING, EventKind.PONG, EventKind.CLOSE))


class Classifier:
    """
    Reads one session: first its handshake, then its messages and events, last its end.

    Keeps what their meaning depends on, and the secrets they had: one that comes back is replaced too.
    """

    def __init__(self, protocol: Protocol, redactor: Redactor) -> None:
        self._redaction = SessionRedaction(protocol, redactor)
        self._redactor = redactor
        self._conversation = protocol.conversation()
        self.next_seq = 0
        """The number of the next message."""

    def handshake(self, handshake: Handshake) -> Handshake:
        """Replace the secrets of both sides' handshake, which are looked for in all that follows."""
        redaction = self._redaction
        redaction.learn_handshake(handshake.target, handshake.request_headers)
        redaction.learn_handshake("", handshake.response_headers)
        learned = redaction.learned
        return replace(
            handshake,
            target=self._redactor.target(handshake.target, learned),
            request_headers=self._redactor.headers(handshake.request_headers, learned),
            response_headers=self._redactor.headers(handshake.response_headers, learned),
            body=self._body(handshake.body),
        )

    def message(
        self,
        wire: bytes,
        opcode: Opcode,
        *,
        from_client: bool,
        at_us: int,
        deflated: bool = False,
        decoded: Decoded | None = None,
    ) -> NewMessage:
        """Read the next message; `decoded` is given by who knows better than its bytes tell."""
        if decoded is None:
            decoded = decode(wire)
        payload = decoded.payload
        seq = self.next_seq
        self.next_seq = seq + 1
        answers: int | None = None
        stream = ""
        if from_client:
            redacted = self._redaction.client(payload, opcode)
            request = self._conversation.client(payload if redacted is None else redacted, opcode, seq)
            role, method = request.role, request.method
        else:
            redacted, reply = self._redaction.upstream(payload, opcode, self._conversation)
            role, method, answers, stream = reply.role, reply.method, reply.answers, reply.stream
        if len(decoded.codec.header) > _PLAIN_HEADER_BYTES:
            decoded, redacted = self._without_header(decoded, redacted)
        return NewMessage(
            seq, from_client, opcode, at_us, wire, decoded, role, method, answers, stream, deflated, redacted
        )

    def _without_header(self, decoded: Decoded, redacted: bytes | None) -> tuple[Decoded, bytes | None]:
        """Replace a gzip header by the plain one where its name, comment or extra field holds a secret."""
        header = decoded.codec.header
        if self._redaction.text(header) == header:
            return decoded, redacted
        plain = replace(decoded.codec, header=b"", exact=False)
        return decoded._replace(codec=plain), decoded.payload if redacted is None else redacted

    def event(self, event: Event) -> Event:
        """Replace the secrets in what happened between messages, and count it after the last of them."""
        if event.kind is EventKind.CLOSE:
            data = event.data[:2] + self._clipped(event.data[2:], _REASON_BYTES)
        elif event.kind in _CONTROLS:
            data = self._clipped(event.data, _CONTROL_BYTES)
        else:
            data = self._redaction.text(event.data)
        return replace(event, after_seq=self.next_seq - 1, data=data)

    def end(self, end: End) -> End:
        """Replace the secrets in the words about an end."""
        if not end.reason:
            return end
        data = end.reason.encode("utf-8", "surrogatepass")
        cleaned = self._clipped(data, _REASON_BYTES) if end.code is not None else self._redaction.text(data)
        return end if cleaned == data else replace(end, reason=cleaned.decode("utf-8", "ignore"))

    def _clipped(self, data: bytes, limit: int) -> bytes:
        """A token is longer than most secrets, so what had room for the secret is cut to its room."""
        cleaned = self._redaction.text(data)
        if cleaned is data or len(cleaned) <= limit:
            return cleaned
        return cleaned[:limit].decode("utf-8", "ignore").encode() if _is_utf8(data) else cleaned[:limit]

    def _body(self, body: bytes) -> bytes:
        """The body of a refusal, unpacked for that and packed again."""
        decoded = decode(body)
        cleaned = self._redaction.text(decoded.payload)
        return body if cleaned == decoded.payload else encode(cleaned, decoded.codec)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
