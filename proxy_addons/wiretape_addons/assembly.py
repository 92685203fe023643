"""
Makes the messages of one session out of what the proxy saw of its connection.

Both feeds meet here: the tap brings bytes to be read as frames, mitmproxy's WebSocket hooks bring
whole messages. No I/O and no clock of its own; what is made goes to a `StoreWriter`.
"""

from wiretape_addons.feed import Ending, Opening
from wiretape_addons.frames import (
    ControlFrame,
    DataMessage,
    FrameReader,
    Violation,
    deflate_parameters,
)
from wiretape_protocols import Opcode, Protocol, Redactor
from wiretape_store import Classifier, End, EndKind, Event, EventKind, Handshake, StoreWriter, header_value

_CONTROL_EVENTS = {Opcode.PING: EventKind.PING, Opcode.PONG: EventKind.PONG, Opcode.CLOSE: EventKind.CLOSE}


class SessionAssembler:
    """
    One session, from its handshake to its end, in the order in which the proxy saw it.

    `opened_at_us` and every `at_us` are readings of the same monotonic clock.
    """

    def __init__(
        self,
        writer: StoreWriter,
        redactor: Redactor,
        protocol: Protocol,
        *,
        upstream_id: int,
        opening: Opening,
        opened_at_us: int,
        limit_bytes: int = 1 << 28,
    ) -> None:
        self._writer = writer
        self._classifier = Classifier(protocol, redactor)
        self._opened_at_us = opened_at_us
        self._started_at_us = opening.started_at_us
        self._last_us = 0
        # The first close frame: who sent it, its code and reason.
        self._close: tuple[bool, int | None, str | None] | None = None
        self._opening = opening
        extensions = header_value(opening.response_headers, "sec-websocket-extensions")
        from_client, from_upstream = deflate_parameters(extensions)
        self._readers = {
            True: FrameReader(masked=True, deflate=from_client, limit_bytes=limit_bytes),
            False: FrameReader(masked=False, deflate=from_upstream, limit_bytes=limit_bytes),
        }
        handshake = self._classifier.handshake(_handshake_of(opening))
        self.session_id = writer.begin_session(upstream_id, opening.started_at_us, handshake)

    def data(self, chunk: bytes, *, from_client: bool, at_us: int) -> None:
        """Bytes of the connection after its handshake, as they came off the socket."""
        elapsed_us = self._elapsed(at_us)
        for item in self._readers[from_client].feed(chunk):
            if type(item) is DataMessage:
                self._message(item, from_client=from_client, elapsed_us=elapsed_us)
            elif isinstance(item, ControlFrame):
                self._control(item, from_client=from_client, elapsed_us=elapsed_us)
            elif isinstance(item, Violation):
                self._event(
                    EventKind.VIOLATION, item.text.encode(), from_client=from_client, elapsed_us=elapsed_us
                )

    def message(self, data: bytes, opcode: Opcode, *, from_client: bool, at_us: int) -> None:
        """A whole message, its framing and permessage-deflate undone by somebody else."""
        self._message(DataMessage(opcode, data), from_client=from_client, elapsed_us=self._elapsed(at_us))

    def miss_beginning(self, at_us: int) -> None:
        """The connection's beginning is lost, so that its frames cannot be read any more."""
        text = b"this connection passed unrecorded: the store could not be written when it began"
        self._event(EventKind.GAP, text, from_client=False, elapsed_us=self._elapsed(at_us))
        for reader in self._readers.values():
            reader.broken = True

    def end(self, ending: Ending, at_us: int) -> None:
        """The connection is over; nothing may follow."""
        end = self._classifier.end(self._end_of(ending))
        self._writer.end_session(self.session_id, self._started_at_us + self._elapsed(at_us), end)

    def _end_of(self, ending: Ending) -> End:
        opening = self._opening
        if opening.unreachable is not None:
            return End(EndKind.UNREACHABLE, reason=opening.unreachable)
        if opening.status is not None and opening.status != 101:
            return End(EndKind.REFUSED, from_client=False, code=opening.status)
        if self._close is not None:
            from_client, code, reason = self._close
            return End(EndKind.CLOSED, from_client, code, reason)
        if ending.code is not None:
            return End(EndKind.CLOSED, ending.from_client, ending.code, ending.reason)
        if ending.interrupted:
            return End(EndKind.INTERRUPTED)
        return End(EndKind.EOF, ending.from_client)

    def _message(self, item: DataMessage, *, from_client: bool, elapsed_us: int) -> None:
        new = self._classifier.message(
            item.data, item.opcode, from_client=from_client, at_us=elapsed_us, deflated=item.deflated
        )
        self._writer.add(self.session_id, new)
        if item.sizes:
            sizes = ",".join(map(str, item.sizes)).encode()
            self._event(EventKind.FRAGMENTS, sizes, from_client=from_client, elapsed_us=elapsed_us)
        if new.decoded.note:
            note = new.decoded.note.encode()
            self._event(EventKind.UNDECODABLE, note, from_client=from_client, elapsed_us=elapsed_us)

    def _control(self, item: ControlFrame, *, from_client: bool, elapsed_us: int) -> None:
        self._event(_CONTROL_EVENTS[item.opcode], item.data, from_client=from_client, elapsed_us=elapsed_us)
        if item.opcode is Opcode.CLOSE and self._close is None:
            code = int.from_bytes(item.data[:2], "big") if len(item.data) >= 2 else None
            reason = item.data[2:].decode("utf-8", "replace") or None
            self._close = (from_client, code, reason)

    def _event(self, kind: EventKind, data: bytes, *, from_client: bool, elapsed_us: int) -> None:
        event = Event(-1, elapsed_us, from_client, kind, data)
        self._writer.add_event(self.session_id, self._classifier.event(event))

    def _elapsed(self, at_us: int) -> int:
        """Microseconds since the session began; never less than for the message before."""
        self._last_us = max(self._last_us, at_us - self._opened_at_us)
        return self._last_us


def _handshake_of(opening: Opening) -> Handshake:
    return Handshake(
        target=opening.target,
        request_headers=tuple(opening.request_headers),
        status=opening.status,
        response_headers=tuple(opening.response_headers),
        body=bytes.fromhex(opening.body_hex),
    )
