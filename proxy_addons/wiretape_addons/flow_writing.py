"""Writing sessions as flows of mitmproxy: each a handshake with its WebSocket messages, or without."""

import shutil
import tempfile
import uuid
from typing import IO, Any, BinaryIO
from urllib.parse import urlsplit

from mitmproxy import connection, flow, http, websocket
from mitmproxy.io import tnetstring
from mitmproxy.net.http import status_codes

from wiretape_addons.flow_extras import KEY, Marks
from wiretape_store import EndKind, Headers, Message, Session, StoreReader
from wiretape_store.exports.addresses import asked_url, split_url
from wiretape_store.exports.chosen import Chosen, choose

_NO_STATUS = 1005
_ABNORMAL = 1006
"""mitmproxy's words for a close frame without a code, and for an end without a close frame (RFC 6455, 7.4.1)."""
_SWITCHING = 101
_LIST = "messages"
_IN_MEMORY_BYTES = 16 * 1024 * 1024


def write(reader: StoreReader, what: str, file: BinaryIO) -> None:
    """Write the flows of a recording or a session. Raises UnknownRecordingError."""
    chosen = choose(reader, what)
    for session in chosen.sessions:
        marks = Marks()
        with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as messages:
            if session.handshake.status == _SWITCHING:
                for number, message in enumerate(reader.messages(session.id)):
                    marks.add(number, message)
                    messages.write(_message(message, session.started_at_us))
            made = _flow_of(chosen, session)
            made.metadata[KEY] = marks.text(chosen, session, reader.events(session.id))
            dump(made, messages, file)


def dump(made: http.HTTPFlow, messages: IO[bytes], file: BinaryIO) -> None:
    """
    Write a flow as mitmproxy's FlowWriter does, but with the messages from a file of tnetstrings.

    FlowWriter holds everything several times over: 2 KB for each message of 200 bytes.
    """
    state: dict[str, Any] = dict(made.get_state())
    data = state.pop("websocket")
    outer = [tnetstring.dumps(name) + tnetstring.dumps(value) for name, value in state.items()]
    outer.append(tnetstring.dumps("websocket"))
    if data is None:
        file.write(_head([*outer, tnetstring.dumps(None)]) + b"}")
        return
    messages_head = b"%d:" % messages.tell()
    inner = [
        tnetstring.dumps(name) + tnetstring.dumps(value) for name, value in data.items() if name != _LIST
    ]
    inner += [tnetstring.dumps(_LIST), messages_head]
    inner_head = _head(inner, messages.tell() + 1)
    file.write(_head([*outer, inner_head], messages.tell() + 2))
    messages.seek(0)
    shutil.copyfileobj(messages, file)
    file.write(b"]}}")


def _head(pieces: list[bytes], more_bytes: int = 0) -> bytes:
    """The beginning of a dictionary of pieces, after which so many bytes more will come."""
    content = b"".join(pieces)
    return b"%d:" % (len(content) + more_bytes) + content


def _message(message: Message, started_at_us: int) -> bytes:
    """The state of a WebSocketMessage: neither dropped nor injected."""
    at = (started_at_us + message.at_us) / 1_000_000
    return tnetstring.dumps([message.opcode.value, message.from_client, message.wire, at, False, False])


def _flow_of(chosen: Chosen, session: Session) -> http.HTTPFlow:
    """A flow without its messages."""
    made = http.HTTPFlow(*_connections(session))
    # The same recording is the same file every time.
    made.id = _uuid(chosen, session, "flow")
    made.client_conn.id = _uuid(chosen, session, "client")
    made.server_conn.id = _uuid(chosen, session, "server")
    started = session.started_at_us / 1_000_000
    made.timestamp_created = started
    made.comment = f"wiretape {session.recording} {session.id} {session.upstream.name}"
    made.request = _request(session, started)
    status = session.handshake.status
    if status is not None:
        made.response = _response(session, status, started)
    if status == _SWITCHING:
        made.websocket = _websocket(session)
    elif status is None:
        made.error = flow.Error(session.end.reason or "no answer", _ended(session))
    return made


def _websocket(session: Session) -> websocket.WebSocketData:
    end = session.end
    data = websocket.WebSocketData()
    if end.kind in {EndKind.INTERRUPTED, EndKind.OPEN}:
        return data
    data.closed_by_client = end.from_client
    data.close_code = _ABNORMAL if end.kind is not EndKind.CLOSED else end.code or _NO_STATUS
    data.close_reason = end.reason or ""
    data.timestamp_end = _ended(session)
    return data


def _request(session: Session, started: float) -> http.Request:
    url = asked_url(session.upstream.url, session.handshake.target)
    address, target = split_url(url)
    return http.Request(
        host=address.host,
        port=address.port,
        method=b"GET",
        scheme=b"https" if address.scheme == "wss" else b"http",
        authority=b"",
        path=target.encode("utf-8", "surrogatepass"),
        http_version=b"HTTP/1.1",
        headers=_fields(session.handshake.request_headers),
        content=b"",
        trailers=None,
        timestamp_start=started,
        timestamp_end=started,
    )


def _response(session: Session, status: int, started: float) -> http.Response:
    return http.Response(
        http_version=b"HTTP/1.1",
        status_code=status,
        reason=status_codes.RESPONSES.get(status, "").encode(),
        headers=_fields(session.handshake.response_headers),
        content=session.handshake.body,
        trailers=None,
        timestamp_start=started,
        timestamp_end=started,
    )


def _connections(session: Session) -> tuple[connection.Client, connection.Server]:
    address, _ = split_url(asked_url(session.upstream.url, ""))
    started = session.started_at_us / 1_000_000
    listener = urlsplit(f"//{session.upstream.listen}")
    at = (listener.hostname or "", listener.port or 0)
    client = connection.Client(peername=("", 0), sockname=at, timestamp_start=started)
    server = connection.Server(address=(address.host, address.port), timestamp_start=started)
    server.tls = address.scheme == "wss"
    if session.ended_at_us is not None:
        client.timestamp_end = server.timestamp_end = _ended(session)
    return client, server


def _ended(session: Session) -> float:
    return (session.ended_at_us or session.started_at_us) / 1_000_000


def _fields(headers: Headers) -> http.Headers:
    return http.Headers([(_wire(name), _wire(value)) for name, value in headers])


def _wire(text: str) -> bytes:
    """The bytes that the characters of latin-1 stand for."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _uuid(chosen: Chosen, session: Session, kind: str) -> str:
    recording = chosen.recording
    name = f"wiretape:{recording.name}:{recording.started_at_us}:{session.id}:{kind}"
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))
