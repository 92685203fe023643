"""What happened in a run, in order. Entries hold redacted text only."""

import json
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple


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
    PUSHED = "pushed"
    """A run of pushes became free to go: `pushes` of the messages `seq` to `last_seq`."""
    HELD = "held"
    """A stall: `seq` waits for a client message that does not come; `detail` names it."""
    ENDED = "ended"


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

    def to_json(self) -> str:
        """One line of JSON, without the line end."""
        fields = {"kind": self.kind.value, "session": self.session, "at_us": self.at_us}
        optional = {
            "seq": self.seq,
            "last_seq": self.last_seq,
            "pushes": self.pushes,
            "method": self.method or None,
            "detail": self.detail or None,
            "payload": self.payload or None,
        }
        fields |= {name: value for name, value in optional.items() if value is not None}
        return json.dumps(fields, ensure_ascii=False)


class Journal:
    """
    Collects the entries of a run.

    Every entry goes to `sink`, as one line of JSON with its line end; the last `kept` stay in memory.
    A sink that raises OSError is dropped, and `on_failure` hears of it once: a run does not end
    because nobody can write it down.
    """

    def __init__(
        self,
        sink: Callable[[str], object] | None = None,
        on_failure: Callable[[OSError], object] = lambda _: None,
        *,
        kept: int = 100_000,
    ) -> None:
        self.entries: deque[Entry] = deque(maxlen=kept)
        self.failure: OSError | None = None
        """Why the sink was dropped; None as long as it takes everything."""
        self._sink = sink
        self._on_failure = on_failure

    def add(self, entry: Entry) -> None:
        """Append an entry."""
        self.entries.append(entry)
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
