"""
The words for what a test's clients did otherwise than its tape.

The first line is the most telling finding, for pytest's summary; then come all, and what to do. Payloads
are those of the journal, which are redacted.
"""

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from wiretape.control_client import Entry, Findings, Verdict

_SHOWN = 20
"""Findings of a kind that are shown; the rest is counted."""
_NOT_OPENED = re.compile(r"\S+, connection (\d+) to (.+), was not opened")
_IN_SESSION = re.compile(r"(\S+)( message \d+.*)", re.DOTALL)


class Outcome(NamedTuple):
    """How a test's clients and its tape compare."""

    tape: str
    """Its path, as the test's author sees it."""
    verdict: "Verdict"
    entries: list["Entry"]
    """The journal, as far as it is needed: openings, misses, refusals, relaxed matches."""
    command: str
    """What records the tape anew; empty for a test that records nothing, because it has faults."""

    def without_unused(self) -> "Outcome":
        """The same, whatever was not sent left out."""
        verdict = self.verdict
        return self._replace(verdict=verdict._replace(unused=type(verdict.unused)(0, ())))

    def fails(self, *, strict: bool | str) -> bool:
        """Whether the test fails for it."""
        verdict = self.verdict
        counted = verdict.misses.count + verdict.unused.count + verdict.stalls.count
        if strict == "relaxed":
            counted += verdict.relaxed.count
        return bool(strict) and counted > 0


def told(outcome: Outcome) -> str:
    """Everything that differed, in words; empty where nothing did."""
    verdict = outcome.verdict
    places = {entry.session: _place(entry) for entry in outcome.entries if entry.session}
    sections = [
        *_section("not in the tape", verdict.misses, _misses(outcome.entries)),
        *_section("in the tape, but not sent", verdict.unused, _named(verdict.unused, places)),
        *_section("waited in vain", verdict.stalls, _named(verdict.stalls, places)),
        *_section("matched, but not exactly", verdict.relaxed, _named(verdict.relaxed, places)),
    ]
    if not sections:
        return ""
    return "\n".join([f"wiretape: {_headline(outcome)}", *sections, *_advice(outcome)])


def _advice(outcome: Outcome) -> Iterator[str]:
    if next(_of(outcome.entries, "refused"), None) is not None:
        yield 'For more connections than the tape has, mark the test with reconnect="last" or "cycle".'
    if outcome.command:
        yield f"If its clients should do this now, record the tape anew:\n  {outcome.command}"
    else:
        yield "With faults nothing is recorded: if its clients should do this now, record the tape with another test."


def _headline(outcome: Outcome) -> str:
    verdict, tape = outcome.verdict, outcome.tape
    if verdict.misses.count:
        first = _headline_of_a_miss(outcome)
    elif verdict.unused.count:
        first = _headline_of_what_was_not_sent(verdict.unused.named, tape)
    elif verdict.stalls.count:
        first = f"{tape} waited in vain for what its client sent next when it was recorded"
    else:
        return f"{verdict.relaxed.count} matched, but not exactly, in {tape}"
    more = verdict.misses.count + verdict.unused.count + verdict.stalls.count - 1
    return f"{first} (and {more} more)" if more else first


def _headline_of_a_miss(outcome: Outcome) -> str:
    entry = next(_of(outcome.entries, "missed", "refused"), None)
    if entry is None:
        return f"what was sent is not in {outcome.tape}"
    if entry.kind == "refused":
        return f"one connection more to {entry.upstream} than {outcome.tape} has"
    what = entry.method or "a message"
    if entry.why == "used up":
        return f"{what} was sent more often than {outcome.tape} has it"
    if not entry.differs or not _is_same_method(entry):
        return f"{what} is not in {outcome.tape}"
    (pointer, recorded, sent), *others = entry.differs
    if pointer and not others:
        return (
            f"{what} differs from {outcome.tape} in {pointer}: {_value(recorded)} there, {_value(sent)} sent"
        )
    pointers = ", ".join(each.pointer or "all of it" for each in entry.differs[:3])
    return f"{what} differs from {outcome.tape} in {pointers}"


def _headline_of_what_was_not_sent(named: Iterable[str], tape: str) -> str:
    texts = list(named)
    for text in texts:
        if match := _NOT_OPENED.fullmatch(text):
            number, upstream = match.groups()
            return f"connection {number} to {upstream}, which {tape} has, was not opened"
    payload = texts[0].partition(": ")[2] if texts else ""
    return f"not sent, but in {tape}: {payload}"


def _is_same_method(entry: "Entry") -> bool:
    """Whether the nearest recorded message asks for the same, as far as one can tell from here."""
    return not entry.method or entry.method in entry.nearest


def _section(title: str, findings: "Findings", blocks: Iterable[str]) -> list[str]:
    if not findings.count:
        return []
    shown = list(blocks)[:_SHOWN]
    rest = findings.count - len(shown)
    lines = [f"{title}:", *(_indented(block) for block in shown)]
    return [*lines, f"  and {rest} more"] if rest > 0 else lines


def _misses(entries: Iterable["Entry"]) -> Iterator[str]:
    for entry in _of(entries, "missed", "refused"):
        if entry.kind == "refused":
            yield f"{_place(entry)}: {entry.detail.removeprefix(f'{entry.upstream}: ')}"
        else:
            yield "\n".join(_miss(entry))


def _miss(entry: "Entry") -> Iterator[str]:
    yield f"{_place(entry)}, the client sent{f' {entry.method}' if entry.method else ''}:"
    yield f"  {entry.payload}"
    if entry.why == "used up":
        yield entry.detail.partition(": ")[2] or "used up"
        return
    if not entry.nearest:
        yield entry.detail or "nothing is left in the tape to answer it"
        return
    yield f"the nearest in the tape is message {entry.seq}:"
    yield f"  {entry.nearest}"
    for pointer, recorded, sent in entry.differs:
        name = pointer or "(all of it)"
        yield f"  - {name}: {_value(recorded)}  (tape)"
        yield f"  + {name}: {_value(sent)}  (sent)"
    if not entry.differs:
        yield entry.detail


def _value(text: str | None) -> str:
    return "(is not there)" if text is None else text


def _named(findings: "Findings", places: dict[str, str]) -> Iterator[str]:
    for text in findings.named:
        if match := _NOT_OPENED.fullmatch(text):
            number, upstream = match.groups()
            again = ": the client did not connect again" if number != "1" else ""
            yield f"{upstream}, connection {number} was not opened{again}"
        elif match := _IN_SESSION.fullmatch(text):
            session, rest = match.groups()
            yield f"{places.get(session, session)},{rest}"
        else:
            yield text


def _of(entries: Iterable["Entry"], *kinds: str) -> Iterator["Entry"]:
    # A refusal with a session is a recorded one, played again.
    return (
        entry for entry in entries if entry.kind in kinds and not (entry.kind == "refused" and entry.session)
    )


def _place(entry: "Entry") -> str:
    return f"{entry.upstream} connection {entry.connection}" if entry.connection else entry.upstream


def _indented(block: str) -> str:
    return "\n".join(f"  {line}" for line in block.splitlines())
