"""One port for any number of runs: who gets through to which upstream, and who does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from replay_clients import RawClient, cut
from run_builders import bounded, until

from wiretape_replay.shared_port import SharedPort, read_path

REQUEST = b"GET /run/%s/up/ws?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\nand more"


class Recorder(asyncio.Protocol):
    """Stands where a run's connection would."""

    def __init__(self) -> None:
        self.heard = b""
        self.met = asyncio.Event()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.met.set()

    def data_received(self, data: bytes) -> None:
        self.heard += data
        if self.heard.endswith(b"more"):
            self.transport.write(b"thanks")
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


async def is_cut(client: RawClient) -> bool:
    """Whether TCP ends without a word."""
    try:
        return await client.rest() == b""
    except ConnectionResetError:
        return True


@asynccontextmanager
async def listening(*, handshake_us: int = 10_000_000) -> AsyncIterator[SharedPort]:
    port = SharedPort("127.0.0.1", 0, handshake_us=handshake_us)
    await port.start()
    try:
        yield port
    finally:
        port.close()


@pytest.mark.parametrize(
    ("target", "meant"),
    [
        pytest.param(b"/run/T/up/ws?x=1", ("T", "up", b"/ws?x=1"), id="path and query"),
        pytest.param(b"/run/T/up", ("T", "up", b"/"), id="nothing"),
        pytest.param(b"/run/T/up/", ("T", "up", b"/"), id="slash"),
        pytest.param(b"/run/T/up?a=/b/c", ("T", "up", b"/?a=/b/c"), id="query only"),
        pytest.param(b"/run/T/up//a/../b%2Fc", ("T", "up", b"//a/../b%2Fc"), id="untouched"),
        pytest.param(b"/run/T/a%2Fb%20c/x", ("T", "a/b c", b"/x"), id="escaped upstream"),
        pytest.param(b"/run/T", ("T", "", b"/"), id="no upstream"),
        pytest.param(b"/run?x", None, id="no token"),
        pytest.param(b"http://127.0.0.1/run/T/up", None, id="absolute"),
        pytest.param(b"", None, id="empty"),
    ],
)
def test_a_path_says_the_run_the_upstream_and_what_it_is_asked_for(
    target: bytes, meant: tuple[str, str, bytes] | None
) -> None:
    assert read_path(target) == meant


@pytest.mark.parametrize("places", [[], *([place] for place in range(0, 40, 3)), list(range(60))], ids=str)
def test_an_upstream_is_asked_for_the_rest_of_the_path_however_tcp_cuts_it(places: list[int]) -> None:
    async def test() -> None:
        recorder = Recorder()
        async with listening() as port:
            token, urls = port.let_in([("up", lambda: recorder)])
            async with RawClient(urls["up"]) as client:
                await client.write(*cut(REQUEST % token.encode(), places))
                assert await client.rest() == b"thanks"
            assert recorder.heard == b"GET /ws?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\nand more"

    bounded(test)


def test_every_run_has_a_token_of_its_own_that_nobody_can_guess() -> None:
    async def test() -> None:
        async with listening() as port:
            tokens = {port.let_in([("up", Recorder)])[0] for _ in range(100)}
            assert len(tokens) == 100
            assert min(map(len, tokens)) >= 22  # 128 bits in base64

    bounded(test)


def test_an_upstream_whose_name_is_no_path_is_still_found() -> None:
    async def test() -> None:
        recorder = Recorder()
        async with listening() as port:
            _, urls = port.let_in([("a/b c", lambda: recorder)])
            path = urlsplit(urls["a/b c"]).path
            async with RawClient(port.url) as client:
                await client.write(f"GET {path} HTTP/1.1\r\n\r\nmore".encode())
                assert await client.rest() == b"thanks"

    bounded(test)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("GET /run/{token}/down HTTP/1.1\r\n", id="other upstream"),
        pytest.param("GET /run/{token}x/up HTTP/1.1\r\n", id="other token"),
        pytest.param("GET / HTTP/1.1\r\n", id="no run"),
        pytest.param("\r\n", id="nothing"),
        pytest.param("GET /run/{token}/up" + "y" * 20_000, id="endless"),
        pytest.param("\x16\x03\x01\x02\x00\r\n", id="TLS"),
    ],
)
def test_whoever_names_no_run_gets_a_404_that_says_what_to_do(line: str) -> None:
    async def test() -> None:
        async with listening() as port:
            token, _ = port.let_in([("up", Recorder)])
            async with RawClient(port.url) as client:
                await client.write(line.format(token=token).encode())
                answer = await client.rest()
            assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
            assert b"Ask the control API" in answer

    bounded(test)


def test_a_run_that_was_shut_out_is_not_found_any_more_and_others_are() -> None:
    async def test() -> None:
        recorder = Recorder()
        async with listening() as port:
            gone, _ = port.let_in([("up", Recorder)])
            stays, _ = port.let_in([("up", lambda: recorder)])
            port.shut_out(gone)
            async with RawClient(port.url) as client:
                await client.write(REQUEST % gone.encode())
                assert (await client.rest()).startswith(b"HTTP/1.1 404 ")
            async with RawClient(port.url) as client:
                await client.write(REQUEST % stays.encode())
                assert await client.rest() == b"thanks"

    bounded(test)


def test_a_client_that_says_nothing_is_cut() -> None:
    async def test() -> None:
        async with listening(handshake_us=1) as port, RawClient(port.url) as client:
            assert await is_cut(client)

    bounded(test)


def test_closing_cuts_those_who_have_not_said_yet_what_they_want_and_no_others() -> None:
    async def test() -> None:
        recorder = Recorder()
        async with listening() as port:
            token, urls = port.let_in([("up", lambda: recorder)])
            async with RawClient(urls["up"]) as inside, RawClient(port.url) as outside:
                await inside.write((REQUEST % token.encode()).removesuffix(b"more"))
                await recorder.met.wait()
                await outside.write(b"GET /ru")
                await until(lambda: len(port._undecided) == 1)
                port.close()
                assert await is_cut(outside)
                await inside.write(b"more")
                assert await inside.rest() == b"thanks"
            await recorder.lost.wait()

    bounded(test)
