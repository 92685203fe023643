"""Counting what an export or an import brings, while it passes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from wiretape.progress import ProgressLine
from wiretape_store import Event, IncomingMessage, IncomingRecording, IncomingSession

_SHOWN_EVERY = 1000


@dataclass(slots=True)
class Tally:
    """How much has passed, shown on a terminal."""

    line: ProgressLine
    sessions: int = 0
    messages: int = 0

    def count(self) -> None:
        """Count a message."""
        self.messages += 1
        if self.messages % _SHOWN_EVERY == 0:
            self.line.show(f"{self.messages:,} messages")

    def of(self, incoming: IncomingRecording) -> IncomingRecording:
        """The same recording, counted as it is read."""
        return replace(incoming, sessions=self._sessions(incoming.sessions))

    def _sessions(self, sessions: Iterable[IncomingSession]) -> Iterator[IncomingSession]:
        for session in sessions:
            self.sessions += 1
            yield replace(session, items=self._items(session.items))

    def _items(self, items: Iterable[IncomingMessage | Event]) -> Iterator[IncomingMessage | Event]:
        for item in items:
            if isinstance(item, IncomingMessage):
                self.count()
            yield item
