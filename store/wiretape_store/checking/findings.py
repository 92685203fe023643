"""What a check of a store finds: one sentence about one place, and whether it is damage."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

SHOWN_OF_A_SESSION = 20
"""So many findings of one session are told one by one; the rest is counted."""


class Severity(StrEnum):
    """What a finding means for what was recorded."""

    DAMAGE = "damage"
    """Something that was stored is lost or wrong."""
    NOTE = "note"
    """Worth knowing, and as it may be."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found."""

    severity: Severity
    what: str
    session: str | None = None
    """The session's id `s12`; None where it is about the store as a whole."""
    first_seq: int | None = None
    """The first of the messages that it is about; None where it is about none in particular."""
    last_seq: int | None = None
    """The last one, where there are several."""

    def __str__(self) -> str:
        """One line: where, and what."""
        if self.session is None:
            return f"store: {self.what}"
        if self.first_seq is None:
            return f"session {self.session}: {self.what}"
        return f"session {self.session}, {span_text(self.first_seq, self.last_seq)}: {self.what}"


def span_text(first_seq: int, last_seq: int | None) -> str:
    """Name one message or several."""
    if last_seq is None or last_seq == first_seq:
        return f"message {first_seq}"
    return f"messages {first_seq} to {last_seq}"


def damage(
    what: str, session: str | None = None, first_seq: int | None = None, last_seq: int | None = None
) -> Finding:
    """Make a finding that is damage."""
    return Finding(Severity.DAMAGE, what, session, first_seq, last_seq)


def note(what: str, session: str | None = None) -> Finding:
    """Make a finding that is none."""
    return Finding(Severity.NOTE, what, session)


def limited(findings: Iterable[Finding], session: str) -> Iterator[Finding]:
    """Pass a session's first findings on, and count the others: one bad page may cost thousands."""
    told = 0
    for finding in findings:
        told += 1
        if told <= SHOWN_OF_A_SESSION:
            yield finding
    if told > SHOWN_OF_A_SESSION:
        yield damage(f"{told - SHOWN_OF_A_SESSION} more findings of this kind", session)
