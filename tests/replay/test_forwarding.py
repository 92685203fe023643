"""What the recording cannot answer goes to the live upstream, and with `record` into a new recording."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from live_exchange import ANSWER, LOGIN, PRICE, SUCCESS, an_exchange, ask, stored
from replay_clients import PATIENCE_S
from websockets.asyncio.client import connect

from wiretape_replay import OnMiss, ReplayServer, ReplaySettings, Run, load_recording
from wiretape_store import (
    End,
    EndKind,
    StoreReader,
    StoreWriter,
    import_recording,
)


def bounded(test: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test()

    asyncio.run(run())


def test_only_what_was_not_recorded_reaches_the_live_upstream(tmp_path: Path) -> None:
    async def test() -> None:
        async with an_exchange() as exchange:
            with StoreReader(stored(tmp_path / "s.db", f"{exchange.url}/base?key=1")) as reader:
                run = Run(
                    load_recording(reader, "first"),
                    ReplaySettings(on_miss=OnMiss.FORWARD),
                    live_urls={"up": f"{exchange.url}/base?key=1"},
                )
                async with ReplayServer(run) as server:
                    url = server.listeners[0].url + "/sub?x=2"
                    headers = {"X-Mine": "yes"}
                    async with connect(url, additional_headers=headers, origin=None) as client:
                        await client.send(PRICE)
                        assert await client.recv() == ANSWER
                        assert exchange.heard == []
                        # The same id as before: what was answered here stays apart from what is passed on.
                        await client.send(ask("depth.query", 1))
                        assert json.loads(await client.recv())["result"] == "live depth.query"
                assert exchange.heard == [ask("depth.query", 1)]
                assert exchange.target == "/base/sub?key=1&x=2"
                assert exchange.headers["X-Mine"] == "yes"
                assert [entry.method for entry in run.journal.entries if entry.kind == "forwarded"] == [
                    "depth.query"
                ]
                assert run.verdict().misses.count == 0

    bounded(test)


def test_the_live_upstream_hears_the_clients_login_first_and_its_answer_is_swallowed(tmp_path: Path) -> None:
    async def test() -> None:
        async with an_exchange() as exchange:
            with StoreReader(stored(tmp_path / "s.db", exchange.url)) as reader:
                run = Run(load_recording(reader, "first"), ReplaySettings(on_miss=OnMiss.FORWARD))
                async with ReplayServer(run) as server, connect(server.listeners[0].url) as client:
                    await client.send(LOGIN)
                    assert await client.recv() == SUCCESS
                    await client.send(ask("asset.query", 3))
                    assert json.loads(await client.recv())["result"] == "live asset.query"
                assert exchange.heard == [LOGIN, ask("asset.query", 3)]

    bounded(test)


@pytest.mark.parametrize("allowed", [False, True])
def test_what_may_change_the_world_is_passed_on_only_where_that_is_allowed(
    tmp_path: Path, *, allowed: bool
) -> None:
    order = ask("order.put_limit", 5)

    async def test() -> None:
        async with an_exchange() as exchange:
            with StoreReader(stored(tmp_path / "s.db", exchange.url, "json")) as reader:
                settings = ReplaySettings(on_miss=OnMiss.FORWARD, allow_effects=allowed)
                run = Run(load_recording(reader, "first"), settings)
                async with ReplayServer(run) as server, connect(server.listeners[0].url) as client:
                    await client.send(order)
                    if allowed:
                        assert json.loads(await client.recv())["result"] == "live order.put_limit"
                    await client.send(PRICE)
                    assert await client.recv() == ANSWER
                assert exchange.heard == ([order] if allowed else [])
                if not allowed:
                    assert (
                        "not forwarded, since it may change the world (--allow-effects)"
                        in (run.verdict().misses.named[0])
                    )

    bounded(test)


def test_a_live_upstream_that_is_not_there_makes_it_a_miss(tmp_path: Path) -> None:
    async def test() -> None:
        async with an_exchange() as exchange:
            gone = exchange.url
        with StoreReader(stored(tmp_path / "s.db", gone)) as reader:
            run = Run(load_recording(reader, "first"), ReplaySettings(on_miss=OnMiss.FORWARD))
            async with ReplayServer(run) as server, connect(server.listeners[0].url) as client:
                await client.send(ask("depth.query", 7))
                assert json.loads(await client.recv())["error"]["code"] == 3
                await client.send(PRICE)
                assert await client.recv() == ANSWER
        assert f"the live upstream {gone} cannot be reached" in run.verdict().misses.named[0]

    bounded(test)


@pytest.mark.parametrize("way", ["leave", "drop"])
def test_after_the_live_upstream_has_left_the_next_message_connects_anew(tmp_path: Path, way: str) -> None:
    async def test() -> None:
        async with an_exchange() as exchange:
            with StoreReader(stored(tmp_path / "s.db", exchange.url)) as reader:
                run = Run(load_recording(reader, "first"), ReplaySettings(on_miss=OnMiss.FORWARD))
                async with ReplayServer(run) as server, connect(server.listeners[0].url) as client:
                    await client.send(ask(way, 7))
                    assert way == "drop" or json.loads(await client.recv())["result"] == "live leave"
                    heard: dict[str, object] = {}
                    while heard.get("result") != "live depth.query":
                        # It may still be leaving when the first of these is passed on: a miss then.
                        await client.send(ask("depth.query", 8))
                        heard = json.loads(await client.recv())

    bounded(test)


def test_a_run_that_records_gives_a_recording_which_answers_everything(tmp_path: Path) -> None:
    store = str(tmp_path / "s.db")

    async def converse(url: str, expected: list[str] | None) -> list[str]:
        heard: list[str] = []
        async with connect(url) as client:
            for text in (PRICE, LOGIN, ask("depth.query", 4)):
                await client.send(text)
                heard.append(str(await client.recv()))
        assert expected in (None, heard)
        return heard

    async def test() -> None:
        async with an_exchange() as exchange:
            stored(Path(store), exchange.url)
            with StoreReader(store) as reader:
                run = Run(load_recording(reader, "first"), ReplaySettings(on_miss=OnMiss.RECORD))
                async with ReplayServer(run) as server:
                    heard = await converse(server.listeners[0].url, None)
                with StoreWriter(store, clock_us=lambda: 0) as writer:
                    import_recording(writer, run.conversation("second", 2_000_000_000_000_000))
        with StoreReader(store) as reader:
            (session,) = reader.sessions("second")
            assert (session.exchanges, session.end) == (3, End(EndKind.CLOSED, from_client=True, code=1000))
            assert b"key-0123456789" not in b"".join(
                message.payload for message in reader.messages(session.id)
            )
            strict = Run(load_recording(reader, "second"))
            async with ReplayServer(strict) as server:
                await converse(server.listeners[0].url, heard)
            assert strict.verdict().ok, strict.verdict().lines()

    bounded(test)
