"""When what is free to go is due: one queue in sending order, and the clock of the recording laid over the live one."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable

from wiretape_replay.ordering import Freed
from wiretape_replay.script import Script
from wiretape_replay.settings import Pace


class PacedQueue:
    """
    Freed messages on their way out; the pace decides when the head is due, never the order.

    The recorded time of the latest matched client message is its live time, and everything behind is
    due as much later as it was recorded later (divided by the pace's factor). So a client that is
    ahead of the recording pulls the queue with it, and one that is behind pushes it back.
    """

    def __init__(self, script: Script, pace: Pace) -> None:
        self._script = script
        self._factor = pace.factor
        self._waiting: deque[Freed] = deque()
        self._live_us = 0
        self._recorded_us = 0

    @property
    def timed(self) -> bool:
        """Whether anything ever waits here for its time."""
        return self._factor is not None

    def __len__(self) -> int:
        return len(self._waiting)

    def anchor(self, live_us: int, recorded_us: int) -> None:
        """Lay the recorded time of a matched client message (0: the handshake) over its live time."""
        self._live_us = live_us
        self._recorded_us = recorded_us

    def put(self, freed: Iterable[Freed]) -> None:
        """Append what has become free."""
        self._waiting.extend(freed)

    def due_us(self, recorded_us: int) -> int:
        """When something recorded at this time is due; 0 where the pace is as soon as possible."""
        if self._factor is None:
            return 0
        return self._live_us + round((recorded_us - self._recorded_us) / self._factor)

    def take(self, now_us: int) -> list[Freed]:
        """Remove and return what is due, from the head on."""
        if self._factor is None:
            due = list(self._waiting)
            self._waiting.clear()
            return due
        due = []
        while self._waiting:
            head = self._waiting[0]
            last = min(head.last, self._last_due(head.first, now_us))
            if last < head.first:
                break
            self._waiting.popleft()
            due.append(Freed(head.first, last, head.respelled))
            if last < head.last:
                self._waiting.appendleft(Freed(last + 1, head.last))
                break
        return due

    def next_due_us(self) -> int | None:
        """When the head is due; None while nothing waits."""
        if not self._waiting:
            return None
        return self.due_us(self._script.times_us[self._waiting[0].first])

    def _last_due(self, first: int, now_us: int) -> int:
        """The last message, from `first` on without a gap, that is due."""
        assert self._factor is not None
        # One microsecond of slack: what `due_us` rounds down must be due at that very time.
        recorded_us = self._recorded_us + round((now_us - self._live_us) * self._factor) + round(self._factor)
        last = bisect_right(self._script.times_us, recorded_us, lo=first) - 1
        while last >= first and self.due_us(self._script.times_us[last]) > now_us:
            last -= 1
        return last
