"""A recording as replay uses it: its sessions by upstream, compiled one by one when a client asks for them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol as Interface

from wiretape_protocols import (
    Protocol,
    Redactor,
    SessionRedaction,
    comparable_target,
    parse_rules,
    protocol_named,
)
from wiretape_replay.errors import NothingToReplayError
from wiretape_replay.pages import PageCache
from wiretape_replay.paging import WINDOW_SEQS, PagedReader, Paging, Redact, compared
from wiretape_replay.script import Script, compile_script
from wiretape_store.errors import UnknownRecordingError
from wiretape_store.records import Headers, Message, Recording, Redaction, Session, Upstream


class Reader(Interface):
    """What replay reads a recording from: a store's reader, or anything that answers alike."""

    def redaction(self, what: str) -> Redaction:
        """What the recording's tokens were made with, and by which rules of its user."""

    def recording(self, what: str) -> Recording:
        """The recording of that name or id. Raises UnknownRecordingError, also for a session."""

    def sessions(self, what: str) -> list[Session]:
        """The sessions of a recording, or the one session."""

    def messages(self, session_id: str) -> Iterator[Message]:
        """A session's messages, in the order of their numbers."""


@dataclass(slots=True)
class ReplayedUpstream:
    """An upstream of the recording and its sessions, in the order in which the connections were made."""

    upstream: Upstream
    protocol: Protocol
    sessions: tuple[Session, ...]
    redaction: Callable[[str, Headers], Redact]
    """Begins a connection: for its path and headers, what makes comparable messages of the live ones."""
    messages: Callable[[str], Iterable[Message]]
    redact_target: Callable[[str], str] = str
    """Makes a path and query comparable, live or recorded."""
    paging: Paging | None = None
    """Reads the sessions bit by bit; without it a session is read as a whole, and kept."""
    _scripts: dict[int, Script] = field(default_factory=dict)

    def with_protocol(self, protocol: Protocol) -> "ReplayedUpstream":
        """The same sessions, read in another way: nothing that is compiled is shared."""
        return replace(self, protocol=protocol, _scripts={})

    def prepare(self) -> None:
        """Begin with what takes long: the index of the first session, where that is long."""
        first = next(iter(self.sessions), None)
        if first is not None and first.messages_from_client + first.messages_from_upstream > WINDOW_SEQS:
            self.script(0)

    def script(self, index: int) -> Script:
        """
        The nth session's script, always the same one.

        Of a long session in a store it is not `ready` for a while; of one that is in no store all
        messages are read here.
        """
        if index not in self._scripts:
            session = self.sessions[index]
            if self.paging is None:
                script = compile_script(session, self.messages(session.id), self.protocol)
            else:
                handshake = session.handshake
                begin = partial(self.redaction, handshake.target, handshake.request_headers)
                script = self.paging.script(session, self.protocol, begin)
            self._scripts[index] = script
        return self._scripts[index]


@dataclass(frozen=True, slots=True)
class ReplayedRecording:
    """What a server replays: one listener for each of the upstreams."""

    what: str
    upstreams: tuple[ReplayedUpstream, ...]
    doubts: tuple[str, ...] = ()
    """What keeps live messages from matching, a sentence each."""
    redaction: Redaction = field(default_factory=lambda: Redaction(b"", ()))
    """How its secrets became tokens."""

    def close(self) -> None:
        """End what still goes on for it; nobody may replay it any more. To be called before its reader is closed."""
        for upstream in self.upstreams:
            if upstream.paging is not None:
                upstream.paging.close()


def load_recording(
    reader: Reader,
    what: str,
    environment: Mapping[str, str] | None = None,
    cache: PageCache | None = None,
) -> ReplayedRecording:
    """
    Prepare a recording, or one session, for replay.

    An upstream that no client came to has a listener too, without sessions. Reads the sessions' headers
    only; the reader must stay open as long as the replay goes on. The
    values of the recording's variables are those in `environment`. `cache` bounds the memory that
    recordings of stores take, one or several. Raises NothingToReplayError for a recording without
    sessions, RuleError for rules that this version does not know, and what the reader raises.
    """
    sessions = sorted(reader.sessions(what), key=lambda session: (session.upstream.id, session.number))
    if not sessions:
        raise NothingToReplayError(what)
    by_upstream: dict[Upstream, list[Session]] = {upstream: [] for upstream in _upstreams_of(reader, what)}
    for session in sessions:
        by_upstream.setdefault(session.upstream, []).append(session)
    redaction = reader.redaction(what)
    redactor = Redactor(redaction.key, parse_rules(redaction.rules), environment)
    paging = Paging(reader, cache) if isinstance(reader, PagedReader) else None
    upstreams = [_upstream(each, its, redactor, reader, paging) for each, its in by_upstream.items()]
    return ReplayedRecording(what, tuple(upstreams), tuple(map(_doubt, redactor.unset)), redaction)


def _upstreams_of(reader: Reader, what: str) -> tuple[Upstream, ...]:
    """Those of a recording, also where no client came; none for a session, which has its own."""
    try:
        return reader.recording(what).upstreams
    except UnknownRecordingError:
        return ()


def _upstream(
    upstream: Upstream, sessions: list[Session], redactor: Redactor, reader: Reader, paging: Paging | None
) -> ReplayedUpstream:
    protocol = protocol_named(upstream.protocol)
    handshakes = {session.id: session.handshake for session in sessions}

    def begin(target: str, headers: Headers) -> Redact:
        redaction = SessionRedaction(protocol, redactor)
        redaction.learn_handshake(target, headers)
        return redaction.replayed

    def messages(session_id: str) -> Iterator[Message]:
        handshake = handshakes[session_id]
        redact = begin(handshake.target, handshake.request_headers)
        return (
            compared(message, redact) if message.from_client else message
            for message in reader.messages(session_id)
        )

    redact_target = partial(comparable_target, redactor)
    return ReplayedUpstream(upstream, protocol, tuple(sessions), begin, messages, redact_target, paging)


def _doubt(variable: str) -> str:
    return (
        f"{variable} is not set: messages with the value that it had at recording will not match, "
        "so set it to what the client uses"
    )
