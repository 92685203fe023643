"""Sessions in a store that are read while they are played: memory, several clients, and stores that fail meanwhile."""

import asyncio
import logging
import os
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from replay_clients import PATIENCE_S, RawClient, masked

from wiretape_protocols import Opcode, Role, decode
from wiretape_replay import (
    Journal,
    Reconnect,
    ReplayedRecording,
    ReplayServer,
    ReplaySettings,
    load_recording,
    paging,
)
from wiretape_replay.frames import close_frame, frame
from wiretape_replay.outbox import SLICE_BYTES
from wiretape_replay.pages import PageCache
from wiretape_store import End, EndKind, Handshake, NewMessage, StoreReader, StoreWriter, UpstreamSpec
from wiretape_store.upkeep.pruning import Pruner, PruneRules

START_US = 1_600_000_000_000_000
SUBSCRIBE = b'{"method": "deals.subscribe", "params": ["BTCUSDT"], "id": 1}'
SUBSCRIBED = b'{"error": null, "result": {"status": "success"}, "id": 1}'
PING = b'{"method": "server.ping", "params": [], "id": 7}'
PONG = b'{"error": null, "result": "pong", "id": 7}'
FAILED = close_frame(1011, "the recording cannot be read")


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test()

    asyncio.run(bounded())


def a_push(number: int, size: int = 300) -> bytes:
    return b'{"method": "deals.update", "params": [%d], "id": null}' % number + b" " * size


def a_store(
    path: Path | str, *sessions: list[tuple[bool, bytes, Role, int | None]], end: EndKind = EndKind.EOF
) -> str:
    """A store with these sessions to Hotbit; a message is told by its side, bytes, role and what it answers."""
    with StoreWriter(str(path), clock_us=lambda: START_US, synchronous="OFF") as writer:
        spec = UpstreamSpec("hotbit", "hotbit", "wss://hotbit.example", "127.0.0.1:0")
        upstream = writer.begin_recording("large", [spec]).upstreams[0]
        for told in sessions:
            session = writer.begin_session(upstream.id, START_US, Handshake("/", (), 101))
            for seq, (from_client, wire, role, answers) in enumerate(told):
                decoded = decode(wire)
                new = NewMessage(seq, from_client, Opcode.TEXT, seq, wire, decoded, role, "", answers)
                writer.add(session, new)
            writer.end_session(session, START_US + 10**6, End(end, from_client=False))
    return str(path)


def subscribed(
    pushes: int, *, beats: bool = False, size: int = 300
) -> list[tuple[bool, bytes, Role, int | None]]:
    """A subscription, its answer and pushes, with a heartbeat before the last of them."""
    told: list[tuple[bool, bytes, Role, int | None]] = [
        (True, SUBSCRIBE, Role.SUBSCRIBE, None),
        (False, SUBSCRIBED, Role.ANSWER, 0),
        *((False, a_push(number, size), Role.PUSH, None) for number in range(pushes)),
    ]
    if beats:
        place = len(told) - 1
        told[place:place] = [(True, PING, Role.BACKGROUND, None), (False, PONG, Role.BACKGROUND, place)]
    return told


def expected(pushes: int, size: int = 300) -> bytes:
    frames = (frame(Opcode.TEXT, a_push(number, size)) for number in range(pushes))
    return frame(Opcode.TEXT, SUBSCRIBED) + b"".join(frames)


