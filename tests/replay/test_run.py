"""What can be asked of a run while clients talk to it, over real sockets."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from replay_builders import a_recording, a_session, an_upstream, messages
from replay_clients import PATIENCE_S, RawClient, text

from wiretape_protocols import Codec, CodecKind, Opcode, decode
from wiretape_replay import (
    EntryKind,
    NoConnectionError,
    NotPossibleError,
    Pace,
    Reconnect,
    Repeats,
    ReplayServer,
    ReplaySettings,
    Run,
    SettingError,
    Step,
    UnknownUpstreamError,
)

LINES = ("> sub 1 deals", "< answer 1 ok", "< push deals:1", "< push deals:2", "> call 2 x", "< answer 2 y")
STEPPED = ReplaySettings(pace=Pace(stepped=True))


def bounded(test: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test()

    asyncio.run(run())


def a_run(
    settings: ReplaySettings | None = None, *, sessions: int = 1, upstreams: tuple[str, ...] = ("up",)
) -> Run:
    parts = [
        (a_session(number=number, upstream=an_upstream(name, place)), messages(LINES))
        for place, name in enumerate(upstreams)
        for number in range(sessions)
    ]
    return Run(a_recording(*parts), settings)


def test_steps_let_pushes_go_before_and_after_the_client_asks() -> None:
    async def test() -> None:
        run = a_run(STEPPED)
        assert run.step(Step(messages=1)) == (0, 1)
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake()
            await client.write(text("sub 1 deals"))
            assert [await client.message() for _ in range(2)] == ["answer 1 ok", "push deals:1"]
            assert run.step(Step(messages=5), upstream="up", connection=1) == (1, 4)
            assert await client.message() == "push deals:2"

    bounded(test)


def test_a_step_must_say_which_of_several_connections_is_meant() -> None:
    async def test() -> None:
        run = a_run(STEPPED, sessions=2)
        async with ReplayServer(run) as server:
            url = server.listeners[0].url
            async with RawClient(url) as first, RawClient(url) as second:
                await first.handshake()
                await second.handshake()
                with pytest.raises(
                    NotPossibleError, match="2 connections are open, so a step must say which"
                ):
                    run.step(Step(messages=1))
                assert run.step(Step(messages=1), connection=2) == (0, 1)
                with pytest.raises(NoConnectionError, match="connection 3 to up is not open"):
                    run.step(Step(messages=1), upstream="up", connection=3)

    bounded(test)


def test_a_step_where_nothing_waits_for_one_is_refused() -> None:
    with pytest.raises(NotPossibleError, match="the pace is asap; start the run with pace step, or pause it"):
        a_run().step(Step(messages=1))


def test_an_upstream_that_the_recording_does_not_have_is_named() -> None:
    run = a_run(STEPPED, upstreams=("up", "down"))
    for ask in (
        lambda: run.step(Step(messages=1), upstream="sideways"),
        lambda: run.push("sideways", b"x"),
        lambda: run.disconnect("sideways"),
    ):
        with pytest.raises(UnknownUpstreamError, match="no upstream 'sideways': name one of up, down"):
            ask()


def test_pauses_and_paces_reach_connections_that_are_open_and_that_come() -> None:
    async def test() -> None:
        run = a_run(sessions=2)
        async with ReplayServer(run) as server:
            url = server.listeners[0].url
            async with RawClient(url) as first, RawClient(url) as second:
                await first.handshake()
                run.pause()
                assert run.paused
                await second.handshake()
                await first.write(text("sub 1 deals"))
                await second.write(text("sub 1 deals"))
                assert [await first.message(), await second.message()] == ["answer 1 ok"] * 2
                run.set_pace(Pace(1000.0))
                assert str(run.pace) == "x1000"
                run.resume()
                assert [await first.message(), await first.message()] == ["push deals:1", "push deals:2"]
                assert [await second.message(), await second.message()] == ["push deals:1", "push deals:2"]

    bounded(test)


def test_what_is_pushed_is_packed_as_the_upstream_packs() -> None:
    codec = Codec(CodecKind.GZIP, level=6)
    lines = messages(("< push hello",), codec=codec, opcode=Opcode.BINARY)

    async def test() -> None:
        run = Run(a_recording((a_session(), lines)))
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake()
            assert decode((await client.frame())[2:]).payload == b"push hello"
            assert run.push("up", b"push surprise") == 1
            frame = await client.frame()
            assert (frame[0] & 0x0F, decode(frame[2:]).payload) == (Opcode.BINARY, b"push surprise")
            assert run.push("up", b"as it is", Opcode.TEXT, connection=1) == 1
            assert await client.message() == "as it is"
            assert [entry.payload for entry in run.journal.entries if entry.kind is EntryKind.INJECTED] == [
                "push surprise",
                "as it is",
            ]

    bounded(test)


@pytest.mark.parametrize(
    ("code", "end"),
    [pytest.param(1012, b"\x88\x08\x03\xf4reboot", id="a code"), pytest.param(None, b"", id="TCP")],
)
def test_a_connection_can_be_ended(code: int | None, end: bytes) -> None:
    async def test() -> None:
        run = a_run()
        with pytest.raises(NoConnectionError, match="no connection to up is open"):
            run.disconnect("up", code)
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake()
            assert run.disconnect("up", code, "reboot") == 1
            with pytest.raises(NoConnectionError, match="no connection to up is open"):
                run.push("up", b"too late")
            assert await client.read(len(end)) == end
            assert run.journal.entries[-1].detail == (
                "TCP was ended on request" if code is None else "closed with code 1012 on request"
            )

    bounded(test)


def test_a_code_that_is_none_is_refused() -> None:
    with pytest.raises(SettingError, match="a close code from 1000 to 4999"):
        a_run().disconnect("up", 999)


@pytest.mark.parametrize(
    ("policy", "sessions"),
    [
        pytest.param(Reconnect.REFUSE, ["s1", "s2", None, None], id="refuse"),
        pytest.param(Reconnect.LAST, ["s1", "s2", "s2", "s2"], id="last"),
        pytest.param(Reconnect.CYCLE, ["s1", "s2", "s1", "s2"], id="cycle"),
    ],
)
def test_after_the_last_session_a_connection_gets_what_the_run_says(
    policy: Reconnect, sessions: list[str | None]
) -> None:
    async def test() -> None:
        run = a_run(ReplaySettings(reconnect=policy), sessions=2)
        async with ReplayServer(run) as server:
            heads = []
            for _ in sessions:
                async with RawClient(server.listeners[0].url) as client:
                    heads.append((await client.handshake()).split(b"\r\n")[0])
        assert heads == [
            b"HTTP/1.1 503 Service Unavailable" if session is None else b"HTTP/1.1 101 Switching Protocols"
            for session in sessions
        ]
        began = [
            entry for entry in run.journal.entries if entry.kind in (EntryKind.OPENED, EntryKind.REFUSED)
        ]
        assert [(entry.session or None, entry.connection) for entry in began] == [
            (session, number) for number, session in enumerate(sessions, 1)
        ]

    bounded(test)


def test_where_repeats_are_not_wanted_a_read_too_many_is_a_miss() -> None:
    async def test() -> None:
        run = Run(
            a_recording((a_session(), messages(("> call 1 x", "< answer 1 y")))),
            ReplaySettings(repeats=Repeats.NEVER),
        )
        async with ReplayServer(run) as server, RawClient(server.listeners[0].url) as client:
            await client.handshake()
            await client.write(text("call 1 x"), text("call 2 x"))
            assert [await client.message() for _ in range(2)] == ["answer 1 y", "answer 2 refused"]
        missed = next(entry for entry in run.journal.entries if entry.kind is EntryKind.MISSED)
        assert (missed.why, missed.nearest) == ("used up", "call 1 x")

    bounded(test)


def test_what_one_run_does_never_shows_in_another() -> None:
    async def test() -> None:
        recording = a_run(STEPPED).recording
        runs = Run(recording, STEPPED), Run(recording, STEPPED)
        async with (
            ReplayServer(runs[0]) as one,
            ReplayServer(runs[1]) as other,
            RawClient(one.listeners[0].url) as first,
            RawClient(other.listeners[0].url) as second,
        ):
            await first.handshake()
            await second.handshake()
            await first.write(text("sub 1 deals"))
            assert await first.message() == "answer 1 ok"
            assert runs[0].step(Step(messages=1)) == (1, 0)
            await second.write(text("sub 2 deals"))
            assert await second.message() == "answer 2 ok"
            assert runs[1].step(Step(messages=1)) == (1, 0)
            assert [await first.message(), await second.message()] == ["push deals:1"] * 2
        assert [entry.number for entry in runs[0].journal.entries] == list(
            range(1, runs[0].journal.count + 1)
        )
        assert runs[0].recording.upstreams[0].script(0) is runs[1].recording.upstreams[0].script(0)

    bounded(test)
