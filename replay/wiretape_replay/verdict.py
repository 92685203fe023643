"""What a run is worth as a test: how far the client and the recording went apart."""

from collections.abc import Iterable
from dataclasses import dataclass, field

_NAMED = 100  # findings of a kind that are named one by one; the rest is only counted


@dataclass(slots=True)
class Findings:
    """How often something happened, and the first hundred in words."""

    count: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Note one more."""
        self.count += 1
        if len(self.named) < _NAMED:
            self.named.append(text)

    def extend(self, other: "Findings") -> None:
        """Note all of another's."""
        self.count += other.count
        self.named.extend(other.named[: _NAMED - len(self.named)])


@dataclass(slots=True)
class Verdict:
    """Everything in which a run differed from its recording; background is never counted."""

    misses: Findings = field(default_factory=Findings)
    """Client messages that the recording could not answer, connections without a session among them."""
    unused: Findings = field(default_factory=Findings)
    """Recorded client messages that were not sent, and sessions that were not opened."""
    stalls: Findings = field(default_factory=Findings)
    relaxed: Findings = field(default_factory=Findings)

    @property
    def ok(self) -> bool:
        """Whether the client did what it did when it was recorded."""
        return not (self.misses.count or self.unused.count or self.stalls.count or self.relaxed.count)

    def lines(self) -> list[str]:
        """The verdict in words, a line for each finding; one line when all is well."""
        if self.ok:
            return ["ok: the client did what was recorded"]
        lines: list[str] = []
        kinds = {
            "missed": self.misses,
            "unused": self.unused,
            "stalled": self.stalls,
            "relaxed": self.relaxed,
        }
        for name, findings in kinds.items():
            lines += [f"{name}: {text}" for text in findings.named]
            if rest := findings.count - len(findings.named):
                lines.append(f"{name}: and {rest} more")
        return lines


def merged(verdicts: Iterable[Verdict]) -> Verdict:
    """One verdict over several sessions."""
    total = Verdict()
    for verdict in verdicts:
        total.misses.extend(verdict.misses)
        total.unused.extend(verdict.unused)
        total.stalls.extend(verdict.stalls)
        total.relaxed.extend(verdict.relaxed)
    return total
