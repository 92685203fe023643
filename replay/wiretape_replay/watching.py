"""Waiting for a run's journal: what long polls and event streams hang on, and nothing else of the run."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from wiretape_replay.journal import Entry, Journal


class Watched:
    """
    A run's journal, and whether more may come.

    It holds no more of the run than that: whoever still reads the journal of a run that has ended does
    not keep its memory.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.over = False
        """Whether waiting is in vain: the run has ended, or the process is about to."""
        self._watchers: set[asyncio.Event] = set()
        journal.listen(self._heard)

    @property
    def watchers(self) -> int:
        """How many wait."""
        return len(self._watchers)

    @contextmanager
    def watch(self) -> Iterator[asyncio.Event]:
        """
        An event that is set whenever there is something new: an entry, or the end.

        Begin to watch, then look, then wait: what comes in between has set the event.
        """
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            yield changed
        finally:
            self._watchers.discard(changed)

    def end(self) -> None:
        """Nothing more comes, or nobody shall wait for it. Ending twice does nothing."""
        if not self.over:
            self.over = True
            self.journal.forget(self._heard)
            self._wake()

    def _heard(self, _: Entry) -> None:
        self._wake()

    def _wake(self) -> None:
        for changed in self._watchers:
            changed.set()
