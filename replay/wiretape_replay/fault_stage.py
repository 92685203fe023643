"""
What faults do to the messages of one connection: a stage between the engine's actions and the driver.

Pure, as the engine is: actions and times in, actions out. Which messages a fault strikes is found in
`fault_selection`, what it does to them in `fault_strikes`.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from wiretape_replay.actions import Abort, Close, Send
from wiretape_replay.fault_actions import Passed, Queued
from wiretape_replay.fault_selection import ArmedFault
from wiretape_replay.fault_strikes import Spell, Strike, Strikes
from wiretape_replay.fault_windows import WINDOW, Message, Sendable, Window
from wiretape_replay.faults import FaultKind
from wiretape_replay.script import Script

PIECES = 1024
"""About how many actions one `take` returns."""
_LOOKED = 4 * WINDOW  # messages that one `take` looks at, so that other connections get their turn
_PONG = 0x8A  # the first byte of its frame


@dataclass(slots=True)
class _Wait:
    """The next message is delayed."""

    until_us: int
    by: list[ArmedFault]


class FaultStage:
    """
    Lets the engine's actions through, as the faults leave them.

    `set_faults` first; then `put` what the engine returns, and `take` what may leave: at once, at
    `next_wake_us`, and again as long as `ready` says that there is more. However long a run is, it is
    taken apart only as pieces are taken. After a `Close`, an `Abort` or a `SendHalf` nothing more comes.
    """

    def __init__(
        self, script: Script, spell: Spell, note: Callable[[Strike], object], *, deflates: bool = False
    ) -> None:
        self._script = script
        self._strikes = Strikes(script, spell, note, deflates=deflates)
        self._faults: list[ArmedFault] = []
        self._queue: deque[tuple[Queued, int]] = deque()
        """What was not let through yet, each with the time at which the engine wanted it."""
        self._window: Window | None = None
        """The head of the queue; unset when no fault was asked about it."""
        self._wait: _Wait | None = None
        self._unrecorded = 0
        """How many messages were looked at that are not in the recording."""
        self._looked = 0
        """How many messages the current `take` has looked at."""
        self._hurried = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """Whether actions need not go through it: nothing is under way, and no fault can strike any more."""
        strikes = self._strikes
        under_way = self._queue or strikes.lines or strikes.passed or strikes.over
        return not under_way and strikes.mute is None and not self._live()

    @property
    def ready(self) -> bool:
        """Whether `take` would go on, without waiting for anything."""
        waits = self._wait is not None and self._wait.until_us > self._strikes.now_us
        return bool(self._strikes.passed) or (bool(self._queue) and not waits)

    @property
    def next_wake_us(self) -> int | None:
        """When the delayed message may go; None where none is delayed."""
        return None if self._wait is None else self._wait.until_us

    @property
    def deaf(self) -> bool:
        """Whether nothing that the client sends may be read."""
        return self._strikes.deaf is not None

    @property
    def holds_input(self) -> bool:
        """
        Whether the client's next message must wait, because what is queued may end the reading.

        Otherwise it would be up to the client's timing whether that message is still heard.
        """
        if not self._queue or not any(map(_ends_reading, self._faults)):
            return False
        return any(map(_ends_reading, self._live())) or (
            self._window is not None and any(map(_ends_reading, self._window.faults()))
        )

    def set_faults(self, faults: Iterable[ArmedFault], now_us: int) -> None:
        """
        Go on with these faults; one that was there before goes on counting.

        A message that is delayed, or held back, by one that is gone goes at once. All others are
        judged when their turn comes.
        """
        self._strikes.now_us = now_us
        before, self._faults = self._faults, []
        added: list[ArmedFault] = []
        for armed in faults:
            known = next((old for old in before if old.is_same(armed)), None)
            self._faults.append(known or armed)
            if known is None:
                added.append(armed)
        self._forget([old for old in before if old not in self._faults])
        if self._window is not None:
            self._window.ask(added)
        for armed in added:
            if armed.fault.from_opening and not self._strikes.over:
                armed.strike()
                self._strikes.begin(armed, None)

    def put(self, items: Iterable[Queued], now_us: int) -> None:
        """Take what the engine, or the library, wants sent now."""
        if not self._strikes.over:
            self._queue.extend((item, now_us) for item in items)

    def hurry(self) -> None:
        """Delay nothing any more: the client has begun to end the connection."""
        self._hurried = True
        if self._wait is not None:
            self._wait.until_us = 0

    def take(self, now_us: int, pieces: int = PIECES) -> list[Passed]:
        """What may leave now, in order; about so many pieces at most."""
        strikes = self._strikes
        strikes.now_us = now_us
        self._looked = 0
        while self._queue and len(strikes.passed) < pieces and self._looked < _LOOKED and self._step(pieces):
            pass
        if strikes.over:
            self._queue.clear()
            self._window = self._wait = None
        passed, strikes.passed = strikes.passed, []
        return passed

    def _step(self, pieces: int) -> bool:
        """Deal with the head of the queue, or a part of it; False when nothing more may leave."""
        item, wanted_us = self._queue[0]
        strikes = self._strikes
        if isinstance(item, Close | Abort):
            strikes.end(item)
            return False
        if isinstance(item, bytes):
            if strikes.mute is None or item[0] != _PONG:
                strikes.passed.append(item)
        elif strikes.lines or self._window is not None or self._live():
            return self._judge(item, wanted_us, pieces)
        else:
            strikes.let_through(item)
        self._queue.popleft()
        return True

    def _judge(self, item: Sendable, wanted_us: int, pieces: int) -> bool:
        """Let through what no fault strikes, and strike the rest; False when nothing more may leave."""
        window, strikes = self._window or self._look(item), self._strikes
        while len(strikes.passed) < pieces:
            number = window.next_stop(strikes.lines)
            if number is None:
                if window.first <= window.last:
                    strikes.let_through(window.part(window.first, window.last))
                self._finish(window, wanted_us)
                return True
            if number > window.first:
                strikes.let_through(window.part(window.first, number - 1))
                window.go_on(number - 1)
            message, faults = window.message(number), window.faults_of(number)
            if self._waits(message, faults, wanted_us):
                return False
            window.go_on(number)
            strikes.strike(message, faults)
            if strikes.over:
                return False
        return True

    def _look(self, item: Sendable) -> Window:
        """Ask the faults about the beginning of an item."""
        if isinstance(item, Send):
            self._unrecorded += 1
        window = self._window = Window(self._script, item, self._unrecorded)
        window.ask(self._live())
        self._looked += window.last - window.first + 1
        return window

    def _finish(self, window: Window, wanted_us: int) -> None:
        """A window is dealt with: go on with what follows it."""
        self._window = None
        self._queue.popleft()
        rest = window.rest()
        if rest is not None:
            self._queue.appendleft((rest, wanted_us))

    def _waits(self, message: Message, faults: list[ArmedFault], wanted_us: int) -> bool:
        if self._wait is None:
            delays = [armed for armed in faults if armed.fault.kind is FaultKind.DELAY]
            if not delays:
                return False
            delay_us = round(sum(armed.fault.delay_s or 0 for armed in delays) * 1_000_000)
            until_us = 0 if self._hurried else wanted_us + delay_us
            for armed in delays:
                self._strikes.tell(armed, message, f"delayed by {armed.fault.delay_s:g} s", until_us)
            self._wait = _Wait(until_us, delays)
        if self._strikes.now_us < self._wait.until_us:
            return True
        self._wait = None
        return False

    def _forget(self, gone: list[ArmedFault]) -> None:
        """Let go of whatever faults have done that are not there any more."""
        self._strikes.release(gone)
        if self._window is not None:
            self._window.forget(gone)
        if self._wait is not None and any(armed in gone for armed in self._wait.by):
            self._wait.until_us = 0

    def _live(self) -> list[ArmedFault]:
        return [armed for armed in self._faults if not armed.spent]


def _ends_reading(armed: ArmedFault) -> bool:
    return armed.fault.kind.ending or armed.fault.kind is FaultKind.STOP_READING
