"""`wiretape tail` beside a recorder that runs."""

import asyncio
import json
import sys
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from recorders import recorder


async def echo(server: ServerConnection) -> None:
    async for message in server:
        await server.send(message)


def test_tail_follows_a_recording_while_it_runs_and_ends_with_it(tmp_path: Path) -> None:
    store = tmp_path / "a.db"

    async def run() -> tuple[list[str], list[str], int | None]:
        async with serve(echo, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with recorder("tap", {"e:json": url}, store) as urls, asyncio.timeout(60):
                tail = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "wiretape", "tail", "--store", str(store), "--json"),
                    stdout=asyncio.subprocess.PIPE,
                )
                assert tail.stdout is not None
                async with connect(urls["e"], proxy=None) as client:
                    await client.send('{"n": 1}')
                    await client.recv()
                    # The recorder still runs, and the connection is open.
                    during = [(await tail.stdout.readline()).decode() for _ in range(2)]
                    await client.send('{"n": 2}')
                    await client.recv()
            async with asyncio.timeout(60):
                after, _ = await tail.communicate()
            return during, after.decode().splitlines(), tail.returncode

    during, after, status = asyncio.run(run())

    messages = [json.loads(line) for line in during + after]
    assert [message["payload"] for message in messages] == ['{"n": 1}'] * 2 + ['{"n": 2}'] * 2
    assert {message["upstream"] for message in messages} == {"e"}
    assert status == 0
