"""When what is free to go is due: a queue of lanes, and the clock of the recording laid over the live one."""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from wiretape_replay.ordering import MAIN, Freed, Lane
from wiretape_replay.script import Script
from wiretape_replay.settings import Pace
from wiretape_replay.stepping import Credit, Step


class Anchor(NamedTuple):
    """A recorded time that is a live time; everything behind is due as much later as it was recorded later."""

    live_us: int
    recorded_us: int


class PacedQueue:
    """
    Freed messages on their way out; the pace decides when a lane's head is due, never its order.

    In the main lane the recorded time of the latest matched client message is its live time. So a
    client that is ahead of the recording pulls the queue with it, and one that is behind pushes it
    back. Every other lane goes by the client message that has freed it.
    """

    def __init__(self, script: Script, pace: Pace) -> None:
        self._script = script
        self._pace = pace
        self._at_once = pace.factor is None and not pace.stepped
        self._lanes: dict[Lane, deque[Freed]] = {}
        """Those in which something waits."""
        self._anchor = Anchor(0, 0)
        self._ready: list[Freed] = []
        """In place of the lanes where the pace is as soon as possible: what was freed since the last `take`."""
        self._anchors: dict[Lane, Anchor] = {}
        """Of the lanes beside the main one."""
        self._sent = 0
        self._credit = Credit(script)

    @property
    def timed(self) -> bool:
        """Whether anything ever waits here for its time."""
        return self._pace.factor is not None

    @property
    def sent(self) -> int:
        """In the main lane: how many upstream messages have gone, or have nothing before them that waits."""
        return self._sent

    @property
    def owed(self) -> int:
        """How many pushes may still go for steps that count them."""
        return self._credit.owed

    def __len__(self) -> int:
        return len(self._ready) + sum(map(len, self._lanes.values())) if self._lanes else len(self._ready)

    def anchor(self, live_us: int, recorded_us: int) -> None:
        """Lay the recorded time of a matched client message (0: the handshake) over its live time."""
        self._anchor = Anchor(live_us, recorded_us)

    def put(self, freed: Iterable[Freed]) -> None:
        """Append what has become free."""
        if self._at_once and not self._lanes:
            self._ready += freed
            return
        for run in freed:
            waiting = self._lanes.get(run.lane)
            if waiting is None:
                waiting = self._lanes[run.lane] = deque()
                if run.lane != MAIN:
                    self._anchors[run.lane] = self._anchor
            waiting.append(run)

    def drop(self, lanes: Iterable[Lane]) -> list[Freed]:
        """Remove what waits in these lanes, and return it."""
        dropped: list[Freed] = []
        for lane in lanes:
            dropped += self._lanes.pop(lane, ())
            self._anchors.pop(lane, None)
        return dropped

    def set_pace(self, pace: Pace, now_us: int) -> None:
        """Go on at another pace: time lies from here on as the recording has come by now."""
        self._anchor = self._here(self._anchor, now_us)
        self._anchors = {lane: self._here(anchor, now_us) for lane, anchor in self._anchors.items()}
        self._pace = pace
        self._at_once = pace.factor is None and not pace.stepped

    def grant(self, step: Step) -> None:
        """Let pushes go that a stepped pace holds."""
        self._credit.grant(step)

    def due_us(self, recorded_us: int) -> int:
        """
        When something recorded at this time came, or comes, to be due in the main lane.

        Not before the latest client message, which may have pulled it along; 0 where nothing waits
        for its time.
        """
        return max(self._anchor.live_us, self._due_us(self._anchor, recorded_us)) if self.timed else 0

    def take(self, now_us: int) -> list[Freed]:
        """Remove and return what is due, in the order to send it."""
        if self._at_once:
            taken, self._ready = self._ready, []
            if self._lanes:  # from an earlier pace
                taken = [*heapq.merge(*self._lanes.values(), key=lambda run: run.first), *taken]
                self._lanes.clear()
                self._anchors.clear()
        else:
            taken = list(_joined(self._one_by_one(now_us)))
        if taken and taken[-1].last >= self._sent:
            self._sent = taken[-1].last + 1
        return taken

    def next_due_us(self) -> int | None:
        """When the next message is due; None while nothing waits that is ever due by itself."""
        if self._pace.stepped:
            return None
        return min((self._head_due_us(lane) for lane in self._lanes), default=None)

    def _here(self, anchor: Anchor, now_us: int) -> Anchor:
        if self._pace.factor is None:
            latest_us = self._script.time_us(self._sent - 1) if self._sent else 0
            return Anchor(now_us, max(anchor.recorded_us, latest_us))
        return Anchor(now_us, anchor.recorded_us + round((now_us - anchor.live_us) * self._pace.factor))

    def _due_us(self, anchor: Anchor, recorded_us: int) -> int:
        if self._pace.factor is None:
            return 0
        return anchor.live_us + round((recorded_us - anchor.recorded_us) / self._pace.factor)

    def _head_due_us(self, lane: Lane) -> int:
        return self._due_us(self._anchor_of(lane), self._script.time_us(self._lanes[lane][0].first))

    def _anchor_of(self, lane: Lane) -> Anchor:
        return self._anchors.get(lane, self._anchor)

    def _one_by_one(self, now_us: int) -> Iterator[Freed]:
        while (lane := self._next_lane(now_us)) is not None:
            head = self._lanes[lane].popleft()
            last = (
                head.first
                if self._pace.stepped or len(self._lanes) > 1
                else self._last_due(head, lane, now_us)
            )
            if self._pace.stepped and head.first not in self._script.answers:
                self._credit.use(head.first)
            if last < head.last:
                self._lanes[lane].appendleft(head._replace(first=last + 1))
            elif not self._lanes[lane]:
                del self._lanes[lane]
                self._anchors.pop(lane, None)
            yield Freed(head.first, last, head.respelled)

    def _next_lane(self, now_us: int) -> Lane | None:
        """The lane whose head goes next; heads that are due at the same time go in recorded order."""
        if self._pace.stepped:
            heads = [(waiting[0].first, lane) for lane, waiting in self._lanes.items()]
            ready = [
                (first, lane)
                for first, lane in heads
                if first in self._script.answers or self._credit.covers(first)
            ]
            return min(ready, key=lambda head: head[0])[1] if ready else None
        due = [(self._head_due_us(lane), waiting[0].first, lane) for lane, waiting in self._lanes.items()]
        if not due:
            return None
        due_us, _, lane = min(due, key=lambda head: head[:2])
        return lane if due_us <= now_us else None

    def _last_due(self, head: Freed, lane: Lane, now_us: int) -> int:
        """The last message of a run whose first is due, without a gap, that is due as well."""
        assert self._pace.factor is not None
        anchor = self._anchor_of(lane)
        # One microsecond of slack: what `due_us` rounds down must be due at that very time.
        elapsed_us = round((now_us - anchor.live_us) * self._pace.factor)
        recorded_us = anchor.recorded_us + elapsed_us + round(self._pace.factor)
        last = min(head.last, self._script.last_until(recorded_us, head.first))
        while last > head.first and self._due_us(anchor, self._script.time_us(last)) > now_us:
            last -= 1
        return max(last, head.first)


def _joined(runs: Iterable[Freed]) -> Iterator[Freed]:
    """The same messages in as few runs as can be."""
    before: Freed | None = None
    for run in runs:
        if before is None:
            before = run
        elif before.last + 1 == run.first and not before.respelled and not run.respelled:
            before = before._replace(last=run.last)
        else:
            yield before
            before = run
    if before is not None:
        yield before
