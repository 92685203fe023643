"""The server over real sockets: what a client sees of handshakes, messages and ends."""

import asyncio
import errno
import socket
import zlib
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_builders import a_handshake, a_recording, a_session, an_upstream, messages
from replay_clients import PATIENCE_S, RawClient, cut, masked, text
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from wiretape_protocols import Opcode
from wiretape_replay import (
    EntryKind,
    Journal,
    ListenError,
    OnMiss,
    Pace,
    ReplayedRecording,
    ReplayServer,
    ReplaySettings,
    SettingError,
)
from wiretape_replay.frames import close_frame, frame
from wiretape_replay.server import split_address
from wiretape_store.records import End, EndKind, Handshake, Message, Session

CLOSED = End(EndKind.CLOSED, from_client=False, code=4001, reason="bye")
LOCKSTEP = (
    "< push hello",
    "> call 1 price",
    "< answer 1 10",
    "> sub 2 deals",
    "< answer 2 ok",
    "< push a",
    "> call 3 time",
    "< push c",
    "< answer 3 noon",
    "< push d",
)
SAID = ("call 1 price", "sub 2 deals", "call 3 time")


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test()

    asyncio.run(bounded())


def recorded(*sessions: tuple[Session, tuple[str, ...]]) -> ReplayedRecording:
    return a_recording(*((session, messages(lines)) for session, lines in sessions))


def test_a_lockstep_client_of_another_library_hears_the_recorded_conversation() -> None:
    async def test() -> None:
        async with ReplayServer(recorded((a_session(end=CLOSED), LOCKSTEP))) as server:
            async with connect(server.listeners[0].url) as client:
                heard = [await client.recv()]
                for said, answers in zip(SAID, (1, 2, 3), strict=True):
                    await client.send(said)
                    heard += [await client.recv() for _ in range(answers)]
                with pytest.raises(ConnectionClosed) as closed:
                    await client.recv()
            assert heard == [line[2:] for line in LOCKSTEP if line.startswith("<")]
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "bye")
            assert server.verdict().ok
            assert server.verdict().lines() == ["ok: the client did what was recorded"]

    run(test)


def transcript(places: list[int], *, pipelined: bool) -> bytes:
    """Everything a client receives that sends one conversation with its TCP stream cut at these places."""
    received = b""

    async def test() -> None:
        nonlocal received
        async with (
            ReplayServer(recorded((a_session(end=CLOSED), LOCKSTEP))) as server,
            RawClient(server.listeners[0].url) as client,
        ):
            await client.handshake()
            ping, close = masked(9, b"same"), masked(8, (4001).to_bytes(2))
            fragmented = masked(1, b"call 3", fin=False) + masked(0, b" time")
            stream = text(SAID[0]) + text(SAID[1]) + ping + fragmented + close
            if pipelined:
                await client.write(*cut(stream, places))
            else:
                head = await client.frame()
                for piece in cut(stream, places):
                    await client.write(piece)
                received = head
            received += await client.rest()

    run(test)
    return received


@settings(max_examples=25, deadline=None)
@given(places=st.lists(st.integers(0, 500), max_size=40), pipelined=st.booleans())
def test_one_conversation_gives_the_same_bytes_however_tcp_cuts_it(
    places: list[int], pipelined: bool
) -> None:
    expected = transcript([], pipelined=True)
    assert b"\x8a\x04same" in expected
    assert expected.endswith(close_frame(4001, "bye"))
    assert transcript(places, pipelined=pipelined) == expected


def test_connections_get_the_sessions_in_order_and_then_a_503_that_says_why() -> None:
    async def test() -> None:
        sessions = [(a_session(number=number), (f"< push {number}",)) for number in range(2)]
        async with ReplayServer(recorded(*sessions)) as server:
            url = server.listeners[0].url
            async with connect(url) as first, connect(url) as second:
                assert [await first.recv(), await second.recv()] == ["push 0", "push 1"]
                with pytest.raises(InvalidStatus) as refused:
                    await connect(url)
            response = refused.value.response
            assert response.status_code == 503
            assert b"fixture has 2 sessions of upstream up" in bytes(response.body or b"")
            assert server.verdict().misses.named == ["a connection to up: no session is left"]

    run(test)


