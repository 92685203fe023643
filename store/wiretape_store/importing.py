"""
Bringing a whole recording into a store from elsewhere: a tape, a HAR, somebody's flow file.

Readers of such files make an `IncomingRecording`; what it holds passes the same classifying and
redacting as what the recorder sees.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol as Interface

from wiretape_protocols import Decoded, Opcode, Redactor, parse_rules, protocol_named
from wiretape_store.classifying import Classifier
from wiretape_store.pending import NewMessage
from wiretape_store.records import End, Event, EventKind, Handshake, Recording, UpstreamSpec

_SWITCHING = 101
_HIGHEST_PORT = 65535
_CONTROL_BYTES = 125
"""Of a control frame's body; RFC 6455 section 5.5."""
_NOT_IN_TARGET = re.compile(r"[\x00-\x20\x7f\ud800-\udfff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_LABEL = r"[A-Za-z0-9_-]{1,63}"
_ADDRESS = re.compile(
    rf"(\[?[0-9A-Fa-f:.]*(?:%[\w.-]+)?\]?|{_LABEL}(?:\.{_LABEL})*\.?):([0-9]{{1,5}})", re.ASCII
)


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """The next message of a session."""

    from_client: bool
    opcode: Opcode
    at_us: int
    """Microseconds since the session's start; not less than for the message before."""
    wire: bytes
    decoded: Decoded | None = None
    """What `wire` unpacks to, from who knows better than its bytes tell; an exact codec is believed."""
    deflated: bool = False
    redacted: bool = False
    """Its payload has tokens already."""


@dataclass(frozen=True, slots=True)
class IncomingSession:
    """One session, its messages and events in order; `after_seq` of the events is counted here."""

    upstream: str
    """The name of one of the recording's upstreams."""
    started_at_us: int
    handshake: Handshake
    items: Iterable[IncomingMessage | Event]
    ended_at_us: int
    end: End


@dataclass(frozen=True, slots=True)
class IncomingRecording:
    """A recording as a file tells it; times are microseconds since 1970, UTC."""

    name: str
    started_at_us: int
    ended_at_us: int
    upstreams: tuple[UpstreamSpec, ...]
    sessions: Iterable[IncomingSession]
    redaction_rules: tuple[str, ...] = ()
    redaction_key: bytes | None = None
    """What its tokens were made with; empty where nobody knows, None where it has none yet."""
    notes: tuple[str, ...] = ()
    """What whoever imports it should be told, each a sentence."""


class Destination(Interface):
    """Where a recording is brought to: a store's writer, or what does as it does."""

    @property
    def redaction_key(self) -> bytes:
        """What tokens are made with that the recording has none for."""

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
        """Begin a recording."""

    def end_recording(self, recording_id: str, ended_at_us: int) -> None:
        """End it: it is whole."""

    def drop_recording(self, recording_id: str) -> None:
        """Take it back."""

    def begin_session(self, upstream_id: int, started_at_us: int, handshake: Handshake) -> int:
        """Begin a session, and return the number that the other methods take."""

    def add(self, session_id: int, new: NewMessage) -> None:
        """Add the session's next message."""

    def add_event(self, session_id: int, new: Event) -> None:
        """Add what happened after the messages so far."""

    def commit_if_due(self) -> None:
        """Called after each message."""

    def end_session(self, session_id: int, ended_at_us: int, end: End) -> None:
        """End a session."""


def split_listen(text: str) -> tuple[str, int] | None:
    """Split `host:port`, the host of IPv6 in brackets; None where nothing could listen there."""
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found[2]) > _HIGHEST_PORT or ".." in found[1] or found[1].startswith("."):
        return None
    return found[1].removeprefix("[").removesuffix("]"), int(found[2])


def target_fault(target: str) -> str | None:
    """Say why nobody could ask for a target; None where somebody can."""
    if _NOT_IN_TARGET.search(target):
        return "it has a space, a control character or half a surrogate pair: write it percent-encoded"
    return None


def end_fault(end: End) -> str | None:
    """Say why the reason of an end could not be sent or stored; None where it can."""
    if end.reason is not None and _SURROGATE.search(end.reason):
        return "the reason has half a surrogate pair, which is no text"
    return None


def event_fault(event: Event) -> str | None:
    """Say why an event could not have been; None where it could."""
    if event.kind is EventKind.CLOSE and len(event.data) > _CONTROL_BYTES:
        return f"a close frame holds at most {_CONTROL_BYTES} bytes, code and reason, not {len(event.data)}"
    return None


def message_fault(handshake: Handshake) -> str | None:
    """Say why a session with such a handshake has no messages; None where it may."""
    if handshake.status == _SWITCHING:
        return None
    status = "no status" if handshake.status is None else f"status {handshake.status}"
    return f"a session with {status} has no messages: only one with status 101 was opened"


def import_recording(
    writer: Destination,
    incoming: IncomingRecording,
    name: str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> Recording:
    """
    Store a recording, under another name if one is given; `writer` settles it when it closes.

    Its rules are applied to whatever is no token yet; `environment` has the values of their
    variables, and one that is not set is not looked for. Raises RecordingExistsError for a name that
    is taken, UnknownProtocolError, RuleError, and what reading `incoming` raises; in that case
    nothing of it stays in the store. Nobody sees it before it is whole.
    """
    key = writer.redaction_key if incoming.redaction_key is None else incoming.redaction_key
    redactor = Redactor(key, parse_rules(incoming.redaction_rules), environment)
    protocols = {spec.name: protocol_named(spec.protocol) for spec in incoming.upstreams}
    specs = [replace(spec, url=redactor.url(spec.url)) for spec in incoming.upstreams]
    recording = writer.begin_recording(
        name or incoming.name,
        specs,
        started_at_us=incoming.started_at_us,
        redaction_rules=incoming.redaction_rules,
        redaction_key=incoming.redaction_key,
        hidden=True,
    )
    upstream_ids = {upstream.name: upstream.id for upstream in recording.upstreams}
    try:
        for session in incoming.sessions:
            classifier = Classifier(protocols[session.upstream], redactor)
            _import_session(writer, upstream_ids[session.upstream], session, classifier)
        writer.end_recording(recording.id, incoming.ended_at_us)
    except BaseException:
        writer.drop_recording(recording.id)
        raise
    return recording


def _import_session(
    writer: Destination,
    upstream_id: int,
    incoming: IncomingSession,
    classifier: Classifier,
) -> None:
    handshake = classifier.handshake(incoming.handshake)
    session = writer.begin_session(upstream_id, incoming.started_at_us, handshake)
    for item in incoming.items:
        if isinstance(item, Event):
            writer.add_event(session, classifier.event(item))
            continue
        new = classifier.message(
            item.wire,
            item.opcode,
            from_client=item.from_client,
            at_us=item.at_us,
            deflated=item.deflated,
            decoded=item.decoded,
        )
        if item.redacted and new.redacted is None:
            new.redacted = new.decoded.payload
        writer.add(session, new)
        writer.commit_if_due()
    writer.end_session(session, incoming.ended_at_us, classifier.end(incoming.end))
