"""The registry of runs: what they share, what they never share, and what is left of them at their end."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from replay_clients import RawClient, text
from run_builders import bounded, load, load_tape

from wiretape_replay import EntryKind, ListenError, ReplaySettings, Run, Script
from wiretape_replay.runs import (
    Addresses,
    LiveRun,
    Runs,
    StoppingError,
    TooManyRunsError,
    UnknownRunError,
    Wanted,
)
from wiretape_replay.shared_port import SharedPort
from wiretape_replay.shelf import Shelf
from wiretape_store import UnknownRecordingError

BRISK = ReplaySettings(stopping_us=1)
"""Does not wait for clients that do not go by themselves."""


@asynccontextmanager
async def registry(*, most: int = 10, kept: int = 32) -> AsyncIterator[Runs]:
    shared_port = SharedPort("127.0.0.1", 0)
    await shared_port.start()
    runs = Runs(Shelf(load, load_tape, kept=kept), shared_port, most=most)
    try:
        yield runs
    finally:
        shared_port.close()
        await runs.end_all()


async def begun(runs: Runs, what: str = "one", addresses: Addresses = Addresses.PORTS) -> LiveRun:
    return await runs.begin(Wanted(what, settings=BRISK, addresses=addresses))


@asynccontextmanager
async def visiting(live: LiveRun, upstream: str = "up") -> AsyncIterator[RawClient]:
    """A client whose handshake is done."""
    async with RawClient(live.urls[upstream]) as client:
        await client.handshake(path=urlsplit(live.urls[upstream]).path or "/")
        yield client


async def happens(live: LiveRun, kind: EntryKind) -> None:
    with live.watched.watch() as changed:
        while kind not in [entry.kind for entry in live.run.journal.entries]:
            changed.clear()
            await changed.wait()


def kinds(live: LiveRun) -> list[str]:
    return [entry.kind.value for entry in live.run.journal.entries]


@pytest.mark.parametrize("addresses", Addresses)
def test_what_one_run_does_never_shows_in_another(addresses: Addresses) -> None:
    async def test() -> None:
        async with registry() as runs:
            first, second = await begun(runs, addresses=addresses), await begun(runs, addresses=addresses)
            assert first.run.recording is second.run.recording
            assert set(first.urls.values()).isdisjoint(second.urls.values())
            async with visiting(first) as one, visiting(second) as two:
                await one.write(text("sub 1 deals"))
                heard = [await one.message() for _ in range(3)]
                assert heard == ["answer 1 ok", "push deals:1", "push deals:2"]
                await two.write(text("order - all"))
                await happens(second, EntryKind.MISSED)
                assert kinds(first) == ["opened", "matched", "pushed"]
                assert kinds(second) == ["opened", "missed"]
                first.run.pause()
                assert not second.run.paused
                assert first.verdict().misses.count == 0
                assert second.verdict().misses.count == 1
                await runs.end(first.id)
                assert b"the replay was stopped" in await one.rest()
                await two.write(text("sub 1 deals"))
                assert await two.message() == "answer 1 ok"

    bounded(test)


def test_ids_count_and_are_never_used_again() -> None:
    async def test() -> None:
        async with registry() as runs:
            assert [(await begun(runs)).id for _ in range(2)] == ["run1", "run2"]
            await runs.end("run2")
            assert (await begun(runs)).id == "run3"
            assert [live.id for live in runs] == ["run1", "run3"]
            for gone in ("run2", "run4", ""):
                with pytest.raises(UnknownRunError, match="it has ended, or never began"):
                    runs.find(gone)
                with pytest.raises(UnknownRunError):
                    await runs.end(gone)

    bounded(test)


def test_there_are_only_so_many_and_one_that_ends_makes_room() -> None:
    async def test() -> None:
        async with registry(most=2) as runs:
            asked = [asyncio.ensure_future(begun(runs)) for _ in range(3)]
            done = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(each) for each in done] == [LiveRun, LiveRun, TooManyRunsError]
            assert "end those that nobody needs" in str(done[2])
            await runs.end("run1")
            assert (await begun(runs)).id == "run3"

    bounded(test)


def test_what_cannot_begin_takes_no_room_and_no_memory() -> None:
    async def test() -> None:
        async with registry(most=1, kept=0) as runs:
            before = alive(Run)
            with pytest.raises(UnknownRecordingError):
                await begun(runs, "nosuch")
            live = await runs.adopt(Run(load("one"), BRISK), "127.0.0.1:0")
            taken = live.urls["up"].removeprefix("ws://")
            await runs.end(live.id)
            blocker = await asyncio.start_server(lambda _reader, _writer: None, *taken.split(":"))
            with pytest.raises(ListenError):
                await runs.adopt(Run(load("one"), BRISK), taken)
            blocker.close()
            del live
            assert alive(Run) == before
            assert (await begun(runs)).id == "run2"

    bounded(test)


def test_the_end_closes_connections_and_keeps_the_verdict() -> None:
    async def test() -> None:
        async with registry() as runs:
            live = await runs.begin(Wanted("one"))
            async with visiting(live) as client:
                await client.write(text("order - all"))
                await happens(live, EntryKind.MISSED)
                ending = asyncio.ensure_future(runs.end(live.id))
                frame = await client.frame()
                assert (frame[0], frame[2:4]) == (0x88, (1001).to_bytes(2))
                assert not ending.done()
            ended = await ending
            assert ended.verdict().misses.count == 1
            assert len(runs) == 0

    bounded(test)


async def heard_something(live: LiveRun) -> None:
    async with visiting(live) as client:
        await client.write(text("sub 1 deals"))
        assert await client.message() == "answer 1 ok"


def alive(kind: type) -> int:
    """How many of them there are in this process."""
    gc.collect()
    return sum(isinstance(each, kind) for each in gc.get_objects())


@pytest.mark.parametrize("addresses", Addresses)
def test_a_run_that_has_ended_takes_no_memory_and_no_scripts_unless_another_shares_them(
    addresses: Addresses,
) -> None:
    async def test() -> None:
        before = alive(Script), alive(Run)
        async with registry(kept=0) as runs:
            for _ in range(2):
                await heard_something(await begun(runs, addresses=addresses))
            first = weakref.ref(runs.find("run1").run)
            await runs.end("run1")
            gc.collect()
            assert first() is None
            assert (alive(Script), alive(Run)) == (before[0] + 1, before[1] + 1)
            await runs.end("run2")
            await asyncio.sleep(0)
            assert (alive(Script), alive(Run)) == before

    bounded(test)


def test_nothing_begins_once_everything_ends() -> None:
    async def test() -> None:
        async with registry() as runs:
            await begun(runs)
            beginning = asyncio.ensure_future(begun(runs))
            await asyncio.sleep(0)
            await runs.end_all()
            with pytest.raises(StoppingError, match="about to end"):
                await beginning
            with pytest.raises(StoppingError):
                await begun(runs)
            assert len(runs) == 0

    bounded(test)


def test_a_run_knows_the_connections_that_it_had() -> None:
    async def test() -> None:
        async with registry() as runs:
            live = await begun(runs, "two")
            async with visiting(live):
                pass
            async with visiting(live), visiting(live, "down"):
                await happens(live, EntryKind.ENDED)
                assert [(each.number, each.session, each.open) for each in live.attendance.of("up")] == [
                    (1, "s1", False),
                    (2, "s2", True),
                ]
                assert [each.open for each in live.attendance.of("down")] == [True]

    bounded(test)
