"""Which numbers a session's upstream messages have: among each other, and (`seq`) among those of both sides."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from sys import maxsize


class Numbering:
    """
    The runs of upstream messages that no client message and no gap cuts.

    Takes 16 bytes for each run, however long. Runs are added in order; after that it is only asked.
    """

    def __init__(self) -> None:
        self.count = 0
        """How many upstream messages there are."""
        self._numbers = array("q")
        self._seqs = array("q")
        """The first message of each run, by both of its numbers."""
        self._stop = -1
        """The seq after the last message so far."""

    def add(self, first_seq: int, stop_seq: int) -> None:
        """Append the upstream messages from `first_seq` up to, and without, `stop_seq`."""
        if first_seq >= stop_seq:
            return
        if first_seq != self._stop:
            self._numbers.append(self.count)
            self._seqs.append(first_seq)
        self.count += stop_seq - first_seq
        self._stop = stop_seq

    def seq(self, number: int) -> int:
        """The seq of an upstream message. Raises IndexError where there is no such message."""
        if not 0 <= number < self.count:
            raise IndexError(number)
        run = bisect_right(self._numbers, number) - 1
        return self._seqs[run] + number - self._numbers[run]

    def before(self, seq: int) -> int:
        """How many upstream messages have a lower seq."""
        run = bisect_right(self._seqs, seq) - 1
        if run < 0:
            return 0
        following = self._numbers[run + 1] if run + 1 < len(self._numbers) else self.count
        return min(self._numbers[run] + seq - self._seqs[run], following)


class Numberer:
    """Makes a numbering of what is told of a session in order: the messages there are, and the client's."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        """Take the runs of messages of both sides, as (first, the one after the last)."""
        self.numbering = Numbering()
        self._spans = iter(spans)
        self._start = self._stop = 0
        """The part of the current span that is not numbered yet."""

    def upstream(self, seq: int) -> int | None:
        """The number of an upstream message, not before the one asked for last; None where it was lost."""
        return self.numbering.count + seq - self._start if self._reach(seq) else None

    def client(self, seq: int) -> int:
        """Leave a client message out, and say how many upstream messages come before it."""
        if self._reach(seq):
            self.numbering.add(self._start, seq)
            self._start = seq + 1
        return self.numbering.count

    def finished(self, stop_seq: int = maxsize) -> Numbering:
        """Number the rest, up to and without `stop_seq`."""
        self.numbering.add(self._start, min(self._stop, stop_seq))
        for first, stop in self._spans:
            self.numbering.add(first, min(stop, stop_seq))
        return self.numbering

    def _reach(self, seq: int) -> bool:
        """Go on to the span that holds a message, or to the next one behind it."""
        while seq >= self._stop:
            self.numbering.add(self._start, self._stop)
            self._start, self._stop = next(self._spans, (seq + 1, seq + 1))
        return self._start <= seq
