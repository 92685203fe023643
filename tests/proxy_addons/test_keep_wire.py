import asyncio
from pathlib import Path

import pytest
from store_builders import PUSH, packed
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from recorders import recorder
from wiretape_store import StoreReader

UNPROVABLE = packed(PUSH)["gzip-of-two-blocks"]


async def push(server: ServerConnection) -> None:
    await server.send(UNPROVABLE)
    await server.wait_closed()


@pytest.mark.parametrize("keep", ["needed", "never"])
def test_the_recorder_keeps_wire_bytes_that_it_cannot_make_again_unless_told_not_to(
    keep: str, tmp_path: Path
) -> None:
    async def run() -> bytes | str:
        async with serve(push, "127.0.0.1", 0) as server:
            upstream = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            options = ["--keep-wire", keep]
            async with (
                recorder("tap", {"hotbit": upstream}, tmp_path / "t.db", options=options) as urls,
                connect(urls["hotbit"], proxy=None) as client,
            ):
                return await client.recv()

    seen = asyncio.run(run())
    with StoreReader(str(tmp_path / "t.db")) as reader:
        (message,) = reader.messages("s1")
    assert seen == UNPROVABLE  # What passes is never changed.
    assert message.payload == PUSH
    assert (message.wire == UNPROVABLE) is (keep == "needed")
