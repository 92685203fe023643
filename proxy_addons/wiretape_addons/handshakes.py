"""What a recorder keeps of a WebSocket opening handshake (RFC 6455 section 4), from a mitmproxy flow."""

from collections.abc import Iterable

from mitmproxy import http

from wiretape_addons.feed import Opening


def is_upgrade(flow: http.HTTPFlow) -> bool:
    """Whether the request asks for a WebSocket connection."""
    upgrade: str = flow.request.headers.get("upgrade", "")
    return upgrade.lower() == "websocket"


def opening_of(
    flow: http.HTTPFlow, upstream: int, target: str, body: bytes, unreachable: str | None
) -> Opening:
    """
    The handshake of a flow to upstream number `upstream`.

    `target` is the path and query that the client asked for, before they were led elsewhere; `body`
    is what a refusal said.
    """
    response = flow.response if unreachable is None else None
    return Opening(
        upstream=upstream,
        started_at_us=int(flow.request.timestamp_start * 1_000_000),
        target=target,
        request_headers=_fields(flow.request.headers.fields),
        status=response.status_code if response else None,
        response_headers=_fields(response.headers.fields) if response else [],
        body_hex=body.hex(),
        unreachable=unreachable,
    )


def _fields(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
