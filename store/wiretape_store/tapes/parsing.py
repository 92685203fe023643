"""
What each line of a tape says, checked member by member; not how the lines belong together.

`docs/tape.md` specifies the lines, `docs/tape.schema.json` as a schema.
"""

import re
from dataclasses import dataclass

from wiretape_protocols import (
    IDENTITY,
    BrokenProtocolError,
    Opcode,
    UnknownProtocolError,
    protocol_named,
)
from wiretape_protocols.redaction_rules import RuleError, parse_rules
from wiretape_store.importing import IncomingMessage, end_fault, event_fault, split_listen, target_fault
from wiretape_store.records import (
    End,
    EndKind,
    Event,
    EventKind,
    Handshake,
    Headers,
    UpstreamSpec,
)
from wiretape_store.tapes.errors import LineError
from wiretape_store.tapes.members import Members
from wiretape_store.tapes.packing import codec_of_tape, unpacked
from wiretape_store.tapes.spelling import bytes_of_base64, bytes_of_text

VERSION = 1
"""Of the format; raised only when tapes are written that older programs would misread."""
CLIENT, UPSTREAM = "client", "upstream"

_TIMES = (0, 253_402_300_799_999_999)
"""In microseconds since 1970, to the end of the year 9999."""
STATUSES = (100, 999)
_CODES = (0, 0xFFFF)
_END_KINDS = tuple(kind.value for kind in EndKind if kind is not EndKind.OPEN)
_EVENT_KINDS = tuple(kind.value for kind in EventKind)
_CLOSE_CODE_BYTES = 2
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_HEADER_NAME = re.compile(r"[^\x00-\x20\x7f:]+")
# A line end may stand before space: header lines were folded so, and proxies pass it on (RFC 9112, 5.2).
_BROKEN_VALUE = re.compile(r"\x00|\r(?!\n[ \t])|(?<!\r)\n|\n(?![ \t])")


@dataclass(frozen=True, slots=True)
class Header:
    """The first line: the recording as a whole."""

    recording: str
    started_at_us: int
    ended_at_us: int
    upstreams: tuple[UpstreamSpec, ...]
    redaction_rules: tuple[str, ...]
    zlib: str
    """The fingerprint of the zlib that `exact` codecs were proven with; empty where there are none."""


@dataclass(frozen=True, slots=True)
class SessionStart:
    """The line that begins a session."""

    upstream: str
    started_at_us: int
    handshake: Handshake


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """The line that ends a session."""

    at_us: int
    end: End


Line = SessionStart | IncomingMessage | Event | SessionEnd


def parse_header(text: bytes) -> Header:
    """Read the first line. Raises LineError."""
    if text.startswith(b"\xef\xbb\xbf"):
        raise LineError("it begins with a byte order mark; save it as UTF-8 without one")
    members = Members(text)
    if "wiretape" not in members or members.text("wiretape") != "tape":
        raise LineError('not a tape: its first line does not begin with {"wiretape": "tape"')
    version = members.number("version", limits=(1, 10**9))
    if version > VERSION:
        raise LineError(f"its version is {version}, this wiretape reads version {VERSION}; use a newer one")
    header = Header(
        recording=_filled("recording", members.text("recording")),
        started_at_us=members.number("started_at_us", limits=_TIMES),
        ended_at_us=members.number("ended_at_us", limits=_TIMES),
        upstreams=tuple(_upstream(each) for each in members.objects("upstreams")),
        redaction_rules=_rules(members),
        zlib=members.text("zlib", ""),
    )
    members.finish()
    if header.ended_at_us < header.started_at_us:
        raise LineError(f"member 'ended_at_us' is before 'started_at_us', {header.started_at_us}")
    names = [upstream.name for upstream in header.upstreams]
    if len(set(names)) < len(names):
        raise LineError("member 'upstreams' has two of the same name")
    return header


def parse_line(text: bytes) -> Line:
    """Read any other line. Raises LineError."""
    members = Members(text)
    if "session" in members:
        line: Line = _session(members)
    elif "end" in members:
        line = _end(members)
    elif "event" in members:
        line = _event(members)
    else:
        line = _message(members)
    members.finish()
    return line


def header_fault(headers: Headers) -> str | None:
    """Say which header field could not be sent again; None when each can."""
    for name, value in headers:
        if not _HEADER_NAME.fullmatch(name):
            return f"{name!r} is no name of a header field"
        if _BROKEN_VALUE.search(value):
            return f"the header field {name!r} has a line end or a NUL in its value"
    return None


