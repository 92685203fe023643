"""Records real connections through real proxies, by both feeds, and reads the store."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.http11 import Request, Response

from recorders import FEEDS, free_port, recorder
from wiretape_protocols import CodecKind, Opcode, Role
from wiretape_store import EndKind, EventKind, Session, StoreReader

Handler = Callable[[ServerConnection], Awaitable[None]]
Client = Callable[[ClientConnection], Awaitable[None]]


async def echo(server: ServerConnection) -> None:
    async for message in server:
        await server.send(message)


def record(
    feed: str,
    store: Path,
    client: Client,
    handler: Handler = echo,
    *,
    label: str = "echo:opaque",
    target: str = "/",
    headers: dict[str, str] | None = None,
    compression: str | None = None,
    respond: Callable[[ServerConnection, Request], Response | None] | None = None,
) -> Session:
    """Record one connection; the recorder has ended when this returns."""

    async def run() -> None:
        ended = asyncio.Event()

        async def handle(server: ServerConnection) -> None:
            try:
                await handler(server)
            except ConnectionClosed:
                pass
            finally:
                await server.wait_closed()
                ended.set()

        async with serve(
            handle, "127.0.0.1", 0, process_request=respond, compression=compression, ping_interval=None
        ) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with recorder(feed, {label: url}, store) as urls:
                asked = urls[label.partition(":")[0]] + target
                try:
                    async with connect(
                        asked,
                        additional_headers=headers,
                        compression=compression,
                        proxy=None,
                        ping_interval=None,
                    ) as connection:
                        await client(connection)
                except ConnectionClosed:
                    pass
                except InvalidStatus:
                    return
                # When the upstream has seen the end, so has the recorder between.
                await ended.wait()

    asyncio.run(run())
    with StoreReader(str(store)) as reader:
        (session,) = reader.sessions()
    return session


@pytest.mark.parametrize("feed", FEEDS)
def test_messages_of_both_sides_are_stored_byte_for_byte(feed: str, tmp_path: Path) -> None:
    packed = gzip.compress(b'{"a": 1}' * 50)
    sent: list[str | bytes] = ["text", b"\x00\xff binary", packed, "", "é" * 40_000, b"x" * 300_000]

    async def client(connection: ClientConnection) -> None:
        for message in sent:
            await connection.send(message)
            assert await connection.recv() == message

    session = record(feed, tmp_path / "a.db", client)

    with StoreReader(str(tmp_path / "a.db")) as reader:
        messages = list(reader.messages(session.id))
    as_bytes = [message.encode() if isinstance(message, str) else message for message in sent]
    opcodes = [Opcode.TEXT if isinstance(message, str) else Opcode.BINARY for message in sent]
    assert [m.wire for m in messages if m.from_client] == as_bytes
    assert [m.wire for m in messages if not m.from_client] == as_bytes
    assert [m.opcode for m in messages if m.from_client] == opcodes
    assert [m.seq for m in messages] == list(range(12))
    assert messages[4].payload == b'{"a": 1}' * 50
    assert messages[4].codec.kind is CodecKind.GZIP
    assert session.messages_from_client == session.messages_from_upstream == 6
    assert all(earlier.at_us <= later.at_us for earlier, later in pairwise(messages))


@pytest.mark.parametrize("feed", FEEDS)
def test_answers_are_told_from_pushes(feed: str, tmp_path: Path) -> None:
    async def handler(server: ServerConnection) -> None:
        await server.recv()
        await server.send('{"method": "price.update", "params": ["BTCUSDT", "1"], "id": 100}')
        await server.send('{"error": null, "result": {"status": "success"}, "id": 100}')
        await server.recv()

    async def client(connection: ClientConnection) -> None:
        await connection.send('{"method": "price.subscribe", "params": ["BTCUSDT"], "id": 100}')
        await connection.recv()
        await connection.recv()

    session = record(feed, tmp_path / "a.db", client, handler, label="hotbit")

    with StoreReader(str(tmp_path / "a.db")) as reader:
        messages = list(reader.messages(session.id))
    assert [(m.role, m.method, m.answers, m.stream) for m in messages[1:]] == [
        (Role.PUSH, "price.update", None, "price"),
        (Role.ANSWER, "price.subscribe", 0, ""),
    ]
    assert (session.exchanges, session.pushes) == (1, 1)


@pytest.mark.parametrize("feed", FEEDS)
def test_a_close_by_the_client_is_recorded_with_code_and_reason(feed: str, tmp_path: Path) -> None:
    async def client(connection: ClientConnection) -> None:
        await connection.close(4001, "enough")

    end = record(feed, tmp_path / "a.db", client).end

    assert (end.kind, end.from_client, end.code, end.reason) == (EndKind.CLOSED, True, 4001, "enough")


@pytest.mark.parametrize("feed", FEEDS)
def test_a_close_by_the_upstream_is_recorded_with_code_and_reason(feed: str, tmp_path: Path) -> None:
    async def handler(server: ServerConnection) -> None:
        await server.close(4002, "go away")

    async def client(connection: ClientConnection) -> None:
        await connection.recv()

    end = record(feed, tmp_path / "a.db", client, handler).end

    assert (end.kind, end.from_client, end.code, end.reason) == (EndKind.CLOSED, False, 4002, "go away")


@pytest.mark.parametrize("feed", FEEDS)
def test_an_end_by_the_upstream_without_a_close_frame_is_recorded_as_that(feed: str, tmp_path: Path) -> None:
    async def handler(server: ServerConnection) -> None:
        await server.send("last")
        await asyncio.sleep(0)
        server.transport.close()

    async def client(connection: ClientConnection) -> None:
        while True:
            await connection.recv()

    session = record(feed, tmp_path / "a.db", client, handler)

    assert session.end.kind is EndKind.EOF
    assert session.end.from_client is False
    assert session.messages_from_upstream == 1


@pytest.mark.parametrize("feed", FEEDS)
def test_an_end_by_the_client_without_a_close_frame_is_recorded_as_that(feed: str, tmp_path: Path) -> None:
    async def client(connection: ClientConnection) -> None:
        await connection.send("last")
        await connection.recv()
        connection.transport.abort()

    end = record(feed, tmp_path / "a.db", client).end

    assert end.kind is EndKind.EOF
    assert end.from_client is True


@pytest.mark.parametrize("feed", FEEDS)
def test_a_refused_handshake_is_recorded_with_status_headers_and_body(feed: str, tmp_path: Path) -> None:
    def respond(_: ServerConnection, __: Request) -> Response:
        return Response(429, "Too Many", Headers({"Retry-After": "7", "Content-Length": "4"}), b"slow")

    async def client(_: ClientConnection) -> None:
        raise AssertionError("the handshake was refused")

    session = record(feed, tmp_path / "a.db", client, respond=respond)

    assert (session.end.kind, session.end.code) == (EndKind.REFUSED, 429)
    assert session.handshake.status == 429
    assert ("Retry-After", "7") in session.handshake.response_headers
    assert session.handshake.body == b"slow"


@pytest.mark.parametrize("feed", FEEDS)
def test_an_upstream_that_is_not_there_is_recorded_as_unreachable(feed: str, tmp_path: Path) -> None:
    async def run() -> None:
        upstreams = {"gone:opaque": f"ws://127.0.0.1:{free_port()}"}
        async with recorder(feed, upstreams, tmp_path / "a.db") as urls:
            # The tap's proxy answers with 502; mitmproxy's eager strategy hangs up before the request.
            with pytest.raises((InvalidStatus, InvalidMessage)):
                await connect(urls["gone"], proxy=None)

    asyncio.run(run())

    with StoreReader(str(tmp_path / "a.db")) as reader:
        (session,) = reader.sessions()
    assert session.end.kind is EndKind.UNREACHABLE
    assert session.handshake.status is None
    assert session.end.reason is not None
    assert "127.0.0.1" in session.end.reason


@pytest.mark.parametrize("feed", FEEDS)
def test_a_connection_that_the_recorder_outlives_not_is_interrupted_and_whole(
    feed: str, tmp_path: Path
) -> None:
    async def run() -> None:
        async with serve(echo, "127.0.0.1", 0, ping_interval=None) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with recorder(feed, {"echo:opaque": url}, tmp_path / "a.db") as urls:
                connection = await connect(urls["echo"], proxy=None, ping_interval=None)
                for number in range(500):
                    await connection.send(str(number))
                for number in range(500):
                    assert await connection.recv() == str(number)
            connection.transport.abort()

    asyncio.run(run())

    with StoreReader(str(tmp_path / "a.db")) as reader:
        (session,) = reader.sessions()
        came = [message.wire for message in reader.messages(session.id) if not message.from_client]
    assert session.end.kind is EndKind.INTERRUPTED
    assert came == [str(number).encode() for number in range(500)]


SECRETS = ("k-3f9a7c", "s-77aa01", "bearer-zzq81", "cookie-hh2", "query-pp9")


@pytest.mark.parametrize("feed", FEEDS)
def test_no_secret_reaches_the_disk(feed: str, tmp_path: Path) -> None:
    key, sign, bearer, cookie, query = SECRETS

    async def handler(server: ServerConnection) -> None:
        await server.recv()
        await server.send(gzip.compress(b'{"error": null, "result": {"status": "success"}, "id": 1}'))
        await server.wait_closed()

    async def client(connection: ClientConnection) -> None:
        await connection.send(json.dumps({"method": "server.auth", "params": [key, sign], "id": 1}))
        await connection.recv()

    record(
        feed,
        tmp_path / "a.db",
        client,
        handler,
        label="hotbit",
        target=f"/ws?token={query}",
        headers={"Authorization": f"Bearer {bearer}", "Cookie": f"sid={cookie}"},
    )

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert tmp_path / "a.db" in files
    for path in files:
        content = path.read_bytes()
        assert [secret for secret in SECRETS if secret.encode() in content] == [], path
    with StoreReader(str(tmp_path / "a.db")) as reader:
        (session,) = reader.sessions()
        first = reader.message(session.id, 0)
    assert first.payload.count(b"wt-") == 2
    assert first.redacted
    assert session.handshake.target.startswith("/ws?token=wt-")


def test_the_tap_sees_pings_fragments_and_close_frames(tmp_path: Path) -> None:
    async def client(connection: ClientConnection) -> None:
        await (await connection.ping(b"are you there"))
        await connection.send(["one ", "two ", "three"])
        assert await connection.recv() == "one two three"

    session = record("tap", tmp_path / "a.db", client)

    with StoreReader(str(tmp_path / "a.db")) as reader:
        events = [(event.kind, event.from_client, event.data) for event in reader.events(session.id)]
    assert events[:2] == [
        (EventKind.PING, True, b"are you there"),
        (EventKind.PONG, False, b"are you there"),
    ]
    # The library ends a message that it sends in parts with an empty frame.
    assert (EventKind.FRAGMENTS, True, b"4,4,5,0") in events
    assert events[-2:] == [
        (EventKind.CLOSE, True, b"\x03\xe8"),
        (EventKind.CLOSE, False, b"\x03\xe8"),
    ]


def test_the_tap_undoes_permessage_deflate(tmp_path: Path) -> None:
    async def client(connection: ClientConnection) -> None:
        for _ in range(3):
            await connection.send("again and again and again")
            await connection.recv()

    session = record("tap", tmp_path / "a.db", client, compression="deflate")

    with StoreReader(str(tmp_path / "a.db")) as reader:
        messages = list(reader.messages(session.id))
    assert [(message.wire, message.deflated) for message in messages] == [
        (b"again and again and again", True)
    ] * 6


def test_the_tap_records_two_upstreams_into_one_recording(tmp_path: Path) -> None:
    async def run() -> None:
        async with serve(echo, "127.0.0.1", 0) as one, serve(echo, "127.0.0.1", 0) as two:
            ports = [server.sockets[0].getsockname()[1] for server in (one, two)]
            upstreams = {
                "a:opaque": f"ws://127.0.0.1:{ports[0]}/base",
                "b:json": f"ws://127.0.0.1:{ports[1]}",
            }
            async with recorder("tap", upstreams, tmp_path / "a.db", name="both") as urls:
                for name in ("b", "a", "b"):
                    async with connect(urls[name] + "/x", proxy=None) as connection:
                        await connection.send(name)
                        await connection.recv()

    asyncio.run(run())

    with StoreReader(str(tmp_path / "a.db")) as reader:
        sessions = reader.sessions("both")
        recording = reader.recording("both")
    assert [(s.upstream.name, s.number) for s in sessions] == [("b", 0), ("a", 0), ("b", 1)]
    assert [upstream.name for upstream in recording.upstreams] == ["a", "b"]
    assert recording.ended_at_us is not None
    assert [s.handshake.target for s in sessions] == ["/x"] * 3


def test_a_plain_request_streams_through(tmp_path: Path) -> None:
    """What is no handshake is relayed as it comes, and not recorded."""

    async def run() -> bytes:
        more = asyncio.Event()

        async def serve_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            await more.wait()
            writer.write(b"0\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(serve_stream, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with recorder("tap", {"a:opaque": url}, tmp_path / "a.db") as urls:
                host, port = urls["a"].removeprefix("ws://").split(":")
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
                async with asyncio.timeout(30):
                    first = await reader.readuntil(b"first")
                    more.set()
                    await reader.readuntil(b"0\r\n\r\n")
                writer.close()
                return first

    assert asyncio.run(run()).startswith(b"HTTP/1.1 200")
    with StoreReader(str(tmp_path / "a.db")) as reader:
        assert reader.sessions() == []


def test_a_client_that_leaves_before_its_answer_is_not_an_unreachable_upstream(tmp_path: Path) -> None:
    async def run() -> None:
        asked, left = asyncio.Event(), asyncio.Event()

        async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            # The recorder hangs up on the upstream when the client has left.
            await reader.read()
            writer.close()
            left.set()

        async with await asyncio.start_server(never_answer, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with recorder("tap", {"a:opaque": url}, tmp_path / "a.db") as urls:
                host, port = urls["a"].removeprefix("ws://").split(":")
                _, writer = await asyncio.open_connection(host, int(port))
                writer.write(
                    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                )
                await asked.wait()
                writer.close()
                await left.wait()

    asyncio.run(run())

    with StoreReader(str(tmp_path / "a.db")) as reader:
        (session,) = reader.sessions()
    assert (session.end.kind, session.end.from_client) == (EndKind.EOF, True)
    assert session.handshake.status is None
