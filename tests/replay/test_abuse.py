"""What clients do to the server that no client should: each ends as RFC 6455 says, and nobody else notices."""

import asyncio
import gc
import itertools
import logging
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from replay_builders import a_handshake, a_recording, a_session, messages
from replay_clients import PATIENCE_S, RawClient, masked, text

from wiretape_protocols import Opcode
from wiretape_replay import Pace, Reconnect, ReplayServer, ReplaySession, ReplaySettings, Run
from wiretape_replay.client_frames import MAX_MESSAGE_BYTES
from wiretape_replay.connection import Connection
from wiretape_replay.frames import frame, header
from wiretape_replay.outbox import Outbox
from wiretape_replay.shared_port import SharedPort

LINES = ("> call 1 x", "< answer 1 y")
ANSWER = frame(Opcode.TEXT, b"answer 1 y")
ENDLESS = ReplaySettings(reconnect=Reconnect.CYCLE, handshake_us=200_000, closing_us=200_000)
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
PROTOCOL_ERROR, INVALID_DATA, TOO_BIG = 1002, 1007, 1009  # RFC 6455 section 7.4.1


@dataclass(frozen=True)
class Footprint:
    """What a process holds for its clients."""

    files: int
    tasks: int
    objects: int

    @classmethod
    def taken(cls) -> "Footprint":
        gc.collect()
        kinds = (Connection, ReplaySession, Outbox)
        objects = sum(isinstance(each, kinds) for each in gc.get_objects())
        return cls(len([*Path("/proc/self/fd").iterdir()]), len(asyncio.all_tasks()), objects)


