"""The client that does what was recorded, before servers that do not."""

import asyncio
import base64
import hashlib
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest
from replay_builders import a_handshake, a_recording, a_session, messages
from replay_clients import PATIENCE_S

from wiretape_protocols import Opcode
from wiretape_replay import ReplayServer
from wiretape_replay.frames import close_frame, frame, frame_size
from wiretape_replay.player import Manner, Played, Player
from wiretape_store.records import End, EndKind, Message, Session

LINES = ("< push hi", "> call 1 x", "< answer 1 y")
CLOSED = End(EndKind.CLOSED, from_client=False, code=4001, reason="bye")
CLIENT_CLOSED = End(EndKind.CLOSED, from_client=True, code=3000, reason="done")
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def sent(*texts: str) -> bytes:
    return b"".join(frame(Opcode.TEXT, text.encode()) for text in texts)


async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    key = next(line[19:] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
    token = base64.b64encode(hashlib.sha1(key + guid).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + token + b"\r\n\r\n"
    )


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The next frame of the client, unmasked, without its header."""
    data = await reader.readexactly(2)
    while (size := frame_size(data, 0)) is None:
        data += await reader.readexactly(1)
    data += await reader.readexactly(size - len(data))
    start = {126: 8, 127: 14}.get(data[1] & 0x7F, 6)
    mask = data[start - 4 : start]
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(data[start:]))


def says(*pieces: bytes) -> Serve:
    """A server that sends the first piece at once, and one more for each frame of the client."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(reader, writer)
        writer.write(pieces[0])
        for piece in pieces[1:]:
            await read_frame(reader)
            writer.write(piece)
        writer.write_eof()
        await reader.read()

    return serve


async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await accept(reader, writer)
    writer.write(sent("push hi"))
    await read_frame(reader)
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


async def is_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await accept(reader, writer)
    await reader.read()


async def closes_and_stays(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await accept(reader, writer)
    writer.write(close_frame(1001, None))
    await reader.read()


async def ignores_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await accept(reader, writer)
    writer.write(sent("push hi", "answer 1 y"))
    while await reader.read(1000):
        pass
    await asyncio.Event().wait()


def play(
    serve: Serve,
    session: Session | None = None,
    recorded: list[Message] | None = None,
    *,
    deadline_s: float = PATIENCE_S,
) -> Played:
    """Play a session against a server of one connection."""

    async def test() -> Played:
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            serving: list[asyncio.Task[None]] = []

            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                try:
                    await serve(reader, writer)
                except (ConnectionError, asyncio.IncompleteReadError):
                    pass
                finally:
                    writer.close()

            server = await asyncio.start_server(
                lambda reader, writer: serving.append(group.create_task(handle(reader, writer))),
                "127.0.0.1",
                0,
            )
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            player = Player(url, session or a_session(), recorded or messages(LINES), Manner(0))
            played = await player.play(deadline_s)
            server.close()
            for task in serving:
                task.cancel()
        return played

    return asyncio.run(test())


def heard(played: Played) -> list[str]:
    return [wire.decode() for _, wire in played.messages]


@pytest.mark.parametrize(
    ("end", "last", "close"),
    [
        pytest.param(CLOSED, close_frame(4001, "bye"), (4001, "bye"), id="the upstream closes"),
        pytest.param(
            CLOSED, close_frame(999, "odd"), (999, "odd"), id="the upstream closes with a code that is none"
        ),
        pytest.param(CLOSED, close_frame(None, None), (None, None), id="the upstream closes without a code"),
        pytest.param(End(EndKind.EOF, from_client=False), b"", None, id="the upstream ends TCP"),
    ],
)
def test_what_came_is_told_to_the_end(
    end: End, last: bytes, close: tuple[int | None, str | None] | None
) -> None:
    played = play(says(sent("push hi"), sent("answer 1 y") + last), a_session(end=end))
    assert (played.status, heard(played), played.close) == (101, ["push hi", "answer 1 y"], close)
    assert played.lacking == 0


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        pytest.param(CLIENT_CLOSED, (3000).to_bytes(2) + b"done", id="with its code"),
        pytest.param(End(EndKind.CLOSED, from_client=True, code=999), None, id="a code that is none"),
        pytest.param(End(EndKind.CLOSED, from_client=True), None, id="without a code"),
        pytest.param(End(EndKind.EOF, from_client=True), None, id="without a close frame"),
    ],
)
def test_the_clients_end_is_played_as_far_as_it_may_be_sent(end: End, expected: bytes | None) -> None:
    ended: list[bytes | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(reader, writer)
        writer.write(sent("push hi"))
        await read_frame(reader)
        writer.write(sent("answer 1 y"))
        try:
            ended.append(await read_frame(reader))
        except asyncio.IncompleteReadError:
            ended.append(None)

    assert play(serve, a_session(end=end)).lacking == 0
    assert ended == [expected]


def test_a_fragmented_message_is_one_message() -> None:
    pieces = b"\x01\x04push\x89\x00\x80\x03 hi"  # with a ping between
    played = play(says(pieces, b"", sent("answer 1 y")), a_session(end=CLOSED))
    assert heard(played) == ["push hi", "answer 1 y"]


@pytest.mark.parametrize(
    ("serve", "status", "lacking"),
    [
        pytest.param(refuses, 403, 2, id="the handshake is refused"),
        pytest.param(hangs_up, None, 2, id="TCP ends before an answer"),
        pytest.param(resets, 101, 1, id="TCP is reset"),
        pytest.param(says(b""), 101, 2, id="TCP ends at once"),
        pytest.param(says(sent("push hi") + close_frame(1001, None)), 101, 1, id="closed too early"),
        pytest.param(says(sent("push hi") + b"\x83\x00"), 101, 1, id="a frame that is none"),
    ],
)
def test_nothing_a_server_does_is_an_error(serve: Serve, status: int | None, lacking: int) -> None:
    played = play(serve, a_session(end=CLOSED))
    assert (played.status, played.lacking) == (status, lacking)


@pytest.mark.parametrize(
    ("serve", "lacking"),
    [
        pytest.param(is_silent, 2, id="the server is silent"),
        pytest.param(closes_and_stays, 2, id="the server closes but does not end TCP"),
        pytest.param(ignores_the_end, 0, id="the server does not end"),
    ],
)
def test_every_wait_has_an_end(serve: Serve, lacking: int) -> None:
    played = play(serve, a_session(end=CLOSED), deadline_s=0.5)
    assert (played.status, played.lacking) == (101, lacking)


def test_a_reset_while_it_sends_ends_the_play(monkeypatch: pytest.MonkeyPatch) -> None:
    async def reset(*_: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(Player, "_send_all", reset)
    assert play(says(sent("push hi"))).status == 101


def test_an_address_where_nothing_listens_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    player = Player(f"ws://127.0.0.1:{port}", a_session(), messages(LINES), Manner(0))
    assert asyncio.run(player.play(1.0)) == Played(lacking=2)


def test_the_recorded_subprotocol_and_compression_are_offered() -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))

    handshake = a_handshake(headers=(("Sec-WebSocket-Extensions", "permessage-deflate"),))
    session = a_session(handshake=handshake)
    offered = a_session(
        handshake=type(handshake)(
            "/v1?x=1", (("Sec-WebSocket-Protocol", "chat, v2"),), 101, handshake.response_headers
        )
    )
    play(serve, session)
    play(serve, offered)
    assert heads[0].startswith(b"GET / HTTP/1.1\r\n")
    assert b"Sec-WebSocket-Protocol" not in heads[0]
    assert heads[1].startswith(b"GET /v1?x=1 HTTP/1.1\r\n")
    assert b"Sec-WebSocket-Protocol: chat, v2\r\n" in heads[1]
    assert all(b"permessage-deflate" in head for head in heads)


@pytest.mark.parametrize(
    "manner",
    [Manner(1), Manner(1, early=1.0), Manner(1, cuts=1.0, late=5)],
    ids=["in turn", "early", "late and byte by byte"],
)
def test_every_manner_hears_the_whole_session(manner: Manner) -> None:
    async def test() -> Played:
        session = a_session(end=CLOSED)
        async with ReplayServer(a_recording((session, messages(LINES)))) as server:
            return await Player(server.listeners[0].url, session, messages(LINES), manner).play(PATIENCE_S)

    played = asyncio.run(test())
    assert (heard(played), played.close) == (["push hi", "answer 1 y"], (4001, "bye"))
