"""The free order: for clients whose calls come at other times, or in another order, than when they were recorded."""

from collections.abc import Container, Iterator

from wiretape_replay.ordering import OPENING, Freed, Lane, MessageOrder, Received
from wiretape_replay.owners import NOBODY, Owners
from wiretape_replay.script import Script


class FreeOrder(MessageOrder):
    """
    Free order: an answer goes with its call, a push with its own subscription.

    A push that no subscription causes goes with the client message recorded before it, which may have
    caused it. Pushes of a stream keep their order; a stream that the client closes ends there, also
    where more of it was recorded. Building one looks at every push of the session.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._received = bytearray(len(script.requests))
        self._gate = 0
        """The first client message that was not received yet, background excepted."""
        self._by_cause: dict[int, dict[str, list[Freed]]] = {}
        """By the client message that frees them, and by stream: the pushes, in runs."""
        self._going: dict[str, set[Lane]] = {}
        """By stream: the lanes that its subscription has freed and nothing has closed."""
        self._waiting: list[int] = []
        """Causes of pushes that have not come yet, in recorded order."""
        if script.indexing is None:
            self._sort()

    @property
    def gate(self) -> int | None:
        """The first client message that was not received yet, background excepted."""
        return self._gate if self._gate < len(self._script.requests) else None

    def was_received(self, request: int) -> bool:
        """Whether a recorded client message was matched."""
        return bool(self._received[request])

    def opened(self, respelled: Container[int]) -> Received:
        """What no client message has caused."""
        return Received(self._free(OPENING))

    def received(self, request: int, respelled: Container[int]) -> Received:
        """The answers of a client message, and the pushes that it causes."""
        held_by = self.held_by()
        self._received[request] = 1
        self._skip_gate()
        scripted = self._script.requests[request]
        closed = [lane for stream in scripted.request.closes for lane in self._going.pop(stream, ())]
        answers = [Freed(answer, answer, request in respelled, Lane(request)) for answer in scripted.answers]
        if request in self._by_cause:
            self._waiting.remove(request)
        freed = sorted([*answers, *self._free(request)], key=lambda run: run.first)
        return Received(freed, closed=closed, moved=self.held_by() != held_by)

    def extended(self, respelled: Container[int]) -> Received:
        """What no client message has caused: before the script was ready, nothing was free."""
        self._received = bytearray(len(self._script.requests))
        self._sort()
        return self.opened(respelled)

    def held_push(self) -> int | None:
        """The first push whose cause has not come; None when none is left."""
        held = self._held()
        return None if held is None else held[0]

    def held_by(self) -> int | None:
        """The cause that it waits for."""
        held = self._held()
        return None if held is None else held[1]

    def _held(self) -> tuple[int, int] | None:
        return min(
            ((runs[0].first, cause) for cause in self._waiting for runs in self._by_cause[cause].values()),
            default=None,
        )

    def _skip_gate(self) -> None:
        requests = self._script.requests
        while self._gate < len(requests) and (self._received[self._gate] or requests[self._gate].background):
            self._gate += 1

    def _sort(self) -> None:
        owners = Owners(self._script.requests)
        for number in _pushes(self._script):
            self._sort_in(number, owners)
        self._skip_gate()
        self._waiting = sorted(cause for cause in self._by_cause if cause != OPENING)

    def _sort_in(self, number: int, owners: Owners) -> None:
        stream = self._script.stream(number)
        cause = owners.owner(stream, number)
        if cause == NOBODY:
            cause, stream = owners.cause(stream, number), ""
        runs = self._by_cause.setdefault(cause, {}).setdefault(stream, [])
        if runs and runs[-1].last == number - 1:
            runs[-1] = runs[-1]._replace(last=number)
        else:
            runs.append(Freed(number, number, lane=Lane(cause, stream)))

    def _free(self, cause: int) -> list[Freed]:
        freed: list[Freed] = []
        for stream, runs in self._by_cause.get(cause, {}).items():
            freed += runs
            if stream:
                self._going.setdefault(stream, set()).add(Lane(cause, stream))
        return freed


def _pushes(script: Script) -> Iterator[int]:
    """The numbers of the upstream messages that answer nothing."""
    return (number for number in range(script.count) if number not in script.answers)
