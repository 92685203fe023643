"""
Replay against bare `websockets` servers: recorded pushes as fast as they go, and call round trips.

Each server runs in a process of its own and is driven by the same raw client. Both rates and their
ratio come from one run: `python benchmarks/replay_throughput.py [--pushes N] [--calls N]`.
"""

import argparse
import asyncio
import json
import logging
import multiprocessing
import socket
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe

from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame
from websockets.frames import Opcode as FrameOpcode

from wiretape_protocols import (
    IDENTITY,
    Codec,
    CodecKind,
    Opcode,
    Redactor,
    Role,
    SessionRedaction,
    protocol_named,
)
from wiretape_replay import Journal, ReplayedRecording, ReplayedUpstream, ReplayServer
from wiretape_replay.frames import frame_size
from wiretape_store.records import End, EndKind, Handshake, Message, Session, Upstream

_PUSH_BYTES = 300
_ROUNDS = 3
_CALL_ROUNDS = 8  # short ones, and the best counts: a busy machine stretches single rounds
_LAST_DEAL = 1_700_000_000
_HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
Server = Callable[[Pipe], Awaitable[None]]


def a_push(number: int) -> bytes:
    """A push of about 300 bytes, as an exchange sends it."""
    deal = {"id": number, "time": 1512442929.0405071 + number, "price": "8000.00", "amount": "0.0012"}
    text = json.dumps({"method": "deals.update", "params": ["BTCUSDT", [deal]], "id": None})
    return text.ljust(_PUSH_BYTES).encode()


def a_call(number: int) -> bytes:
    """A call that asks for something else each time."""
    return json.dumps(
        {"method": "deals.query", "params": ["BTCUSDT", 100, _LAST_DEAL - number], "id": number}
    ).encode()


def an_answer(number: int) -> bytes:
    """Its answer."""
    return json.dumps({"error": None, "result": [{"id": number, "price": "8000.00"}], "id": number}).encode()


def a_message(
    seq: int,
    payload: bytes,
    *,
    from_client: bool = False,
    answers: int | None = None,
    codec: Codec = IDENTITY,
) -> Message:
    """A recorded message."""
    opcode = Opcode.TEXT if codec is IDENTITY or from_client else Opcode.BINARY
    used = IDENTITY if from_client else codec
    return Message(seq, from_client, opcode, seq, payload, used, Role.CALL, "", answers, "")


def a_recording(messages: list[Message]) -> ReplayedRecording:
    """A recording of one Hotbit session, without a store around it."""
    upstream = Upstream(1, "hotbit", "hotbit", "wss://localhost", "127.0.0.1:0")
    end = End(EndKind.INTERRUPTED)
    session = Session("s1", "benchmark", upstream, 0, 0, None, Handshake("/", (), 101), 0, 0, 0, 0, 0, end)
    protocol, redactor = protocol_named("hotbit"), Redactor(b"benchmark")
    replayed = ReplayedUpstream(
        upstream,
        protocol,
        (session,),
        lambda *_: SessionRedaction(protocol, redactor).replayed,
        lambda _: messages,
    )
    replayed.script(0)
    return ReplayedRecording("benchmark", (replayed,))


def replaying(messages: list[Message]) -> Server:
    """A wiretape server of this one session."""

    async def run(ready: Pipe) -> None:
        async with ReplayServer(a_recording(messages), journal=Journal(kept=1000)) as server:
            ready.send((int(server.listeners[0].url.rpartition(":")[2]), time.process_time()))
            await asyncio.get_running_loop().run_in_executor(None, ready.recv)

    return run


def bare(handler: Callable[[ServerConnection], Awaitable[None]]) -> Server:
    """A `websockets` server, keepalive pings off so that the bytes are countable."""

    async def run(ready: Pipe) -> None:
        async with serve(handler, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
            ready.send((next(iter(server.sockets)).getsockname()[1], time.process_time()))
            await asyncio.get_running_loop().run_in_executor(None, ready.recv)

    return run


def _run_server(server: Server, ready: Pipe) -> None:
    async def main() -> None:
        await server(ready)

    asyncio.run(main())
    ready.send(time.process_time())


@contextmanager
def a_client_of(server: Server, used_s: list[float]) -> Iterator[socket.socket]:
    """
    Start the server in a process of its own and connect to it, up to and without the handshake.

    Afterwards `used_s` has the processor time that the server took from listening to its end.
    """
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_run_server, args=(server, there))
    process.start()
    port, began_s = here.recv()
    try:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield client
    finally:
        here.send("stop")
        used_s.append(here.recv() - began_s)
        process.join(10)
        process.kill()


