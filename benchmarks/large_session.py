"""
Replaying one session of ten million messages: how long until the first push, how much memory, how quickly.

    python benchmarks/large_session.py [--messages 10000000] [--peer-messages 1000000] [--keep FILE]

The session is what most such sessions are: a subscription, its answer, pushes, and a heartbeat every
half minute. The client subscribes with its handshake, reads all and sends nothing more. It is played
by a daemon as soon as that accepts, while the index is made, and again, when that is there. The peer
is a bare `websockets` server that loads the same messages from a SQLite table into a list before it
listens; it gets a tenth as many, as it would take gigabytes. `--keep FILE` leaves the store there, and
uses it when it is there already.
"""

import argparse
import asyncio
import logging
import multiprocessing
import socket
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

from store_layout import pushes
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame
from websockets.frames import Opcode as FrameOpcode

from wiretape_protocols import IDENTITY, Decoded, Opcode, Role
from wiretape_replay import Journal, ReplayServer, load_recording
from wiretape_replay.frames import frame_size
from wiretape_store import End, EndKind, Handshake, NewMessage, StoreReader, StoreWriter, UpstreamSpec

DISTINCT = 100_000
"""So many different payloads are made."""
BEAT_EVERY = 6000
"""A heartbeat comes after so many pushes, 5 ms apart."""
SUBSCRIBE = b'{"method": "deals.subscribe", "params": ["BTCUSDT"], "id": 1}'
SUBSCRIBED = b'{"error": null, "result": {"status": "success"}, "id": 1}'
_HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_FIRST_PUSH_MS = 100
Server = Callable[[Pipe], Awaitable[None]]