def test_two_connections_at_once_do_not_disturb_each_other() -> None:
    async def test() -> None:
        pair = [(a_session(number=number), LOCKSTEP) for number in range(2)]
        async with ReplayServer(recorded(*pair)) as server:
            url = server.listeners[0].url
            async with connect(url) as one, connect(url) as two:
                assert [await one.recv(), await two.recv()] == ["push hello", "push hello"]
                await two.send("sub 9 deals")
                await one.send(SAID[0])
                assert [await one.recv(), await two.recv()] == ["answer 1 10", "answer 9 ok"]
                await two.send("call 8 price")
                assert [await two.recv(), await two.recv()] == ["answer 8 10", "push a"]

    run(test)


def test_a_look_at_the_port_uses_no_session_up() -> None:
    async def test() -> None:
        async with ReplayServer(recorded((a_session(), ("< push 0",)))) as server:
            url = server.listeners[0].url
            async with RawClient(url) as probe:
                probe.half_close()
                assert await probe.rest() == b""
            async with RawClient(url) as browser:
                await browser.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert (await browser.rest()).startswith(b"HTTP/1.1 426 ")
            async with RawClient(url) as stranger:
                await stranger.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
                assert b"HTTP/1.1 101" not in await stranger.rest()
            async with connect(url) as client:
                assert await client.recv() == "push 0"

    run(test)


def test_a_recorded_refusal_is_repeated_with_status_headers_and_body() -> None:
    handshake = a_handshake(
        status=429,
        headers=(
            ("Retry-After", "7"),
            ("Connection", "keep-alive"),
            ("X-Why", "too quick"),
            ("Content-Length", "99"),
        ),
        body=b"slow down",
    )
    refusal = a_session(end=End(EndKind.REFUSED, code=429), handshake=handshake)

    async def test() -> None:
        async with ReplayServer(recorded((refusal, ()))) as server:
            with pytest.raises(InvalidStatus) as refused:
                await connect(server.listeners[0].url)
            response = refused.value.response
            assert (response.status_code, bytes(response.body or b"")) == (429, b"slow down")
            assert [*response.headers.raw_items()] == [
                ("Retry-After", "7"),
                ("X-Why", "too quick"),
                ("Content-Length", "9"),
                ("Connection", "close"),
            ]
            assert server.verdict().ok
            assert [entry.kind for entry in server.journal.entries] == ["refused"]

    run(test)


@pytest.mark.parametrize(
    ("status", "line"),
    [(403, b"HTTP/1.1 403 Forbidden\r\n"), (599, b"HTTP/1.1 599 \r\n")],
    ids=["a known status", "a status of their own"],
)
def test_any_status_can_refuse(status: int, line: bytes) -> None:
    session = a_session(end=End(EndKind.REFUSED, code=status), handshake=a_handshake(status=status))

    async def test() -> None:
        async with (
            ReplayServer(recorded((session, ()))) as server,
            RawClient(server.listeners[0].url) as client,
        ):
            assert (await client.handshake()).startswith(line)
            assert await client.rest() == b""

    run(test)


def test_a_paced_session_plays_to_its_end_by_the_clock() -> None:
    session = a_session(end=CLOSED, ended_at_us=9_000)

    async def test() -> None:
        lines = ("> call 1 x", "< push a", "< answer 1 y", "< push b")
        async with ReplayServer(recorded((session, lines)), ReplaySettings(pace=Pace.parse("x2"))) as server:
            async with connect(server.listeners[0].url) as client:
                await client.send("call 1 x")
                assert [await client.recv() for _ in range(3)] == ["push a", "answer 1 y", "push b"]
                with pytest.raises(ConnectionClosed):
                    await client.recv()
            assert server.journal.entries[-1].at_us >= 4_000
            assert server.verdict().ok

    run(test)


def test_a_stall_reaches_the_journal_without_a_message() -> None:
    async def test() -> None:
        recording = recorded((a_session(), ("> call 1 x", "< push a")))
        held = asyncio.Event()
        journal = Journal(lambda line: held.set() if '"kind": "held"' in line else None)
        async with (
            ReplayServer(recording, ReplaySettings(stall_us=1), journal=journal) as server,
            connect(server.listeners[0].url),
        ):
            await held.wait()
            assert server.verdict().stalls.named == ["s1 message 1 waits for message 0: call 1 x"]

    run(test)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"], ids=["silent", "slow"])
def test_a_handshake_that_takes_too_long_is_cut(sent: bytes) -> None:
    async def test() -> None:
        settings = ReplaySettings(handshake_us=1_000)
        async with (
            ReplayServer(recorded((a_session(), ())), settings) as server,
            RawClient(server.listeners[0].url) as client,
        ):
            await client.write(sent)
            assert await client.rest() == b""

    run(test)


