"""The brake holds a connection up while the writer is behind, and only then."""

import asyncio
from types import SimpleNamespace
from typing import Any

from wiretape_addons.brake import brake


def test_a_connection_is_read_on_when_there_is_room() -> None:
    order: list[str] = []

    async def drain() -> None:
        order.append("drained")

    async def run() -> None:
        room = asyncio.Event()
        handler = SimpleNamespace(drain_writers=drain)
        proxyserver: Any = SimpleNamespace(connections={"a": handler})

        async def wait_for_room() -> None:
            await room.wait()

        brake(proxyserver, "a", wait_for_room)
        reading = asyncio.ensure_future(handler.drain_writers())
        await asyncio.sleep(0)
        assert (order, reading.done()) == (["drained"], False)

        room.set()
        await reading

    asyncio.run(run())


def test_a_connection_that_is_gone_needs_no_brake() -> None:
    proxyserver: Any = SimpleNamespace(connections={})

    brake(proxyserver, "gone", asyncio.Event().wait)  # type: ignore[arg-type]

    assert proxyserver.connections == {}
