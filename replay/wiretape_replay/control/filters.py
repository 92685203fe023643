"""Which entries of a journal somebody wants."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Self

from wiretape_replay.journal import Entry, EntryKind, Journal


@dataclass(frozen=True, slots=True)
class Filter:
    """What is unset does not matter; an entry must agree with all the rest."""

    kinds: frozenset[EntryKind] = frozenset()
    upstream: str | None = None
    method: str | None = None
    session: str | None = None
    connection: int | None = None
    after: int = 0
    """The number of the last entry that is not wanted any more."""

    def accepts(self, entry: Entry) -> bool:
        """Whether the entry is wanted."""
        return (
            entry.number > self.after
            and (not self.kinds or entry.kind in self.kinds)
            and self.upstream in (None, entry.upstream)
            and self.method in (None, entry.method)
            and self.session in (None, entry.session)
            and self.connection in (None, entry.connection)
        )

    def later(self, number: int) -> Self:
        """The same, of the entries after this one."""
        return replace(self, after=max(self.after, number))

    def of(self, journal: Journal) -> Iterator[Entry]:
        """The entries that are wanted, of those that the journal still has; in order."""
        # From the end: whoever follows a journal has seen nearly all of it.
        newer = list(islice(reversed(journal.entries), max(0, journal.count - self.after)))
        return (entry for entry in reversed(newer) if self.accepts(entry))

    def first(self, journal: Journal, most: int) -> list[Entry]:
        """The earliest of them."""
        return list(islice(self.of(journal), most))
