"""How a client's opening handshake is answered: as the upstream answered it when it was recorded."""

import http
from collections.abc import Iterable, Sequence

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHeader
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.headers import parse_extension
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from wiretape_store.records import Handshake, header_value

# RFC 9110 section 7.6.1, and what this server sets itself.
_OWN_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class Handshakes(ServerProtocol):
    """The library's side of a handshake, without its wall clock: no two runs may differ in a byte."""

    def reject(self, status: int, text: str) -> Response:
        """Refuse a request that is no handshake; the library calls this itself as well."""
        response = super().reject(status, text)
        del response.headers["Date"]
        return response


def accept(websocket: ServerProtocol, request: Request, handshake: Handshake) -> Response:
    """
    Answer a valid handshake with what was recorded: subprotocol, compression and plain headers.

    What the client does not offer is not agreed on. An invalid request gets the library's refusal.
    """
    recorded_subprotocol = header_value(handshake.response_headers, "sec-websocket-protocol")

    def select(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return next((name for name in offered if name == recorded_subprotocol), None)

    # The library binds a selection given to its constructor the same way, but here it is known later.
    websocket.select_subprotocol = select.__get__(websocket)  # type: ignore[method-assign]
    websocket.available_extensions = _deflate(
        header_value(handshake.response_headers, "sec-websocket-extensions")
    )
    response = websocket.accept(request)
    if response.status_code == http.HTTPStatus.SWITCHING_PROTOCOLS:
        del response.headers["Date"]  # the recorded one stands in for it
        _add(response.headers, handshake.response_headers)
    return response


def refuse(handshake: Handshake) -> Response:
    """The recorded refusal: status, headers and body."""
    headers = Headers()
    _add(headers, handshake.response_headers)
    assert handshake.status is not None
    return _response(handshake.status, headers, handshake.body)


def refused_by_fault(status: int) -> Response:
    """The answer to a handshake that a fault refuses with this status."""
    headers = Headers([("Content-Type", "text/plain; charset=utf-8")])
    return _response(status, headers, b"wiretape: a fault refuses this connection\n")


def no_session_left(what: str, upstream: str, sessions: int) -> Response:
    """The answer to one connection more than were recorded."""
    count = "1 session" if sessions == 1 else f"{sessions} sessions"
    text = (
        f"wiretape: {what} has {count} of upstream {upstream}, and all were opened before. "
        "Start the replay anew, or record a longer session.\n"
    )
    headers = Headers([("Content-Type", "text/plain; charset=utf-8")])
    return _response(http.HTTPStatus.SERVICE_UNAVAILABLE, headers, text.encode())


def _response(status: int, headers: Headers, body: bytes) -> Response:
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return Response(int(status), phrase, headers, body)


def _add(headers: Headers, recorded: Iterable[tuple[str, str]]) -> None:
    for name, value in recorded:
        lower = name.lower()
        if lower in _OWN_HEADERS or lower.startswith("sec-websocket-"):
            continue
        if value.isprintable() and value.isascii():  # anything else cannot be told from an attack
            headers[name] = value


def _deflate(recorded: str) -> list[ServerPerMessageDeflateFactory]:
    """permessage-deflate with the recorded parameters (RFC 7692 section 7.1), where it was agreed on."""
    try:
        extensions = parse_extension(recorded) if recorded else []
    except InvalidHeader:
        return []
    for name, parameters in extensions:
        if name != "permessage-deflate":
            continue
        values = dict(parameters)
        return [
            ServerPerMessageDeflateFactory(
                server_no_context_takeover="server_no_context_takeover" in values,
                client_no_context_takeover="client_no_context_takeover" in values,
                server_max_window_bits=_window_bits(values.get("server_max_window_bits")),
                client_max_window_bits=_window_bits(values.get("client_max_window_bits")),
            )
        ]
    return []


def _window_bits(value: str | None) -> int | None:
    """A window size that zlib can write: it has none of 8 bits."""
    return max(9, min(15, int(value))) if value and value.isdecimal() else None