def _upstream(members: Members) -> UpstreamSpec:
    spec = UpstreamSpec(
        name=_filled("name", members.text("name")),
        protocol=members.text("protocol"),
        url=members.text("url"),
        listen=members.text("listen"),
    )
    # What was imported from elsewhere had no listener.
    if spec.listen and split_listen(spec.listen) is None:
        raise LineError(f"member 'listen' must be host:port, such as 127.0.0.1:8081, not {spec.listen!r:.60}")
    members.finish()
    try:
        protocol_named(spec.protocol)
    except (UnknownProtocolError, BrokenProtocolError) as exc:
        raise LineError(str(exc)) from exc
    return spec


def _rules(members: Members) -> tuple[str, ...]:
    texts = members.texts("redaction_rules")
    try:
        parse_rules(texts)
    except RuleError as exc:
        raise LineError(f"member 'redaction_rules': {exc}") from exc
    return texts


def _session(members: Members) -> SessionStart:
    return SessionStart(
        upstream=members.text("session"),
        started_at_us=members.number("started_at_us", limits=_TIMES),
        handshake=Handshake(
            target=_target(members),
            request_headers=_headers(members, "request_headers"),
            status=members.number("status", limits=STATUSES) if "status" in members else None,
            response_headers=_headers(members, "response_headers"),
            body=_data(members, "body", "body_base64"),
        ),
    )


def _target(members: Members) -> str:
    target = members.text("target")
    fault = target_fault(target)
    if fault is not None:
        raise LineError(f"member 'target': {fault}")
    return target


def _end(members: Members) -> SessionEnd:
    at_us = members.number("at_us", limits=_TIMES)
    kind = EndKind(members.choice("end", _END_KINDS))
    end = End(
        kind,
        from_client=_side(members) if "from" in members else None,
        code=members.number("code", limits=_CODES) if "code" in members else None,
        reason=members.text("reason") if "reason" in members else None,
    )
    fault = end_fault(end)
    if fault is not None:
        raise LineError(f"member 'reason': {fault}")
    return SessionEnd(at_us, end)


def _event(members: Members) -> Event:
    at_us = members.number("at_us", limits=_TIMES)
    from_client = _side(members)
    kind = EventKind(members.choice("event", _EVENT_KINDS))
    head = b""
    if kind is EventKind.CLOSE and "code" in members:
        head = members.number("code", limits=_CODES).to_bytes(_CLOSE_CODE_BYTES, "big")
    event = Event(-1, at_us, from_client, kind, head + _data(members, "text", "base64"))
    fault = event_fault(event)
    if fault is not None:
        raise LineError(fault)
    return event


def _message(members: Members) -> IncomingMessage:
    at_us = members.number("at_us", limits=_TIMES)
    from_client = _side(members)
    opcode = members.choice("opcode", ("text", "binary"), "text")
    codec = codec_of_tape(members.text("codec")) if "codec" in members else IDENTITY
    redacted = members.flag("redacted")
    kept_wire = _kept_wire(members, is_allowed=not codec.exact and not redacted)
    deflated = members.flag("deflated")
    wire, decoded = unpacked(_payload(members), codec, kept_wire, redacted=redacted)
    opcodes = {"text": Opcode.TEXT, "binary": Opcode.BINARY}
    return IncomingMessage(from_client, opcodes[opcode], at_us, wire, decoded, deflated, redacted)


def _kept_wire(members: Members, *, is_allowed: bool) -> bytes | None:
    if "wire_base64" not in members:
        return None
    if not is_allowed:
        raise LineError("member 'wire_base64' stands only beside a codec that is not exact, unredacted")
    return bytes_of_base64("wire_base64", members.text("wire_base64"))


def _payload(members: Members) -> bytes:
    given = [name for name in ("text", "base64") if name in members]
    embedded = members.embedded
    if len(given) + (embedded is not None) != 1:
        raise LineError("a message has one of the members 'json', 'text' and 'base64'")
    if embedded is None:
        return _data(members, "text", "base64")
    if embedded[:1] not in (b"{", b"["):
        raise LineError("member 'json' must be an object or a list; write any other payload as 'text'")
    members.embedded = None
    return embedded


def _data(members: Members, text: str, encoded: str) -> bytes:
    if text in members and encoded in members:
        raise LineError(f"members {text!r} and {encoded!r} exclude each other")
    if encoded in members:
        return bytes_of_base64(encoded, members.text(encoded))
    return bytes_of_text(text, members.text(text, ""))


def _headers(members: Members, name: str) -> Headers:
    headers = members.pairs(name)
    fault = header_fault(headers)
    if fault is not None:
        raise LineError(f"member {name!r}: {fault}")
    return headers


def _side(members: Members) -> bool:
    return members.choice("from", (CLIENT, UPSTREAM)) == CLIENT


def _filled(name: str, text: str) -> str:
    if not text.strip() or _CONTROL.search(text):
        raise LineError(f"member {name!r} must be a name, without control characters")
    return text