@pytest.fixture(autouse=True)
def _silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a client does is no error of ours: nothing is logged, not even by the event loop."""
    yield
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@asynccontextmanager
async def a_server(
    settings: ReplaySettings = ENDLESS, *lines: str, deflate: bool = False
) -> AsyncIterator[ReplayServer]:
    """A server that serves others before and after, and has no clients when these are gone."""
    headers = (("Sec-WebSocket-Extensions", "permessage-deflate"),) if deflate else ()
    session = a_session(handshake=a_handshake(headers=headers))
    run = Run(a_recording((session, messages(lines or LINES))), settings)
    async with ReplayServer(run, listen="127.0.0.1:0") as server:
        await serves(server)
        yield server
        await serves(server)
        await run.stands[0].empty.wait()
        assert server.connections() == []


@asynccontextmanager
async def leaving_nothing(*servers: ReplayServer) -> AsyncIterator[None]:
    """What happens within leaves neither files nor tasks, nor anything that was kept for a client."""
    before = await settled(*servers)
    yield
    assert await settled(*servers) == before


async def settled(*servers: ReplayServer) -> Footprint:
    """What is held once all clients are gone, on both sides."""
    for server in servers:
        await server.run.stands[0].empty.wait()
    for _ in range(5):  # the clients' own transports close in the next turns of the loop
        await asyncio.sleep(0)
    return Footprint.taken()


async def serves(server: ReplayServer) -> None:
    """Another client finds all in order."""
    async with RawClient(server.listeners[0].url) as client:
        assert (await client.handshake()).startswith(b"HTTP/1.1 101 ")
        await client.write(text("call 1 x"))
        assert await client.frame() == ANSWER


def bounded(test: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        complaints: list[str] = []
        loop.set_exception_handler(lambda _, context: complaints.append(str(context)))
        async with asyncio.timeout(PATIENCE_S):
            await test()
        assert complaints == []

    asyncio.run(run())


def unmasked(opcode: int, payload: bytes) -> bytes:
    return frame(opcode, payload)


def huge(first: int, size: int) -> bytes:
    """A frame of so many zeros under a mask of zeros, which is quick to make."""
    head = header(first & 0x0F, size)
    return bytes((first, head[1] | 0x80)) + head[2:] + bytes(4 + size)


HALF = MAX_MESSAGE_BYTES // 2


VIOLATIONS = (
    pytest.param(unmasked(1, b"call 1 x"), PROTOCOL_ERROR, id="a frame without a mask"),
    *(
        pytest.param(bytes((0x81 | bit, 0x80)) + bytes(4), PROTOCOL_ERROR, id=f"reserved bit {bit:#x}")
        for bit in (0x40, 0x20, 0x10)
    ),
    *(
        pytest.param(masked(opcode, b""), PROTOCOL_ERROR, id=f"reserved opcode {opcode}")
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    ),
    pytest.param(masked(9, b"", fin=False), PROTOCOL_ERROR, id="a ping in fragments"),
    pytest.param(masked(8, b"", fin=False), PROTOCOL_ERROR, id="a close frame in fragments"),
    pytest.param(masked(9, b"x" * 126), PROTOCOL_ERROR, id="a ping of 126 bytes"),
    pytest.param(masked(10, b"x" * 70_000), PROTOCOL_ERROR, id="a pong of 70,000 bytes"),
    pytest.param(masked(8, (1000).to_bytes(2) + b"x" * 124), PROTOCOL_ERROR, id="a close frame of 126 bytes"),
    pytest.param(masked(0, b"x"), PROTOCOL_ERROR, id="a continuation of nothing"),
    pytest.param(masked(0, b"x", fin=False), PROTOCOL_ERROR, id="an unfinished continuation of nothing"),
    pytest.param(
        masked(1, b"ca", fin=False) + text("call 1 x"), PROTOCOL_ERROR, id="a message within a message"
    ),
    pytest.param(
        masked(1, b"", fin=False) + masked(2, b""), PROTOCOL_ERROR, id="a message within an empty one"
    ),
    pytest.param(masked(8, b"\x03"), PROTOCOL_ERROR, id="half a close code"),
    *(
        pytest.param(masked(8, code.to_bytes(2)), PROTOCOL_ERROR, id=f"close code {code}")
        for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535)
    ),
    pytest.param(masked(8, (1000).to_bytes(2) + b"\xff"), INVALID_DATA, id="a reason that is no UTF-8"),
    pytest.param(masked(1, b"\xff\xfe"), INVALID_DATA, id="a text that is no UTF-8"),
    pytest.param(
        masked(1, b"\xce\xba\xe1\xbd"),
        INVALID_DATA,
        id="a text that ends within a character",
    ),
    pytest.param(masked(1, b"\xed\xa0\x80"), INVALID_DATA, id="a text with a surrogate"),
    pytest.param(
        masked(1, b"\xce", fin=False) + masked(0, b"\xce"),
        INVALID_DATA,
        id="no UTF-8 in fragments",
    ),
    pytest.param(bytes((0x82, 0xFF)) + (2**40).to_bytes(8), TOO_BIG, id="a frame of a tebibyte"),
    pytest.param(bytes((0x82, 0xFF)) + b"\xff" * 8, TOO_BIG, id="a length with its highest bit set"),
    pytest.param(huge(0x02, HALF) + huge(0x00, HALF) + masked(0, b"x"), TOO_BIG, id="too large in fragments"),
)


@pytest.mark.parametrize(("sent", "code"), VIOLATIONS)
def test_what_breaks_the_protocol_is_closed_with_its_code(sent: bytes, code: int) -> None:
    async def test() -> None:
        async with a_server() as server, RawClient(server.listeners[0].url) as client:
            await client.handshake()
            await client.write(text("call 1 x"), sent, text("call 1 x"))
            answer, close = await client.frame(), await client.frame()
            assert answer == ANSWER
            assert (close[0], int.from_bytes(close[2:4])) == (0x88, code)
            assert await client.rest() == b""

    bounded(test)


FLUSHED = b"\0\0\xff\xff"  # RFC 7692 section 7.2.1: taken off a message's end


def test_nothing_stays_of_those_who_break_the_protocol() -> None:
    async def broken(url: str, sent: bytes) -> None:
        async with RawClient(url) as client:
            await client.handshake()
            await client.write(sent, masked(8, b""))
            await client.rest()

    async def test() -> None:
        async with a_server() as server, leaving_nothing(server):
            for case in VIOLATIONS:
                sent, _ = case.values
                assert isinstance(sent, bytes)
                if len(sent) < 2**20:
                    await broken(server.listeners[0].url, sent)

    bounded(test)


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(masked(1, b"\xff" * 40, rsv1=True), PROTOCOL_ERROR, id="no deflate stream"),
        pytest.param(masked(9, b"x", rsv1=True), PROTOCOL_ERROR, id="a compressed ping"),
        pytest.param(
            masked(1, b"", fin=False) + masked(0, b"", rsv1=True), PROTOCOL_ERROR, id="the bit in a fragment"
        ),
        pytest.param(masked(2, deflated(bytes(MAX_MESSAGE_BYTES + 1)), rsv1=True), TOO_BIG, id="a bomb"),
        pytest.param(
            masked(2, deflated(bytes(HALF)) + FLUSHED, rsv1=True, fin=False)
            + masked(0, deflated(bytes(HALF + 1))),
            TOO_BIG,
            id="a bomb in fragments",
        ),
        pytest.param(
            masked(1, deflated(b"\xff"), rsv1=True),
            INVALID_DATA,
            id="a text that is no UTF-8",
        ),
    ],
)
def test_what_breaks_compression_is_closed_with_its_code(sent: bytes, code: int) -> None:
    async def test() -> None:
        async with a_server(deflate=True) as server, RawClient(server.listeners[0].url) as client:
            assert b"permessage-deflate" in await client.handshake(DEFLATE)
            await client.write(sent, text("call 1 x"))
            close = await client.frame()
            assert (close[0], int.from_bytes(close[2:4])) == (0x88, code)
            assert await client.rest() == b""

    bounded(test)


def test_control_frames_between_fragments_are_answered_and_the_message_is_whole() -> None:
    async def test() -> None:
        async with a_server() as server, RawClient(server.listeners[0].url) as client:
            await client.handshake()
            pieces = [
                masked(1, b"", fin=False),
                *(masked(0, bytes((byte,)), fin=False) for byte in b"call 1 x"),
            ]
            for number, piece in enumerate(pieces):
                ping = masked(9, b"%d" % number)
                await client.write(piece, ping, masked(10, b"nobody asked"))
                assert await client.frame() == frame(10, b"%d" % number)
            await client.write(masked(0, b""))
            assert await client.frame() == ANSWER

    bounded(test)


def test_nothing_after_a_close_frame_is_read() -> None:
    async def test() -> None:
        async with a_server() as server, RawClient(server.listeners[0].url) as client:
            await client.handshake()
            close = masked(8, (1000).to_bytes(2))
            await client.write(close + text("call 1 x") + unmasked(1, b"x") + masked(9, b"ping") + close)
            assert await client.rest() == frame(8, (1000).to_bytes(2))

    bounded(test)


@pytest.mark.parametrize("end", ["closes and stays", "is broken and stays", "half closes", "says nothing"])
def test_a_client_that_does_not_end_its_side_is_cut(end: str) -> None:
    """Where the connection is over, after `closing_us`; where it is not, when the server stops."""
    sent = {"closes and stays": masked(8, b""), "is broken and stays": masked(3, b"")}.get(end, b"")

    async def test() -> None:
        recording = a_recording((a_session(), messages(LINES)))
        async with (
            ReplayServer(recording, ENDLESS) as server,
            RawClient(server.listeners[0].url) as client,
        ):
            await client.handshake()
            await client.write(sent)
            if end == "half closes":
                client.half_close()
            if end == "says nothing":
                assert len(server.connections()) == 1
                await server.stop()
            await server.run.stands[0].empty.wait()
            assert server.connections() == []

    bounded(test)


HEAD = (
    "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
)
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(HEAD + KEY.replace("dGhl", "") + "\r\n", id="a key that is too short"),
        pytest.param(HEAD + "\r\n", id="no key"),
        pytest.param(HEAD + KEY + KEY + "\r\n", id="two keys"),
        pytest.param((HEAD + KEY).replace("13", "8") + "\r\n", id="another version of the protocol"),
        pytest.param((HEAD + KEY).replace("Upgrade: websocket\r\n", "") + "\r\n", id="no upgrade"),
        pytest.param((HEAD + KEY).replace("websocket", "h2c") + "\r\n", id="another upgrade"),
        pytest.param((HEAD + KEY).replace("HTTP/1.1", "HTTP/1.0") + "\r\n", id="HTTP/1.0"),
        pytest.param((HEAD + KEY).replace("GET", "POST") + "\r\n", id="another method"),
        pytest.param(HEAD + KEY + "Content-Length: 5\r\n\r\nhello", id="a body"),
        pytest.param(HEAD + KEY + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="a chunked body"),
        pytest.param(HEAD + KEY + "no colon\r\n\r\n", id="a field without a colon"),
        pytest.param(HEAD + KEY + "X: \x00\r\n\r\n", id="a NUL"),
        pytest.param("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param("\r\n\r\n", id="nothing"),
        pytest.param("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="TLS"),
        pytest.param(HEAD + KEY + "X: y\r\n" * 200 + "\r\n", id="200 fields"),
        pytest.param(HEAD + KEY + "X: " + "y" * 100_000 + "\r\n\r\n", id="a field of 100,000 bytes"),
        pytest.param("GET /" + "y" * 100_000 + " HTTP/1.1\r\n\r\n", id="a path of 100,000 bytes"),
        pytest.param("y" * 200_000, id="a line that does not end"),
    ],
)
def test_a_handshake_that_is_none_is_refused_and_takes_no_session(sent: str) -> None:
    async def test() -> None:
        async with a_server() as server, RawClient(server.listeners[0].url) as client:
            opened = server.journal.count
            await client.write(sent.encode("latin-1"))
            rest = await client.rest()
            # Before version 17 the library hangs up without a word where the head is no HTTP.
            assert rest == b"" or rest.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505 "))
            assert server.journal.count == opened

    bounded(test)


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET / HTTP/1.1\n\n", b"\0" * 1000],
    ids=["silent", "half", "lines without CR", "zeros"],
)
def test_a_handshake_that_does_not_end_is_cut(sent: bytes) -> None:
    async def test() -> None:
        async with a_server() as server, RawClient(server.listeners[0].url) as client:
            await client.write(sent)
            assert await client.rest() == b""

    bounded(test)


def test_a_handshake_byte_by_byte_does_not_win_time() -> None:
    async def test() -> None:
        async with a_server() as server, RawClient(server.listeners[0].url) as client:
            with pytest.raises(ConnectionError):
                await client.write(*itertools.repeat(b"x", 1_000_000))

    bounded(test)


def test_a_flood_of_pings_waits_in_the_client_and_each_is_answered() -> None:
    pings, size = 20_000, 125

    async def test() -> None:
        async with a_server() as server, RawClient(server.listeners[0].url) as client:
            await client.handshake()
            (connection,) = server.connections()
            # The system's own buffer would hold them all.
            sock = connection._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
            flood = [masked(9, b"x" * size) * 1000] * (pings // 1000)
            sending = asyncio.create_task(client.write(*flood))
            most = 0
            while connection._transport.is_reading():
                most = max(most, len(connection._outbox))
                await asyncio.sleep(0)
            assert most < pings / 2
            pong = frame(10, b"x" * size)
            assert await client.read(len(pong) * pings) == pong * pings
            await sending

    bounded(test)


def test_a_client_that_does_not_read_holds_up_nobody_and_leaves_nothing() -> None:
    async def test() -> None:
        lines = (*LINES, *(f"< push {'x' * 100_000}" for _ in range(400)))
        async with (
            a_server(ENDLESS, *lines) as server,
            leaving_nothing(server),
            RawClient(server.listeners[0].url) as deaf,
        ):
            await deaf.handshake()
            await deaf.write(text("call 1 x"))
            await deaf.read(10)
            for _ in range(3):
                await serves(server)
            assert server.connections()[0].buffered_bytes > 0
            reset(deaf)

    bounded(test)


def test_a_client_that_reads_slowly_hears_everything() -> None:
    async def test() -> None:
        lines = (*LINES, *(f"< push {number} {'x' * 10_000}" for number in range(200)))
        async with a_server(ENDLESS, *lines) as server, RawClient(server.listeners[0].url) as slow:
            await slow.handshake()
            await slow.write(text("call 1 x"))
            assert await slow.frame() == ANSWER
            for number in range(200):
                assert (await slow.message()).split(" ")[1] == str(number)
                await asyncio.sleep(0)

    bounded(test)


def reset(client: RawClient) -> None:
    """End TCP with RST."""
    linger = struct.pack("ii", 1, 0)
    client._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


async def comes_and_goes(url: str, number: int) -> None:
    """Connect, get more or less far, and end in one of many ways."""
    path = urlsplit(url).path or "/"
    how = number % 9
    async with RawClient(url) as client:
        if how in (2, 3):
            await client.write(f"GET {path} HTTP/1.1\r\nHost:"[: 4 + number % 40].encode())
        elif how > 3:
            if b" 101 " not in await client.handshake(path=path):
                return  # the address is nobody's
            await client.write(text("call 1 x"))
        if how in (1, 3, 5):
            reset(client)
        elif how == 6:
            await client.write(masked(8, b""))
        elif how == 7:
            client.half_close()
            await client.rest()
        elif how == 8:
            await client.write(masked(3, b""), text("call"))


def test_two_thousand_come_and_go_and_nothing_of_them_stays() -> None:
    slow = ReplaySettings(
        reconnect=Reconnect.CYCLE, pace=Pace(0.001), stall_us=1, handshake_us=PATIENCE_S * 1_000_000
    )

    async def test() -> None:
        waiting = a_recording((a_session(), messages((*LINES, "< push a", "> call 2 z", "< push b"))))
        async with (
            a_server() as server,
            ReplayServer(waiting, slow) as other,
        ):
            shared_port = SharedPort("127.0.0.1", 0, handshake_us=PATIENCE_S * 1_000_000)
            await shared_port.start()
            with closing(shared_port):
                _, shared = shared_port.let_in([("up", partial(Connection, server.run.stands[0]))])
                ports = (each.listeners[0].url for each in (server, other))
                urls = (*ports, shared["up"], shared["up"].replace("/up", "/down"))
                async with leaving_nothing(server, other):
                    for batch in range(0, 2_000, 50):
                        async with asyncio.TaskGroup() as group:
                            for number in range(batch, batch + 50):
                                group.create_task(comes_and_goes(urls[number % 4], number))

    bounded(test)