def test_a_handshake_without_end_is_refused() -> None:
    async def test() -> None:
        async with (
            ReplayServer(recorded((a_session(), ()))) as server,
            RawClient(server.listeners[0].url) as client,
        ):
            await client.write(b"GET / HTTP/1.1\r\nX: " + b"x" * 140_000)
            # Before version 17 the library hangs up without a word.
            rest = await client.rest()
            assert rest[: len(b"HTTP/1.1 4")] in {b"HTTP/1.1 4", b""}

    run(test)


def test_stopping_does_not_wait_for_handshakes() -> None:
    async def test() -> None:
        async with (
            ReplayServer(recorded((a_session(), ()))) as server,
            RawClient(server.listeners[0].url) as client,
        ):
            await client.write(b"GET /")
            for _ in range(100):
                await asyncio.sleep(0)
            assert len(server.connections()) == 1
            await server.stop()
            assert server.connections() == []

    run(test)


def test_an_unreachable_upstream_is_a_connection_reset_before_any_answer() -> None:
    unreachable = a_session(
        end=End(EndKind.UNREACHABLE, reason="refused"), handshake=a_handshake(status=None)
    )

    async def test() -> None:
        async with ReplayServer(recorded((unreachable, ()), (a_session(number=1), ("< push 1",)))) as server:
            async with RawClient(server.listeners[0].url) as client:
                with pytest.raises(ConnectionResetError):
                    await client.handshake()
            async with connect(server.listeners[0].url) as client2:
                assert await client2.recv() == "push 1"

    run(test)


def test_tcp_ends_without_a_close_frame_where_it_did() -> None:
    session = a_session(end=End(EndKind.EOF, from_client=False))

    async def test() -> None:
        async with (
            ReplayServer(recorded((session, ("> call 1 x", "< answer 1 y")))) as server,
            RawClient(server.listeners[0].url) as client,
        ):
            await client.handshake()
            await client.write(text("call 1 x"))
            assert await client.rest() == b"\x81\x0aanswer 1 y"

    run(test)


def test_a_client_that_has_half_closed_still_gets_what_it_asked_for() -> None:
    async def test() -> None:
        async with ReplayServer(recorded((a_session(), ("> call 1 x", "< answer 1 y")))) as server:
            async with RawClient(server.listeners[0].url) as client:
                await client.handshake()
                await client.write(text("call 1 x"))
                client.half_close()
                assert await client.rest() == b"\x81\x0aanswer 1 y"
            assert server.journal.entries[-1].detail == "the client ended TCP"

    run(test)


@pytest.mark.parametrize(
    ("sent", "answered", "noted"),
    [
        pytest.param(
            masked(8, b""), b"\x88\x00", "the client closed with code 1005", id="close without a code"
        ),
        pytest.param(
            masked(8, (3000).to_bytes(2)), b"\x88\x02\x0b\xb8", "the client closed with code 3000", id="close"
        ),
        pytest.param(
            b"\x81\x01x", b"\x88", "the client broke the protocol: incorrect masking", id="unmasked"
        ),
        pytest.param(
            b"\x81\xff" + (2**62).to_bytes(8) + b"\0\0\0\0",
            b"\x88",
            "the client broke the protocol: frame with",
            id="a frame of four exabytes",
        ),
    ],
)
def test_the_clients_end_is_answered_and_noted(sent: bytes, answered: bytes, noted: str) -> None:
    async def test() -> None:
        async with ReplayServer(recorded((a_session(), ("> call 1 x",)))) as server:
            async with RawClient(server.listeners[0].url) as client:
                await client.handshake()
                await client.write(sent)
                assert (await client.rest()).startswith(answered)
            assert server.journal.entries[-1].detail.startswith(noted)

    run(test)


def test_a_miss_is_answered_or_closes_as_configured() -> None:
    async def test() -> None:
        recording = recorded((a_session(), ("> call 1 x",)), (a_session(number=1), ("> call 1 x",)))
        async with ReplayServer(recording) as server, connect(server.listeners[0].url) as client:
            await client.send("call 7 other")
            assert await client.recv() == "answer 7 refused"
        async with ReplayServer(recording, ReplaySettings(on_miss=OnMiss.CLOSE)) as server:
            async with connect(server.listeners[0].url) as client:
                await client.send("call 7 other")
                with pytest.raises(ConnectionClosed) as closed:
                    await client.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008

    run(test)


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        pytest.param("chat, gzip", b"Sec-WebSocket-Protocol: chat\r\n", id="offered"),
        pytest.param("gzip", b"", id="not offered"),
        pytest.param("", b"", id="nothing offered"),
    ],
)
def test_the_recorded_subprotocol_is_selected_where_the_client_offers_it(
    offered: str, selected: bytes
) -> None:
    handshake = a_handshake(
        headers=(("Sec-WebSocket-Protocol", "chat"), ("Server", "tiny"), ("Date", "then"))
    )

    async def test() -> None:
        async with (
            ReplayServer(recorded((a_session(handshake=handshake), ()))) as server,
            RawClient(server.listeners[0].url) as client,
        ):
            head = await client.handshake(*([f"Sec-WebSocket-Protocol: {offered}"] if offered else []))
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"Server: tiny\r\nDate: then\r\n" in head
        assert (b"Sec-WebSocket-Protocol" in head) == bool(selected)
        assert selected in head

    run(test)


