"""
An entry of a HAR, made the frame of a session: where it went, its handshake, its times and its end.

The messages are left in the file; what is kept of them is where they stand.
"""

import re
from collections import deque
from dataclasses import dataclass
from typing import Any

from wiretape_store.exports.addresses import Address, split_url
from wiretape_store.exports.extras import MEMBER, session_of
from wiretape_store.exports.har.frames import Failure, Frame, FrameError, close_of, frame_of, time_us
from wiretape_store.exports.har.handshakes import (
    SWITCHING,
    EntryError,
    asks_for_upgrade,
    body_of,
    headers_of,
    status_of,
)
from wiretape_store.exports.har.pieces import Text, Walk
from wiretape_store.exports.har.writing import MESSAGES
from wiretape_store.importing import IncomingMessage, end_fault, message_fault, target_fault
from wiretape_store.records import End, EndKind, Event, EventKind, Handshake
from wiretape_store.tapes.errors import LineError

_LONGEST_MS = 1e12
"""Thirty years; Chrome gives connections that failed the time since some other moment."""
_LAST = 3
"""So many messages at the end may tell how the session ended: both close frames, and an error."""
_EARLIEST_US = 946_684_800_000_000
"""The year 2000: a clock that says less was not set."""
_READ = ("startedDateTime", "time", "request", "response", "_resourceType", MEMBER)
_SOCKET_URL = re.compile(r"wss?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Entry:
    """What an entry tells of a session, without its messages."""

    number: int
    """Its place in the file, from 1."""
    address: Address
    upstream: str
    """The upstream's name, in a file of ours; empty otherwise."""
    started_at_us: int
    """0 where the file cannot tell."""
    ended_at_us: int
    handshake: Handshake
    end: End
    events: tuple[Event, ...]
    messages: int
    messages_at: int
    """Where the array of messages stands in the file; meaningless without any."""


@dataclass(slots=True)
class _Found:
    """The pieces of an entry that matter."""

    spans: dict[str, int]
    messages_at: int | None = None
    messages: int = 0
    first_at: int = 0
    last_at: tuple[int, ...] = ()


def entry_at(walk: Walk, text: Text, number: int) -> Entry | None:
    """
    Read the entry that `walk` is before; None where it is no WebSocket connection.

    Raises EntryError, and PieceError for what is not JSON.
    """
    if walk.byte() != b"{":
        raise EntryError("it is not an object")
    found = _found(walk)
    members = {name: Walk(text, at).load() for name, at in found.spans.items() if name != "response"}
    request = members.get("request")
    url = request.get("url") if isinstance(request, dict) else None
    if not isinstance(url, str):
        raise EntryError("member 'request.url' must be a text")
    is_named = members.get("_resourceType") == "websocket" or _SOCKET_URL.match(url)
    if not (found.messages or is_named or asks_for_upgrade(request)):
        return None
    response = Walk(text, found.spans["response"]).load() if "response" in found.spans else {}
    if not isinstance(request, dict) or not isinstance(response, dict):
        raise EntryError("member 'response' must be an object")
    try:
        address, target = split_url(url)
    except ValueError as exc:
        raise EntryError(f"member 'request.url': {exc}") from exc
    if MEMBER in members:
        return _sound(_ours(number, address, found, members, request, response, text))
    return _sound(_foreign(number, address, target, found, members, request, response, text))


def _sound(entry: Entry) -> Entry:
    """The entry, if a store and a replay can make something of it."""
    fault = target_fault(entry.handshake.target)
    if fault is not None:
        raise EntryError(f"member 'request.url': {fault}")
    fault = end_fault(entry.end)
    if fault is not None:
        raise EntryError(fault)
    # Errors of Chrome are no messages, and stand in entries that were never opened.
    fault = message_fault(entry.handshake) if entry.upstream and entry.messages else None
    if fault is not None:
        raise EntryError(f"member '{MEMBER}': {fault}")
    return entry


def _found(walk: Walk) -> _Found:
    found = _Found({})
    for name in walk.members():
        if name in _READ:
            found.spans[name] = walk.at
        elif name == MESSAGES and walk.byte() == b"[":
            found.messages_at = walk.at
            last: deque[int] = deque(maxlen=_LAST)
            for count in walk.elements():
                last.append(walk.at)
                found.messages = count + 1
                found.first_at = found.first_at or walk.at
            found.last_at = tuple(last)
        elif name == MESSAGES and walk.load() is not None:
            raise EntryError(f"member '{MESSAGES}' must be an array")
    return found


def _ours(
    number: int,
    address: Address,
    found: _Found,
    members: dict[str, Any],
    request: dict[str, Any],
    response: dict[str, Any],
    text: Text,
) -> Entry:
    """Read an entry that wiretape wrote, which says more exactly what HAR says roughly."""
    try:
        start, events, end = session_of(members[MEMBER])
    except LineError as exc:
        raise EntryError(f"member '{MEMBER}': {exc}") from exc
    handshake = Handshake(
        start.handshake.target,
        headers_of(request, "request"),
        start.handshake.status,
        headers_of(response, "response"),
        start.handshake.body,
    )
    latest_us = max([end.at_us, *(event.at_us for event in events)])
    for at in found.last_at:
        latest_us = max(latest_us, _frame_time_us(text, at, start.started_at_us))
    return Entry(
        number=number,
        address=address,
        upstream=start.upstream,
        started_at_us=start.started_at_us,
        ended_at_us=start.started_at_us + latest_us,
        handshake=handshake,
        end=end.end,
        events=tuple(events),
        messages=found.messages,
        messages_at=found.messages_at or 0,
    )


def _foreign(
    number: int,
    address: Address,
    target: str,
    found: _Found,
    members: dict[str, Any],
    request: dict[str, Any],
    response: dict[str, Any],
    text: Text,
) -> Entry:
    started_at_us = _started_at_us(members, found, text)
    last = _last_frames(text, found, started_at_us)
    status = status_of(response)
    if any(isinstance(frame, IncomingMessage) for frame in last):
        # Messages have passed, so it was accepted: over HTTP/2 with 200, and some leave it out.
        status = SWITCHING
    took = members.get("time")
    took_us = round(took * 1000) if isinstance(took, int | float) and 0 < took < _LONGEST_MS else 0
    latest_us = max([took_us, *(frame.at_us for frame in last if not isinstance(frame, Failure))])
    if not started_at_us:
        latest_us = 0
    handshake = Handshake(
        target,
        headers_of(request, "request"),
        status,
        headers_of(response, "response"),
        body_of(response, status),
    )
    return Entry(
        number=number,
        address=address,
        upstream="",
        started_at_us=started_at_us,
        ended_at_us=started_at_us + latest_us,
        handshake=handshake,
        end=_end(status, response, last),
        events=(),
        messages=found.messages,
        messages_at=found.messages_at or 0,
    )


def _end(status: int | None, response: dict[str, Any], last: list[Frame]) -> End:
    failure = next((frame.text for frame in last if isinstance(frame, Failure)), None)
    if status is None:
        said = response.get("_error")
        return End(EndKind.UNREACHABLE, reason=failure or (said if isinstance(said, str) else "no answer"))
    if status != SWITCHING:
        return End(EndKind.REFUSED, from_client=False, code=status)
    for frame in last:
        if isinstance(frame, Event) and frame.kind is EventKind.CLOSE:
            return close_of(frame)
    # A HAR does not tell how a connection ended; it may have been open when it was saved.
    return End(EndKind.INTERRUPTED) if failure is None else End(EndKind.EOF, reason=failure)


def _started_at_us(members: dict[str, Any], found: _Found, text: Text) -> int:
    """When it began; 0 where nobody can tell, as of Chrome's connections that failed at once."""
    try:
        started = time_us(members.get("startedDateTime"), "startedDateTime")
    except FrameError as exc:
        if not found.messages and not _is_early(members.get("startedDateTime")):
            raise EntryError(str(exc)) from exc
        started = None
    if started is None and found.messages:
        started = _frame_time_us(text, found.first_at, 0)
    return started if started is not None and started >= _EARLIEST_US else 0


def _is_early(started: Any) -> bool:
    """Whether a time is one before 1970: Chrome's word for none."""
    return isinstance(started, str) and started.startswith("19")


def _frame_time_us(text: Text, at: int, started_at_us: int) -> int:
    """The time of a message since `started_at_us`; whatever else is wrong with it is said when it is read."""
    value = Walk(text, at).load()
    try:
        given = time_us(value.get("time") if isinstance(value, dict) else None, "time")
    except FrameError:
        given = None
    return max(0, (given or 0) - started_at_us)


def _last_frames(text: Text, found: _Found, started_at_us: int) -> list[Frame]:
    frames = []
    for number, at in enumerate(found.last_at, found.messages - len(found.last_at) + 1):
        try:
            frames.append(frame_of(Walk(text, at).load(), started_at_us, 0))
        except FrameError as exc:
            raise EntryError(str(exc), message=number) from exc
    return frames
