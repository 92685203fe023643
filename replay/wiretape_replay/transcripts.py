"""What passed between a client and its replay, kept as a session that can be stored as any recorded one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from wiretape_protocols import Opcode
from wiretape_replay.actions import Abort, Action, Close, Forward, Send, SendAnswer, SendRun
from wiretape_replay.script import Script
from wiretape_store import IncomingMessage, IncomingSession
from wiretape_store.records import End, EndKind, Event, Handshake, Headers, Session

_NO_STATUS = 1005  # RFC 6455 section 7.4.1


@dataclass(slots=True)
class Transcript:
    """
    One connection, from its handshake on.

    A long run of recorded messages takes no more room here than a short one: its bytes are the script's.
    """

    session: Session
    """The recorded session that was replayed."""
    script: Script
    target: str
    headers: Headers
    """Of the live handshake; secrets are replaced when it is stored."""
    started_at_us: int
    """Microseconds since 1970, UTC."""
    ended_us: int | None = None
    """Since the start; unset while it goes on."""
    end: End = field(default_factory=lambda: End(EndKind.INTERRUPTED))
    _items: list[tuple[int, bytes | None, Opcode | int, int, bool]] = field(default_factory=list)

    def received(self, wire: bytes, opcode: Opcode, at_us: int) -> None:
        """The client has sent a message."""
        self._items.append((at_us, wire, opcode, 1, False))

    def performed(self, action: Action, spell: Callable[[int, bytes | None], Send], at_us: int) -> None:
        """The replay has done this; `spell` is the session's."""
        match action:
            case SendRun(first, last):
                self._items.append((at_us, None, first, last, False))
            case Send(opcode, wire, deflated):
                self._items.append((at_us, wire, opcode, 0, deflated))
            case SendAnswer(number, id_text):
                self.performed(spell(number, id_text), spell, at_us)
            case Close(code, reason):
                self.ended(End(EndKind.CLOSED, from_client=False, code=code, reason=reason), at_us)
            case Abort():
                self.ended(End(EndKind.EOF, from_client=False), at_us)
            case Forward():
                pass

    def client_closed(self, code: int, reason: str, at_us: int) -> None:
        """The client has sent a close frame; 1005 stands for one without a code."""
        end = End(
            EndKind.CLOSED, from_client=True, code=None if code == _NO_STATUS else code, reason=reason or None
        )
        self.ended(end, at_us)

    def ended(self, end: End, at_us: int) -> None:
        """It is over; only the first end counts."""
        if self.ended_us is None:
            self.end, self.ended_us = end, at_us

    def incoming(self) -> IncomingSession:
        """The session for the store."""
        recorded = self.session.handshake
        handshake = replace(recorded, target=self.target, request_headers=self.headers)
        last_us = max((item[0] for item in self._items), default=0)
        ended_us = max(last_us, self.ended_us if self.ended_us is not None else last_us)
        return IncomingSession(
            self.session.upstream.name,
            self.started_at_us,
            _without_upgrade(handshake),
            self._messages(),
            self.started_at_us + ended_us,
            self.end,
        )

    def _messages(self) -> Iterator[IncomingMessage | Event]:
        for at_us, wire, first, last, deflated in self._items:
            if wire is not None:
                yield IncomingMessage(bool(last), Opcode(first), at_us, wire, deflated=deflated)
                continue
            for number in range(first, last + 1):
                opcode, recorded = self.script.message(number)
                yield IncomingMessage(
                    False, opcode, at_us, recorded, deflated=self.script.is_deflated(number)
                )


def _without_upgrade(handshake: Handshake) -> Handshake:
    """Without the key of a handshake, which is another at every connection."""
    kept = tuple(pair for pair in handshake.request_headers if pair[0].lower() != "sec-websocket-key")
    return replace(handshake, request_headers=kept)
