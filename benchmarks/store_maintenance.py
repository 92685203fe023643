"""
What the samples of traffic take in a store, settled and compacted, beside mitmproxy's own flow file.

    python benchmarks/store_maintenance.py [--messages 50000] [--busy]

Every message is compared before and after. With `--busy`, how long the commits of a recorder take while
another process compacts, and while one prunes.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sample_traffic import SAMPLES, Sample, sample

from wiretape_protocols import CodecKind, Decoded, Opcode, Role, decode
from wiretape_store import End, EndKind, Handshake, NewMessage, StoreReader, StoreWriter, UpstreamSpec
from wiretape_store.upkeep.compacting import Compactor

MITMPROXY_SHARE = 0.40
SPEC = UpstreamSpec("sample", "json", "ws://sample.example", "127.0.0.1:8081")


def new_message(seq: int, one: Sample, decoded: Decoded) -> NewMessage:
    from_client, wire, role, method, stream = one
    opcode = Opcode.TEXT if decoded.codec.kind is CodecKind.IDENTITY else Opcode.BINARY
    answers = seq - 1 if role is Role.ANSWER else None
    return NewMessage(seq, from_client, opcode, seq * 5000 + 1, wire, decoded, role, method, answers, stream)


def record(path: Path, name: str, traffic: list[Sample]) -> None:
    """Record one session and let it settle, as `wiretape record` does."""
    with StoreWriter(str(path), clock_us=lambda: time.time_ns() // 1000, synchronous="OFF") as writer:
        upstream = writer.begin_recording(name, [SPEC]).upstreams[0]
        session = writer.begin_session(upstream.id, time.time_ns() // 1000, Handshake("/", ()))
        for seq, one in enumerate(traffic):
            writer.add(session, new_message(seq, one, decode(one[1])))
            if seq % 500 == 499:
                writer.commit()
        writer.end_session(session, time.time_ns() // 1000, End(EndKind.EOF))
        writer.commit()
        while writer.settle():
            pass


def check(path: Path, traffic: list[Sample]) -> float:
    """Compare every message with what was recorded; return the slowest of some single reads, in ms."""
    with StoreReader(str(path)) as reader:
        for message, one in zip(reader.messages("s1"), traffic, strict=True):
            if message.wire != one[1]:
                raise SystemExit(f"message {message.seq} came back changed")
        took = []
        for seq in range(0, len(traffic), len(traffic) // 200):
            start = time.perf_counter()
            reader.message("s1", seq)
            took.append(time.perf_counter() - start)
    return sorted(took)[len(took) // 2] * 1000


def flow_bytes(path: Path, traffic: list[Sample]) -> int:
    """Write the same traffic as `mitmdump -w` would."""
    from mitmproxy import io, websocket
    from mitmproxy.test import tflow
    from wsproto.frame_protocol import Opcode as WsprotoOpcode

    flow = tflow.twebsocketflow(messages=False)
    if flow.websocket is None:
        raise SystemExit("mitmproxy made a flow without a websocket")
    flow.websocket.messages = []
    for seq, (from_client, wire, *_) in enumerate(traffic):
        kind = WsprotoOpcode.TEXT if decode(wire).payload is wire else WsprotoOpcode.BINARY
        at = 1_564_617_600 + seq * 0.005
        flow.websocket.messages.append(websocket.WebSocketMessage(kind, from_client, wire, at))
    with path.open("wb") as file:
        io.FlowWriter(file).add(flow)
    return path.stat().st_size


def density(folder: Path, name: str, count: int) -> bool:
    traffic = sample(name, count)
    wire = sum(len(one[1]) for one in traffic)
    path = folder / "sample.db"
    path.unlink(missing_ok=True)
    record(path, name, traffic)
    settled, one_settled = path.stat().st_size, check(path, traffic)
    start = time.perf_counter()
    with Compactor(str(path)) as compactor:
        done = compactor.run()
    took = time.perf_counter() - start
    compacted, one_compacted = path.stat().st_size, check(path, traffic)
    if not done.finished or done.damaged:
        raise SystemExit("it was not compacted")
    flows = flow_bytes(folder / "flows", traffic)
    met = settled <= MITMPROXY_SHARE * flows and settled <= wire
    print(
        f"| {name} | {wire / count:.1f} | {flows / count:.1f} | {settled / count:.1f} | {compacted / count:.1f} "
        f"| {settled / flows:.2f} | {compacted / flows:.2f} | {settled / wire:.2f} | {compacted / wire:.2f} "
        f"| {one_settled:.2f} | {one_compacted:.2f} | {count / took:,.0f} |{'' if met else ' MISSED'}",
        flush=True,
    )
    return met


def densities(folder: Path, count: int) -> bool:
    print(
        "| sample | wire | flow file | settled | compacted | settled / flows | compacted / flows | settled / wire "
        "| compacted / wire | one read, ms | the same, compacted | compacted, messages/s |"
    )
    print("|---" * 12 + "|")
    met = [density(folder, name, count) for name in SAMPLES]  # Each, also after one that missed.
    return all(met)


def busy(folder: Path, count: int) -> None:
    """Commit 50 messages at a time while another process is at work on the same store."""
    path = folder / "busy.db"
    for name in ("old", "older"):
        record(path, name, sample("exchange pushes, gzip", count))
    for command in (["compact", "old"], ["prune", "--recording", "old", "--recording", "older"]):
        arguments = [sys.executable, "-m", "wiretape", *command, "--store", str(path)]
        commits(path, f"beside {command[0]}", arguments)
    commits(path, "alone", [sys.executable, "-c", "import time; time.sleep(3)"])


def commits(path: Path, name: str, arguments: list[str]) -> None:
    traffic = sample("exchange pushes, gzip", 50)
    took = []
    with StoreWriter(str(path), clock_us=lambda: time.time_ns() // 1000) as writer:
        upstream = writer.begin_recording(name, [SPEC]).upstreams[0]
        session = writer.begin_session(upstream.id, time.time_ns() // 1000, Handshake("/", ()))
        with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as other:
            seq, start = 0, time.perf_counter()
            while other.poll() is None:
                for one in traffic:
                    writer.add(session, new_message(seq, one, decode(one[1])))
                    seq += 1
                before = time.perf_counter()
                writer.commit()
                took.append((time.perf_counter() - before) * 1000)
            total = time.perf_counter() - start
    took.sort()
    print(
        f"| {name} | {len(took)} in {total:.1f} s | {took[len(took) // 2]:.1f} | {took[len(took) * 99 // 100]:.1f} "
        f"| {took[-1]:.1f} |",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--busy", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if options.busy:
            print("| commits of 50 messages | how many | median, ms | 99th percentile | longest |")
            print("|---" * 5 + "|")
            busy(Path(name), options.messages)
        elif not densities(Path(name), options.messages):
            raise SystemExit(1)
