"""Faults over real sockets: what clients see of each kind, and what stays as it is."""

import asyncio
import random
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest
from fault_builders import at_most, faults
from paged_builders import PieceReader
from replay_builders import a_handshake, a_recording, a_session, an_upstream, messages
from replay_clients import PATIENCE_S, RawClient, cut, masked, text
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from wiretape_protocols import Opcode
from wiretape_replay import (
    EntryKind,
    Journal,
    Reconnect,
    ReplayedRecording,
    ReplayServer,
    ReplaySettings,
    Run,
    UnknownUpstreamError,
    sockets,
)
from wiretape_replay.frames import close_frame, frame, header
from wiretape_replay.pages import PageCache
from wiretape_replay.paging import Paging
from wiretape_store.records import End, EndKind
from wiretape_store.stretches import Details, Extent, Stretch, stretch_of

LINES = (
    "> sub 1 deals",
    "< answer 1 ok",
    "< push deals:1",
    "< push depth:1",
    "< push deals:2",
    "> call 2 price",
    "< answer 2 10",
    "< push deals:3",
)
SAID = [line[2:] for line in LINES if line.startswith(">")]
HEARD = [line[2:] for line in LINES if line.startswith("<")]
PING, PONG = masked(9, b"x"), frame(0xA, b"x")


def bounded(test: Callable[[], Awaitable[None]], patience_s: float = PATIENCE_S) -> None:
    async def run() -> None:
        async with asyncio.timeout(patience_s):
            await test()

    asyncio.run(run())


def a_run(
    *texts: str,
    lines: Sequence[str] = LINES,
    sessions: int = 1,
    seed: int = 0,
    deflated: bool = False,
    journal: Journal | None = None,
    **settings: object,
) -> Run:
    headers = (("Sec-WebSocket-Extensions", "permessage-deflate"),) if deflated else ()
    parts = [
        (a_session(number=number, handshake=a_handshake(headers=headers)), messages(lines, deflated=deflated))
        for number in range(sessions)
    ]
    chosen = ReplaySettings(faults=faults(*texts), seed=seed, **settings)  # type: ignore[arg-type]
    return Run(a_recording(*parts), chosen, journal)


def framed(*texts: str) -> bytes:
    return b"".join(frame(Opcode.TEXT, text.encode()) for text in texts)


def told(run: Run) -> list[str]:
    return [entry.detail for entry in run.journal.entries if entry.kind is EntryKind.FAULT]


async def until(reached: Callable[[], bool]) -> None:
    """Give everything its turn until this holds."""
    while not reached():  # noqa: ASYNC110 - it may be anything
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        ("drop,stream=deals,nth=2", ["answer 1 ok", "push deals:1", "push depth:1", "answer 2 10", "push deals:3"]),
        ("drop,method=call price", [*HEARD[:4], "push deals:3"]),
        ("duplicate,stream=depth", [*HEARD[:3], "push depth:1", *HEARD[3:]]),
        ("reorder,stream=deals,nth=1", ["answer 1 ok", "push depth:1", "push deals:2", "push deals:1", *HEARD[4:]]),
        ("truncate,stream=depth,bytes=4", [*HEARD[:2], "push", *HEARD[3:]]),
        ("corrupt,stream=depth,byte=11", [*HEARD[:2], "push depth:\x15", *HEARD[3:]]),
        ("drop,method=other", HEARD),
    ],
)  # fmt: skip
def test_clients_of_another_library_get_what_the_faults_leave(fault: str, heard: list[str]) -> None:
    async def test() -> None:
        run = a_run(fault)
        async with ReplayServer(run) as server, connect(server.listeners[0].url) as client:
            for said in SAID:
                await client.send(said)
            assert [await client.recv() for _ in heard] == heard
            assert run.verdict().ok
            assert len(told(run)) == (heard != HEARD)

    bounded(test)


