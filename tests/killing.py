"""
Killing a recorder under load, and counting what is lost: for the tests and for `benchmarks/kill_recorder.py`.

A client pulls batches of numbered messages through `wiretape record` and knows when it received each.
At a chosen number the recorder is killed.
"""

import base64
import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha1
from pathlib import Path

from wiretape_store import EndKind, StoreReader
from wiretape_store.checking.findings import Severity
from wiretape_store.checking.store_check import StoreCheck

PAYLOAD_BYTES = 200
LARGEST_BATCH = 40
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_DEADLINE_S = 60.0


class Victim(StrEnum):
    """Who is killed."""

    PROXY = "proxy"
    WRITER = "writer"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Killed:
    """What one kill has cost."""

    victim: Victim
    received: int
    """Messages that the client had when it killed."""
    stored: int
    """How many messages are stored, those on their way to the client included."""
    lost: int
    """How many of the received ones are not stored."""
    oldest_lost_ms: float
    """How long before the kill the client had received the first of them; 0 without any."""
    damages: tuple[str, ...]
    """What a check of the store says afterwards."""
    interrupted: bool
    """Whether the session reads as interrupted, if it had come as far as the store."""
    in_order: bool
    """Whether what is stored is what was sent, from the first message on."""


class Upstream(threading.Thread):
    """Sends so many numbered messages as the client asks for; the number goes on over all connections."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    @staticmethod
    def _serve(connection: socket.socket) -> None:
        number = 0
        try:
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                head = _until_blank_line(connection)
                key = head.lower().split(b"sec-websocket-key:")[1].split(b"\r\n")[0]
                key = head[head.lower().index(key) :][: len(key)].strip()
                accept = base64.b64encode(sha1(key + _GUID).digest())
                connection.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
                )
                while request := _exactly(connection, 10):
                    count = int.from_bytes(
                        bytes(a ^ b for a, b in zip(request[6:], request[2:6], strict=True)), "big"
                    )
                    connection.sendall(b"".join(_frame(n) for n in range(number, number + count)))
                    number += count
        except OSError:
            return


class Client:
    """Pulls messages through the recorder, and knows when each had come."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        head = _until_blank_line(self.socket)
        assert head.startswith(b"HTTP/1.1 101"), head
        self.times_s: list[float] = []

    def pull(self, count: int) -> None:
        """Ask for so many messages, and receive them."""
        self.socket.sendall(b"\x82\x84\0\0\0\0" + struct.pack(">I", count))
        left = count * _FRAME_BYTES
        while left:
            got = len(self.socket.recv(min(left, 1 << 20)))
            assert got, "the connection ended before the kill"
            left -= got
        self.times_s += [time.monotonic()] * count

    def drain(self) -> None:
        """Take what is on its way still, until the connection ends."""
        try:
            while self.socket.recv(1 << 20):
                pass
        except OSError:
            pass
        self.socket.close()


class Recorder:
    """`wiretape record` in a process group of its own."""

    def __init__(self, store: Path, upstream_port: int, name: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            ready = Path(folder) / "ready.json"
            command = [sys.executable, "-m", "wiretape", "record", f"u:opaque=ws://127.0.0.1:{upstream_port}"]
            command += ["--listen", "127.0.0.1:0", "--store", str(store), "--recording", name]
            self.process = subprocess.Popen(
                [*command, "--ready-file", str(ready)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            deadline = time.monotonic() + _DEADLINE_S
            while not ready.exists():
                assert self.process.poll() is None, self.process.communicate()[1].decode()
                assert time.monotonic() < deadline, "wiretape record did not start"
                os.sched_yield()
            self.port = int(json.loads(ready.read_text())["listeners"][0]["url"].rpartition(":")[2])
        (child,) = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self._writer = os.pidfd_open(int(child))
        self.writer_pid = int(child)

    def kill(self, victim: Victim) -> None:
        """Kill one of the two processes, or both in one call."""
        if victim is Victim.PROXY:
            self.process.kill()
        elif victim is Victim.WRITER:
            os.kill(self.writer_pid, signal.SIGKILL)
        else:
            os.killpg(self.process.pid, signal.SIGKILL)

    def wait(self) -> str:
        """Wait until both are gone; what it said."""
        _, said = self.process.communicate(timeout=_DEADLINE_S)
        poller = select.poll()
        poller.register(self._writer, select.POLLIN)
        assert poller.poll(_DEADLINE_S * 1000), "the writer's process did not end"
        os.close(self._writer)
        return said.decode()


def kill_once(store: Path, seed: int, victim: Victim, most_messages: int = 4000) -> Killed:
    """Record into `store`, which may hold other recordings, and kill at an instant that `seed` chooses."""
    rng = random.Random(seed)
    upstream = Upstream()
    upstream.start()
    recorder = Recorder(store, upstream.port, f"{victim.value}-{seed}")
    try:
        client = Client(recorder.port)
        until = rng.randrange(1, most_messages)
        while len(client.times_s) < until:
            client.pull(min(rng.randrange(1, LARGEST_BATCH), until - len(client.times_s)))
        # One batch more is on its way, at a point that nobody chose.
        client.socket.sendall(b"\x82\x84\0\0\0\0" + struct.pack(">I", LARGEST_BATCH))
        at_s = time.monotonic()
        recorder.kill(victim)
        client.drain()
    finally:
        if recorder.process.poll() is None and victim is not Victim.WRITER:
            recorder.process.kill()
        recorder.wait()
        upstream.close()
    return _counted(store, f"{victim.value}-{seed}", victim, client.times_s, at_s)


def _counted(store: Path, name: str, victim: Victim, times_s: list[float], at_s: float) -> Killed:
    check = StoreCheck(str(store))
    damages = tuple(str(each) for each in check.findings() if each.severity is Severity.DAMAGE)
    with StoreReader(str(store)) as reader:
        sessions = reader.sessions(name)
        wires = [
            message.wire
            for session in sessions
            for message in reader.messages(session.id)
            if not message.from_client
        ]
    stored = len(wires)
    received = len(times_s)
    return Killed(
        victim,
        received,
        stored,
        max(0, received - stored),
        (at_s - times_s[stored]) * 1000 if stored < received else 0.0,
        damages,
        all(session.end.kind is EndKind.INTERRUPTED for session in sessions),
        wires == [_payload(number) for number in range(stored)],
    )


def _payload(number: int) -> bytes:
    return (b"%010d " % number).ljust(PAYLOAD_BYTES, b"x")


def _frame(number: int) -> bytes:
    return b"\x82\x7e" + PAYLOAD_BYTES.to_bytes(2, "big") + _payload(number)


_FRAME_BYTES = len(_frame(0))


def _until_blank_line(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        more = connection.recv(1 if head.endswith((b"\r", b"\n")) else 4)
        assert more, "the connection ended in its handshake"
        head += more
    return head


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            return b""
        data += more
    return data