def inflated(data: bytes) -> bytes:
    return zlib.decompressobj(wbits=-12).decompress(data + b"\0\0\xff\xff")


DEFLATE = "permessage-deflate; server_no_context_takeover; server_max_window_bits=12"


@pytest.mark.parametrize(
    ("recorded_extension", "offered", "compressed"),
    [
        pytest.param(DEFLATE, True, True, id="recorded and offered"),
        pytest.param(DEFLATE, False, False, id="recorded only"),
        pytest.param("", True, False, id="offered only"),
        pytest.param("x-webkit-other", True, False, id="another extension"),
        pytest.param("permessage-deflate; =", True, False, id="recorded in a spelling nobody can read"),
    ],
)
def test_messages_are_compressed_where_they_were_and_the_client_can(
    recorded_extension: str, offered: bool, compressed: bool
) -> None:
    headers = (("Sec-WebSocket-Extensions", recorded_extension),) if recorded_extension else ()
    session = a_session(handshake=a_handshake(headers=headers))
    lines = messages(("< push a", "> call 1 x", "< answer 1 y"), deflated=True)

    async def test() -> None:
        async with (
            ReplayServer(a_recording((session, lines))) as server,
            RawClient(server.listeners[0].url) as client,
        ):
            offer = ("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",)
            head = await client.handshake(*(offer if offered else ()))
            assert (b"permessage-deflate" in head) == compressed
            push = await client.frame()
            call = zlib.compressobj(wbits=-15)
            packed = call.compress(b"call 2 x") + call.flush(zlib.Z_SYNC_FLUSH)
            await client.write(masked(1, packed[:-4], rsv1=True) if compressed else text("call 2 x"))
            answer = await client.frame()
        if compressed:
            assert (push[0], answer[0]) == (0xC1, 0xC1)
            push, answer = (b"\0\0" + inflated(data[2:]) for data in (push, answer))
        assert (push[2:], answer[2:]) == (b"push a", b"answer 2 y")

    run(test)


def big_session(pushes: int = 2_000, size: int = 20_000) -> ReplayedRecording:
    lines = [f"< push {number} {'x' * size}" for number in range(pushes)]
    return a_recording((a_session(end=CLOSED), messages(lines)))


def test_a_client_that_does_not_read_costs_a_bounded_amount_of_memory() -> None:
    async def test() -> None:
        async with (
            ReplayServer(big_session(), ReplaySettings(stopping_us=200_000)) as server,
            RawClient(server.listeners[0].url) as client,
        ):
            await client.handshake()
            await client.frame()
            (connection,) = server.connections()
            buffered = 0
            for _ in range(200):
                await asyncio.sleep(0)
                buffered = max(buffered, connection.buffered_bytes)
            assert 0 < buffered <= 512 * 1024

    run(test)


def test_a_client_that_pauses_still_gets_everything_to_the_end() -> None:
    async def test() -> None:
        async with ReplayServer(big_session()) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake()
            for _ in range(200):
                await asyncio.sleep(0)
            data = await client.rest_after_close(masked(8, (4001).to_bytes(2)), close_frame(4001, "bye"))
        assert data.count(b"push ") == 2_000

    run(test)


