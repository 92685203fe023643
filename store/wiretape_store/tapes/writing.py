"""
Writing a recording, or one of its sessions, as a tape: the same recording always as the same bytes.
"""

import base64
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from wiretape_protocols import CodecKind, Opcode, Prover, deflater_fingerprint
from wiretape_store.errors import StoreError, UnknownRecordingError
from wiretape_store.reader import StoreReader
from wiretape_store.records import EndKind, Event, EventKind, Message, Recording, Session, Upstream
from wiretape_store.tapes.packing import codec_for_tape
from wiretape_store.tapes.parsing import CLIENT, STATUSES, UPSTREAM, VERSION, header_fault
from wiretape_store.tapes.spelling import bytes_member, line, payload_member, quoted

_IN_MEMORY_BYTES = 16 * 1024 * 1024
_CLOSE_CODE_BYTES = 2
_SIDES = {True: CLIENT, False: UPSTREAM, None: None}


def write_tape(reader: StoreReader, what: str, file: BinaryIO) -> None:
    """
    Write a recording (name or id), or one session, as a tape.

    Raises UnknownRecordingError, and StoreError for a session that is still being recorded.
    """
    recording, upstreams = _chosen(reader, what)
    sessions = reader.sessions(what)
    for session in sessions:
        _check(reader, session)
    # The first line says with which zlib the exact ones among the others were packed.
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as body:
        writer = _Writer()
        for session in sessions:
            body.writelines(writer.session(reader, session))
        fingerprint = deflater_fingerprint() if writer.has_exact else None
        file.write(_header(recording, upstreams, sessions, fingerprint))
        body.seek(0)
        shutil.copyfileobj(body, file)


def _chosen(reader: StoreReader, what: str) -> tuple[Recording, tuple[Upstream, ...]]:
    """Find the recording that holds what is asked for, and the upstreams to name."""
    try:
        recording = reader.recording(what)
    except UnknownRecordingError:
        (session,) = reader.sessions(what)
        return reader.recording(session.recording), (session.upstream,)
    return recording, recording.upstreams


def _check(reader: StoreReader, session: Session) -> None:
    """Refuse a session that a tape could not give back."""
    if session.end.kind is EndKind.OPEN:
        what = f"session {session.id} is still being recorded"
        raise StoreError(reader.path, what, "export it when it has ended, or choose others with --session")
    handshake = session.handshake
    fault = header_fault(handshake.request_headers + handshake.response_headers)
    if fault is None and handshake.status is not None and not STATUSES[0] <= handshake.status <= STATUSES[1]:
        fault = f"its handshake has status {handshake.status}"
    if fault is not None:
        what = f"session {session.id} does not fit a tape: {fault}"
        raise StoreError(reader.path, what, "choose others with --session")


def _header(
    recording: Recording, upstreams: tuple[Upstream, ...], sessions: list[Session], fingerprint: str | None
) -> bytes:
    ended_at_us = recording.ended_at_us
    if ended_at_us is None:
        # Its recorder could not tell any more.
        ended_at_us = max([session.ended_at_us or session.started_at_us for session in sessions], default=0)
    members: list[tuple[str, Any]] = [
        ("wiretape", "tape"),
        ("version", VERSION),
        ("recording", recording.name),
        ("started_at_us", recording.started_at_us),
        # A clock may have been set back while recording.
        ("ended_at_us", max(recording.started_at_us, ended_at_us)),
        ("upstreams", [_upstream(each) for each in upstreams]),
        ("redaction_rules", recording.redaction_rules or None),
        ("zlib", fingerprint),
    ]
    return line(members)


def _upstream(upstream: Upstream) -> dict[str, str]:
    return {
        "name": upstream.name,
        "protocol": upstream.protocol,
        "url": upstream.url,
        "listen": upstream.listen,
    }


@dataclass(slots=True)
class _Body:
    """A session's line being made: nothing may be earlier than what came before."""

    at_us: int = 0

    def not_before(self, at_us: int) -> int:
        self.at_us = max(self.at_us, at_us)
        return self.at_us


class _Writer:
    """Writes sessions, and remembers what the first line has to say of them."""

    def __init__(self) -> None:
        self.has_exact = False
        """Some message is packed as a build of zlib packs it."""
        # One for all, in their order: then what it leaves unproven in a tape, an import leaves so too.
        self._prover = Prover()

    def session(self, reader: StoreReader, session: Session) -> Iterator[bytes]:
        """Yield the lines of a session."""
        yield _session_line(session)
        body = _Body()
        events = iter(reader.events(session.id))
        event = next(events, None)
        for message in reader.messages(session.id):
            while event is not None and event.after_seq < message.seq:
                yield _event_line(event, body.not_before(event.at_us))
                event = next(events, None)
            yield self._message_line(message, body.not_before(message.at_us))
        while event is not None:
            yield _event_line(event, body.not_before(event.at_us))
            event = next(events, None)
        ended_at_us = session.ended_at_us or session.started_at_us
        yield _end_line(session, body.not_before(ended_at_us - session.started_at_us))

    def _message_line(self, message: Message, at_us: int) -> bytes:
        pieces = [f'{{"at_us": {at_us}, "from": "{_SIDES[message.from_client]}"'.encode()]
        if message.opcode is Opcode.BINARY:
            pieces.append(b'"opcode": "binary"')
        codec = codec_for_tape(message, self._prover)
        if codec.kind is not CodecKind.IDENTITY:
            pieces.append(b'"codec": ' + quoted(str(codec)).encode())
            self.has_exact = self.has_exact or codec.exact
        if message.deflated:
            pieces.append(b'"deflated": true')
        if message.redacted:
            pieces.append(b'"redacted": true')
        if message.kept_wire is not None and not codec.exact:
            pieces.append(b'"wire_base64": "%b"' % _base64(message.kept_wire))
        pieces.append(payload_member(message.payload))
        return b", ".join(pieces) + b"}\n"


def _session_line(session: Session) -> bytes:
    handshake = session.handshake
    members: list[tuple[str, Any]] = [
        ("session", session.upstream.name),
        ("started_at_us", session.started_at_us),
        ("target", handshake.target),
        ("status", handshake.status),
        ("request_headers", handshake.request_headers or None),
        ("response_headers", handshake.response_headers or None),
    ]
    if handshake.body:
        name, text = bytes_member(handshake.body)
        members.append(("body" if name == "text" else "body_base64", text))
    return line(members)


def _event_line(event: Event, at_us: int) -> bytes:
    members: list[tuple[str, Any]] = [
        ("at_us", at_us),
        ("from", _SIDES[event.from_client]),
        ("event", event.kind.value),
    ]
    data = event.data
    if event.kind is EventKind.CLOSE and len(data) >= _CLOSE_CODE_BYTES:
        members.append(("code", int.from_bytes(data[:_CLOSE_CODE_BYTES], "big")))
        data = data[_CLOSE_CODE_BYTES:]
    if data:
        members.append(bytes_member(data))
    return line(members)


def _end_line(session: Session, at_us: int) -> bytes:
    end = session.end
    return line(
        [
            ("at_us", at_us),
            ("end", end.kind.value),
            ("from", _SIDES[end.from_client]),
            ("code", end.code),
            ("reason", end.reason),
        ]
    )


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data)
