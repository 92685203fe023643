"""Other people's clients, unmodified: through the recorder first, then against the replay alone."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from wiretape.daemon import daemon_beside
from wiretape.simulators.hotbit import HotbitSimulator
from wiretape.simulators.ontology import OntologySimulator

CLIENTS = Path(__file__).parent / "clients"
pytestmark = pytest.mark.interop


async def run_client(name: str, *arguments: str) -> list[str]:
    """Run a client to its end; what it printed, line by line."""
    process = await asyncio.create_subprocess_exec(
        # Warnings of other people's code are not ours to fail for.
        sys.executable, "-W", "ignore", str(CLIENTS / f"{name}.py"), *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode().splitlines()


async def recorded(upstream: str, url: str, store: Path, client: str, arguments: Sequence[str]) -> list[str]:
    """What the client saw while it was recorded; the caller then ends the upstream."""
    record = [
        "record",
        f"{upstream}={url}",
        "--listen",
        "127.0.0.1:0",
        "--store",
        str(store),
        "--recording",
        "a",
    ]
    async with daemon_beside(record) as recorder:
        return await run_client(client, recorder.urls[upstream], *arguments)


async def replayed(
    upstream: str, store: Path, client: str, arguments: Sequence[str]
) -> tuple[list[str], int]:
    """What the client saw in replay, and the status of a strict replay."""
    async with daemon_beside(
        ["replay", "a", "--store", str(store), "--listen", "127.0.0.1:0", "--strict"]
    ) as replay:
        seen = await run_client(client, replay.urls[upstream], *arguments)
    return seen, replay.status or 0


def test_the_ontology_sdk_cannot_tell_replay_from_the_node(tmp_path: Path) -> None:
    async def run() -> None:
        async with OntologySimulator() as node:
            block = node.chain.block_at(100)
            assert block is not None
            arguments = [node.accounts[0], block.receipts[0].tx_hash]
            seen = await recorded("ontology", node.url, tmp_path / "a.db", "ontology_sdk", arguments)
        again, status = await replayed("ontology", tmp_path / "a.db", "ontology_sdk", arguments)

        assert len(seen) == 19
        assert again == seen
        assert status == 0

    asyncio.run(run())


@pytest.mark.parametrize("client", ["with_websockets", "with_aiohttp", "with_websocket_client"])
def test_a_plain_client_cannot_tell_replay_from_the_exchange(client: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with HotbitSimulator() as exchange:
            seen = await recorded("hotbit", exchange.url, tmp_path / "a.db", client, [])
        again, status = await replayed("hotbit", tmp_path / "a.db", client, [])

        assert len(seen) > 7
        assert again == seen
        assert status == 0

    asyncio.run(run())
