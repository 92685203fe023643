"""
Which recorded upstream messages are free to go once the client has sent what it has sent.

Here is the recorded order, and what an order is; the free one is in `free_order`.
"""

from abc import ABC, abstractmethod
from collections.abc import Container, Sequence
from typing import NamedTuple

from wiretape_replay.owners import NOBODY, Owners
from wiretape_replay.script import Script

OPENING = NOBODY
"""In place of a client message's number: the handshake."""


class Lane(NamedTuple):
    """What must keep its order on the way out; different lanes may overtake each other."""

    request: int = OPENING
    """The client message that freed it; `OPENING` also for the one lane of the recorded order."""
    stream: str | None = None
    """Of its pushes; None for answers, and for the one lane of the recorded order."""


MAIN = Lane()


class Freed(NamedTuple):
    """
    The upstream messages `first` to `last`, both included, free to go in this order.

    `respelled` marks a single answer whose id must become the live one.
    """

    first: int
    last: int
    respelled: bool = False
    lane: Lane = MAIN


class Received(NamedTuple):
    """What one more client message, or the opening, changes."""

    freed: Sequence[Freed] = ()
    dropped: Sequence[Freed] = ()
    """Pushes that will not be sent, since the client has closed their stream."""
    closed: Sequence[Lane] = ()
    """Lanes of which nothing more is sent, for the same reason."""
    moved: bool = True
    """Whether another client message is waited for than before."""


class MessageOrder(ABC):
    """An order of one session's upstream messages. Call `opened` once, first."""

    @property
    @abstractmethod
    def gate(self) -> int | None:
        """The client message that is waited for; None once all were received."""

    @abstractmethod
    def was_received(self, request: int) -> bool:
        """Whether a recorded client message was matched."""

    @abstractmethod
    def opened(self, respelled: Container[int]) -> Received:
        """What is free before the client has sent anything."""

    @abstractmethod
    def received(self, request: int, respelled: Container[int]) -> Received:
        """
        What one more received client message frees, in the order to send it.

        `respelled` holds the client messages that came with another id than recorded.
        """

    @abstractmethod
    def extended(self, respelled: Container[int]) -> Received:
        """What is free as well once the script is ready: it has what it had, and more behind it."""

    @abstractmethod
    def held_push(self) -> int | None:
        """The first push that waits for a client message; None when none does."""

    @abstractmethod
    def held_by(self) -> int | None:
        """The client message that it waits for."""


