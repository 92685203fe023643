"""
A store in PostgreSQL beside the same store in SQLite: room, log, write and read rates, in one run.

    PYTHONPATH=protocols:store:tests/store python benchmarks/postgres_store.py [--pushes 100000] [--text]

The server is a private one with its defaults (fsync, full_page_writes and autovacuum on), reached
through loopback; the traffic is that of store_layout.py.
"""

import argparse
import gzip
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "store"))

from postgres_cluster import Cluster, find_programs, free_port
from store_layout import SEED, new_messages, pushes, timed

from wiretape_protocols import Decoded, decode
from wiretape_store import End, EndKind, Handshake, StoreReader, StoreWriter, UpstreamSpec
from wiretape_store.copying.copy import RecordingCopier

Traffic = list[tuple[str, bytes, Decoded]]


def measure(url: str, traffic: Traffic) -> dict[str, float]:
    """Write, settle and read, as store_layout.py does."""
    took: dict[str, float] = {}
    with StoreWriter(url, clock_us=lambda: time.time_ns() // 1000) as writer:
        spec = UpstreamSpec("hotbit", "hotbit", "wss://ws.hotbit.example", "127.0.0.1:8081")
        upstream = writer.begin_recording("benchmark", [spec]).upstreams[0]
        session = writer.begin_session(upstream.id, time.time_ns() // 1000, Handshake("/", ()))
        with timed(took, "hot"):
            for message in new_messages(traffic):
                writer.add(session, message)
                if message.seq % 64 == 0:
                    writer.commit_if_due()
            writer.commit()
        with timed(took, "settle"):
            writer.end_session(session, time.time_ns() // 1000, End(EndKind.EOF))
            writer.commit()
            while writer.settle():
                pass
    with StoreReader(url) as reader:
        with timed(took, "read"):
            count = sum(1 for _ in reader.messages("s1"))
        with timed(took, "payloads"):
            sum(1 for _ in reader.payloads("s1"))
        randomness = random.Random(SEED)
        places = [randomness.randrange(len(traffic)) for _ in range(500)]
        with timed(took, "random"):
            for seq in places:
                reader.message("s1", seq)
    if count != len(traffic):
        raise SystemExit(f"{count} messages came back, not {len(traffic)}")
    return took


def one_by_one(url: str, traffic: Traffic) -> float:
    """How long a commit of one message takes, in seconds."""
    with StoreWriter(url, clock_us=lambda: time.time_ns() // 1000) as writer:
        spec = UpstreamSpec("hotbit", "hotbit", "wss://ws.hotbit.example", "127.0.0.1:8081")
        upstream = writer.begin_recording("single", [spec]).upstreams[0]
        session = writer.begin_session(upstream.id, 0, Handshake("/", ()))
        start = time.perf_counter()
        for message in new_messages(traffic[:200]):
            writer.add(session, message)
            writer.commit()
        return (time.perf_counter() - start) / 200


def copied_in_s(source: str, target: str) -> float:
    start = time.perf_counter()
    with RecordingCopier(source, target) as copier:
        copier.copy("benchmark")
    return time.perf_counter() - start


def room(cluster: Cluster, database: str) -> dict[str, int]:
    """Bytes on the server's disk, after VACUUM: tables with what is stored aside of them, and indexes."""
    cluster.execute(database, "vacuum full")
    rows = cluster.execute(
        database,
        "select relname, pg_table_size(oid), pg_indexes_size(oid) from pg_class"
        " where relkind = 'r' and relnamespace = 'public'::regnamespace",
    )
    held = {"all": sum(int(str(row[1])) + int(str(row[2])) for row in rows)}
    for name, table, index in rows:
        if name in {"message", "chunk"}:
            held[f"{name} rows"], held[f"{name} indexes"] = int(str(table)), int(str(index))
    return held


def wal_bytes(cluster: Cluster) -> int:
    return int(str(cluster.execute("postgres", "select pg_current_wal_lsn() - '0/0'::pg_lsn")[0][0]))


def say(name: str, sqlite: float, postgres: float, form: str = ",.0f") -> None:
    print(f"{name:<44} {sqlite:>14{form}} {postgres:>14{form}} {postgres / sqlite if sqlite else 0:>8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pushes", type=int, default=100_000)
    parser.add_argument("--text", action="store_true")
    options = parser.parse_args()
    programs = find_programs()
    if programs is None:
        print("PostgreSQL's server is not installed: nothing is measured")
        return
    pack: Callable[[bytes], bytes] = (
        (lambda text: text) if options.text else lambda text: gzip.compress(text, 6, mtime=0)
    )
    wires = [(stream, pack(text)) for stream, text in pushes(options.pushes)]
    traffic = [(stream, wire, decode(wire)) for stream, wire in wires]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "pg").mkdir()
        cluster = Cluster(programs, folder / "pg", free_port(), is_durable=True)
        cluster.create()
        cluster.start()
        try:
            compare(cluster, folder / "a.db", traffic)
        finally:
            cluster.stop()


def compare(cluster: Cluster, path: Path, traffic: Traffic) -> None:
    count = len(traffic)
    sqlite = measure(str(path), traffic)
    url = cluster.new_database()
    database = url.rpartition("/")[2]
    before = wal_bytes(cluster)
    postgres = measure(url, traffic)
    logged = wal_bytes(cluster) - before
    singles = (
        one_by_one(str(path.with_name("single.db")), traffic),
        one_by_one(cluster.new_database(), traffic),
    )
    there = copied_in_s(str(path), cluster.new_database())
    back = copied_in_s(url, str(path.with_name("back.db")))
    held = room(cluster, database)
    print(f"{count} pushes, {sum(len(wire) for _, wire, _ in traffic) / count:.0f} bytes each on the wire\n")
    print(f"{'':<44} {'SQLite':>14} {'PostgreSQL':>14} {'ratio':>8}")
    say("room, bytes a push", path.stat().st_size / count, held["all"] / count, ",.1f")
    say("written durably (hot), pushes/s", count / sqlite["hot"], count / postgres["hot"])
    both = [count / (took["hot"] + took["settle"]) for took in (sqlite, postgres)]
    say("written, proven and settled, pushes/s", both[0], both[1])
    say("read in order, messages/s", count / sqlite["read"], count / postgres["read"])
    say("read in order, payloads/s", count / sqlite["payloads"], count / postgres["payloads"])
    say("one message at random, us", sqlite["random"] * 2000, postgres["random"] * 2000)
    say("a commit of one message, us", singles[0] * 1e6, singles[1] * 1e6)
    say("copied from the other, messages/s", count / back, count / there)
    print(f"\nin PostgreSQL, bytes a push: write-ahead log {logged / count:.1f}", end="")
    for part in ("message rows", "message indexes", "chunk rows", "chunk indexes"):
        print(f", {part} {held[part] / count:.1f}", end="")
    print()


if __name__ == "__main__":
    main()
