"""
The client messages of one connection that wait for their answers.

Owns the order among them and a bound on their number. Which answer fits which group is for the
adapters; protocols that answer strictly in order need no more than a deque.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from wiretape_protocols.adapter import Reply, Role

OUTSTANDING_LIMIT = 100_000
"""Waiting messages kept for a connection; beyond, the oldest is given up: a notice nobody answers
must not fill the memory of a recorder that runs for months."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A client message that waits for its answer, and what that answer will be called."""

    seq: int
    method: str
    role: Role = Role.ANSWER

    def answered(self) -> Reply:
        """The meaning of the message that answers this one."""
        return Reply(self.role, self.method, answers=self.seq)


class Outstanding:
    """
    Waiting messages in groups; within a group the oldest is answered first.

    A group is what an answer can tell apart (an id, or an id and a kind of result). Each step
    takes constant time, however many wait.
    """

    def __init__(self, limit: int = OUTSTANDING_LIMIT) -> None:
        self._limit = limit
        self._queues: dict[Hashable, deque[Waiting]] = {}
        # The group of each waiting message, oldest first.
        self._groups: OrderedDict[int, Hashable] = OrderedDict()

    def __len__(self) -> int:
        return len(self._groups)

    def add(self, group: Hashable, waiting: Waiting) -> None:
        """Let a message wait, younger than all that wait already."""
        if len(self._groups) >= self._limit:
            self._pop(next(iter(self._groups.values())))
        self._queues.setdefault(group, deque()).append(waiting)
        self._groups[waiting.seq] = group

    def take(self, groups: Iterable[Hashable]) -> Waiting | None:
        """Remove and return the oldest message of all the groups given; None when nothing waits there."""
        waiting = [(queue[0].seq, group) for group in groups if (queue := self._queues.get(group))]
        return self._pop(min(waiting, key=lambda head: head[0])[1]) if waiting else None

    def _pop(self, group: Hashable) -> Waiting:
        queue = self._queues[group]
        waiting = queue.popleft()
        if not queue:
            del self._queues[group]
        del self._groups[waiting.seq]
        return waiting