def test_the_journal_names_the_message_that_was_struck() -> None:
    async def test() -> None:
        run = a_run("drop,method=call price", "delay,stream=depth,delay_s=0.001")
        async with ReplayServer(run) as server, connect(server.listeners[0].url) as client:
            for said in SAID:
                await client.send(said)
            assert [await client.recv() for _ in range(5)] == [*HEARD[:4], "push deals:3"]
        found = [entry.to_object() for entry in run.journal.entries if entry.kind is EntryKind.FAULT]
        for entry in found:
            assert entry.pop("at_us") >= 0
            assert entry.pop("number") > 1
        common = {"kind": "fault", "upstream": "up", "connection": 1, "session": "s1"}
        assert found == [
            {**common, "seq": 3, "method": "push", "detail": "delayed by 0.001 s"},
            {**common, "seq": 6, "method": "call price", "detail": "dropped"},
        ]

    bounded(test)


def test_a_delay_takes_its_time() -> None:
    async def test() -> None:
        run = a_run("delay,method=sub deals,delay_s=0.05")
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake(path="/")
            begun = asyncio.get_running_loop().time()
            await client.write(text(SAID[0]), PING)
            assert await client.read(len(framed("answer 1 ok"))) == framed("answer 1 ok")
            assert asyncio.get_running_loop().time() - begun >= 0.05
            await client.write(text(SAID[1]))
            expected = framed(*HEARD[1:4]) + PONG + framed(*HEARD[4:])
            assert await client.read(len(expected)) == expected

    bounded(test)


def test_a_client_with_a_limit_refuses_an_oversized_message() -> None:
    async def test() -> None:
        run = a_run("oversize,stream=depth")
        async with ReplayServer(run) as server, connect(server.listeners[0].url, max_size=2**20) as client:
            await client.send(SAID[0])
            assert [await client.recv() for _ in range(2)] == HEARD[:2]
            with pytest.raises(ConnectionClosedError) as closed:
                await client.recv()
            assert closed.value.sent is not None
            assert closed.value.sent.code == 1009

    bounded(test)


def test_an_oversized_message_is_valid_and_nobody_holds_it() -> None:
    size = 40_000_000

    async def test() -> None:
        run = a_run(f"oversize,stream=depth,bytes={size}")
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake(path="/")
            with at_most(6_000_000):
                await client.write(text(SAID[0]))
                expected = framed(*HEARD[:2]) + header(Opcode.TEXT, size) + HEARD[2].encode()
                assert await client.read(len(expected)) == expected
                left = size - len(HEARD[2])
                while left:
                    spaces = await client.read(min(left, 1_000_000))
                    assert not spaces.strip(b" ")
                    left -= len(spaces)
                assert await client.message() == HEARD[3]

    bounded(test)


def test_a_close_frame_comes_instead_of_the_message() -> None:
    async def test() -> None:
        run = a_run("close,method=call price,code=1012,reason=going down")
        async with ReplayServer(run) as server:
            async with connect(server.listeners[0].url) as client:
                for said in SAID:
                    await client.send(said)
                assert [await client.recv() for _ in range(4)] == HEARD[:4]
                with pytest.raises(ConnectionClosed) as closed:
                    await client.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1012, "going down")
            await until(lambda: not server.connections())
            assert run.journal.entries[-1].detail == "a fault closed it with code 1012"

    bounded(test)


@pytest.mark.parametrize("reset", [True, False])
def test_tcp_ends_in_the_middle_of_a_frame(reset: bool) -> None:
    half = framed(*HEARD[:2]) + framed(HEARD[2])[:7]

    async def test() -> None:
        run = a_run(f"cut,stream=depth,reset={'true' if reset else 'false'}")
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake(path="/")
            await client.write(text(SAID[0]))
            assert await client.read(len(half)) == half
            if reset:
                with pytest.raises(ConnectionResetError):
                    await client.rest()
            else:
                assert await client.rest() == b""
            assert told(run) == ["cut after 7 of 14 bytes"]
            assert [entry.detail for entry in run.journal.entries if entry.kind is EntryKind.ENDED] == [
                "a fault cut TCP"
            ]

    bounded(test)


