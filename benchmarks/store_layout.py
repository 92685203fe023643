"""
The store's layout in numbers: room, write and read rates, beside mitmproxy's own flow file.

    PYTHONPATH=protocols:store python benchmarks/store_layout.py [--pushes 100000] [--text]

The traffic is made up but shaped like an exchange's: deals, prices and depths of six markets from
a seeded generator, about 220 bytes of JSON each, gzip on the wire (`--text`: plain JSON instead).
"""

import argparse
import gzip
import json
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wiretape_protocols import Decoded, Opcode, Role, decode
from wiretape_store import End, EndKind, Handshake, NewMessage, StoreReader, StoreWriter, UpstreamSpec

SEED = 20190801
MARKETS = ("BTCUSDT", "ETHUSDT", "ETHBTC", "ONTUSDT", "EOSBTC", "HTBUSDT")
MITMPROXY_SHARE = 0.40
BYTES_A_PUSH = 80
READ_BYTES_PER_S = 1_000_000


def pushes(count: int) -> Iterator[tuple[str, bytes]]:
    """Make (stream, JSON text) pairs; prices walk, ids grow, amounts are anything."""
    randomness = random.Random(SEED)
    prices = {market: randomness.uniform(0.01, 10_000) for market in MARKETS}
    deal, now = 880_000_000, 1_564_617_600.0
    for _ in range(count):
        now += randomness.expovariate(200)
        market = randomness.choice(MARKETS)
        prices[market] *= randomness.gauss(1, 0.0005)
        price = prices[market]
        kind = randomness.choices(("deals", "depth", "price"), (3, 5, 1))[0]
        params: list[object]
        if kind == "deals":
            deal += randomness.randrange(1, 4)
            side = randomness.choice(("buy", "sell"))
            amount = f"{randomness.expovariate(1):.8f}"
            one = {"id": deal, "time": now, "price": f"{price:.8f}", "amount": amount, "type": side}
            deal += 1
            other = {**one, "id": deal, "amount": f"{randomness.expovariate(1):.8f}"}
            params = [market, [one, other][: randomness.randrange(1, 3)]]
        elif kind == "depth":
            levels = [
                [f"{price * randomness.gauss(1, 0.001):.8f}", f"{randomness.expovariate(0.1):.6f}"]
                for _ in range(randomness.randrange(1, 7))
            ]
            cut = randomness.randrange(len(levels) + 1)
            params = [False, {"asks": levels[:cut], "bids": levels[cut:]}, market]
        else:
            params = [market, f"{price:.8f}"]
        text = json.dumps({"method": f"{kind}.update", "params": params, "id": None})
        yield f"{kind}:{market}", text.encode()


