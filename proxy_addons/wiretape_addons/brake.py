"""
Makes a connection read no further while the writer is behind.

mitmproxy goes on reading while a hook is awaited, and queues what it read; only its own wait for the
writers of a connection, between two reads, holds it up. So that is where the brake is put.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mitmproxy.addons.proxyserver import Proxyserver


def brake(proxyserver: "Proxyserver", connection_id: str, room: Callable[[], Awaitable[None]]) -> None:
    """Await `room` before each further read of a connection, of both its sides."""
    handler = proxyserver.connections.get(connection_id)
    if handler is None:
        return
    drain: Callable[[], Awaitable[None]] = handler.drain_writers

    async def drain_and_wait() -> None:
        await drain()
        await room()

    handler.drain_writers = drain_and_wait  # type: ignore[method-assign]
