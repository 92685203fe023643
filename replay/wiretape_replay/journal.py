"""What happened in a run, in order. Entries hold redacted text only."""

import json
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple


class EntryKind(StrEnum):
    """What an entry tells."""

    OPENED = "opened"
    """A connection got a recorded session."""
    REFUSED = "refused"
    """A connection got none: the recorded handshake failed, or no session is left."""
    MATCHED = "matched"
    RELAXED = "relaxed"
    """Matched after something was left out; `detail` says what."""
    REPEATED = "repeated"
    MISSED = "missed"
    FORWARDED = "forwarded"
    """The recording cannot answer it, so it went to the live upstream."""
    PUSHED = "pushed"
    """A run of pushes became free to go: `pushes` of the messages `seq` to `last_seq`."""
    DROPPED = "dropped"
    """Recorded pushes that are not sent, because the client has closed their stream."""
    HELD = "held"
    """A stall: `seq` waits for a client message that does not come; `detail` names it."""
    STEPPED = "stepped"
    """Somebody let pushes go; `detail` says how many, or which."""
    PACED = "paced"
    """The pace was changed, or the run paused or resumed."""
    INJECTED = "injected"
    """A message that is not in the recording was pushed."""
    FAULT = "fault"
    """A fault struck; `detail` says what it did."""
    ENDED = "ended"


class Difference(NamedTuple):
    """A member in which a client message and the recorded one nearest to it differ."""

    pointer: str
    """JSON pointer (RFC 6901); empty for messages as a whole."""
    recorded: str | None
    """As it is spelled; None where there is no such member."""
    sent: str | None


class Entry(NamedTuple):
    """One line of the journal. What does not apply is left at its default, and out of the JSON."""

    kind: EntryKind
    session: str
    """The recorded session; empty where no session was left."""
    at_us: int
    """Since the connection opened."""
    seq: int | None = None
    """The recorded message, counted as in the session."""
    last_seq: int | None = None
    pushes: int | None = None
    method: str = ""
    detail: str = ""
    payload: str = ""
    """The beginning of the client's message, redacted."""
    why: str = ""
    """Of a miss: `different`, `used up` or `nothing left`."""
    nearest: str = ""
    """Of a miss: the beginning of the recorded message that comes nearest."""
    differs: tuple[Difference, ...] = ()
    """Of a miss: where the two differ."""
    upstream: str = ""
    connection: int | None = None
    """Counts the connections to the upstream in this run, from 1."""
    number: int = 0
    """Counts the journal's entries, from 1; the journal sets it."""

    def to_object(self) -> dict[str, Any]:
        """The entry as JSON has it."""
        fields: dict[str, Any] = {"number": self.number, "kind": self.kind.value}
        optional: dict[str, Any] = {
            "upstream": self.upstream or None,
            "connection": self.connection,
            "session": self.session or None,
        }
        fields |= {name: value for name, value in optional.items() if value is not None}
        fields["at_us"] = self.at_us
        optional = {
            "seq": self.seq,
            "last_seq": self.last_seq,
            "pushes": self.pushes,
            "method": self.method or None,
            "detail": self.detail or None,
            "payload": self.payload or None,
            "why": self.why or None,
            "nearest": self.nearest or None,
            "differs": [difference._asdict() for difference in self.differs] or None,
        }
        return fields | {name: value for name, value in optional.items() if value is not None}

    def to_json(self) -> str:
        """One line of JSON, without the line end."""
        return json.dumps(self.to_object(), ensure_ascii=False)


class Journal:
    """
    Collects the entries of a run.

    Every entry goes to `sink`, as one line of JSON with its line end; the last `kept` stay in memory.
    A sink that raises OSError is dropped, and `on_failure` hears of it once: a run does not end
    because nobody can write it down. Whoever listens hears of each entry as it is added, and must
    neither raise nor add entries.
    """

    def __init__(
        self,
        sink: Callable[[str], object] | None = None,
        on_failure: Callable[[OSError], object] = lambda _: None,
        *,
        kept: int = 100_000,
    ) -> None:
        self.entries: deque[Entry] = deque(maxlen=kept)
        self.count = 0
        """How many entries were added, those that are no longer kept included."""
        self.failure: OSError | None = None
        """Why the sink was dropped; None as long as it takes everything."""
        self._sink = sink
        self._on_failure = on_failure
        self._listeners: list[Callable[[Entry], object]] = []

    def listen(self, listener: Callable[[Entry], object]) -> None:
        """Tell `listener` of each entry from now on."""
        self._listeners.append(listener)

    def forget(self, listener: Callable[[Entry], object]) -> None:
        """Tell `listener` no more."""
        self._listeners.remove(listener)

    def add(self, entry: Entry) -> None:
        """Append an entry, and number it."""
        self.count += 1
        if entry.number != self.count:
            entry = entry._replace(number=self.count)
        self.entries.append(entry)
        if self._listeners:
            for listener in tuple(self._listeners):
                listener(entry)
        if self._sink is not None:
            try:
                self._sink(entry.to_json() + "\n")
            except OSError as exc:
                self.fail(exc)

    def fail(self, why: OSError) -> None:
        """Drop the sink. Whoever owns it calls this too, where the last of it cannot be written."""
        self._sink = None
        if self.failure is None:
            self.failure = why
            self._on_failure(why)