@contextmanager
def opened(store: str, *, budget_bytes: int = 1) -> Iterator[ReplayedRecording]:
    cache = PageCache(budget_bytes)
    with StoreReader(store) as reader, closing(load_recording(reader, "large", cache=cache)) as recording:
        yield recording


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Until this is set no index of a longer session gets done."""
    released = threading.Event()
    another = StoreReader.another

    def waiting(reader: StoreReader) -> StoreReader:
        assert released.wait(PATIENCE_S)
        return another(reader)

    monkeypatch.setattr(StoreReader, "another", waiting)
    monkeypatch.setattr(paging, "WINDOW_SEQS", 8)
    return released


def test_two_clients_at_once_get_all_bytes_though_there_is_room_for_one_page(store: str) -> None:
    a_store(store, subscribed(9_000))

    async def play(url: str, at_a_time: int) -> bytes:
        data = b""
        async with RawClient(url) as client:
            await client.handshake()
            await client.write(masked(1, SUBSCRIBE))
            while len(data) < len(expected(9_000)):
                data += await client.read(min(at_a_time, len(expected(9_000)) - len(data)))
            return data + await client.rest()

    async def test() -> None:
        with opened(store) as recording:
            settings = ReplaySettings(reconnect=Reconnect.LAST)
            async with ReplayServer(recording, settings) as server:
                url = server.listeners[0].url
                heard = await asyncio.gather(play(url, 70_001), play(url, 1_000_003))
                assert list(heard) == [expected(9_000)] * 2
            script = recording.upstreams[0].script(0)
            assert len(script._pages._by_start) == 1

    run(test)


def test_the_clients_messages_wait_for_the_index_and_its_pushes_do_not(
    store: str, held: threading.Event
) -> None:
    a_store(store, subscribed(20, beats=True), end=EndKind.INTERRUPTED)

    async def test() -> None:
        with opened(store) as recording:
            async with ReplayServer(recording) as server, RawClient(server.listeners[0].url) as client:
                await client.handshake(path="/")
                await client.write(masked(1, SUBSCRIBE))
                known = expected(6)
                assert await client.read(len(known)) == known
                await client.write(masked(1, PING.replace(b"7", b"9")))
                await client.write(masked(9, b"there?"))
                held.set()
                rest = expected(20)[len(known) :] + frame(Opcode.TEXT, PONG.replace(b"7", b"9"))
                assert await client.read(len(rest)) == rest
                assert await client.frame() == frame(Opcode.PONG, b"there?")
            assert server.verdict().lines() == ["ok: the client did what was recorded"]

    run(test)


def test_a_client_may_go_and_the_server_stop_while_the_index_is_made(
    tmp_path: Path, held: threading.Event
) -> None:
    store = a_store(tmp_path / "a.db", subscribed(20, beats=True), subscribed(20, beats=True))

    async def test() -> None:
        with opened(store) as recording:
            async with (
                ReplayServer(recording) as server,
                RawClient(server.listeners[0].url) as gone,
                RawClient(server.listeners[0].url) as client,
            ):
                await gone.handshake()
                await gone.write(masked(1, PING))
                await client.handshake()
                await client.write(masked(1, PING))
                await server.stop()
                assert await client.rest() == close_frame(1001, "the replay was stopped")
            held.set()
        assert "the connection ended before its recording was read to the end" in server.verdict().lines()[0]

    run(test)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged as an error; none of it with a traceback."""
    found = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert all(record.exc_info is None for record in found)
    return [record.getMessage() for record in found]


def test_an_index_that_cannot_be_made_ends_the_connection_and_is_told(
    tmp_path: Path, held: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    store = a_store(tmp_path / "a.db", subscribed(20, beats=True))

    async def test() -> None:
        with opened(store) as recording:
            async with ReplayServer(recording) as server, RawClient(server.listeners[0].url) as client:
                await client.handshake()
                await client.write(masked(1, SUBSCRIBE))
                assert await client.read(len(expected(6))) == expected(6)
                os.unlink(store)  # noqa: PTH108
                held.set()
                assert await client.rest() == FAILED
                assert server.journal.entries[-1].detail == "the recording cannot be read"

    run(test)
    (error,) = errors(caplog)
    assert error.startswith(f"replay failed; the connection is closed: no store at {store}")


Harm = Callable[[str], None]


def pruned(store: str) -> None:
    with Pruner(store, now_us=START_US) as pruner:
        pruner.run(PruneRules(recordings=("large",)))


def damaged(store: str) -> None:
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("UPDATE chunk SET data = substr(data, 1, 40) WHERE first_seq > 2500")


def without_rows(store: str) -> None:
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("DELETE FROM message WHERE seq = 2501")


def cut_short(store: str) -> None:
    # Past SQLite, as a disk that fails; what is in the log goes into the file first.
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.truncate(store, 8192 * 8)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        pytest.param(pruned, "session s1 was pruned while it was read", id="pruned"),
        pytest.param(damaged, "is damaged: ", id="damaged"),
        pytest.param(without_rows, "1 of its messages have no row", id="without a row"),
        pytest.param(cut_short, "damaged", id="cut short"),
    ],
)
def test_a_store_that_fails_while_it_is_played_ends_the_connection_with_one_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: Harm, sentence: str
) -> None:
    count, size = 4_000, 10_000
    store = a_store(tmp_path / "a.db", subscribed(count, size=size))
    whole = expected(count, size)

    async def test() -> None:
        with opened(store) as recording:
            async with ReplayServer(recording) as server, RawClient(server.listeners[0].url) as client:
                await client.handshake()
                await client.write(masked(1, SUBSCRIBE))
                heard = await client.read(1000)  # far less is buffered in between than the session has
                harm(store)
                heard += await client.rest()
                assert heard.endswith(FAILED)
                heard = heard.removesuffix(FAILED)
                assert whole.startswith(heard)
                assert len(heard) < len(whole)
                assert server.journal.entries[-1].detail == "the recording cannot be read"
                assert server.connections() == []
                assert server.verdict().lines()[0] == "missed: s1: the recording cannot be read"

    run(test)
    (error,) = errors(caplog)
    assert error.startswith(f"replay failed; the connection is closed: store {store}: ")
    assert sentence in error


