"""
Between a session and its connection: takes what is to be sent, and passes on what the faults leave of it.

Costs nothing as long as there is no fault for the connection; with one it passes on no more than the
outbox has room for.
"""

from collections.abc import Callable, Sequence

from wiretape_replay.engine import ReplaySession
from wiretape_replay.fault_actions import Passed, Queued
from wiretape_replay.fault_selection import ArmedFault
from wiretape_replay.fault_stage import FaultStage
from wiretape_replay.outbox import Outbox
from wiretape_replay.script import Script

_MOST_PIECES = 1024
_MOST_BYTES = 4 * 1024 * 1024


class FaultGate:
    """Passes actions on to `carry_out`; `now_us` tells the session's time."""

    def __init__(
        self, outbox: Outbox, carry_out: Callable[[Sequence[Passed]], None], now_us: Callable[[], int]
    ) -> None:
        self._outbox = outbox
        self._carry_out = carry_out
        self._now_us = now_us
        self._stage: FaultStage | None = None
        """Unset as long as there is no fault, and once the connection is ended from outside."""
        self.active = False
        """Whether anything need go through here."""

    def __len__(self) -> int:
        return 0 if self._stage is None else len(self._stage)

    @property
    def ready(self) -> bool:
        """Whether something waits for room, and for nothing else."""
        return self._stage is not None and self._stage.ready

    @property
    def next_wake_us(self) -> int | None:
        """When `let_through` is due next; None: not before something is sent."""
        return None if self._stage is None else self._stage.next_wake_us

    @property
    def deaf(self) -> bool:
        """Whether a fault has stopped the reading."""
        return self._stage is not None and self._stage.deaf

    @property
    def holds_input(self) -> bool:
        """Whether no message of the client may be read now."""
        return self._stage is not None and (self._stage.deaf or self._stage.holds_input)

    def set_faults(
        self, faults: Sequence[ArmedFault], script: Script, session: ReplaySession, *, deflates: bool
    ) -> None:
        """Go on with these faults of the session."""
        if self._stage is None:
            if not faults:
                return
            self._stage = FaultStage(script, session.spell, session.struck, deflates=deflates)
            self.active = True
        self._stage.set_faults(faults, self._now_us())
        if not faults and self._stage.idle:
            self.drop()

    def send(self, items: Sequence[Queued]) -> None:
        """Send these, behind all that was sent before."""
        if self._stage is None or self._stage.idle:
            self._carry_out(items)
        else:
            self._stage.put(items, self._now_us())
            self.let_through()

    def let_through(self) -> None:
        """Pass on what may go, as far as there is room, and as much as others can wait for."""
        room = _MOST_PIECES - len(self._outbox)
        if self._stage is not None and room > 0 and self._outbox.waiting_bytes <= _MOST_BYTES:
            self._carry_out(self._stage.take(self._now_us(), room))

    def hurry(self) -> None:
        """Delay nothing any more."""
        if self._stage is not None:
            self._stage.hurry()

    def drop(self) -> None:
        """Forget the faults, and what waits for them."""
        self._stage = None
        self.active = False
