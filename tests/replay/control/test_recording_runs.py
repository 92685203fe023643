"""Runs that reach the live upstream, and give a tape of what passed."""

import json
from pathlib import Path

from control_clients import served
from live_exchange import ANSWER, PRICE, an_exchange, ask, stored
from run_builders import bounded
from websockets.asyncio.client import connect

from wiretape_replay import ReplayedRecording, load_recording
from wiretape_store import StoreReader


def test_what_was_not_recorded_comes_from_where_the_upstream_is_now_and_is_on_the_tape(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        with StoreReader(stored(tmp_path / "s.db", "ws://no-such-host.invalid")) as reader:

            def load(what: str) -> ReplayedRecording:
                return load_recording(reader, what)

            async with an_exchange() as exchange, served(load=load) as api:
                run = await api.begin("first", settings={"on_miss": "record"}, live_urls={"up": exchange.url})
                async with connect(run["urls"]["up"]) as client:
                    for asked, answer in ((PRICE, ANSWER), (ask("depth.query", 9), "live depth.query")):
                        await client.send(asked)
                        assert answer in str(await client.recv())
                assert exchange.heard == [ask("depth.query", 9)]
                ended = (await api.ask("DELETE", "/v1/runs/run1")).json
        lines = [json.loads(line) for line in ended["tape"].splitlines()]
        assert ended["verdict"]["misses"]["count"] == 0
        assert "live depth.query" in ended["tape"]
        assert lines[0]["recording"] == "first"

    bounded(test)


def test_a_run_that_does_not_record_gives_no_tape() -> None:
    async def test() -> None:
        async with served() as api:
            await api.begin(settings={"on_miss": "forward"})
            assert sorted((await api.ask("DELETE", "/v1/runs/run1")).json) == ["verdict"]

    bounded(test)