def test_a_reset_waits_until_the_client_has_what_was_sent_before() -> None:
    lines = [f"< push deals:{'x' * 50_000}{number}" for number in range(200)]

    async def test() -> None:
        run = a_run("cut,nth=200", lines=lines)
        expected = framed(*(line[2:] for line in lines))
        expected = expected[: -(len(framed(lines[-1][2:])) + 1) // 2]
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake(path="/")
            # It reads only once the server has nothing more to write but what the systems hold.
            await until(lambda: "a fault cut TCP" in [entry.detail for entry in run.journal.entries])
            assert await client.read(len(expected)) == expected
            with pytest.raises(ConnectionResetError):
                await client.rest()

    bounded(test)


def test_other_libraries_call_a_cut_connection_lost() -> None:
    async def test() -> None:
        async with ReplayServer(a_run("cut,nth=2")) as server, connect(server.listeners[0].url) as client:
            await client.send(SAID[0])
            assert await client.recv() == HEARD[0]
            with pytest.raises(ConnectionClosedError) as closed:
                await client.recv()
            assert closed.value.rcvd is None

    bounded(test)


# Handshakes


def test_a_handshake_is_refused_with_a_status_and_its_session_stays_for_the_next() -> None:
    async def test() -> None:
        run = a_run("refuse,status=503,times=2")
        async with ReplayServer(run) as server:
            for _ in range(2):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(server.listeners[0].url)
                assert refused.value.response.status_code == 503
                assert refused.value.response.body == b"wiretape: a fault refuses this connection\n"
                assert "Date" not in refused.value.response.headers
            async with connect(server.listeners[0].url) as client:
                for said in SAID:
                    await client.send(said)
                assert [await client.recv() for _ in HEARD] == HEARD
        assert run.verdict().ok
        assert [(entry.connection, entry.detail) for entry in run.journal.entries][:3] == [
            (1, "the handshake is refused with status 503"),
            (2, "the handshake is refused with status 503"),
            (3, "recorded as connection 1"),
        ]

    bounded(test)


def test_a_handshake_is_refused_with_a_reset() -> None:
    async def test() -> None:
        run = a_run("refuse,connection=1")
        async with ReplayServer(run) as server:
            async with RawClient(server.listeners[0].url) as client:
                with pytest.raises(ConnectionResetError):
                    await client.handshake(path="/")
            async with RawClient(server.listeners[0].url) as client:
                assert (await client.handshake(path="/")).startswith(b"HTTP/1.1 101 ")

    bounded(test)


def test_a_handshake_that_is_none_is_not_counted() -> None:
    async def test() -> None:
        run = a_run("refuse,nth=1,status=500")
        async with ReplayServer(run) as server:
            async with RawClient(server.listeners[0].url) as client:
                await client.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await client.rest()).startswith(b"HTTP/1.1 426 ")
            assert told(run) == []
            with pytest.raises(InvalidStatus, match="500"):
                await connect(server.listeners[0].url)

    bounded(test)


def test_a_delayed_handshake_keeps_its_session_and_what_the_client_has_sent() -> None:
    async def test() -> None:
        lines = ("> call 1 x", "< answer 1 y")
        run = a_run("delay_handshake,connection=1,delay_s=0.05", lines=lines, sessions=2, handshake_us=20_000)
        async with (
            ReplayServer(run) as server,
            RawClient(server.listeners[0].url) as first,
            RawClient(server.listeners[0].url) as second,
        ):
            begun = asyncio.get_running_loop().time()
            waiting = asyncio.create_task(first.handshake(path="/"))
            await until(lambda: told(run) != [])
            await second.handshake(path="/")
            await first.write(text("call 1 x"))
            assert (await waiting).startswith(b"HTTP/1.1 101 ")
            assert asyncio.get_running_loop().time() - begun >= 0.05
            assert await first.message() == "answer 1 y"
            opened = [entry for entry in run.journal.entries if entry.kind is EntryKind.OPENED]
            assert [(entry.connection, entry.session) for entry in opened] == [(2, "s2"), (1, "s1")]

    bounded(test)


