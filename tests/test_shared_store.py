"""Several recorders and a replay on one store in PostgreSQL, as processes of their own."""

import asyncio
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from postgres_cluster import PASSWORD
from websockets.asyncio.client import connect

from wiretape.daemon import Daemon, daemon_beside
from wiretape.simulators.hotbit import HotbitSimulator
from wiretape_store import EndKind, StoreReader, StoreWriter


async def ask(url: str, number: int) -> str:
    """One price, as the client sees it."""
    async with connect(url, proxy=None, ping_interval=None) as client:
        await client.send(json.dumps({"method": "price.query", "params": ["BTCUSDT"], "id": number}))
        answer = await client.recv()
        assert isinstance(answer, bytes)
        return gzip.decompress(answer).decode()


def command_lines(running: Daemon) -> list[str]:
    """What everybody on the machine may read of a recorder's children."""
    pid = running.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path(f"/proc/{child}/cmdline").read_text() for child in children]


def test_two_recorders_and_a_replay_share_a_store(postgres_url: str) -> None:
    async def record() -> list[str]:
        arguments = ["--listen", "127.0.0.1:0", "--store", postgres_url]
        async with HotbitSimulator() as exchange:
            one = daemon_beside(["record", f"hotbit={exchange.url}", "--recording", "one", *arguments])
            two = daemon_beside(["record", f"hotbit={exchange.url}", "--recording", "two", *arguments])
            async with one as first, two as second:
                assert all("intake" in line for line in command_lines(first) + command_lines(second))
                assert PASSWORD not in "".join(command_lines(first) + command_lines(second))
                both = (ask(first.urls["hotbit"], 1), ask(second.urls["hotbit"], 2))
                seen = list(await asyncio.gather(*both))
            assert PASSWORD not in first.said + second.said
            assert "wiretape:***@" in first.said
        return seen

    async def replay(what: str, number: int) -> tuple[str, Daemon]:
        arguments = ["replay", what, "--listen", "127.0.0.1:0", "--store", postgres_url, "--strict"]
        async with daemon_beside(arguments) as running:
            seen = await ask(running.urls["hotbit"], number)
        return seen, running

    seen = asyncio.run(record())
    with StoreReader(postgres_url) as reader:
        ends = {session.recording: session.end.kind for session in reader.sessions()}
    assert ends == {"one": EndKind.CLOSED, "two": EndKind.CLOSED}
    for what, live in zip(("one", "two"), seen, strict=True):
        replayed, running = asyncio.run(replay(what, 77))
        assert json.loads(replayed) == json.loads(live) | {"id": 77}
        assert running.status == 0
        assert PASSWORD not in running.said


def wiretape(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wiretape", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_recording_is_copied_to_postgresql_and_replayed_from_there(
    demo_store: Path, postgres_url: str
) -> None:
    done = wiretape("copy", "demo", "--store", str(demo_store), "--to", postgres_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("demo -> r1 demo: 4 sessions, ")
    assert done.stdout.endswith("messages: compared, the same\n")
    verified = wiretape("verify", "demo", "--store", postgres_url, "--runs", "2")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    again = wiretape("copy", "--all", "--store", str(demo_store), "--to", postgres_url, "--json")
    (told,) = json.loads(again.stdout)
    assert (told["ok"], told["messages_before"], told["differences"]) == (True, told["messages"], [])


def test_a_copy_that_differs_is_a_divergence(demo_store: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "b.db")
    assert wiretape("copy", "demo", "--store", str(demo_store), "--to", target).returncode == 0
    sql = f"import sqlite3; c = sqlite3.connect({target!r}); c.execute('update message set at_us = 1 where seq = 3'); c.commit()"
    subprocess.run([sys.executable, "-c", sql], check=True)
    done = wiretape("copy", "demo", "--store", str(demo_store), "--to", target)
    assert done.returncode == 3
    assert "demo: session s1, there s1: message 3 differs in its at_us" in done.stdout
    assert "not the same" in done.stdout
    assert "'wiretape check' both" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        ([], 2, "say which recordings, or --all"),
        (["demo", "--all"], 2, "say which recordings, or --all"),
        (["demo", "s1", "--recording", "x"], 2, "copy one recording at a time"),
        (["nothing"], 1, "no recording 'nothing'; it holds demo"),
    ],
)
def test_a_copy_that_cannot_be_is_told(
    demo_store: Path, tmp_path: Path, arguments: list[str], status: int, sentence: str
) -> None:
    done = wiretape("copy", *arguments, "--store", str(demo_store), "--to", str(tmp_path / "b.db"))
    assert (done.returncode, done.stdout) == (status, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "b.db").exists()


def test_a_store_without_recordings_has_nothing_to_copy(tmp_path: Path) -> None:
    StoreWriter(str(tmp_path / "a.db"), clock_us=lambda: 1).close()
    done = wiretape("copy", "--all", "--store", str(tmp_path / "a.db"), "--to", str(tmp_path / "b.db"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "a.db holds no recordings to copy" in done.stderr
    assert not (tmp_path / "b.db").exists()
