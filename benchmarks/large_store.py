"""
A store of ten million messages: how long finding a message, listing sessions and reading in order take.

    python benchmarks/large_store.py [--messages 10000000] [--sessions 1000] [--keep FILE]

The peer for reading in order is mitmproxy's own reader of its own flow file with the same traffic, a
hundredth as much of it, because it reads a flow into memory as a whole. `--keep FILE` leaves the store
there, and uses it when it is there already.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from store_layout import MARKETS, SEED, mitmproxy_bytes, pushes

from wiretape_protocols import IDENTITY, Decoded, Opcode, Role
from wiretape_store import End, EndKind, Handshake, NewMessage, StoreReader, StoreWriter, UpstreamSpec

DISTINCT = 100_000
"""So many different payloads are made; the sessions begin at different ones."""


def build(path: Path, messages: int, sessions: int) -> None:
    """Record as fast as it goes, through the writer that `wiretape record` uses."""
    traffic = list(pushes(min(DISTINCT, messages)))
    each = messages // sessions
    with StoreWriter(str(path), clock_us=lambda: time.time_ns() // 1000, synchronous="OFF") as writer:
        spec = UpstreamSpec("hotbit", "hotbit", "wss://ws.hotbit.example", "127.0.0.1:8081")
        upstream = writer.begin_recording("large", [spec]).upstreams[0]
        for number in range(sessions):
            session = writer.begin_session(upstream.id, time.time_ns() // 1000, Handshake("/", ()))
            for message in _messages(traffic, number * 7919, each):
                writer.add(session, message)
                if message.seq % 1000 == 999:
                    writer.commit()
            writer.end_session(session, time.time_ns() // 1000, End(EndKind.EOF))
            writer.commit()
            while writer.settle():
                pass


def _messages(traffic: list[tuple[str, bytes]], start: int, count: int) -> Iterator[NewMessage]:
    for seq in range(count):
        stream, text = traffic[(start + seq) % len(traffic)]
        decoded = Decoded(text, IDENTITY)
        method = stream.partition(":")[0] + ".update"
        yield NewMessage(seq, False, Opcode.TEXT, seq * 5000, text, decoded, Role.PUSH, method, None, stream)


def median_ms(action: Callable[[], object], times: int) -> tuple[float, float]:
    """The median and the longest of some calls, in milliseconds."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        took.append((time.perf_counter() - start) * 1000)
    return statistics.median(took), max(took)


def report(name: str, value: str, target: str, *, met: bool) -> bool:
    print(f"{name:<52}{value:>22}   {target} {'met' if met else 'MISSED'}")
    return met


def flow_rate(folder: Path, count: int) -> float:
    """Messages a second, from mitmproxy's reader of its own file."""
    from mitmproxy import http, io

    traffic = [(stream, text, Decoded(text, IDENTITY)) for stream, text in islice(pushes(count), count)]
    mitmproxy_bytes(folder / "flows", traffic)
    start = time.perf_counter()
    with (folder / "flows").open("rb") as file:
        read = 0
        for flow in io.FlowReader(file).stream():
            if isinstance(flow, http.HTTPFlow) and flow.websocket is not None:
                read += sum(1 for message in flow.websocket.messages if message.content)
    if read != count:
        raise SystemExit(f"mitmproxy read {read} of {count} messages")
    return count / (time.perf_counter() - start)


def measure(path: Path, folder: Path, messages: int, sessions: int) -> bool:
    """Ask a store that is opened anew; every answer is checked for its length."""
    randomness = random.Random(SEED)
    places = [
        (f"s{randomness.randrange(sessions) + 1}", randomness.randrange(messages // sessions))
        for _ in range(2000)
    ]
    start = time.perf_counter()
    with StoreReader(str(path)) as reader:
        first = reader.message(*places[-1])
        opened = (time.perf_counter() - start) * 1000
        asked = iter(places)
        one, worst = median_ms(lambda: reader.message(*next(asked)), len(places) - 1)
        listing, slowest = median_ms(lambda: reader.sessions("large"), 20)
        if len(reader.sessions("large")) != sessions or not first.payload:
            raise SystemExit("the store is not what was built")
        start = time.perf_counter()
        read = sum(
            1 for number in range(sessions) for payload in reader.payloads(f"s{number + 1}") if payload
        )
        rate = read / (time.perf_counter() - start)
        if read != messages // sessions * sessions:
            raise SystemExit(f"read {read} messages")
        start = time.perf_counter()
        records = sum(
            1 for _ in islice((m for n in range(sessions) for m in reader.messages(f"s{n + 1}")), 500_000)
        )
        record_rate = records / (time.perf_counter() - start)
    peer = flow_rate(folder, max(1000, messages // 100))
    size = path.stat().st_size
    print(
        f"{messages:,} messages in {sessions:,} sessions, {size / 1e6:,.0f} MB, {size / messages:.1f} bytes each"
    )
    return all(
        [
            report("opening the store and reading one message, ms", f"{opened:.1f}", "", met=True),
            report("one message, ms, median / longest of 1999", f"{one:.3f} / {worst:.3f}", "< 1", met=one < 1),
            report("listing the sessions, ms, median / longest of 20", f"{listing:.1f} / {slowest:.1f}", "< 50", met=listing < 50),
            report("payloads in order, messages/s", f"{rate:,.0f}", ">= 1,000,000", met=rate >= 1_000_000),
            report("whole messages in order, messages/s", f"{record_rate:,.0f}", "", met=True),
            report("mitmproxy's reader of its own file, messages/s", f"{peer:,.0f}", "", met=True),
        ]
    )  # fmt: skip


def main(messages: int, sessions: int, keep: Path | None) -> bool:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = keep or folder / "large.db"
        if not path.exists():
            start = time.perf_counter()
            build(path, messages, sessions)
            took = time.perf_counter() - start
            print(f"recorded and settled {messages / took:,.0f} messages/s over {len(MARKETS)} markets")
        return measure(path, folder, messages, sessions)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=10_000_000)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    raise SystemExit(0 if main(options.messages, options.sessions, options.keep) else 1)
