"""Which recorded upstream messages are free to go once the client has sent what it has sent."""

from collections.abc import Container
from typing import NamedTuple

from wiretape_replay.script import Script


class Freed(NamedTuple):
    """
    The upstream messages `first` to `last`, both included, free to go in this order.

    `respelled` marks a single answer whose id must become the live one.
    """

    first: int
    last: int
    respelled: bool = False


class RecordedOrder:
    """
    Recorded order: an upstream message goes once every client message recorded before it was received.

    The one exception is an answer whose call came early: it goes with its call. Background messages
    gate nothing, and their answers are not freed here.
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
        self._skip_gate()

    @property
    def gate(self) -> int | None:
        """The client message that is waited for; None once all were received."""
        return self._gate if self._gate < len(self._script.requests) else None

    def was_received(self, request: int) -> bool:
        """Whether a recorded client message was matched."""
        return bool(self._received[request])

    def opened(self, respelled: Container[int]) -> list[Freed]:
        """What is free before the client has sent anything. Call it once, first."""
        return self._advance(respelled)

    def received(self, request: int, respelled: Container[int]) -> list[Freed]:
        """
        What one more received client message frees, in the order to send it.

        `respelled` holds the client messages that came with another id than recorded.
        """
        self._received[request] = 1
        freed: list[Freed] = []
        if request == self._gate:
            self._skip_gate()
            freed = self._advance(respelled)
        for answer in self._script.requests[request].answers:
            if answer >= self._cursor:
                self._early.add(answer)
                freed.append(Freed(answer, answer, request in respelled))
        return freed

    def held_push(self) -> int | None:
        """The first push that is not free yet; None when none is left."""
        if self._held_push < self._cursor:
            self._held_push, index = self._cursor, self._next_answer
            answers = self._script.answer_numbers
            while index < len(answers) and answers[index] == self._held_push:
                index += 1
                self._held_push += 1
        return self._held_push if self._held_push < len(self._script.seqs) else None

    def _skip_gate(self) -> None:
        requests = self._script.requests
        while self._gate < len(requests) and (self._received[self._gate] or requests[self._gate].background):
            self._gate += 1

    def _advance(self, respelled: Container[int]) -> list[Freed]:
        """Free everything before the gate; runs are split only where a message is left out or respelled."""
        script = self._script
        limit = len(script.seqs) if self.gate is None else script.requests[self._gate].upstream_before
        freed: list[Freed] = []
        start = self._cursor
        while self._next_answer < len(script.answer_numbers):
            number = script.answer_numbers[self._next_answer]
            if number >= limit:
                break
            self._next_answer += 1
            call = script.answers[number].request
            left_out = number in self._early or script.requests[call].background
            if not left_out and call not in respelled:
                continue
            if start < number:
                freed.append(Freed(start, number - 1))
            if not left_out:
                freed.append(Freed(number, number, respelled=True))
            self._early.discard(number)
            start = number + 1
        if start < limit:
            freed.append(Freed(start, limit - 1))
        self._cursor = limit
        return freed