def build(path: Path, messages: int) -> None:
    """Record as fast as it goes, through the writer that `wiretape record` uses."""
    with StoreWriter(str(path), clock_us=lambda: time.time_ns() // 1000, synchronous="OFF") as writer:
        spec = UpstreamSpec("hotbit", "hotbit", "wss://ws.hotbit.example", "127.0.0.1:0")
        upstream = writer.begin_recording("large", [spec]).upstreams[0]
        session = writer.begin_session(upstream.id, time.time_ns() // 1000, Handshake("/", (), 101))
        for message in _messages(messages):
            writer.add(session, message)
            if message.seq % 1000 == 999:
                writer.commit()
        writer.end_session(session, time.time_ns() // 1000, End(EndKind.EOF, from_client=False))
        writer.commit()
        while writer.settle():
            pass


def _messages(count: int) -> Iterator[NewMessage]:
    def message(
        seq: int, text: bytes, role: Role, method: str, answers: int | None = None, stream: str = ""
    ) -> NewMessage:
        from_client = role is Role.SUBSCRIBE or (role is Role.BACKGROUND and answers is None)
        decoded = Decoded(text, IDENTITY)
        return NewMessage(
            seq, from_client, Opcode.TEXT, seq * 5000, text, decoded, role, method, answers, stream
        )

    yield message(0, SUBSCRIBE, Role.SUBSCRIBE, "deals.subscribe")
    yield message(1, SUBSCRIBED, Role.ANSWER, "deals.subscribe", 0)
    traffic = list(pushes(min(DISTINCT, count)))
    for seq in range(2, count):
        place = seq % BEAT_EVERY
        if place in (0, 1):
            text = b'{"method": "server.ping", "params": [], "id": %d}' % (seq - place)
            if place:
                text = b'{"error": null, "result": "pong", "id": %d}' % (seq - place)
            yield message(seq, text, Role.BACKGROUND, "server.ping", seq - 1 if place else None)
            continue
        stream, text = traffic[seq % len(traffic)]
        method = stream.partition(":")[0] + ".update"
        yield message(seq, text, Role.PUSH, method, None, stream)


def replaying(path: Path) -> Server:
    """A wiretape daemon of this store, which begins to make the index when it starts."""

    async def run(ready: Pipe) -> None:
        with StoreReader(str(path)) as reader, closing(load_recording(reader, "large")) as recording:
            while True:
                async with ReplayServer(recording, journal=Journal(kept=1000)) as server:
                    ready.send(int(server.listeners[0].url.rpartition(":")[2]))
                    if not await asyncio.get_running_loop().run_in_executor(None, ready.recv):
                        return

    return run


def bare(path: Path) -> Server:
    """A `websockets` server that answers the subscription and sends all pushes."""

    async def run(ready: Pipe) -> None:
        with closing(sqlite3.connect(path)) as connection:
            texts = [text for (text,) in connection.execute("SELECT payload FROM push ORDER BY number")]

        async def push_all(connection: ServerConnection) -> None:
            await connection.recv()
            await connection.send(SUBSCRIBED.decode())
            for text in texts:
                await connection.send(text)
            await connection.wait_closed()

        async with serve(push_all, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
            ready.send(next(iter(server.sockets)).getsockname()[1])
            await asyncio.get_running_loop().run_in_executor(None, ready.recv)

    return run


def peers_table(path: Path, messages: int) -> None:
    """What the peer reads: its pushes as rows."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE push (number INTEGER PRIMARY KEY, payload TEXT)")
        texts = (each.wire.decode() for each in _messages(messages) if each.role is Role.PUSH)
        connection.executemany("INSERT INTO push (payload) VALUES (?)", ((text,) for text in texts))


@contextmanager
def running(server: Server) -> Iterator[tuple[Pipe, int]]:
    """The server in a process of its own: a pipe to it, and its process id."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_run, args=(server, there))
    process.start()
    try:
        yield here, process.pid or 0
    finally:
        here.send(None)
        process.join(10)
        process.kill()


def _run(server: Server, ready: Pipe) -> None:
    async def main() -> None:
        await server(ready)

    asyncio.run(main())


@dataclass(frozen=True)
class Played:
    """One client's view of a session."""

    first_ms: float
    """From connecting to the first push."""
    rate: float
    """Messages a second, from the first push to the end."""
    grown_mb: float
    """The server's resident memory at its highest, less what it was before."""
    most_mb: float
    """At its highest."""


def play(port: int, process_id: int, traffic: "Traffic") -> Played:
    """Connect, subscribe, and read to the last byte."""
    before_kb = _memory_kb(process_id, "VmRSS")
    buffer = bytearray(1 << 20)
    subscription = Frame(FrameOpcode.TEXT, SUBSCRIBE).serialize(mask=True)
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(_HANDSHAKE + subscription)
        data = b""
        while not _has_push(data):
            data += _received(client)
        first = time.perf_counter()
        left = traffic.wire_bytes - len(data.partition(b"\r\n\r\n")[2])
        while left > 0:
            read = client.recv_into(buffer)
            if not read:
                raise SystemExit(f"the connection ended {left} bytes early")
            left -= read
        took = time.perf_counter() - first
    if left < 0:
        raise SystemExit(f"{-left} bytes too many came")
    most_kb = _memory_kb(process_id, "VmHWM")
    rate = traffic.messages / took
    return Played((first - began) * 1000, rate, (most_kb - before_kb) / 1024, most_kb / 1024)


def _received(client: socket.socket) -> bytes:
    data = client.recv(65536)
    if not data:
        raise SystemExit("the connection ended before the first push")
    return data


def _has_push(data: bytes) -> bool:
    """Whether the answer to the handshake, the answer to the subscription and one push have come."""
    frames = data.partition(b"\r\n\r\n")[2]
    size = frame_size(frames, 0)
    following = None if size is None else frame_size(frames, size)
    return size is not None and following is not None and len(frames) >= size + following


def _memory_kb(process_id: int, which: str) -> int:
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(which)).split()[1])


@dataclass(frozen=True)
class Traffic:
    """What a client that subscribes and then is silent gets."""

    messages: int
    wire_bytes: int
    """Frames and all."""


def traffic_of(path: Path) -> Traffic:
    """Of a store; heartbeats are answered to who sends them alone."""
    framed = "sum(wire_bytes + CASE WHEN wire_bytes < 126 THEN 2 ELSE 4 END)"
    with closing(sqlite3.connect(path)) as connection:
        row = connection.execute(f"SELECT count(*), {framed} FROM message WHERE role IN (8, 9)")
        return Traffic(*row.fetchone())


def peers_traffic(path: Path) -> Traffic:
    """Of the peer's table."""
    framed = "sum(length(payload) + CASE WHEN length(payload) < 126 THEN 2 ELSE 4 END)"
    with closing(sqlite3.connect(path)) as connection:
        count, wire_bytes = connection.execute(f"SELECT count(*), {framed} FROM push").fetchone()
        return Traffic(count + 1, wire_bytes + len(SUBSCRIBED) + 2)


def report(name: str, started_ms: float | None, played: Played) -> None:
    """Print a line."""
    started = "" if started_ms is None else f"{started_ms:,.0f}"
    print(
        f"{name:<36}{started:>10}{played.first_ms:>14,.1f}{played.rate:>13,.0f}"
        f"{played.grown_mb:>10,.0f}{played.most_mb:>10,.0f}"
    )


def index_time(path: Path) -> tuple[float, float]:
    """How long opening the session takes, and how long until all of its index is there, in milliseconds."""
    with StoreReader(str(path)) as reader, closing(load_recording(reader, "large")) as recording:
        began = time.perf_counter()
        script = recording.upstreams[0].script(0)
        opened = time.perf_counter()
        if script.indexing is not None:
            script.indexing.result()
        return (opened - began) * 1000, (time.perf_counter() - began) * 1000


def main(messages: int, peer_messages: int, keep: Path | None) -> bool:
    """Build what is missing, and play it."""
    logging.disable()  # the library reports each client that goes without a close frame
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = keep or folder / "large.db"
        if not path.exists():
            build(path, messages)
        traffic = traffic_of(path)
        print(f"{traffic.messages:,} messages of {traffic.wire_bytes / traffic.messages:.0f} bytes")
        print("opening it takes {:.1f} ms, its index {:,.0f} ms".format(*index_time(path)))
        print(
            f"{'':<36}{'start, ms':>10}{'1st push, ms':>14}{'messages/s':>13}{'grown, MB':>10}{'most, MB':>10}"
        )
        began = time.perf_counter()
        with running(replaying(path)) as (pipe, process_id):
            port = pipe.recv()
            started_ms = (time.perf_counter() - began) * 1000
            fresh = play(port, process_id, traffic)
            report("wiretape, at once after its start", started_ms, fresh)
            pipe.send("again")
            again = play(pipe.recv(), process_id, traffic)
            report("wiretape, once more", None, again)
        peers_table(folder / "peer.db", peer_messages)
        began = time.perf_counter()
        with running(bare(folder / "peer.db")) as (pipe, process_id):
            port = pipe.recv()
            started_ms = (time.perf_counter() - began) * 1000
            peer = play(port, process_id, peers_traffic(folder / "peer.db"))
            report(f"websockets, {peer_messages:,} of them", started_ms, peer)
    met = max(fresh.first_ms, again.first_ms) < _FIRST_PUSH_MS
    print(f"first push within {_FIRST_PUSH_MS} ms: {'met' if met else 'MISSED'}")
    return met


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=10_000_000)
    parser.add_argument("--peer-messages", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    raise SystemExit(0 if main(options.messages, options.peer_messages, options.keep) else 1)
