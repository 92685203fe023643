"""What a writer holds between two commits, and the rows it becomes; no SQL is run here."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from wiretape_protocols import Codec, Decoded, Opcode, Role
from wiretape_store.chunks import RAW, Entry
from wiretape_store.records import End, Event, EventKind

Row = tuple[int | None, ...]

_NEVER_GIVEN_UP = frozenset((EventKind.GAP, EventKind.VIOLATION))
"""They say that something is missing, and are few."""


@dataclass(slots=True)
class NewMessage:
    """A message to store. Not frozen, because one is made for every message on the wire."""

    seq: int
    """Counts the session's messages from 0; a number may be left out, never come twice."""
    from_client: bool
    opcode: Opcode
    at_us: int
    """Microseconds since the session's start."""
    wire: bytes
    decoded: Decoded
    """What `wiretape_protocols.decode` made of `wire`."""
    role: Role
    method: str = ""
    answers: int | None = None
    stream: str = ""
    deflated: bool = False
    redacted: bytes | None = None
    """The payload with tokens in place of secrets; then neither `wire` nor `decoded` is stored."""


@dataclass(slots=True)
class LiveSession:
    """A session being recorded: what it has so far, and what the next commit is to add."""

    next_seq: int = 0
    next_event: int = 0
    messages: list[NewMessage] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    end: tuple[int, End] | None = None
    """When and how it ended."""
    last_at_us: int = 0
    """Of what the commits so far have stored."""
    lost: int = 0
    """Messages that were given up since the last commit; it stores how many as a gap."""
    lost_events: int = 0
    """Events, likewise."""
    gap: Event | None = None
    """The event that says how many; the next one replaces it while it waits."""
    doubtful: tuple[int, int] = (0, 0)
    """So many of the messages and events that wait were in a commit of which nobody knows whether it was done."""

    def event_rows(self, session_id: int) -> list[dict[str, Any]]:
        """Make the rows of table `event` for the events that wait."""
        return [
            {
                "session_id": session_id,
                "ordinal": ordinal,
                "after_seq": event.after_seq,
                "at_us": event.at_us,
                "from_client": int(event.from_client),
                "kind": event.kind.value,
                "data": event.data,
            }
            for ordinal, event in enumerate(self.events, self.next_event)
        ]

    def counter_row(self, session_id: int) -> dict[str, int]:
        """Say by how much the session's counters grow with what waits."""
        from_client = sum(message.from_client for message in self.messages)
        return {
            "session": session_id,
            "last": self.latest_at_us(),
            "more_messages_from_client": from_client,
            "more_messages_from_upstream": len(self.messages) - from_client,
            "more_exchanges": sum(
                message.role is Role.ANSWER and message.answers is not None for message in self.messages
            ),
            "more_pushes": sum(message.role is Role.PUSH for message in self.messages),
            "more_wire_bytes": sum(len(message.wire) for message in self.messages),
        }

    def latest_at_us(self) -> int:
        """Tell the time of the last message or event, those that wait included."""
        times = (waiting[-1].at_us for waiting in (self.messages, self.events) if waiting)
        return max(self.last_at_us, *times, 0)

    def give_up(self) -> int:
        """
        Forget what waits, but for gaps, violations and how much was lost; says how many messages now.
        """
        kept_messages, kept_events = self.doubtful
        lost_now = len(self.messages) - kept_messages
        at_us = self.latest_at_us()
        self.lost += lost_now
        given_up = [each for each in self.events[kept_events:] if each is not self.gap]
        kept = [each for each in given_up if each.kind in _NEVER_GIVEN_UP]
        self.lost_events += len(given_up) - len(kept)
        del self.messages[kept_messages:]
        self.events[kept_events:] = kept
        if self.lost or self.lost_events:
            more = f" and {self.lost_events} events" if self.lost_events else ""
            text = f"{self.lost} messages{more} passed unrecorded: the store could not be written"
            self.gap = Event(self.next_seq - 1, at_us, False, EventKind.GAP, text.encode())
            self.events.append(self.gap)
        return lost_now

    def doubt(self) -> None:
        """Note that all that waits was in a commit which was done or not."""
        self.doubtful = len(self.messages), len(self.events)
        self.lost = self.lost_events = 0  # The gap that says so is among the events.

    def resolve(self) -> None:
        """Drop what was in doubt: it is stored."""
        messages, events = self.doubtful
        times = [new.at_us for new in self.messages[:messages]]
        times += [new.at_us for new in self.events[:events]]
        self.last_at_us = max(self.last_at_us, *times)
        self.next_event += events
        del self.messages[:messages], self.events[:events]
        self.doubtful = 0, 0

    def committed(self) -> None:
        """Drop what waits: it is stored."""
        self.lost = self.lost_events = 0
        self.doubtful = 0, 0
        self.last_at_us = self.latest_at_us()
        self.next_event += len(self.events)
        self.messages.clear()
        self.events.clear()


def message_rows(session_id: int, messages: Iterable[NewMessage], ids: Mapping[str, int]) -> list[Row]:
    """Make the rows of table `message`, in the order of its columns; `ids` numbers the names."""
    # sqlite3 binds exact ints several times quicker than bools and enums.
    return [
        (
            session_id,
            message.seq,
            message.at_us,
            1 if message.from_client else 0,
            message.opcode._value_,
            message.role._value_,
            ids[message.method] if message.method else None,
            message.answers,
            ids[message.stream] if message.stream else None,
            len(message.wire),
            1 if message.deflated else 0,
            0 if message.redacted is None else 1,
        )
        for message in messages
    ]


def entries(messages: Iterable[NewMessage], ids: Mapping[Codec, int]) -> Iterator[tuple[int, Entry]]:
    """Say what a hot chunk holds of each message: the wire's bytes unless packing gives them, or what redaction left."""
    for message in messages:
        codec = message.decoded.codec
        if message.redacted is not None:
            yield message.seq, (ids[codec], message.redacted)
        elif codec.exact:
            yield message.seq, (ids[codec], message.decoded.payload)
        else:
            yield message.seq, (RAW, message.wire)
