"""
What other formats have no place for, as JSON that rides along in members of our own.

The objects are the lines of a tape (docs/tape.md) without what the format itself has, so that both
are read by the same rules.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from wiretape_protocols import Codec, CodecError, Decoded, decode, encode
from wiretape_store.exports.chosen import Chosen
from wiretape_store.importing import IncomingMessage
from wiretape_store.records import EndKind, Event, EventKind, Session
from wiretape_store.tapes.errors import LineError
from wiretape_store.tapes.parsing import (
    CLIENT,
    UPSTREAM,
    VERSION,
    Header,
    SessionEnd,
    SessionStart,
    parse_header,
    parse_line,
)
from wiretape_store.tapes.spelling import bytes_member

MEMBER = "_wiretape"
"""The member that holds them; HAR wants an underscore before what it does not specify."""
_SIDES = {True: CLIENT, False: UPSTREAM}
_CLOSE_CODE_BYTES = 2


def recording_object(chosen: Chosen) -> dict[str, Any]:
    """What to keep of the recording as a whole."""
    recording = chosen.recording
    return {
        "version": VERSION,
        "recording": recording.name,
        "started_at_us": recording.started_at_us,
        "ended_at_us": chosen.ended_at_us,
        "upstreams": [
            {"name": each.name, "protocol": each.protocol, "url": each.url, "listen": each.listen}
            for each in chosen.upstreams
        ],
        "redaction_rules": list(recording.redaction_rules),
    }


def recording_of(value: Any) -> Header:
    """Read what `recording_object` made. Raises LineError."""
    return parse_header(_line(value, {"wiretape": "tape"}))


def session_object(session: Session, events: list[Event]) -> dict[str, Any]:
    """What to keep of a session besides its headers and messages."""
    handshake = session.handshake
    start: dict[str, Any] = {
        "session": session.upstream.name,
        "started_at_us": session.started_at_us,
        "target": handshake.target,
    }
    if handshake.status is not None:
        start["status"] = handshake.status
    if handshake.body:
        name, text = bytes_member(handshake.body)
        start["body" if name == "text" else "body_base64"] = text
    return {"session": start, "events": [_event_object(each) for each in events], "end": _end_object(session)}


def session_of(value: Any) -> tuple[SessionStart, list[Event], SessionEnd]:
    """Read what `session_object` made. Raises LineError."""
    if not isinstance(value, dict) or not isinstance(value.get("events"), list):
        raise LineError("not an object with the members 'session', 'events' and 'end'")
    start, end = parse_line(_line(value.get("session"))), parse_line(_line(value.get("end")))
    if not isinstance(start, SessionStart) or not isinstance(end, SessionEnd):
        raise LineError("its members 'session' and 'end' are not those of a tape")
    return start, [_event_of(each) for each in value["events"]], end


def with_events(
    items: Iterable[IncomingMessage | Event], events: Iterable[Event]
) -> Iterator[IncomingMessage | Event]:
    """Put the events of `session_of` between the items of a session, and let no time go back."""
    waiting = deque(events)
    latest_us, seq = 0, 0
    for item in items:
        while waiting and waiting[0].after_seq < seq:
            latest_us = max(latest_us, waiting[0].at_us)
            yield replace(waiting.popleft(), at_us=latest_us)
        latest_us = max(latest_us, item.at_us)
        seq += isinstance(item, IncomingMessage)
        yield item if item.at_us == latest_us else replace(item, at_us=latest_us)
    for event in waiting:
        latest_us = max(latest_us, event.at_us)
        yield replace(event, at_us=latest_us)


def repacked(wire: bytes, codec: Codec) -> Decoded:
    """
    How a message with tokens was packed: only the codec that was written down can tell.

    It counts if it packs what `wire` unpacks to into `wire`; else somebody has edited that.
    """
    decoded = decode(wire)
    try:
        return Decoded(decoded.payload, codec) if encode(decoded.payload, codec) == wire else decoded
    except CodecError:
        return decoded


def _event_object(event: Event) -> dict[str, Any]:
    members: dict[str, Any] = {
        "after_seq": event.after_seq,
        "at_us": event.at_us,
        "from": _SIDES[event.from_client],
        "event": event.kind.value,
    }
    data = event.data
    if event.kind is EventKind.CLOSE and len(data) >= _CLOSE_CODE_BYTES:
        members["code"] = int.from_bytes(data[:_CLOSE_CODE_BYTES], "big")
        data = data[_CLOSE_CODE_BYTES:]
    if data:
        name, text = bytes_member(data)
        members[name] = text
    return members


def _event_of(value: Any) -> Event:
    after_seq = value.get("after_seq") if isinstance(value, dict) else None
    if isinstance(after_seq, bool) or not isinstance(after_seq, int):
        raise LineError("an event needs a whole number as its member 'after_seq'")
    event = parse_line(_line({name: each for name, each in value.items() if name != "after_seq"}))
    if not isinstance(event, Event):
        raise LineError("its member 'events' has something else than events")
    return Event(after_seq, event.at_us, event.from_client, event.kind, event.data)


def _end_object(session: Session) -> dict[str, Any]:
    end = session.end
    ended_at_us = session.ended_at_us or session.started_at_us
    members: dict[str, Any] = {
        "at_us": max(0, ended_at_us - session.started_at_us),
        # Whoever reads the file later has seen the recording end.
        "end": (EndKind.INTERRUPTED if end.kind is EndKind.OPEN else end.kind).value,
    }
    if end.from_client is not None:
        members["from"] = _SIDES[end.from_client]
    if end.code is not None:
        members["code"] = end.code
    if end.reason is not None:
        members["reason"] = end.reason
    return members


def _line(value: Any, more: dict[str, Any] | None = None) -> bytes:
    if not isinstance(value, dict):
        raise LineError("a member that should be an object is something else or missing")
    return json.dumps((more or {}) | value).encode()
