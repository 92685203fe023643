"""The faults of one run: which concern a connection, and what becomes of its handshake."""

from collections.abc import Iterable
from dataclasses import dataclass

from wiretape_replay.fault_selection import ArmedFault, Draws, MessageId, arm
from wiretape_replay.faults import Fault, FaultKind

_HANDSHAKE = MessageId(0)


@dataclass(frozen=True, slots=True)
class HandshakeFate:
    """What becomes of a handshake: first the delay, then the refusal."""

    struck: tuple[Fault, ...] = ()
    delay_us: int = 0
    refusal: Fault | None = None
    """None: it is answered as it would have been."""

    def details(self) -> list[str]:
        """What the journal says, an entry for each fault that struck."""
        return [_words(fault) for fault in self.struck]


class FaultPlan:
    """
    The list of a run's faults and the seed that their chances are drawn from.

    A fault of the handshake counts the handshakes of each upstream by itself; one of messages the
    messages of each connection. A fault that stays at its place when the list is changed counts on.
    """

    def __init__(self, faults: Iterable[Fault] = (), seed: int = 0) -> None:
        self._seed = seed
        self._faults = tuple(faults)
        self._handshakes: dict[tuple[int, Fault, str], ArmedFault] = {}
        """Those of the handshake, by place, fault and upstream: each counts for itself."""

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The list as it was given."""
        return self._faults

    @faults.setter
    def faults(self, faults: Iterable[Fault]) -> None:
        self._faults = tuple(faults)
        kept = set(enumerate(self._faults))
        self._handshakes = {
            (place, fault, upstream): armed
            for (place, fault, upstream), armed in self._handshakes.items()
            if (place, fault) in kept
        }

    def handshake(self, upstream: str, connection: int) -> HandshakeFate:
        """What becomes of the nth valid handshake to an upstream; ask once for each, in their order."""
        struck: list[Fault] = []
        for place, fault in enumerate(self._faults):
            if not fault.kind.of_handshake or not fault.concerns(upstream, connection):
                continue
            key = (place, fault, upstream)
            armed = self._handshakes.setdefault(key, ArmedFault(fault, place, Draws(0, 0, "", 0)))
            armed.draws = Draws(self._seed, place, upstream, connection)
            if armed.strikes(_HANDSHAKE, "", ""):  # each counts, whatever the others do
                struck.append(fault)
        delays = [fault for fault in struck if fault.kind is FaultKind.DELAY_HANDSHAKE]
        refusal = next((fault for fault in struck if fault.kind is FaultKind.REFUSE), None)
        happened = delays if refusal is None else [*delays, refusal]
        return HandshakeFate(tuple(happened), sum(_us(fault.delay_s or 0) for fault in delays), refusal)

    def armed(self, upstream: str, connection: int) -> tuple[ArmedFault, ...]:
        """The faults that may strike messages of a connection; empty where none can."""
        of_messages = (
            (place, fault)
            for place, fault in enumerate(self._faults)
            if not fault.kind.of_handshake and fault.concerns(upstream, connection)
        )
        return arm(of_messages, self._seed, upstream, connection)


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _words(fault: Fault) -> str:
    if fault.kind is FaultKind.DELAY_HANDSHAKE:
        return f"the handshake is delayed by {fault.delay_s:g} s"
    if fault.status is None:
        return "the handshake is refused: TCP is reset"
    return f"the handshake is refused with status {fault.status}"