@contextmanager
def timed(results: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    results[name] = time.perf_counter() - start


def new_messages(traffic: list[tuple[str, bytes, Decoded]]) -> Iterator[NewMessage]:
    for seq, (stream, wire, decoded) in enumerate(traffic):
        opcode = Opcode.TEXT if decoded.payload is wire else Opcode.BINARY
        method = stream.partition(":")[0] + ".update"
        yield NewMessage(seq, False, opcode, seq * 5000 + 1, wire, decoded, Role.PUSH, method, None, stream)


def write(path: Path, traffic: list[tuple[str, bytes, Decoded]], results: dict[str, float]) -> None:
    """Record as fast as it goes: adding and committing first, then settling what was left for later."""
    with StoreWriter(str(path), clock_us=lambda: time.time_ns() // 1000) as writer:
        spec = UpstreamSpec("hotbit", "hotbit", "wss://ws.hotbit.example", "127.0.0.1:8081")
        upstream = writer.begin_recording("benchmark", [spec]).upstreams[0]
        session = writer.begin_session(upstream.id, time.time_ns() // 1000, Handshake("/", ()))
        with timed(results, "hot"):
            for message in new_messages(traffic):
                writer.add(session, message)
                if message.seq % 64 == 0:
                    writer.commit_if_due()
            writer.commit()
        with timed(results, "settle"):
            writer.end_session(session, time.time_ns() // 1000, End(EndKind.EOF))
            writer.commit()
            while writer.settle():
                pass


def read(path: Path, traffic: list[tuple[str, bytes, Decoded]], results: dict[str, float]) -> None:
    with StoreReader(str(path)) as reader:
        with timed(results, "open"):
            next(reader.messages("s1", len(traffic) - 1))
        with timed(results, "read"):
            for _ in reader.messages("s1"):
                pass
        randomness = random.Random(SEED)
        places = [randomness.randrange(len(traffic)) for _ in range(1000)]
        with timed(results, "random"):
            for seq in places:
                reader.message("s1", seq)
        for message, (_, wire, _) in zip(reader.messages("s1"), traffic, strict=True):
            if message.wire != wire:
                raise SystemExit(f"message {message.seq} came back changed")


def mitmproxy_bytes(path: Path, traffic: list[tuple[str, bytes, Decoded]]) -> int:
    """Write the same traffic as `mitmdump -w` would."""
    from mitmproxy import io, websocket
    from mitmproxy.test import tflow
    from wsproto.frame_protocol import Opcode as WsprotoOpcode

    flow = tflow.twebsocketflow(messages=False)
    if flow.websocket is None:
        raise SystemExit("mitmproxy made a flow without a websocket")
    flow.websocket.messages = []
    for seq, (_, wire, decoded) in enumerate(traffic):
        kind = WsprotoOpcode.TEXT if decoded.payload is wire else WsprotoOpcode.BINARY
        flow.websocket.messages.append(
            websocket.WebSocketMessage(kind, False, wire, 1_564_617_600 + seq * 0.005)
        )
    with path.open("wb") as file:
        io.FlowWriter(file).add(flow)
    return path.stat().st_size


def room(path: Path) -> dict[str, int]:
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("select name, sum(pgsize) from dbstat group by name order by 2 desc")
        return dict(rows.fetchall())
    except sqlite3.OperationalError:
        return {}  # SQLite was built without dbstat.
    finally:
        connection.close()


def report(name: str, value: str, target: str = "", *, met: bool = True) -> bool:
    print(f"{name:<46}{value:>16}   {target + (' met' if met else ' MISSED') if target else ''}")
    return met


def main(count: int, pack: Callable[[bytes], bytes]) -> bool:
    traffic = [(stream, wire, decode(wire)) for stream, text in pushes(count) for wire in (pack(text),)]
    payload = sum(len(decoded.payload) for _, _, decoded in traffic)
    on_wire = sum(len(wire) for _, wire, _ in traffic)
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        write(path, traffic, results)
        read(path, traffic, results)
        size, tables = path.stat().st_size, room(path)
        flows = mitmproxy_bytes(Path(folder) / "flows", traffic)
    both = results["hot"] + results["settle"]
    report("pushes", f"{count:,}")
    report("JSON, bytes a push", f"{payload / count:.1f}")
    report("wire, bytes a push", f"{on_wire / count:.1f}")
    for table, used in list(tables.items())[:3]:
        report(f"  {table}, bytes a push", f"{used / count:.1f}")
    met = [
        report(
            "store, bytes a push",
            f"{size / count:.1f}",
            f"<= {BYTES_A_PUSH}",
            met=size / count <= BYTES_A_PUSH,
        ),
        report("mitmproxy's flow file, bytes a push", f"{flows / count:.1f}"),
        report(
            "store / flow file",
            f"{size / flows:.2f}",
            f"<= {MITMPROXY_SHARE}",
            met=size / flows <= MITMPROXY_SHARE,
        ),
        report(
            "written durably (hot), pushes/s",
            f"{count / results['hot']:,.0f}",
            ">= 100,000",
            met=count / results["hot"] >= 100_000,
        ),
        report("written, proven and settled, pushes/s", f"{count / both:,.0f}"),
        report("read in order, messages/s", f"{count / results['read']:,.0f}"),
        report(
            "read in order, payload bytes/s",
            f"{payload / results['read']:,.0f}",
            f">= {READ_BYTES_PER_S:,}",
            met=payload / results["read"] >= READ_BYTES_PER_S,
        ),
        report("one message at random, us", f"{results['random'] * 1000:.0f}"),
        report("last message of the session, cold, ms", f"{results['open'] * 1000:.1f}"),
    ]
    return all(met)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pushes", type=int, default=100_000)
    parser.add_argument("--text", action="store_true", help="plain JSON on the wire")
    options = parser.parse_args()
    as_it_is: Callable[[bytes], bytes] = bytes
    packer = as_it_is if options.text else lambda text: gzip.compress(text, 6, mtime=0)
    raise SystemExit(0 if main(options.pushes, packer) else 1)
