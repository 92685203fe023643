"""
A store of one recording in memory: `import_recording` writes it, and it is read as a store's reader is.

For recordings that are used once, such as a tape that is replayed: a database takes longer to make
than all of these to read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from wiretape_protocols import CodecKind, Role, decode
from wiretape_store.errors import UnknownRecordingError, UnknownSessionError
from wiretape_store.pending import NewMessage
from wiretape_store.records import (
    End,
    EndKind,
    Event,
    Handshake,
    Message,
    Recording,
    Redaction,
    Session,
    Upstream,
    UpstreamSpec,
)

_ID = "r1"


@dataclass(slots=True)
class _Held:
    """A session, and what is in it."""

    session: Session
    messages: list[Message] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    wire_bytes: int = 0
    """Before any redaction."""


class MemoryStore:
    """Holds the recording that was begun here, once; a context manager as its peers are."""

    redaction_key = b""
    """There is none: a recording has its own, or nobody knows with which its tokens were made."""

    def __init__(self, path: str) -> None:
        """`path` says in errors what was read."""
        self.path = path
        self._recording: Recording
        """Set once a recording has begun."""
        self._redaction_key = b""
        self._sessions: list[_Held] = []
        """The session `s3` is the third."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def begin_recording(
        self,
        name: str,
        upstreams: Sequence[UpstreamSpec],
        *,
        started_at_us: int,
        redaction_rules: Sequence[str],
        redaction_key: bytes | None,
        hidden: bool,
    ) -> Recording:
        """As `StoreWriter.begin_recording`."""
        numbered = tuple(
            Upstream(number, spec.name, spec.protocol, spec.url, spec.listen)
            for number, spec in enumerate(upstreams, 1)
        )
        rules = tuple(redaction_rules)
        self._recording = Recording(_ID, name, started_at_us, None, numbered, redaction_rules=rules)
        self._redaction_key = redaction_key or b""
        return self._recording

    def begin_session(self, upstream_id: int, started_at_us: int, handshake: Handshake) -> int:
        """As `StoreWriter.begin_session`."""
        upstream = self._recording.upstreams[upstream_id - 1]
        number = sum(held.session.upstream is upstream for held in self._sessions)
        session_id = len(self._sessions) + 1
        session = Session(
            id=f"s{session_id}",
            recording=self._recording.name,
            upstream=upstream,
            number=number,
            started_at_us=started_at_us,
            ended_at_us=None,
            handshake=handshake,
            messages_from_client=0,
            messages_from_upstream=0,
            exchanges=0,
            pushes=0,
            wire_bytes=0,
            end=End(EndKind.OPEN),
        )
        self._sessions.append(_Held(session))
        return session_id

    def add(self, session_id: int, new: NewMessage) -> None:
        """As `StoreWriter.add`."""
        held = self._sessions[session_id - 1]
        held.messages.append(_message(new))
        held.wire_bytes += len(new.wire)

    def add_event(self, session_id: int, new: Event) -> None:
        """As `StoreWriter.add_event`."""
        self._sessions[session_id - 1].events.append(new)

    def commit_if_due(self) -> None:
        """Nothing: all is there."""

    def end_session(self, session_id: int, ended_at_us: int, end: End) -> None:
        """As `StoreWriter.end_session`."""
        held = self._sessions[session_id - 1]
        messages = held.messages
        from_client = sum(each.from_client for each in messages)
        held.session = replace(
            held.session,
            ended_at_us=ended_at_us,
            messages_from_client=from_client,
            messages_from_upstream=len(messages) - from_client,
            exchanges=sum(each.role is Role.ANSWER and each.answers is not None for each in messages),
            pushes=sum(each.role is Role.PUSH for each in messages),
            wire_bytes=held.wire_bytes,
            end=end,
        )

    def end_recording(self, recording_id: str, ended_at_us: int) -> None:
        """As `StoreWriter.end_recording`."""
        self._recording = replace(self._recording, ended_at_us=ended_at_us)

    def drop_recording(self, recording_id: str) -> None:
        """Nothing: a recording that could not be brought in is not read."""

    def recordings(self) -> list[Recording]:
        """The one recording."""
        return [self._recording]

    def recording(self, what: str) -> Recording:
        """The recording by its name, or else by its id. Raises UnknownRecordingError."""
        if what not in (self._recording.name, self._recording.id):
            raise UnknownRecordingError(self.path, what, [self._recording.name])
        return self._recording

    def redaction(self, what: str) -> Redaction:
        """As `StoreReader.redaction`."""
        self.sessions(what)
        return Redaction(self._redaction_key, self._recording.redaction_rules)

    def sessions(self, what: str | None = None) -> list[Session]:
        """As `StoreReader.sessions`."""
        if what is not None:
            try:
                self.recording(what)
            except UnknownRecordingError:
                found = [held.session for held in self._sessions if held.session.id == what]
                if not found:
                    raise
                return found
        return [held.session for held in self._sessions]

    def session(self, session_id: str) -> Session:
        """Find a session by its id. Raises UnknownSessionError."""
        return self._held(session_id).session

    def messages(self, session_id: str, first_seq: int = 0) -> Iterator[Message]:
        """The messages of a session in order, from `first_seq` on. Raises UnknownSessionError."""
        return iter(self._held(session_id).messages[max(first_seq, 0) :])

    def events(self, session_id: str) -> list[Event]:
        """What else happened in a session, in order. Raises UnknownSessionError."""
        return list(self._held(session_id).events)

    def _held(self, session_id: str) -> _Held:
        for held in self._sessions:
            if held.session.id == session_id:
                return held
        raise UnknownSessionError(self.path, session_id)


def _message(new: NewMessage) -> Message:
    """What is read back of a message that was stored."""
    payload, codec, kept_wire = new.decoded.payload, new.decoded.codec, None
    if new.redacted is not None:
        payload = new.redacted
    elif not codec.exact:
        # A store keeps its bytes, and finds out anew what they are.
        payload, codec, _ = decode(new.wire)
        kept_wire = None if codec.kind is CodecKind.IDENTITY else new.wire
    return Message(
        new.seq,
        new.from_client,
        new.opcode,
        new.at_us,
        payload,
        codec,
        new.role,
        new.method,
        new.answers,
        new.stream,
        new.deflated,
        new.redacted is not None,
        kept_wire,
    )
