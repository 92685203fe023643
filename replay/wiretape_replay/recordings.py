"""A recording as replay uses it: its sessions by upstream, compiled one by one when a client asks for them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol as Interface

from wiretape_protocols import Protocol, Redactor, protocol_named
from wiretape_replay.errors import NothingToReplayError
from wiretape_replay.script import Script, compile_script
from wiretape_store.records import Message, Session, Upstream


class Reader(Interface):
    """What replay reads a recording from: a store's reader, or anything that answers alike."""

    @property
    def redaction_key(self) -> bytes:
        """The key that the recording's tokens were made with."""

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
    redact: Callable[[bytes], bytes]
    """Does to a live client message what the recorder did to the recorded ones."""
    messages: Callable[[str], Iterable[Message]]
    redact_target: Callable[[str], str] = str
    """Does to the path and query that a live client asks for what the recorder did to the recorded ones."""
    _scripts: dict[int, Script] = field(default_factory=dict)

    def script(self, index: int) -> Script:
        """The nth session's script: compiled at the first call, which reads all of its messages."""
        if index not in self._scripts:
            session = self.sessions[index]
            self._scripts[index] = compile_script(session, self.messages(session.id), self.protocol)
        return self._scripts[index]


@dataclass(frozen=True, slots=True)
class ReplayedRecording:
    """What a server replays: one listener for each of the upstreams."""

    what: str
    upstreams: tuple[ReplayedUpstream, ...]


def load_recording(reader: Reader, what: str) -> ReplayedRecording:
    """
    Prepare a recording, or one session, for replay.

    Reads the sessions' headers only; the reader must stay open as long as the replay goes on. Raises
    NothingToReplayError for a recording without sessions, and what the reader raises.
    """
    by_upstream: dict[int, list[Session]] = {}
    for session in sorted(reader.sessions(what), key=lambda session: (session.upstream.id, session.number)):
        by_upstream.setdefault(session.upstream.id, []).append(session)
    if not by_upstream:
        raise NothingToReplayError(what)
    redactor = Redactor(reader.redaction_key)
    upstreams = [_upstream(sessions, redactor, reader) for sessions in by_upstream.values()]
    return ReplayedRecording(what, tuple(upstreams))


def _upstream(sessions: list[Session], redactor: Redactor, reader: Reader) -> ReplayedUpstream:
    upstream = sessions[0].upstream
    protocol = protocol_named(upstream.protocol)

    def redact(payload: bytes) -> bytes:
        secrets = protocol.secrets(payload, from_client=True)
        return redactor.payload(payload, secrets) if secrets else payload

    return ReplayedUpstream(upstream, protocol, tuple(sessions), redact, reader.messages, redactor.target)
