"""A recorder whose store is taken away, full, locked or slow: what is lost is said, and is a gap."""

import asyncio
import os
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from small_disk import fill, small_disk
from wiretape_addons import Outlet, OutletSettings
from wiretape_addons.feed import IntakeSettings, Kind, Opening, Record, header, json_body
from wiretape_addons.intake import Intake
from wiretape_addons.intake import serve as take_feed
from wiretape_store import EndKind, EventKind, StoreReader, StoreWriter, UpstreamSpec
from wiretape_store.checking.store_check import StoreCheck

UPSTREAM = UpstreamSpec("a", "opaque", "ws://x", "")
OPENING = Opening(0, 1_700_000_000_000_000, "/", [], 101, [], "", None)
_DEADLINE_S = 60.0
_MOST = 2000


async def echo(server: ServerConnection) -> None:
    try:
        async for message in server:
            await server.send(message)
    except ConnectionClosed:
        return


@asynccontextmanager
async def recording(store: Path, *options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`wiretape record` before an echo, in a process whose words can be read as they come; and its URL."""
    async with serve(echo, "127.0.0.1", 0, ping_interval=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        arguments = ["record", f"e:opaque={url}", "--listen", "127.0.0.1:0", "--store", str(store), *options]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "wiretape", *arguments, stderr=asyncio.subprocess.PIPE
        )
        try:
            first = await heard(process, "e (opaque): ")
            await heard(process, "recording ")
            yield process, first.split()[2]
        finally:
            if process.returncode is None:
                process.terminate()
                async with asyncio.timeout(_DEADLINE_S):
                    await process.wait()


async def heard(process: asyncio.subprocess.Process, beginning: str) -> str:
    """The next line of its stderr that begins so."""
    assert process.stderr is not None
    async with asyncio.timeout(_DEADLINE_S):
        while line := (await process.stderr.readline()).decode():
            if line.startswith(beginning):
                return line
    raise AssertionError(f"it never said {beginning!r}")


def stored(store: Path) -> list[bytes]:
    with StoreReader(str(store)) as reader:
        return [message.wire for session in reader.sessions() for message in reader.messages(session.id)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as place:
        yield place


def test_a_recorder_on_a_full_disk_closes_its_connections_and_says_why(disk: Path) -> None:
    async def run() -> tuple[int | None, str]:
        async with recording(disk / "a.db") as (process, url):
            connection = await connect(url, proxy=None, ping_interval=None)
            await connection.send("before")
            await connection.recv()
            while len(stored(disk / "a.db")) < 2:  # noqa: ASYNC110 - nobody tells when a commit is done
                await asyncio.sleep(0)
            fill(disk)
            with pytest.raises(ConnectionClosed):  # noqa: PT012 - which message is the last is the disk's matter
                for _ in range(_MOST):
                    await connection.send(os.urandom(20_000))
                    await connection.recv()
            said = await heard(process, "wiretape: ")
            return await process.wait(), said

    status, said = asyncio.run(run())

    assert status == 1
    assert said.endswith("database or disk is full; make room on its disk\n")
    (disk / "ballast").unlink()
    with StoreReader(str(disk / "a.db")) as reader:
        (session,) = reader.sessions()
    assert session.end.kind is EndKind.INTERRUPTED
    assert stored(disk / "a.db")[:2] == [b"before", b"before"]
    assert [
        each for each in StoreCheck(str(disk / "a.db")).findings() if each.severity.value == "damage"
    ] == []


def test_a_recorder_that_may_go_on_records_the_gap_when_there_is_room_again(disk: Path) -> None:
    async def run() -> str:
        async with recording(disk / "a.db", "--on-store-failure", "pass") as (process, url):
            connection = await connect(url, proxy=None, ping_interval=None)
            await connection.send("before")
            await connection.recv()
            while len(stored(disk / "a.db")) < 2:  # noqa: ASYNC110 - nobody tells when a commit is done
                await asyncio.sleep(0)
            ballast = fill(disk)
            warned = asyncio.create_task(heard(process, "wiretape: traffic passes unrecorded"))
            sent = 0
            while not warned.done():
                assert sent < _MOST
                sent += 1
                await connection.send(os.urandom(20_000))
                await connection.recv()
            ballast.unlink()
            back = asyncio.create_task(heard(process, "wiretape: the store is back"))
            while not back.done():
                await connection.send("between")
                await connection.recv()
            # The store may be back with a commit that held nothing but the gap.
            await connection.send("after")
            await connection.recv()
            await connection.close()
            return await back

    said = asyncio.run(run())

    assert "messages passed unrecorded" in said
    with StoreReader(str(disk / "a.db")) as reader:
        (session,) = reader.sessions()
        gaps = [event for event in reader.events(session.id) if event.kind is EventKind.GAP]
        last = list(reader.messages(session.id))[-1]
    assert sum(int(gap.data.split()[0]) for gap in gaps) == int(said.split("; ")[1].split()[0]) > 0
    assert (last.wire, session.end.kind) == (b"after", EndKind.CLOSED)
    assert list(StoreCheck(str(disk / "a.db")).findings()) == []


def test_a_recorder_whose_store_is_deleted_says_so_and_ends(tmp_path: Path) -> None:
    store = tmp_path / "a.db"

    async def run() -> tuple[int | None, str]:
        async with recording(store) as (process, url):
            connection = await connect(url, proxy=None, ping_interval=None)
            await connection.send("before")
            await connection.recv()
            store.unlink()
            with pytest.raises(ConnectionClosed):  # noqa: PT012 - it is closed at the next commit
                for _ in range(_MOST):
                    await connection.send("after")
                    await connection.recv()
            said = await heard(process, "wiretape: ")
            return await process.wait(), said

    status, said = asyncio.run(run())

    assert status == 1
    assert "it was moved or deleted while it was written to; put it back" in said
    assert not store.exists()


def test_a_writer_that_is_stopped_for_long_slows_the_connections_and_loses_nothing(tmp_path: Path) -> None:
    store = str(tmp_path / "a.db")
    chunk = b"\x82\x7e\xff\xff" + b"x" * 65535

    async def run() -> int:
        outlet = Outlet(pytest.fail, OutletSettings(queue_bytes=200_000))
        await outlet.start(store, "slow", [UPSTREAM])
        assert outlet._process is not None
        outlet.open(0, OPENING, 1)
        os.kill(outlet._process.pid, signal.SIGSTOP)
        sent = 0
        while outlet._room.is_set():
            assert sent < _MOST
            sent += 1
            outlet.data(0, chunk, from_client=False, at_us=2)
        waiting = asyncio.create_task(outlet.room())
        for _ in range(100):
            await asyncio.sleep(0)
        assert not waiting.done()
        os.kill(outlet._process.pid, signal.SIGCONT)
        await waiting
        await outlet.stop(4)
        return sent

    sent = asyncio.run(run())

    with StoreReader(store) as reader:
        (session,) = reader.sessions()
        assert sum(len(message.wire) for message in reader.messages(session.id)) == sent * 65535
    assert sent > 3


def opened() -> Record:
    return Record(Kind.OPEN, 0, False, 0, 1000, json_body(OPENING))


def text(data: bytes, at_us: int) -> Record:
    return Record(Kind.DATA, 0, False, 0, at_us, bytes([0x81, len(data)]) + data)


def test_a_store_that_another_program_holds_for_long_is_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wiretape_store.sqlite.file.BUSY_TIMEOUT_MS", 1)
    path, now_us = tmp_path / "a.db", 1_700_000_000_000_000
    warnings: list[str] = []
    with StoreWriter(str(path), clock_us=lambda: now_us) as writer:
        started = writer.begin_recording("test", [UPSTREAM])
        intake = Intake(writer, started, 1 << 20, pass_unrecorded=True, warn=warnings.append)
        intake.take(opened())
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("begin immediate")
        for number in range(3):
            intake.take(text(b"%d" % number, 2000))
            now_us += 50_000
            intake.commit_if_due()
        holder.execute("rollback")
        holder.close()
        intake.take(text(b"after", 3000))
        now_us += 50_000
        intake.commit_if_due()
        intake.stop(4000)

    assert "database is locked; another process holds it; end that one or try again" in warnings[0]
    assert warnings[1] == "the store is back; 3 messages passed unrecorded"
    with StoreReader(str(path)) as reader:
        (gap,) = reader.events("s1")
        assert [(message.seq, message.wire) for message in reader.messages("s1")] == [(3, b"after")]
    assert gap.data == b"3 messages passed unrecorded: the store could not be written"


def test_the_return_of_the_store_is_noticed_without_traffic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wiretape_store.sqlite.file.BUSY_TIMEOUT_MS", 1)
    monkeypatch.setattr("wiretape_addons.intake._LONGEST_WAIT_US", 1000)
    monkeypatch.setattr("wiretape_addons.intake._KEEP_ALIVE_S", 0, raising=False)
    tried = threading.Semaphore(0)
    open_late = Intake._open_late

    def counted(self: Intake, at_us: int) -> None:
        tried.release()
        open_late(self, at_us)

    monkeypatch.setattr(Intake, "_open_late", counted)
    path = str(tmp_path / "a.db")
    settings = IntakeSettings(path, "test", [asdict(UPSTREAM)], 25_000, 1 << 20, pass_unrecorded=True)
    ours, theirs = socket.socketpair()
    with ThreadPoolExecutor() as pool, ours, theirs, ours.makefile("rb") as told:
        ours.settimeout(_DEADLINE_S)
        served = pool.submit(take_feed, theirs, settings)
        assert b"recording" in told.readline()
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("begin immediate")
        record = opened()
        ours.sendall(header(Kind.OPEN, 0, from_client=False, opcode=0, at_us=0, length=len(record.body)))
        ours.sendall(record.body)
        assert b"traffic passes unrecorded" in told.readline()
        for _ in range(4):  # The first ones are made when the record has come.
            assert tried.acquire(timeout=_DEADLINE_S)
        holder.execute("rollback")
        holder.close()
        assert b"and all of 1 connections passed unrecorded" in told.readline()
        ours.shutdown(socket.SHUT_WR)
        assert served.result(_DEADLINE_S) == 0


def test_a_clock_that_steps_back_leaves_no_message_before_another(tmp_path: Path) -> None:
    now_us = 1_700_000_000_000_000
    with StoreWriter(str(tmp_path / "a.db"), clock_us=lambda: now_us) as writer:
        intake = Intake(writer, writer.begin_recording("test", [UPSTREAM]), 1 << 20)
        intake.take(opened())
        for number, at_us in enumerate((5000, 4000, 900, 6000)):
            intake.take(text(b"%d" % number, at_us))
            now_us -= 3_600_000_000
            intake.commit_if_due()
            assert writer.next_commit_at_us is None, "an hour back is no reason to wait an hour"
        intake.stop(6000)

    with StoreReader(str(tmp_path / "a.db")) as reader:
        assert [message.at_us for message in reader.messages("s1")] == [4000, 4000, 4000, 5000]
        session = reader.session("s1")
    assert session.ended_at_us is not None
    assert session.ended_at_us >= session.started_at_us
    assert list(StoreCheck(str(tmp_path / "a.db")).findings()) == []