@pytest.mark.parametrize("reconnect", [Reconnect.REFUSE, Reconnect.LAST])
def test_a_client_that_does_not_wait_for_its_handshake_gives_the_session_back(reconnect: Reconnect) -> None:
    async def test() -> None:
        run = a_run("delay_handshake,connection=1,delay_s=60", sessions=2, reconnect=reconnect)
        async with ReplayServer(run) as server:
            async with RawClient(server.listeners[0].url) as client:
                waiting = asyncio.create_task(client.handshake(path="/"))
                await until(lambda: told(run) == ["the handshake is delayed by 60 s"])
                client.half_close()
                with pytest.raises(asyncio.IncompleteReadError):
                    await waiting
            await until(lambda: not server.connections())
            for session in ("s1", "s2"):
                async with RawClient(server.listeners[0].url) as client:
                    await client.handshake(path="/")
                    assert run.journal.entries[-1].session == session

    bounded(test)


def test_a_delayed_handshake_is_refused_afterwards() -> None:
    async def test() -> None:
        run = a_run("delay_handshake,delay_s=0.01", "refuse,status=429,times=1")
        async with ReplayServer(run) as server:
            with pytest.raises(InvalidStatus, match="429"):
                await connect(server.listeners[0].url)
            async with connect(server.listeners[0].url):
                pass

    bounded(test)


def test_stopping_does_not_wait_for_a_delayed_handshake() -> None:
    async def test() -> None:
        run = a_run("delay_handshake,delay_s=60")
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            waiting = asyncio.create_task(client.handshake(path="/"))
            await until(lambda: told(run) != [])
            await server.stop()
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await waiting

    bounded(test)


# Reading and pongs


@pytest.mark.parametrize("together", [True, False], ids=["in one piece", "frame by frame"])
def test_nothing_is_read_until_that_is_cleared(together: bool) -> None:
    async def test() -> None:
        run = a_run("stop_reading,method=sub deals")
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake(path="/")
            frames = [text(SAID[0]), text(SAID[1]), PING]
            await client.write(*([b"".join(frames)] if together else frames))
            assert await client.read(len(framed(*HEARD[:4]))) == framed(*HEARD[:4])
            (connection,) = server.connections()
            assert not connection._transport.is_reading()
            assert [entry.kind for entry in run.journal.entries].count(EntryKind.MATCHED) == 1
            assert run.verdict().ok
            run.set_faults(())
            expected = framed(*HEARD[4:]) + PONG
            assert await client.read(len(expected)) == expected

    bounded(test)


def test_a_connection_that_reads_nothing_from_its_opening_still_pushes() -> None:
    async def test() -> None:
        lines = ("< push deals:1", "> call 1 x", "< answer 1 y")
        run = a_run("stop_reading", lines=lines)
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake(path="/")
            assert await client.message() == "push deals:1"
            await client.write(text("call 1 x"))
            assert run.push("up", b"injected") == 1
            assert await client.message() == "injected"
            run.disconnect(code=1012)
            assert await client.frame() == close_frame(1012, "")

    bounded(test)


@pytest.mark.parametrize("abruptly", [True, False])
def test_a_client_that_leaves_is_noticed_though_it_is_not_read(
    abruptly: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "_LOOK_S", 0.001)

    async def test() -> None:
        run = a_run("stop_reading")
        async with ReplayServer(run) as server:
            async with RawClient(server.listeners[0].url) as client:
                await client.handshake(path="/")
                if not abruptly:
                    client.half_close()
                    assert await client.rest() == b""
            await until(lambda: not server.connections())

    bounded(test)


def test_stopping_does_not_wait_for_a_client_that_is_not_read() -> None:
    async def test() -> None:
        run = a_run("stop_reading", stopping_us=60_000_000)
        async with ReplayServer(run) as server, connect(server.listeners[0].url) as client:
            await server.stop()
            with pytest.raises(ConnectionClosed):
                await client.recv()

    bounded(test)


