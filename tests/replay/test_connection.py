"""The driver between socket and engine: what it does when something fails, and what waiting costs."""

import asyncio
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from replay_builders import a_handshake, a_recording, a_session, messages
from replay_clients import PATIENCE_S, RawClient, masked, text
from websockets.asyncio.client import connect

from wiretape_protocols import Opcode
from wiretape_replay import Journal, ReplayServer
from wiretape_replay.connection import Connection
from wiretape_replay.frames import frame
from wiretape_store.records import End, EndKind

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HEAD = (
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
)
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test()

    asyncio.run(bounded())


def test_what_is_compressed_is_compressed_in_the_order_of_the_wire() -> None:
    # Each message repeats the one before, so the client can only unpack them in the right order.
    said = "the very same words, over and over"
    headers = (("Sec-WebSocket-Extensions", "permessage-deflate"),)
    lines = messages((f"< push {said}", "> call 1 x", f"< answer 1 {said}", f"< push {said}"), deflated=True)
    recording = a_recording((a_session(handshake=a_handshake(headers=headers)), lines))

    async def test() -> None:
        async with ReplayServer(recording) as server, RawClient(server.listeners[0].url) as client:
            await client.write((HEAD + DEFLATE + "\r\n").encode() + text("call 7 x"))
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += await client.read(1)
            assert b"permessage-deflate" in head
            inflate = zlib.decompressobj(wbits=-15)
            heard = [inflate.decompress((await client.frame())[2:] + b"\0\0\xff\xff") for _ in range(3)]
        assert heard == [f"{verb} {said}".encode() for verb in ("push", "answer 7", "push")]

    run(test)


def test_a_journal_on_a_full_disk_ends_neither_the_connection_nor_the_server() -> None:
    failures: list[OSError] = []

    async def test() -> None:
        file = Path("/dev/full").open("w", buffering=1)  # noqa: ASYNC230, SIM115 - closing it fails as well
        journal = Journal(file.write, failures.append)
        recording = a_recording((a_session(), messages(("> call 1 x", "< answer 1 y"))))
        async with ReplayServer(recording, journal=journal) as server:
            async with connect(server.listeners[0].url) as client:
                await client.send("call 1 x")
                assert await client.recv() == "answer 1 y"
            assert [entry.kind for entry in journal.entries][:2] == ["opened", "matched"]
        assert journal.failure is failures[0]
        with pytest.raises(OSError, match="No space left"):
            file.close()

    run(test)
    assert [failure.strerror for failure in failures] == ["No space left on device"]


def test_the_server_stops_though_a_connection_failed_at_its_end() -> None:
    def broken(line: str) -> None:
        if '"ended"' in line:
            raise ValueError(line)

    async def test() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        async with (
            ReplayServer(a_recording((a_session(), [])), journal=Journal(broken)) as server,
            RawClient(server.listeners[0].url) as client,
        ):
            await client.handshake()
        assert server.connections() == []

    run(test)


@pytest.mark.parametrize("cut", [False, True], ids=["in one piece", "frame by frame"])
@pytest.mark.parametrize(
    "more",
    [pytest.param(masked(9, b"ping"), id="ping"), pytest.param(masked(8, b"\x03\xe8"), id="close")],
)
def test_nothing_follows_a_recorded_end_of_tcp_however_the_stream_is_cut(more: bytes, cut: bool) -> None:
    session = a_session(end=End(EndKind.EOF, from_client=False))

    async def test() -> None:
        recording = a_recording((session, messages(("> call 1 x", "< answer 1 y"))))
        async with ReplayServer(recording) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake()
            frames = (text("call 1 x"), more)
            await client.write(*(frames if cut else [b"".join(frames)]))
            assert await client.rest() == frame(Opcode.TEXT, b"answer 1 y")

    run(test)


