"""
Many connections at once: memory of one replay process against a bare `websockets` server.

Every connection finishes its handshake, asks once and gets its answer, and then stays. Both servers run
in processes of their own: `python benchmarks/replay_connections.py [--connections N]`.
"""

import argparse
import asyncio
import logging
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection as PipeEnd
from pathlib import Path

from replay_throughput import Server, a_call, a_message, a_recording, an_answer
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame
from websockets.frames import Opcode as FrameOpcode

from wiretape_protocols import Opcode
from wiretape_replay import Journal, Reconnect, ReplayServer, ReplaySettings
from wiretape_replay.frames import frame_size

_HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_SPARE_FILES = 200


async def replaying(ready: PipeEnd) -> None:
    """One recorded session, again for each connection."""
    messages = [a_message(0, a_call(0), from_client=True), a_message(1, an_answer(0), answers=0)]
    settings = ReplaySettings(reconnect=Reconnect.LAST)
    async with ReplayServer(a_recording(messages), settings, journal=Journal(kept=1000)) as server:
        ready.send(int(server.listeners[0].url.rpartition(":")[2]))
        await asyncio.get_running_loop().run_in_executor(None, ready.recv)


async def bare(ready: PipeEnd) -> None:
    """A `websockets` server that answers every message alike."""
    answer = an_answer(0).decode()

    async def handler(connection: ServerConnection) -> None:
        async for _ in connection:
            await connection.send(answer)

    async with serve(handler, "127.0.0.1", 0, compression=None, ping_interval=None, backlog=1024) as server:
        ready.send(next(iter(server.sockets)).getsockname()[1])
        await asyncio.get_running_loop().run_in_executor(None, ready.recv)


def _run(server: Server, ready: PipeEnd) -> None:
    logging.disable()  # the library reports each client that goes without a close frame

    async def main() -> None:
        await server(ready)

    asyncio.run(main())


@contextmanager
def running(server: Server) -> Iterator[tuple[int, int]]:
    """The server's port and process number."""
    here, there = Pipe()
    process = get_context("spawn").Process(target=_run, args=(server, there))
    process.start()
    assert process.pid is not None
    try:
        yield here.recv(), process.pid
    finally:
        with suppress(BrokenPipeError):
            here.send("stop")
        process.join(15)
        process.kill()


def resident_bytes(pid: int) -> int:
    """How much memory a process has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def read_frame(client: socket.socket) -> None:
    """Read one whole frame."""
    data = client.recv(65536)
    while frame_size(data, 0) != len(data):
        data += client.recv(65536)


def measure(server: Server, count: int) -> tuple[float, float, float]:
    """Seconds to connect everybody, resident MB with all of them, and kB a connection."""
    call = Frame(FrameOpcode(Opcode.TEXT), a_call(0)).serialize(mask=True)
    clients: list[socket.socket] = []
    with running(server) as (port, pid):
        before = resident_bytes(pid)
        began = time.perf_counter()
        try:
            for _ in range(count):
                client = socket.create_connection(("127.0.0.1", port))
                clients.append(client)
                client.sendall(_HANDSHAKE)
                received = b""
                while b"\r\n\r\n" not in received:
                    received += client.recv(65536)
                client.sendall(call)
                read_frame(client)
            took = time.perf_counter() - began
            after = resident_bytes(pid)
        finally:
            for client in clients:
                client.close()
    return took, after / 1e6, (after - before) / count / 1e3


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=5000)
    count = parser.parse_args().connections
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, count + _SPARE_FILES), hard))
    found = {name: measure(server, count) for name, server in (("websockets", bare), ("wiretape", replaying))}
    for name, (took, resident, each) in found.items():
        print(f"{name}: {count} connections in {took:.1f} s, {resident:.0f} MB in all, {each:.1f} kB each")
    ratio = found["wiretape"][1] / found["websockets"][1]
    print(f"ratio {ratio:.2f} of the memory (wiretape's promise: under 400 MB for 5,000)")


if __name__ == "__main__":
    main()