def test_pings_are_not_answered_until_that_is_cleared() -> None:
    async def test() -> None:
        run = a_run("stop_pongs,method=sub deals")
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake(path="/")
            await client.write(PING + text(SAID[0]) + PING + text(SAID[1]) + PING)
            expected = PONG + framed(*HEARD)
            assert await client.read(len(expected)) == expected
            run.set_faults(())
            await client.write(PING)
            assert await client.frame() == PONG
            assert told(run) == ["pings are not answered from here on"]

    bounded(test)


def test_a_client_that_watches_its_pings_gives_up() -> None:
    async def test() -> None:
        async with (
            ReplayServer(a_run("stop_pongs")) as server,
            connect(server.listeners[0].url, ping_interval=0.01, ping_timeout=0.02) as client,
        ):
            with pytest.raises(ConnectionClosedError, match="keepalive ping timeout"):
                await client.recv()

    bounded(test)


# Runs, connections, clearing


def test_two_runs_at_once_have_faults_of_their_own() -> None:
    async def test() -> None:
        one, two = a_run("drop,stream=depth"), a_run("duplicate,stream=depth")
        async with ReplayServer(one) as first, ReplayServer(two) as second:
            async with connect(first.listeners[0].url) as here, connect(second.listeners[0].url) as there:
                for said in SAID:
                    await here.send(said)
                    await there.send(said)
                assert [await here.recv() for _ in range(5)] == [*HEARD[:2], *HEARD[3:]]
                assert [await there.recv() for _ in range(7)] == [*HEARD[:3], *HEARD[2:]]
            assert (told(one), told(two)) == (["dropped"], ["sent twice"])

    bounded(test)


def test_a_fault_strikes_the_connection_and_the_upstream_it_names() -> None:
    parts = [
        (a_session(number=number, upstream=an_upstream(name, place)), messages(("< push deals:1",)))
        for place, name in enumerate(("one", "two"))
        for number in range(2)
    ]

    async def test() -> None:
        settings = ReplaySettings(faults=faults("duplicate,upstream=two,connection=2"))
        run = Run(a_recording(*parts), settings)
        async with ReplayServer(run) as server:
            for listener in server.listeners:
                for number in (1, 2):
                    async with connect(listener.url) as client:
                        assert await client.recv() == "push deals:1"
                        run.push(listener.upstream, b"injected", connection=number)
                        if (listener.upstream, number) == ("two", 2):
                            assert await client.recv() == "push deals:1"
                        assert await client.recv() == "injected"

    bounded(test)


def test_a_fault_of_an_upstream_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnknownUpstreamError):
        a_run("drop,upstream=other")
    run = a_run("drop")
    with pytest.raises(UnknownUpstreamError):
        run.set_faults(faults("cut", "drop,upstream=other"))
    assert run.faults == faults("drop")


def test_a_delayed_message_comes_at_once_when_that_is_cleared() -> None:
    async def test() -> None:
        run = a_run("delay,stream=depth,delay_s=3600")
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake(path="/")
            await client.write(text(SAID[0]) + text(SAID[1]))
            assert await client.read(len(framed(*HEARD[:2]))) == framed(*HEARD[:2])
            await until(lambda: told(run) != [])
            run.set_faults(())
            assert await client.read(len(framed(*HEARD[2:]))) == framed(*HEARD[2:])

    bounded(test)


def test_what_is_delayed_still_comes_before_the_end_that_the_client_asks_for() -> None:
    async def test() -> None:
        run = a_run("delay,stream=depth,delay_s=3600")
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake(path="/")
            await client.write(text(SAID[0]) + text(SAID[1]) + masked(8, (1000).to_bytes(2)))
            assert await client.rest() == framed(*HEARD) + close_frame(1000, "")

    bounded(test)


