"""
How fast pushes pass through `wiretape record`, with everything stored, against plain `mitmdump` that
stores nothing; and how much memory each grows by.

    .venv/bin/python benchmarks/recorder_throughput.py [--messages 200000] [--mitmdump-messages 40000]

One upstream and one client, raw sockets in this process, so that neither is the limit. Both proxies
run in the same run, one after the other, beside the same load.
"""

import argparse
import base64
import contextlib
import gzip
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path

from wiretape_store import StoreReader

BIN = Path(sys.executable).parent
ROUND_TRIPS = 2200
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def pushes(count: int) -> list[bytes]:
    """Distinct deals.update pushes of about 300 gzip bytes, as binary frames."""
    rng = random.Random(7)
    frames = []
    for _ in range(count):
        deals = [
            {
                "id": rng.randrange(10**9),
                "time": 1_700_000_000 + rng.random() * 1e6,
                "price": f"{rng.uniform(1, 90_000):.8f}",
                "amount": f"{rng.uniform(0, 10):.8f}",
                "type": rng.choice(["buy", "sell"]),
            }
            for _ in range(5)
        ]
        text = json.dumps({"method": "deals.update", "params": ["BTCUSDT", deals], "id": None})
        data = gzip.compress(text.encode(), mtime=0)
        frames.append(b"\x82\x7e" + len(data).to_bytes(2, "big") + data)
    return frames


class Upstream(threading.Thread):
    """Answers each message of a client with its own text, or, for `go`, with all the pushes."""

    def __init__(self, blob: bytes) -> None:
        super().__init__(daemon=True)
        self.blob = blob
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        key = next(
            line.split(b":")[1].strip()
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(sha1(key + GUID).digest())
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        with contextlib.suppress(OSError):
            while frame := connection.recv(65536):
                mask, data = frame[2:6], frame[6:]
                text = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
                connection.sendall(self.blob if text == b"go" else bytes([0x81, len(text)]) + text)


class Client:
    """A WebSocket client that only counts bytes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.socket.recv(65536)
        assert b" 101 " in head.split(b"\r\n")[0], head

    def send(self, text: bytes) -> None:
        self.socket.sendall(bytes([0x81, 0x80 | len(text)]) + b"\0\0\0\0" + text)

    def receive(self, count: int) -> None:
        buffer = bytearray(1 << 20)
        while count:
            got = self.socket.recv_into(buffer)
            assert got, "the proxy closed the connection"
            count -= got

    def round_trips(self, count: int) -> list[float]:
        """Microseconds of each of `count` round trips, in order of size."""
        times = []
        for _ in range(count):
            start = time.perf_counter()
            self.send(b"hello")
            self.receive(7)
            times.append((time.perf_counter() - start) * 1e6)
        return sorted(times)


@dataclass
class Result:
    relayed: float
    """Messages a second until the client had the last one."""
    durable: float | None
    """Until the last one was in the store."""
    settled: float | None
    """Until the recorder had packed them for good and ended."""
    p50: float
    p99: float
    before_mb: float
    after_mb: float


def memory_mb(pid: int) -> float:
    """Resident memory of a process and its children."""
    pids = [pid]
    with contextlib.suppress(OSError):
        pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    total = 0
    for each in pids:
        status = Path(f"/proc/{each}/status").read_text()
        total += next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return total / 1024


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}")


@contextlib.contextmanager
def process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGINT)
            running.wait(120)


def wait_until_stored(store: Path, messages: int) -> None:
    with StoreReader(str(store)) as reader:
        while reader.sessions()[0].messages_from_upstream < messages:
            time.sleep(0.05)


def measure(
    running: subprocess.Popen[bytes], port: int, upstream: Upstream, messages: int, store: Path | None
) -> Result:
    client = Client(port)
    client.round_trips(ROUND_TRIPS - 2000)
    times = client.round_trips(2000)
    before = memory_mb(running.pid)
    start = time.perf_counter()
    client.send(b"go")
    client.receive(len(upstream.blob))
    relayed = time.perf_counter() - start
    durable = settled = None
    if store is not None:
        wait_until_stored(store, messages + ROUND_TRIPS)
        durable = messages / (time.perf_counter() - start)
    after = memory_mb(running.pid)
    if store is not None:
        running.send_signal(signal.SIGINT)
        status = running.wait(300)
        assert status == 0, running.stderr.read() if running.stderr else ""
        settled = messages / (time.perf_counter() - start)
    client.socket.close()
    return Result(
        messages / relayed,
        durable,
        settled,
        statistics.median(times),
        times[int(len(times) * 0.99)],
        before,
        after,
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--mitmdump-messages", type=int, default=40_000)
    options = parser.parse_args()
    frames = pushes(5000)
    blob = b"".join(frames[number % 5000] for number in range(options.messages))
    small = b"".join(frames[number % 5000] for number in range(options.mitmdump_messages))
    print(
        f"{options.messages} pushes of {len(blob) // options.messages} B through each; {os.cpu_count()} cores"
    )

    upstream = Upstream(small)
    upstream.start()
    port = free_port()
    target = f"reverse:http://127.0.0.1:{upstream.port}@127.0.0.1:{port}"
    with process([str(BIN / "mitmdump"), "-q", "--mode", target]) as running:
        wait_for_port(port)
        theirs = measure(running, port, upstream, options.mitmdump_messages, None)

    upstream = Upstream(blob)
    upstream.start()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "bench.db"
        ready = Path(folder) / "ready.json"
        command = [str(BIN / "wiretape"), "record", f"hotbit=ws://127.0.0.1:{upstream.port}"]
        command += ["--listen", "127.0.0.1:0", "--store", str(store), "--ready-file", str(ready)]
        with process(command) as running:
            deadline = time.monotonic() + 30
            while not ready.exists():
                assert time.monotonic() < deadline and running.poll() is None, "wiretape record did not start"
                time.sleep(0.05)
            port = int(json.loads(ready.read_text())["listeners"][0]["url"].rpartition(":")[2])
            ours = measure(running, port, upstream, options.messages, store)
        size = store.stat().st_size
    report(theirs, ours, options, size / options.messages)


def report(theirs: Result, ours: Result, options: argparse.Namespace, bytes_each: float) -> None:
    print(f"{'':34}{'mitmdump':>12}{'wiretape':>12}{'ratio':>8}")
    rows = [
        ("relayed, messages/s", theirs.relayed, ours.relayed),
        ("relayed and stored, messages/s", theirs.relayed, ours.durable or 0),
        ("... and settled, messages/s", theirs.relayed, ours.settled or 0),
        ("round trip p50, us", theirs.p50, ours.p50),
        ("round trip p99, us", theirs.p99, ours.p99),
        ("memory growth, MB", theirs.after_mb - theirs.before_mb, ours.after_mb - ours.before_mb),
    ]
    for name, their, our in rows:
        print(f"{name:34}{their:12.0f}{our:12.0f}{our / their if their else float('nan'):8.2f}")
    print(
        f"messages: {options.mitmdump_messages} and {options.messages}; store: {bytes_each:.0f} B a message"
    )


if __name__ == "__main__":
    main()
