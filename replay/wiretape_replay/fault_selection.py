"""
Which messages, and which handshakes, a fault strikes.

Counting is for each connection by itself, and chance is drawn from a keyed hash of what is decided on.
So a decision is the same in every run and on every machine, whatever happens on other connections.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple
from typing import Protocol as Interface

from wiretape_replay.faults import Fault

_DRAWN = Struct("<8Q")  # as many draws as one digest of 64 bytes holds
_ALL = 2**64
_NUMBERS = Struct("<qQ")


class Named(Interface):
    """What selecting asks of a script."""

    def method(self, number: int, /) -> str:
        """The method of an upstream message."""

    def stream(self, number: int, /) -> str:
        """The stream that it belongs to."""


class MessageId(NamedTuple):
    """What chance knows of a message."""

    number: int
    """Counts the session's upstream messages; -1 for a message that is not in the recording."""
    again: int = 0
    """How often it was sent before; of messages that are not in the recording, how many were."""


class Draws:
    """Numbers for one fault on one connection: each depends on what it is drawn for, and on nothing else."""

    def __init__(self, seed: int, place: int, upstream: str, connection: int) -> None:
        what = f"{seed}\0{place}\0{upstream}\0{connection}"
        self._key = blake2b(what.encode()).digest()
        self._block = -1
        self._drawn: tuple[int, ...] = ()
        """The draws for the messages of `block`: hashing for one message at a time takes five times as long."""

    def chance(self, message: MessageId) -> float:
        """A number from 0 on and below 1."""
        if message.number < 0 or message.again:
            return self._draw(message, b"again") / _ALL
        return self.chance_of_first(message.number)

    def chance_of_first(self, number: int) -> float:
        """The chance of a recorded message, the first time it is sent."""
        block, index = divmod(number, 8)
        if block != self._block:
            digest = blake2b(block.to_bytes(8), key=self._key, person=b"chance").digest()
            self._drawn = _DRAWN.unpack(digest)
            self._block = block
        return self._drawn[index] / _ALL

    def below(self, limit: int, message: MessageId, purpose: bytes) -> int:
        """A whole number from 0 on and below `limit`."""
        return self._draw(message, purpose) * limit // _ALL

    def _draw(self, message: MessageId, purpose: bytes) -> int:
        digest = blake2b(_NUMBERS.pack(*message), key=self._key, person=purpose, digest_size=8).digest()
        return int.from_bytes(digest)


class ArmedFault:
    """A fault on one connection: counts what it selects, and says which of that it strikes."""

    def __init__(self, fault: Fault, place: int, draws: Draws) -> None:
        self.fault = fault
        self.place = place
        """Its place in the list of the run's faults."""
        self.draws = draws
        self._seen = 0
        """How many messages it has selected."""
        self._struck = 0

    @property
    def spent(self) -> bool:
        """Whether it cannot strike any more."""
        fault = self.fault
        if self._struck and (fault.kind.lasting or fault.kind.ending):
            return True
        if fault.nth is not None and self._seen >= fault.nth:
            return True
        return fault.times is not None and self._struck >= fault.times

    def is_same(self, other: "ArmedFault") -> bool:
        """Whether both are the same fault at the same place of the list."""
        return self.place == other.place and self.fault == other.fault

    def in_run(self, script: Named, first: int, last: int) -> Sequence[int]:
        """Which of the recorded messages `first` to `last` it strikes; counts them all, so ask once."""
        if self.spent:
            return ()
        method, stream = self.fault.method, self.fault.stream
        selected: Sequence[int] = range(first, last + 1)
        if method is not None:
            selected = [number for number in selected if script.method(number) == method]
        if stream is not None:
            selected = [number for number in selected if script.stream(number) == stream]
        picked = self._pick(selected)
        if self.fault.chance is not None:
            chance, drawn = self.fault.chance, self.draws.chance_of_first
            picked = [number for number in picked if drawn(number) < chance]
        return self._strike(picked)

    def strikes(self, message: MessageId, method: str, stream: str) -> bool:
        """Whether it strikes this message; counts it, so ask once."""
        fault = self.fault
        if self.spent or fault.method not in (None, method) or fault.stream not in (None, stream):
            return False
        picked = self._pick((0,))
        if fault.chance is not None and picked and self.draws.chance(message) >= fault.chance:
            picked = ()
        return bool(self._strike(picked))

    def strike(self) -> None:
        """Count a strike that no message brought about."""
        self._struck += 1

    def _pick(self, selected: Sequence[int]) -> Sequence[int]:
        before = self._seen
        self._seen += len(selected)
        nth, every = self.fault.nth, self.fault.every
        if nth is not None:
            return selected[nth - 1 - before : nth - before]  # it is not spent, so nth is above `before`
        return selected if every is None else selected[every - 1 - before % every :: every]

    def _strike(self, picked: Sequence[int]) -> Sequence[int]:
        most = 1 if self.fault.kind.lasting or self.fault.kind.ending else self.fault.times
        struck = picked if most is None else picked[: most - self._struck]
        self._struck += len(struck)
        return struck


def arm(
    faults: Iterable[tuple[int, Fault]], seed: int, upstream: str, connection: int
) -> tuple[ArmedFault, ...]:
    """Arm faults, each given with its place in the run's list, for one connection."""
    return tuple(
        ArmedFault(fault, place, Draws(seed, place, upstream, connection)) for place, fault in faults
    )