def test_faults_that_come_later_strike_connections_that_are_open() -> None:
    async def test() -> None:
        run = a_run()
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake(path="/")
            await client.write(text(SAID[0]))
            assert await client.read(len(framed(*HEARD[:4]))) == framed(*HEARD[:4])
            run.set_faults(faults("drop,nth=1"))
            await client.write(text(SAID[1]))
            assert await client.message() == HEARD[5]

    bounded(test)


def test_messages_behind_the_recorded_end_of_a_delayed_connection_keep_their_order() -> None:
    async def test() -> None:
        session = a_session(end=End(EndKind.CLOSED, from_client=False, code=4001, reason="bye"))
        settings = ReplaySettings(faults=faults("delay,nth=1,delay_s=0.02"))
        run = Run(a_recording((session, messages(("< push deals:1",)))), settings)
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake(path="/")
            close = close_frame(4001, "bye")
            assert (
                await client.rest_after_close(masked(8, close[2:]), close) == framed("push deals:1") + close
            )

    bounded(test)


# What counts


def test_a_client_that_reconnects_after_a_cut_has_done_all_that_was_recorded() -> None:
    async def test() -> None:
        run = a_run("cut,connection=1,method=call price", reconnect=Reconnect.LAST)
        async with ReplayServer(run) as server:
            with pytest.raises(ConnectionClosedError):  # noqa: PT012 - the client does not know when
                async with connect(server.listeners[0].url) as client:
                    for said in SAID:
                        await client.send(said)
                    while True:
                        await client.recv()
            async with connect(server.listeners[0].url) as client:
                for said in SAID:
                    await client.send(said)
                assert [await client.recv() for _ in HEARD] == HEARD
        assert run.verdict().lines() == ["ok: the client did what was recorded"]

    bounded(test)


@pytest.mark.parametrize(
    "fault", ["cut,method=sub deals", "close,method=sub deals", "stop_reading,method=sub deals"]
)
@pytest.mark.parametrize("together", [True, False], ids=["in one piece", "frame by frame"])
def test_what_the_client_sends_behind_an_end_is_never_used(fault: str, together: bool) -> None:
    async def test() -> None:
        run = a_run(fault)
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake(path="/")
            frames = [text(SAID[0]), text(SAID[1]), text("call 3 unknown")]
            await client.write(*([b"".join(frames)] if together else frames))
            await until(lambda: told(run) != [])
            kinds = [entry.kind for entry in run.journal.entries]
            assert kinds.count(EntryKind.MATCHED) == 1
            assert EntryKind.MISSED not in kinds
            assert run.verdict().ok

    bounded(test)


def test_the_client_is_read_on_once_it_is_known_that_nothing_ends() -> None:
    async def test() -> None:
        run = a_run("delay,method=sub deals,delay_s=0.02", "cut,method=sub deals,nth=2")
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake(path="/")
            await client.write(text(SAID[0]) + text(SAID[1]))
            await until(lambda: told(run) != [])
            assert [entry.kind for entry in run.journal.entries].count(EntryKind.MATCHED) == 1
            assert await client.read(len(framed(*HEARD))) == framed(*HEARD)

    bounded(test)


# permessage-deflate


def test_compressed_messages_are_struck_before_they_are_compressed() -> None:
    async def test() -> None:
        run = a_run("truncate,stream=depth,bytes=4", "duplicate,method=call price", "oversize,stream=deals,nth=3,bytes=300", deflated=True)  # fmt: skip
        async with ReplayServer(run) as server, connect(server.listeners[0].url) as client:
            assert client.response is not None
            assert "permessage-deflate" in client.response.headers["Sec-WebSocket-Extensions"]
            for said in SAID:
                await client.send(said)
            heard = [await client.recv() for _ in range(7)]
        expected = [*HEARD[:2], "push", *HEARD[3:5], HEARD[4], HEARD[5].ljust(300)]
        assert heard == expected

    bounded(test)