class RecordedOrder(MessageOrder):
    """
    Recorded order: an upstream message goes once every client message recorded before it was received.

    The one exception is an answer whose call came early: it goes with its call. A push whose stream
    was closed by such an early message never goes. Background messages gate nothing, and their answers
    are not freed here.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._received = bytearray(len(script.requests))
        self._gate = 0
        """The first client message that was not received yet, background excepted."""
        self._cursor = 0
        """Every upstream message before this one is free, or never will be."""
        self._next_answer = 0
        """The first entry of `answer_numbers` that is not before the cursor."""
        self._early: set[int] = set()
        """Answers at or after the cursor that went with their calls."""
        self._held_push = -1
        """Where the last search for a held push ended; there is no push from the cursor up to it."""
        self._open_streams: set[str] = set()
        """Those that the client has open."""
        self._recorded_streams: set[str] = set()
        """Those that were open in the recording when the gate was sent."""
        self._streams_so_far: set[str] = set()
        """Those that were ever open before the gate."""
        self._early_changes: set[int] = set()
        """Client messages after the gate that came early and open or close streams."""
        self._owners: Owners | None = None
        """Made when it is needed first."""
        self._skip_gate()

    @property
    def gate(self) -> int | None:
        """The client message that is waited for; None once all were received."""
        return self._gate if self._gate < len(self._script.requests) else None

    def was_received(self, request: int) -> bool:
        """Whether a recorded client message was matched."""
        return bool(self._received[request])

    def opened(self, respelled: Container[int]) -> Received:
        """What is free before the client has sent anything."""
        return Received(*self._advance(respelled))

    def received(self, request: int, respelled: Container[int]) -> Received:
        """What one more received client message frees: from the gate on, and its own answers."""
        self._received[request] = 1
        scripted = self._script.requests[request]
        meaning = scripted.request
        if meaning.closes or meaning.opens:
            self._open_streams.difference_update(meaning.closes)
            self._open_streams.update(meaning.opens)
            if request != self._gate:
                self._early_changes.add(request)
        moved = request == self._gate
        freed: list[Freed] = []
        dropped: Sequence[Freed] = ()
        if moved:
            self._skip_gate()
            freed, dropped = self._advance(respelled)
        for answer in scripted.answers:
            if answer >= self._cursor:
                self._early.add(answer)
                freed.append(Freed(answer, answer, request in respelled))
        return Received(freed, dropped, moved=moved)

    def extended(self, respelled: Container[int]) -> Received:
        """What comes before the gate, wherever that is now."""
        self._received.extend(bytes(len(self._script.requests) - len(self._received)))
        self._held_push, self._owners = -1, None
        self._skip_gate()
        return Received(*self._advance(respelled))

    def held_push(self) -> int | None:
        """The first push that waits for a client message; None when none does."""
        if self._held_push < self._cursor:
            self._held_push, index = self._cursor, self._next_answer
            answers = self._script.answer_numbers
            while index < len(answers) and answers[index] == self._held_push:
                index += 1
                self._held_push += 1
        return self._held_push if self._held_push < self._script.count else None

    def held_by(self) -> int | None:
        """The client message that everything waits for."""
        return self.gate

    def _skip_gate(self) -> None:
        requests = self._script.requests
        while self._gate < len(requests) and (self._received[self._gate] or requests[self._gate].background):
            passed = requests[self._gate].request
            if passed.closes or passed.opens:
                self._recorded_streams.difference_update(passed.closes)
                self._recorded_streams.update(passed.opens)
                self._streams_so_far.update(passed.opens)
            self._gate += 1

    def _advance(self, respelled: Container[int]) -> tuple[list[Freed], list[Freed]]:
        """Free everything before the gate; runs are split only where a message is left out or respelled."""
        script = self._script
        requests, calls, numbers = script.requests, script.answers.requests, script.answer_numbers
        limit = script.count if self._gate >= len(requests) else requests[self._gate].upstream_before
        freed: list[Freed] = []
        start, index = self._cursor, self._next_answer
        while index < len(numbers) and (number := numbers[index]) < limit:
            call = calls[index]
            index += 1
            left_out = number in self._early or requests[call].background
            if not left_out and call not in respelled:
                continue
            if start < number:
                freed.append(Freed(start, number - 1))
            if not left_out:
                freed.append(Freed(number, number, respelled=True))
            self._early.discard(number)
            start = number + 1
        self._next_answer = index
        if start < limit:
            freed.append(Freed(start, limit - 1))
        self._cursor = limit
        if not self._early_changes and self._recorded_streams <= self._open_streams:
            return freed, []
        self._early_changes = {request for request in self._early_changes if request > self._gate}
        if self._streams_so_far <= self._open_streams:
            # No push can be of a stream that is closed; there may be millions to look through.
            return freed, []
        return self._without_closed_streams(freed)

    def _without_closed_streams(self, freed: Sequence[Freed]) -> tuple[list[Freed], list[Freed]]:
        """Take the pushes out whose stream the client has closed before they became free."""
        kept: list[Freed] = []
        dropped: list[Freed] = []
        for run in freed:
            for number in range(run.first, run.last + 1):
                into = dropped if self._is_closed(number) else kept
                if into and into[-1].last == number - 1 and not into[-1].respelled and not run.respelled:
                    into[-1] = Freed(into[-1].first, number)
                else:
                    into.append(Freed(number, number, run.respelled))
        return kept, dropped

    def _is_closed(self, number: int) -> bool:
        if number in self._script.answers:
            return False
        stream = self._script.stream(number)
        if stream in self._open_streams:
            return False
        if self._owners is None:
            self._owners = Owners(self._script.requests)
        return self._owners.owner(stream, number) != NOBODY
