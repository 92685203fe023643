"""Record, then replay, equals the original: both upstreams, byte for byte, however the client behaves."""

import asyncio
import shutil
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from pipelining import record_pipelining
from recorders import recorder
from wiretape.demo.run import differences
from wiretape.demo.visitor import Seen, text_of
from wiretape.simulators.hotbit import Compression, HotbitSimulator
from wiretape_replay.player import Manner, Player
from wiretape_replay.proof import verify_recording
from wiretape_replay.recordings import load_recording
from wiretape_replay.server import ReplayServer
from wiretape_replay.settings import Pace, ReplaySettings
from wiretape_replay.verification import expected_messages
from wiretape_store import Message, StoreReader

MANNERS = (
    pytest.param(Manner(1), id="as-recorded"),
    pytest.param(Manner(2, early=1.0), id="pipelined"),
    pytest.param(Manner(3, early=0.3), id="early"),
    pytest.param(Manner(4, late=40), id="late"),
    pytest.param(Manner(5, cuts=1.0), id="cut-after-every-byte"),
    pytest.param(Manner(6, early=0.5, cuts=0.2, late=5), id="all-at-once"),
)


def play(store: Path, session_id: str, manner: Manner, pace: Pace) -> tuple[list[bytes], list[Message]]:
    """Play a session in a manner; the bytes of each message that came, and the recorded messages."""

    async def run() -> tuple[list[bytes], list[Message]]:
        with StoreReader(str(store)) as reader:
            session = reader.session(session_id)
            messages = list(reader.messages(session_id))
            recording = load_recording(reader, session_id)
            settings = ReplaySettings(pace=pace)
            async with ReplayServer(recording, settings, listen="127.0.0.1:0") as server:
                url = server.listeners[0].url
                played = await Player(url, session, messages, manner).play(10)
                assert server.verdict().ok, server.verdict().lines()
        return [wire for _, wire in played.messages], messages

    return asyncio.run(run())


def in_order(messages: list[Message]) -> list[bytes]:
    """What must come, heartbeats' answers left out: they are not held to an order."""
    return [message.wire for message in expected_messages(messages)[0]]


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("session", ["s1", "s2", "s3", "s4"])
def test_a_recorded_session_comes_back_byte_for_byte(session: str, manner: Manner, demo_store: Path) -> None:
    came, messages = play(demo_store, session, manner, Pace())

    background = [message.wire for message in expected_messages(messages)[1]]
    assert [wire for wire in came if wire not in background] == in_order(messages)
    assert len(came) == sum(not message.from_client for message in messages)


@pytest.mark.parametrize("session", ["s2", "s3", "s4"])
def test_a_client_that_waits_sees_the_recorded_order(session: str, demo_store: Path) -> None:
    came, messages = play(demo_store, session, Manner(0), Pace())

    assert came == [message.wire for message in messages if not message.from_client]


@pytest.mark.parametrize("session", ["s2", "s4"])
def test_real_time_gives_the_same_bytes(session: str, demo_store: Path) -> None:
    came, messages = play(demo_store, session, Manner(7, early=1.0), Pace.parse("realtime"))

    assert came == in_order(messages)


def test_many_runs_give_one_digest(demo_store: Path) -> None:
    with StoreReader(str(demo_store)) as reader:
        result = verify_recording(reader, "demo", runs=25, parallel=5)

    assert result.differences == []
    assert (len(result.digests), len(set(result.digests))) == (25, 1)


def test_clients_that_did_not_wait_are_replayed_too(tmp_path: Path) -> None:
    """They ask again before they have an answer, and in replay they may be slower than they were."""
    store = tmp_path / "a.db"
    asyncio.run(record_pipelining(store))
    with StoreReader(str(store)) as reader:
        messages = list(reader.messages("s1"))
        result = verify_recording(reader, "test", runs=25, parallel=5)

    order, _ = expected_messages(messages)
    assert [message.seq for message in order] != sorted(message.seq for message in order)
    assert result.differences == []
    assert (result.sessions, len(set(result.digests))) == (4, 1)


def test_the_bundled_recording_replays(tmp_path: Path) -> None:
    """A store of schema version 1, as the first release wrote it; opening it changes it."""
    store = shutil.copy(Path(__file__).parent / "data" / "hello.db", tmp_path)
    with StoreReader(str(store)) as reader:
        result = verify_recording(reader, "hello", runs=3)

    assert result.ok
    assert (result.sessions, result.messages) == (2, 7)


def test_the_demo_notices_every_difference() -> None:
    one = Seen(["a", "b"], 1000)

    assert differences([one], [Seen(["a", "b"], 1000)]) == []
    assert differences([one], [Seen(["a", "c"], 1000)]) == ["message 1 of connection 0 differs"]
    assert differences([one], [Seen(["a"], 1000)]) == ["connection 0: 1 messages, not 2"]
    assert differences([one], [Seen(["a", "b"], None)]) == ["connection 0: close code None, not 1000"]


@pytest.mark.parametrize("compression", list(Compression), ids=lambda compression: compression.value)
def test_every_way_to_pack_comes_back_as_it_was(compression: Compression, tmp_path: Path) -> None:
    """The exchange packs its messages in four ways; the client sees the same in replay, and so do we."""
    store = tmp_path / "a.db"

    async def visit(url: str, exchange: HotbitSimulator | None) -> list[str | bytes]:
        seen: list[str | bytes] = []
        async with connect(url, proxy=None, ping_interval=None) as client:
            for request in (
                '{"method": "deals.subscribe", "params": ["BTCUSDT"], "id": 5}',
                '{"method": "depth.query", "params": ["BTCUSDT", 10, "0"], "id": 0}',
            ):
                await client.send(request)
                seen += [await client.recv(), await client.recv()] if "subscribe" in request else []
                if exchange is not None:
                    await exchange.tick()
            while not seen or '"id": 0' not in text_of(seen[-1]):
                seen.append(await client.recv())
        return seen

    async def run() -> None:
        async with (
            HotbitSimulator(compression=compression) as exchange,
            recorder("tap", {"hotbit": exchange.url}, store) as urls,
        ):
            seen = await visit(urls["hotbit"], exchange)
        with StoreReader(str(store)) as reader:
            async with ReplayServer(load_recording(reader, "test"), listen="127.0.0.1:0") as server:
                assert await visit(server.listeners[0].url, None) == seen
                assert server.verdict().ok, server.verdict().lines()
            (session,) = reader.sessions()
            messages = [m for m in reader.messages(session.id) if not m.from_client]
        assert {m.codec.kind.value for m in messages} == {_CODECS.get(compression, "identity")}
        assert {m.deflated for m in messages} == {compression is Compression.PERMESSAGE_DEFLATE}
        assert len(messages) == len(seen)

    asyncio.run(run())


_CODECS = {Compression.GZIP: "gzip", Compression.ZLIB: "zlib"}
