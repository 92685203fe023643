"""
The sockets of the simulated Hotbit exchange: how it listens, shakes hands and hangs up.

Knows nothing of what is said. ``hotbit`` owns the connections.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

#: ViaBTC's limit for a message of the client.
MESSAGE_LIMIT_BYTES = 102_400
#: How long a client may take to shake hands, and to answer a close frame.
OPEN_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 1.0
#: An unmasked, final pong frame without a payload, and the byte that any final pong starts with.
EMPTY_PONG = b"\x8a\x00"
PONG_BYTE = b"\x8a"


class EmptyPongConnection(ServerConnection):
    """Answers a ping with a pong that lacks the ping's payload, as ViaBTC's server does."""

    def send_data(self) -> None:
        """Send what the protocol has written; it writes one element per frame."""
        writes = self.protocol.writes
        self.protocol.writes = [EMPTY_PONG if data.startswith(PONG_BYTE) else data for data in writes]
        super().send_data()


async def listen(
    handler: Callable[[ServerConnection], Awaitable[None]],
    host: str,
    port: int,
    *,
    deflate: bool,
    empty_pong: bool,
) -> tuple[Server, str]:
    """
    Open a listener for any path and return it with its URL. The caller closes it.

    `deflate` offers permessage-deflate with the parameters of the CoinEx-era server; a client that
    does not ask for it gets plain text frames.
    """
    factory = ServerPerMessageDeflateFactory(
        server_no_context_takeover=True, client_no_context_takeover=True, server_max_window_bits=15
    )
    server = await serve(
        handler,
        host,
        port,
        compression=None,
        extensions=[factory] if deflate else None,
        select_subprotocol=_select_subprotocol,
        process_response=_without_date,
        # The exchange never pings.
        ping_interval=None,
        open_timeout=OPEN_TIMEOUT_S,
        close_timeout=CLOSE_TIMEOUT_S,
        max_size=MESSAGE_LIMIT_BYTES,
        create_connection=EmptyPongConnection if empty_pong else None,
    )
    bound_host, bound_port = next(iter(server.sockets)).getsockname()[:2]
    authority = f"[{bound_host}]" if ":" in bound_host else bound_host
    return server, f"ws://{authority}:{bound_port}"


async def end_stream(websocket: ServerConnection) -> None:
    """End the TCP stream without a close frame, after what was already written."""
    websocket.transport.close()
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await websocket.wait_closed()
    except TimeoutError:
        await abort_stream(websocket)


async def abort_stream(websocket: ServerConnection) -> None:
    """End the TCP stream at once, without a close frame and without what is still unsent."""
    websocket.transport.abort()
    await websocket.wait_closed()


def _select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return Subprotocol("chat") if "chat" in offered else None


def _without_date(_: ServerConnection, __: Request, response: Response) -> None:
    """Keep the machine's clock out of the handshake."""
    del response.headers["Date"]