def push_rate(server: Server, payloads: list[bytes]) -> float:
    """Messages a second, from the handshake to the last byte."""
    expected = sum(len(payload) + 4 for payload in payloads)
    with a_client_of(server, []) as client:
        buffer = bytearray(1 << 20)
        began = time.perf_counter()
        client.sendall(_HANDSHAKE)
        received = b""
        while b"\r\n\r\n" not in received:
            received += client.recv(65536)
        left = expected - len(received.split(b"\r\n\r\n", 1)[1])
        while left > 0:
            left -= client.recv_into(buffer)
        return len(payloads) / (time.perf_counter() - began)


@dataclass(frozen=True)
class Calls:
    """What one round of calls, one after the other, came to."""

    rate: float
    median_us: float
    server_us: float
    """Processor time of the server for one call, which other load on the machine does not stretch."""


def call_rate(server: Server, calls: list[bytes]) -> Calls:
    """Send each call when the one before is answered."""
    frames = [Frame(FrameOpcode.TEXT, call).serialize(mask=True) for call in calls]
    took: list[float] = []
    used_s: list[float] = []
    with a_client_of(server, used_s) as client:
        client.sendall(_HANDSHAKE)
        received = b""
        while not received.endswith(b"\r\n\r\n"):
            received += client.recv(65536)
        began = time.perf_counter()
        for frame in frames:
            sent = time.perf_counter()
            client.sendall(frame)
            answer = client.recv(65536)
            while frame_size(answer, 0) != len(answer):
                answer += client.recv(65536)
            took.append(time.perf_counter() - sent)
        rate = len(calls) / (time.perf_counter() - began)
    return Calls(rate, statistics.median(took) * 1e6, used_s[0] / len(calls) * 1e6)


def best(rounds: list[Calls]) -> Calls:
    """The best of each number."""
    return Calls(
        max(calls.rate for calls in rounds),
        min(calls.median_us for calls in rounds),
        min(calls.server_us for calls in rounds),
    )


def compare_pushes(count: int) -> None:
    """Print both push rates and their ratio; each the best of its rounds, taken in turns."""
    payloads = [a_push(number) for number in range(count)]
    messages = [a_message(seq, payload) for seq, payload in enumerate(payloads)]
    texts = [payload.decode() for payload in payloads]

    async def push_all(connection: ServerConnection) -> None:
        for text in texts:
            await connection.send(text)
        await connection.wait_closed()

    rounds = [
        (push_rate(bare(push_all), payloads), push_rate(replaying(messages), payloads))
        for _ in range(_ROUNDS)
    ]
    library, wiretape = (max(rates) for rates in zip(*rounds, strict=True))
    print(f"pushes of {len(payloads[0])} B: websockets {library:,.0f}/s, wiretape {wiretape:,.0f}/s", end="")
    print(f", ratio {wiretape / library:.1f} (target 10)")


def compare_calls(count: int, name: str, codec: Codec, *, same_ids: bool) -> None:
    """Print both round trip rates and their ratio."""
    messages: list[Message] = []
    for number in range(count):
        messages.append(a_message(2 * number, a_call(number), from_client=True))
        messages.append(a_message(2 * number + 1, an_answer(number), answers=2 * number, codec=codec))
    shift = b'"id": ' if same_ids else b'"id": 9'
    calls = [shift.join(a_call(number).rsplit(b'"id": ', 1)) for number in range(count)]

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    rounds = [
        (call_rate(bare(echo), calls), call_rate(replaying(messages), calls)) for _ in range(_CALL_ROUNDS)
    ]
    library, wiretape = (best(list(results)) for results in zip(*rounds, strict=True))
    print(f"round trips, {name}:")
    for server, found in (("websockets", library), ("wiretape", wiretape)):
        print(
            f"  {server} {found.rate:,.0f}/s, median {found.median_us:.1f} us, server {found.server_us:.1f} us"
        )
    print(f"  ratio {wiretape.rate / library.rate:.2f} by rate (target 1.0)", end="")
    print(f", {library.median_us / wiretape.median_us:.2f} by median", end="")
    print(f", {library.server_us / wiretape.server_us:.2f} by processor time")


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pushes", type=int, default=200_000)
    parser.add_argument("--calls", type=int, default=4_000)
    chosen = parser.parse_args()
    logging.disable()  # the library reports each client that goes without a close frame
    compare_pushes(chosen.pushes)
    compare_calls(chosen.calls, "ids as recorded", IDENTITY, same_ids=True)
    compare_calls(chosen.calls, "ids replaced", IDENTITY, same_ids=False)
    compare_calls(chosen.calls, "ids replaced, gzip", Codec(CodecKind.GZIP), same_ids=False)


if __name__ == "__main__":
    main()
