"""What happens when faults strike: to the message, to what is let through from then on, and to the connection."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple

from wiretape_replay.actions import Abort, Close, Send, SendAnswer, SendRun
from wiretape_replay.fault_actions import FaultyClose, Passed, SendFilled, SendHalf, Sent
from wiretape_replay.fault_changes import corrupted, filled, truncated
from wiretape_replay.fault_selection import ArmedFault
from wiretape_replay.fault_windows import Message
from wiretape_replay.faults import Fault, FaultKind
from wiretape_replay.frames import header
from wiretape_replay.script import Script

_DEFAULT_CODE = 1001  # RFC 6455 section 7.4.1: going away, as from a server that restarts
_CHANGING = frozenset((FaultKind.CORRUPT, FaultKind.TRUNCATE, FaultKind.OVERSIZE))

Spell = Callable[[int, bytes | None], Send]
"""Makes the bytes of an answer under another id."""


class Strike(NamedTuple):
    """A fault has struck."""

    fault: Fault
    at_us: int
    detail: str
    """What it did, in words."""
    seq: int | None
    """The recorded message that it struck; None where it struck none."""
    method: str
    until_us: int = 0
    """When what it delays may go."""


@dataclass(slots=True)
class _Held:
    """A message that waits for the next one of its line, to go behind it."""

    sent: list[Sent]
    by: ArmedFault


class Strikes:
    """Collects what leaves a connection, each message as the faults leave it that strike it."""

    def __init__(
        self, script: Script, spell: Spell, note: Callable[[Strike], object], *, deflates: bool
    ) -> None:
        self._script = script
        self._spell = spell
        self._note = note
        self._deflates = deflates
        """permessage-deflate was agreed on."""
        self.passed: list[Passed] = []
        """What leaves, in order, until somebody takes it."""
        self.now_us = 0
        """When it leaves; whoever strikes keeps it up to date."""
        self.deaf: ArmedFault | None = None
        self.mute: ArmedFault | None = None
        """What has stopped the reading, and the pongs."""
        self.over = False
        """Nothing comes any more."""
        self._held: dict[str, _Held] = {}
        """By line, in the order in which they were held."""

    @property
    def lines(self) -> Collection[str]:
        """The lines in which a message waits for the next one."""
        return self._held.keys()

    def strike(self, message: Message, faults: list[ArmedFault]) -> None:
        """Let a message through as its faults leave it, each after the other."""
        lost = next((place for place, armed in enumerate(faults) if _loses(armed.fault.kind)), len(faults))
        sent: list[Sent] = [message.sent]
        holds: ArmedFault | None = None
        partner = self._held.get(message.line)
        for armed in faults[:lost]:
            kind = armed.fault.kind
            if kind in _CHANGING:
                sent = [self._changed(armed, message, sent[0])] * len(sent)
            elif kind is FaultKind.DUPLICATE:
                copies = armed.fault.copies or 1
                sent += sent[:1] * copies
                self.tell(armed, message, "sent twice" if copies == 1 else f"sent {copies + 1} times")
            elif kind is FaultKind.REORDER and partner is None and lost == len(faults):
                holds = holds or armed
            elif kind.lasting:
                self.begin(armed, message)
        if lost < len(faults):
            self._lose(faults[lost], message, sent[0])
        elif holds is not None:
            self.tell(holds, message, "held back behind the next of its stream")
            self._held[message.line] = _Held(sent, holds)
        else:
            self._held.pop(message.line, None)
            for each in [*sent, *(partner.sent if partner is not None else ())]:
                self.let_through(each)

    def _lose(self, armed: ArmedFault, message: Message, sent: Sent) -> None:
        """Something else happens instead of the message."""
        fault = armed.fault
        if fault.kind is FaultKind.DROP:
            self.tell(armed, message, "dropped")
        elif fault.kind is FaultKind.CLOSE:
            code = _DEFAULT_CODE if fault.code is None else fault.code
            self.tell(armed, message, f"closed with code {code} instead")
            self.end(FaultyClose(code, fault.reason))
        else:
            half = sent if isinstance(sent, SendFilled) else self._in_bytes(sent)
            size = half.size if isinstance(half, SendFilled) else len(half.wire)
            size += len(header(half.opcode, size))
            compressed = isinstance(half, Send) and half.deflated and self._deflates
            where = "in the middle of its frame" if compressed else f"after {size // 2} of {size} bytes"
            self.tell(armed, message, f"cut {where}")
            self.end(SendHalf(half, reset=fault.reset is not False))

    def _changed(self, armed: ArmedFault, message: Message, sent: Sent) -> Sent:
        """A message after a fault that changes its bytes; one that is filled up already stays as it is."""
        if isinstance(sent, SendFilled):
            return sent
        before = self._in_bytes(sent)
        after: Send | SendFilled
        match armed.fault.kind:
            case FaultKind.CORRUPT:
                after, how = corrupted(before, armed, message.id)
            case FaultKind.TRUNCATE:
                after, how = truncated(before, armed.fault)
            case _:
                after, how = filled(before, armed.fault)
        if not how:
            return sent
        self.tell(armed, message, how)
        return after

    def _in_bytes(self, sent: SendRun | SendAnswer | Send) -> Send:
        if isinstance(sent, Send):
            return sent
        if isinstance(sent, SendAnswer):
            return self._spell(sent.number, sent.id_text)
        opcode, wire = self._script.message(sent.first)
        return Send(opcode, wire, self._script.is_deflated(sent.first))

    def begin(self, armed: ArmedFault, message: Message | None) -> None:
        """Something stops, until its fault is cleared."""
        if armed.fault.kind is FaultKind.STOP_READING:
            self.deaf = self.deaf or armed
            self.tell(armed, message, "nothing that the client sends is read from here on")
        else:
            self.mute = self.mute or armed
            self.tell(armed, message, "pings are not answered from here on")

    def end(self, last: SendHalf | Close | Abort) -> None:
        """Let through what was held back, then the end; nothing comes behind it."""
        for held in self._held.values():
            for each in held.sent:
                self.let_through(each)
        self._held.clear()
        self.passed.append(last)
        self.over = True

    def let_through(self, sent: Sent) -> None:
        """Let it leave; runs that follow each other become one."""
        before = self.passed[-1] if self.passed else None
        if isinstance(sent, SendRun) and isinstance(before, SendRun) and before.last + 1 == sent.first:
            self.passed[-1] = SendRun(before.first, sent.last)
        else:
            self.passed.append(sent)

    def release(self, gone: Collection[ArmedFault]) -> None:
        """Undo what can be undone of what these faults did."""
        for line in [line for line, held in self._held.items() if held.by in gone]:
            for each in self._held.pop(line).sent:
                self.let_through(each)
        self.deaf = None if self.deaf in gone else self.deaf
        self.mute = None if self.mute in gone else self.mute

    def tell(self, armed: ArmedFault, message: Message | None, detail: str, until_us: int = 0) -> None:
        """Say what a fault did."""
        seq, method = (None, "") if message is None else (message.seq, message.method)
        self._note(Strike(armed.fault, self.now_us, detail, seq, method, until_us))


def _loses(kind: FaultKind) -> bool:
    return kind is FaultKind.DROP or kind.ending