@pytest.mark.parametrize("kind", [EndKind.INTERRUPTED, EndKind.OPEN])
def test_a_refusal_whose_end_was_never_recorded_is_still_a_refusal(kind: EndKind) -> None:
    refused = a_session(end=End(kind), handshake=a_handshake(status=403, body=b"go away"))

    async def test() -> None:
        async with (
            ReplayServer(a_recording((refused, []))) as server,
            RawClient(server.listeners[0].url) as client,
        ):
            assert (await client.handshake()).startswith(b"HTTP/1.1 403 Forbidden\r\n")
            assert await client.rest() == b"go away"
        assert server.journal.entries[0].detail == "up: status 403, as recorded"

    run(test)


@pytest.mark.parametrize("kind", [EndKind.INTERRUPTED, EndKind.OPEN])
def test_a_handshake_that_was_never_answered_is_reset(kind: EndKind) -> None:
    async def test() -> None:
        unanswered = a_session(end=End(kind), handshake=a_handshake(status=None))
        async with (
            ReplayServer(a_recording((unanswered, []))) as server,
            RawClient(server.listeners[0].url) as client,
        ):
            with pytest.raises(ConnectionResetError):
                await client.handshake()

    run(test)


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        pytest.param("GET / HTTP/1.1\r\nHost: x\r\n", b"426", id="no upgrade"),
        pytest.param(HEAD.replace(KEY, "short"), b"400", id="a key that is none"),
        pytest.param(HEAD, b"503", id="one connection more than recorded"),
    ],
)
def test_no_refusal_tells_the_time(request_head: str, status: bytes) -> None:
    async def test() -> None:
        recording = a_recording((a_session(), []))
        async with ReplayServer(recording) as server:
            url = server.listeners[0].url
            async with RawClient(url) as first, RawClient(url) as client:
                if status == b"503":
                    await first.handshake()
                await client.write((request_head + "\r\n").encode())
                answer = await client.rest()
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert b"\r\nDate:" not in answer

    run(test)


def test_large_answers_under_other_ids_are_not_made_before_they_can_go() -> None:
    asked, answer = 400, "x" * 200_000

    async def test() -> None:
        recording = a_recording((a_session(), messages(("> call 1 x", f"< answer 1 {answer}"))))
        all_asked = asyncio.Event()
        last = f"call {99 + asked} x"
        journal = Journal(lambda line: all_asked.set() if last in line else None)
        async with (
            ReplayServer(recording, journal=journal) as server,
            RawClient(server.listeners[0].url) as client,
        ):
            await client.handshake()
            tracemalloc.start()
            await client.write(b"".join(text(f"call {number} x") for number in range(100, 100 + asked)))
            await all_asked.wait()
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert most < 20_000_000
            for number in range(100, 100 + asked):
                expected = frame(Opcode.TEXT, f"answer {number} {answer}".encode())
                assert await client.read(len(expected)) == expected

    run(test)


def test_a_client_that_does_not_read_large_refusals_is_not_read_any_more() -> None:
    asked, size = 60, 1_000_000
    identity = "7" * size

    async def test() -> None:
        recording = a_recording((a_session(), messages(("> call 1 x",))))
        async with ReplayServer(recording) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake()
            sending = asyncio.create_task(client.write(*[text(f"call {identity} other")] * asked))
            (connection,) = server.connections()
            most = await most_waiting(connection, until=lambda: not connection._transport.is_reading())
            assert 4 * 1024 * 1024 < most < 4 * 1024 * 1024 + 2 * size
            expected = frame(Opcode.TEXT, f"answer {identity} refused".encode())
            for _ in range(asked):
                assert await client.read(len(expected)) == expected
            await sending
            assert connection._outbox.waiting_bytes == 0

    run(test)


async def most_waiting(connection: Connection, *, until: Callable[[], bool]) -> int:
    most = 0
    while not until():
        most = max(most, connection._outbox.waiting_bytes)
        await asyncio.sleep(0)
    return max(most, connection._outbox.waiting_bytes)
