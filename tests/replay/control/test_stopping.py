"""The end of everything: in which order, and never later than promised."""

import asyncio
import time
from urllib.parse import urlsplit

import pytest
from control_clients import Api, Talk, served
from replay_clients import RawClient
from run_builders import bounded, until

from wiretape_replay import Entry, EntryKind
from wiretape_replay.control import ControlSettings

SLACK_S = 1.0
"""For a machine with other things to do."""


async def refuses(url: str) -> bool:
    try:
        _, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
    except ConnectionRefusedError:
        return True
    writer.transport.abort()
    return False


def test_the_api_ends_before_the_runs_and_nobody_waits_any_longer() -> None:
    async def test() -> None:
        async with served() as api:
            run = await api.begin()
            url = run["urls"]["up"]
            watched = api.runs.find("run1").watched
            waiting = asyncio.ensure_future(
                api.ask("GET", "/v1/runs/run1/journal/wait?kind=held&timeout_s=60")
            )
            async with Talk(api.control.url) as talk, RawClient(url) as client:
                await client.handshake()
                await talk.send("GET", "/v1/runs/run1/journal/stream?kind=held", b"", {})
                await until(lambda: watched.watchers == 2)
                stopping = asyncio.ensure_future(api.control.stop())
                answer = await waiting
                assert answer.code == "run_ended"
                # Nobody new is let in, and the run goes on meanwhile.
                assert await refuses(api.control.url)
                assert len(api.runs) == 1
                await talk.head()
                assert (await talk.reader.read(-1)).endswith(b"0\r\n\r\n")
                assert (await client.frame())[2:4] == (1001).to_bytes(2)
                assert not stopping.done()
            await stopping
            assert await refuses(url)
            await api.control.stop()

    bounded(test)


async def stuck(api: Api, talk: Talk) -> None:
    """An event stream whose client has stopped to read."""
    assert isinstance(talk.writer.transport, asyncio.Transport)
    talk.writer.transport.pause_reading()
    await talk.send("GET", "/v1/runs/run1/journal/stream", b"", {})
    live = api.runs.find("run1")
    await until(lambda: live.watched.watchers)
    for _ in range(20_000):  # far more than the sockets' buffers hold
        live.run.journal.add(Entry(EntryKind.MISSED, "s1", 0, payload="x" * 1000))


async def half_a_body(_: Api, talk: Talk) -> None:
    await talk.send("POST", "/v1/runs", b"", {"Content-Length": "100"})


async def half_a_head(_: Api, talk: Talk) -> None:
    talk.writer.write(b"POST /v1/runs HTTP/1.1\r\n")


async def nothing(_: Api, __: Talk) -> None:
    pass


@pytest.mark.parametrize("hold", [stuck, half_a_body, half_a_head, nothing])
def test_no_client_of_the_api_holds_up_the_end(hold: object) -> None:
    async def test() -> None:
        settings = ControlSettings(stopping_us=300_000)
        async with served(settings=settings) as api:
            await api.begin()
            async with Talk(api.control.url) as talk:
                assert callable(hold)
                await hold(api, talk)
                begun = time.monotonic()
                await api.control.stop()
                assert time.monotonic() - begun < 0.3 + SLACK_S
            assert len(api.runs) == 0

    bounded(test)


@pytest.mark.parametrize("addresses", ["ports", "paths"])
def test_no_client_of_a_run_holds_up_the_end(addresses: str) -> None:
    async def test() -> None:
        settings = ControlSettings(stopping_us=300_000)
        async with served(settings=settings) as api:
            urls = [(await api.begin(addresses=addresses))["urls"]["up"] for _ in range(3)]
            clients = [RawClient(url) for url in urls]
            for client, url in zip(clients, urls, strict=True):
                await client.__aenter__()
                await client.handshake(path=urlsplit(url).path or "/")
            begun = time.monotonic()
            await api.control.stop()
            assert time.monotonic() - begun < 0.3 + SLACK_S
            for client in clients:
                assert (await client.rest()).startswith(b"\x88")
                await client.__aexit__(None, None, None)

    bounded(test)


def test_an_error_of_the_block_comes_out_as_it_is() -> None:
    async def test() -> None:
        async with served() as api:
            await api.begin()
            raise LookupError

    with pytest.raises(LookupError):
        bounded(test)
