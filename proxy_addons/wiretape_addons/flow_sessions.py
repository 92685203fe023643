"""
What a flow of mitmproxy says of a session: handshake, messages, times and end. No I/O.

Where a flow is one that wiretape wrote, what it says besides counts more than mitmproxy's rough words.
"""

from collections.abc import Iterator
from enum import Enum, auto

from mitmproxy import http, websocket
from mitmproxy.flow import Flow

from wiretape_addons.flow_extras import KEY, Extras
from wiretape_addons.handshakes import is_upgrade
from wiretape_protocols import Opcode
from wiretape_store import End, EndKind, Event, Handshake, Headers, IncomingMessage
from wiretape_store.exports.extras import repacked, with_events

_SWITCHING = 101
_NO_STATUS = 1005
_ABNORMAL = 1006
_CLIENT_LEFT = "client disconnected"
"""mitmproxy's words for a client that did not wait for the answer."""


class Kind(Enum):
    """What a flow is to an import."""

    SESSION = auto()
    """A connection with its messages, or a handshake that was refused or not answered."""
    HANDSHAKE = auto()
    """A handshake that was accepted, and no messages: they went another way."""
    OTHER = auto()


def kind_of(flow: Flow) -> Kind:
    """Tell what a flow is."""
    if not isinstance(flow, http.HTTPFlow):
        return Kind.OTHER
    if flow.websocket is not None or KEY in flow.metadata:
        return Kind.SESSION
    if not is_upgrade(flow):
        return Kind.OTHER
    if flow.response is None:
        return Kind.SESSION if flow.error else Kind.HANDSHAKE
    return Kind.HANDSHAKE if flow.response.status_code == _SWITCHING else Kind.SESSION


def times_of(flow: http.HTTPFlow, extras: Extras | None) -> tuple[int, int]:
    """When a session began and ended, in microseconds since 1970."""
    started_at_us = extras.start.started_at_us if extras else _us(flow.request.timestamp_start)
    times = [started_at_us]
    if flow.websocket is not None:
        times += [_us(message.timestamp) for message in flow.websocket.messages[-1:]]
    if extras is not None:
        times += [started_at_us + extras.end.at_us]
    elif flow.websocket is not None and flow.websocket.timestamp_end:
        times.append(_us(flow.websocket.timestamp_end))
    elif flow.response is not None and flow.response.timestamp_end:
        times.append(_us(flow.response.timestamp_end))
    elif flow.error is not None:
        times.append(_us(flow.error.timestamp))
    return started_at_us, max(times)


def handshake_of(flow: http.HTTPFlow, extras: Extras | None) -> Handshake:
    """The handshake as it passed."""
    response = flow.response
    request_headers = _fields(flow.request.headers)
    target = extras.start.handshake.target if extras else flow.request.path
    if response is None:
        return Handshake(target, request_headers)
    is_refused = response.status_code != _SWITCHING
    body = (response.raw_content or b"") if is_refused else b""
    return Handshake(target, request_headers, response.status_code, _fields(response.headers), body)


def end_of(flow: http.HTTPFlow, extras: Extras | None) -> End:
    """How a session ended, and by whom."""
    if extras is not None:
        return extras.end.end
    if flow.response is not None and flow.response.status_code != _SWITCHING:
        return End(EndKind.REFUSED, from_client=False, code=flow.response.status_code)
    if flow.websocket is not None:
        return _end_of_messages(flow.websocket)
    said = flow.error.msg if flow.error else "no answer"
    if said.lower().startswith(_CLIENT_LEFT):
        return End(EndKind.EOF, from_client=True)
    return End(EndKind.UNREACHABLE, reason=said)


def items_of(
    flow: http.HTTPFlow, started_at_us: int, extras: Extras | None
) -> Iterator[IncomingMessage | Event]:
    """The messages in order, without those that mitmproxy dropped, and between them the events of ours."""
    return with_events(_messages(flow, started_at_us, extras), extras.events if extras else ())


def _end_of_messages(data: websocket.WebSocketData) -> End:
    if data.close_code is None:
        return End(EndKind.INTERRUPTED)
    if data.close_code == _ABNORMAL:
        return End(EndKind.EOF, data.closed_by_client)
    code = None if data.close_code == _NO_STATUS else data.close_code
    return End(EndKind.CLOSED, data.closed_by_client, code, data.close_reason or None)


def _messages(flow: http.HTTPFlow, started_at_us: int, extras: Extras | None) -> Iterator[IncomingMessage]:
    messages = flow.websocket.messages if flow.websocket else []
    passed = (message for message in messages if not message.dropped)
    for seq, message in enumerate(passed):
        codec = extras.redacted.get(seq) if extras else None
        yield IncomingMessage(
            message.from_client,
            Opcode(int(message.type)),
            _us(message.timestamp) - started_at_us,
            message.content,
            decoded=None if codec is None else repacked(message.content, codec),
            deflated=extras is not None and extras.is_deflated(seq),
            redacted=codec is not None,
        )


def _fields(headers: http.Headers) -> Headers:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.fields)


def _us(timestamp: float) -> int:
    return round(timestamp * 1_000_000)