def test_a_client_that_asks_without_reading_is_not_read_any_more() -> None:
    asked, answer = 40_000, "answer 1 " + "x" * 2_000

    async def test() -> None:
        recording = recorded((a_session(), ("> call 1 x", f"< {answer}")))
        async with (
            ReplayServer(recording) as server,
            RawClient(server.listeners[0].url) as client,
            asyncio.TaskGroup() as group,
        ):
            await client.handshake()
            group.create_task(client.write(*[text("call 1 x") * 1_000] * (asked // 1_000)))
            (connection,) = server.connections()
            most = 0
            for _ in range(2_000):
                await asyncio.sleep(0)
                most = max(most, len(connection._outbox))
            assert 4_096 < most < asked - 1_000
            size = len(frame(Opcode.TEXT, answer.encode()))
            assert await client.read(size * asked) == frame(Opcode.TEXT, answer.encode()) * asked

    run(test)


def test_a_message_larger_than_a_piece_arrives_whole() -> None:
    line = "< push " + "y" * 1_000_000

    async def test() -> None:
        async with (
            ReplayServer(recorded((a_session(), (line, "< push b")))) as server,
            connect(server.listeners[0].url, max_size=None) as client,
        ):
            assert await client.recv() == line[2:]
            assert await client.recv() == "push b"

    run(test)


def test_stopping_tells_clients_1001_and_cuts_those_that_do_not_listen() -> None:
    async def test() -> None:
        recording = a_recording(
            (a_session(), messages(("< push 0",))),
            (a_session(number=1), messages(["< push " + "z" * 50_000_000])),
        )
        server = ReplayServer(recording, ReplaySettings(stopping_us=100_000))
        await server.start()
        url = server.listeners[0].url
        async with connect(url) as polite, RawClient(url) as deaf:
            assert await polite.recv() == "push 0"
            await deaf.handshake()
            await deaf.read(10)
            await server.stop()
            with pytest.raises(ConnectionClosed) as closed:
                await polite.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
            assert server.connections() == []
        await server.stop()

    run(test)


def test_an_address_in_use_is_named_and_nothing_else_listens() -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            server = ReplayServer(recorded((a_session(), ())), listen=f"127.0.0.1:{port}")
            with pytest.raises(ListenError) as failed:
                await server.start()
        assert str(failed.value).startswith(
            f"cannot listen on 127.0.0.1:{port} for upstream up: Address already in"
        )
        assert isinstance(failed.value.__cause__, OSError)
        assert failed.value.__cause__.errno == errno.EADDRINUSE

    run(test)


def test_upstreams_listen_side_by_side() -> None:
    async def test() -> None:
        recording = recorded(
            (a_session(upstream=an_upstream("one", 1)), ("< push one",)),
            (a_session(upstream=an_upstream("two", 2)), ("< push two",)),
        )
        async with ReplayServer(recording, listen="127.0.0.1:0") as server:
            assert [listener.upstream for listener in server.listeners] == ["one", "two"]
            for listener in server.listeners:
                async with connect(listener.url) as client:
                    assert await client.recv() == f"push {listener.upstream}"

    run(test)


@pytest.mark.parametrize("listen", ["8081", "host:", "host:x", "host:70000", "127.0.0.1:65535"])
def test_an_address_that_says_nothing_is_refused(listen: str) -> None:
    recording = recorded(
        (a_session(upstream=an_upstream("one", 1)), ()), (a_session(upstream=an_upstream("two", 2)), ())
    )

    async def test() -> None:
        with pytest.raises(SettingError, match="listen"):
            await ReplayServer(recording, listen=listen).start()

    run(test)


def test_a_recording_that_cannot_be_read_is_a_500_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    recording = a_recording((a_session(), messages(("< push a",))))

    def broken(session_id: str) -> list[Message]:
        raise OSError(session_id)

    recording.upstreams[0].messages = broken

    async def test() -> None:
        async with ReplayServer(recording) as server:
            with pytest.raises(InvalidStatus, match="500"):
                await connect(server.listeners[0].url)

    run(test)
    assert "replay failed" in caplog.text


def test_connections_get_the_session_that_was_recorded_for_their_path() -> None:
    """So that clients which open several paths at once are not at the mercy of who comes first."""

    async def test() -> None:
        sessions = [
            (
                a_session(number=number, handshake=Handshake(f"/{name}", (), 101)),
                (f"< push {name}",),
            )
            for number, name in enumerate(("a", "b", "a"))
        ]
        async with ReplayServer(recorded(*sessions)) as server:
            url = server.listeners[0].url
            for path, heard in (("/b", "b"), ("/a", "a"), ("/other", "a")):
                async with connect(url + path, proxy=None) as client:
                    assert await client.recv() == f"push {heard}"
            assert [entry.detail for entry in server.journal.entries if entry.kind is EntryKind.RELAXED] == [
                "asked for /other, recorded for /a"
            ]
            assert not server.verdict().ok

    run(test)


@pytest.mark.parametrize("address", [".a.:80", "a..a..:80", "a\0b:80", "a:" + "9" * 5000, "a:65536", ""])
def test_an_address_that_is_none_gets_one_sentence(address: str) -> None:
    with pytest.raises(SettingError, match="is not known: use host:port"):
        split_address(address)
