"""Which connections a run has had: their numbers, their sessions, and which of them are open."""

from collections import deque
from dataclasses import dataclass

from wiretape_replay.journal import Entry, EntryKind, Journal

_CLOSED_KEPT = 1000


@dataclass(slots=True)
class Attended:
    """A connection that got a session."""

    upstream: str
    number: int
    """Counts the connections to the upstream in the run, from 1."""
    session: str
    open: bool = True


class Attendance:
    """Reads a journal as it is written. Of the connections that are closed, the last thousand are kept."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._open: dict[tuple[str, int], Attended] = {}
        self._closed: deque[Attended] = deque(maxlen=_CLOSED_KEPT)
        journal.listen(self._heard)

    def of(self, upstream: str) -> list[Attended]:
        """The connections to an upstream, in the order of their numbers."""
        both = (*self._closed, *self._open.values())
        return sorted((each for each in both if each.upstream == upstream), key=lambda each: each.number)

    def end(self) -> None:
        """Read no further."""
        self._journal.forget(self._heard)

    def _heard(self, entry: Entry) -> None:
        if entry.connection is None:
            return
        key = entry.upstream, entry.connection
        if entry.kind is EntryKind.OPENED:
            self._open[key] = Attended(entry.upstream, entry.connection, entry.session)
        elif entry.kind is EntryKind.ENDED and (attended := self._open.pop(key, None)) is not None:
            attended.open = False
            self._closed.append(attended)