def test_a_compressed_frame_is_cut_in_its_middle() -> None:
    async def test() -> None:
        run = a_run("cut,nth=2,reset=false", deflated=True)
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake("Sec-WebSocket-Extensions: permessage-deflate")
            await client.write(text(SAID[0]))
            inflate = zlib.decompressobj(wbits=-15)
            first = await client.frame()
            assert inflate.decompress(first[2:] + b"\0\0\xff\xff") == HEARD[0].encode()
            half = await client.rest()
            assert 0 < len(half) < len(framed(HEARD[1]))
            assert half[0] == 0xC1
            assert told(run) == ["cut in the middle of its frame"]

    bounded(test)


# The same in every run


CHAOS = (
    "drop,chance=0.2",
    "duplicate,chance=0.2",
    "corrupt,chance=0.2",
    "truncate,chance=0.1",
    "reorder,chance=0.2",
    "stop_pongs,nth=30",
    "delay,chance=0.1,delay_s=0.001",
    "cut,method=call 19,chance=0.9",
)
ASKED = 20
STORY = [
    line
    for number in range(ASKED)
    for line in (
        f"> call {number} {number}",
        f"< answer {number} yes",
        f"< push deals:{number}",
        f"< push depth:{number}",
    )
]


def transcript(seed: int, timing: int) -> bytes:
    """Everything a client gets that sends its calls in random pieces, at random times."""
    received = b""
    chances = random.Random(timing)

    async def test() -> None:
        nonlocal received
        run = a_run(*CHAOS, lines=STORY, seed=seed)
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake(path="/")
            stream = b"".join(text(f"call {number} {number}") + PING for number in range(ASKED))
            stream += masked(8, (1000).to_bytes(2))
            for piece in cut(stream, [chances.randrange(len(stream)) for _ in range(chances.randrange(60))]):
                await client.write(piece)
                for _ in range(chances.randrange(5)):
                    await asyncio.sleep(0)
            received = await client.rest_or_reset()

    bounded(test)
    return received


def test_one_seed_gives_the_same_bytes_in_every_run_and_another_one_others() -> None:
    expected = transcript(1, 0)
    assert len(expected) > 300
    assert PONG in expected

    assert {transcript(1, timing) for timing in range(50)} == {expected}
    assert len({transcript(seed, 0) for seed in range(5)}) == 5


# Long runs


class ManyPushes(PieceReader):
    """A million pushes, given a thousand at a time; the same thousand each time, so they take no room."""

    count, size = 1_000_000, 1000
    piece, details_of_piece = stretch_of(messages([f"< push deals:{number % 10}" for number in range(1000)]))

    def another(self) -> "ManyPushes":
        return self

    def extent(self, session_id: str) -> Extent:
        return Extent(self.count, self.count, 0, 0)

    def stretch(self, session_id: str, seq: int) -> Stretch:
        return Stretch(seq // self.size * self.size, self.piece.kinds, self.piece.entries)

    def details(self, session_id: str, first_seq: int, stop_seq: int) -> Details:
        return self.details_of_piece


def test_faults_in_a_run_of_a_million_messages_take_no_room() -> None:
    count = ManyPushes.count
    # Both strike message 777,000, which is dropped.
    left = 14 * (count - count // 777) - 8 * (count // 1000 - 1) + len(PONG)
    (upstream,) = a_recording((a_session(), [])).upstreams
    paging = Paging(ManyPushes([]), PageCache(1 << 20))
    recording = ReplayedRecording("fixture", (replace(upstream, paging=paging),))
    settings = ReplaySettings(faults=faults("truncate,every=1000,bytes=4", "drop,every=777"))
    run = Run(recording, settings, Journal(kept=10))

    async def test() -> None:
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            size, end = 0, b""
            with at_most(5_000_000):
                await client.handshake(path="/")
                await client.write(PING)
                while size < left:
                    piece = await client.read_some()
                    size += len(piece)
                    end = (end + piece)[-len(PONG) :]
        assert (size, end) == (left, PONG)
        assert run.journal.count == count // 1000 + count // 777 + 3

    bounded(test, 10 * PATIENCE_S)  # tracing memory is slow