def test_what_waits_before_that_is_sent_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls = [SUBSCRIBE.replace(b": 1}", b": %d}" % number) for number in range(2)]
    answers = [SUBSCRIBED.replace(b": 1}", b": %d}" % number) for number in range(2)]
    told: list[tuple[bool, bytes, Role, int | None]] = []
    for number in range(2):
        told.append((True, calls[number], Role.SUBSCRIBE, None))
        told.append((False, answers[number], Role.ANSWER, 2 * number))
    told += [(False, b"%d" % number, Role.PUSH, None) for number in range(4, 600)]
    store = a_store(tmp_path / "a.db", told)
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("UPDATE chunk SET data = substr(data, 1, 40) WHERE first_seq = 256")

    async def test() -> None:
        with opened(store) as recording:
            async with ReplayServer(recording) as server, RawClient(server.listeners[0].url) as client:
                await client.handshake()
                # In one piece, under other ids: all of it waits in the outbox together.
                await client.write(b"".join(masked(1, call.replace(b'"id": ', b'"id": 7')) for call in calls))
                live = (answer.replace(b'"id": ', b'"id": 7') for answer in answers)
                expected = [*live, *(b"%d" % number for number in range(4, 256))]
                assert await client.rest() == b"".join(frame(Opcode.TEXT, wire) for wire in expected) + FAILED

    run(test)
    assert len(errors(caplog)) == 1


def test_a_store_that_fails_within_a_frame_leaves_it_unfinished(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    size = 64 * SLICE_BYTES
    store = a_store(tmp_path / "a.db", subscribed(2, size=size))

    async def test() -> None:
        with opened(store) as recording:
            settings = ReplaySettings(reconnect=Reconnect.LAST)
            async with (
                ReplayServer(recording, settings) as server,
                RawClient(server.listeners[0].url) as client,
            ):
                await client.handshake()
                await client.write(masked(1, SUBSCRIBE))
                heard = await client.read(len(frame(Opcode.TEXT, SUBSCRIBED)) + 100)
                pruned(store)
                recording.upstreams[0].script(0)._pages.clear()
                heard += await client.rest()
                assert expected(1, size).startswith(heard)
                assert len(heard) < len(expected(1, size))

    run(test)
    assert len(errors(caplog)) == 1


def test_a_long_session_takes_a_bounded_amount_of_memory(tmp_path: Path) -> None:
    store = a_store(tmp_path / "a.db", subscribed(30_000))
    budget_bytes = 2_000_000
    highest = 0

    async def test() -> None:
        nonlocal highest
        with opened(store, budget_bytes=budget_bytes) as recording:
            cache = recording.upstreams[0].script(0)._pages._cache
            async with (
                ReplayServer(recording, journal=Journal(kept=10)) as server,
                RawClient(server.listeners[0].url) as client,
            ):
                await client.handshake()
                await client.write(masked(1, SUBSCRIBE))
                left = len(expected(30_000))
                while left:
                    left -= len(await client.read(min(left, 1_000_000)))
                    highest = max(highest, cache.size)

    run(test)
    assert budget_bytes / 2 < highest <= budget_bytes
