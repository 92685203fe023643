"""
Looking things up in a store of 1,000,000 messages: `wiretape grep` and `wiretape sql`, beside other ways.

    python benchmarks/store_queries.py [--messages 1000000] [--runs 3] [--keep FOLDER] [--mitmdump]

One session, eight pushes of `store_layout`'s exchange to a call and its answer, plain JSON on the wire
(what is searched is the unpacked payload, so gzip gives the same times once it is settled). The peers
read the same payloads: `zcat FILE | grep` from a gzipped file of JSON lines, and with --mitmdump
`mitmdump -nr FLOWS '~b TEXT'` from a flow file of a tenth of them. Every time is that of whole processes,
from their start: the processor's, which other work on the machine changes least, and the clock's.
"""

import argparse
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from store_layout import mitmproxy_bytes, pushes

from wiretape_protocols import Decoded, Opcode, Role, decode
from wiretape_store import End, EndKind, Handshake, NewMessage, StoreWriter, UpstreamSpec

TARGET_S = 3.0
PUSHES_A_CALL = 8
START_US = 1_564_617_600_000_000
RARE = "880012450"
MITMDUMP_SHARE = 10
"""mitmdump is given the first tenth of the messages, as one flow; it takes a minute for all of them."""


def conversation(count: int) -> Iterator[NewMessage]:
    """Make the session's messages: pushes, and now and then a call that is answered after a few more."""
    source = pushes(count)
    seq, call_id = 0, 0
    asked: list[tuple[int, int, int]] = []
    while seq < count:
        at_us = seq * 1000
        if asked and seq >= asked[0][2]:
            call_seq, answered_id, _ = asked.pop(0)
            text = json.dumps({"error": None, "result": f"{seq * 0.37:.8f}", "id": answered_id})
            yield message(seq, text.encode(), at_us, Role.ANSWER, answers=call_seq)
        elif seq % (PUSHES_A_CALL + 2) == 0:
            call_id += 1
            asked.append((seq, call_id, seq + 2 + call_id * 7919 % 6))
            text = json.dumps({"method": "price.query", "params": ["BTCUSDT"], "id": call_id})
            yield message(seq, text.encode(), at_us, Role.CALL, method="price.query")
        else:
            stream, payload = next(source)
            method = stream.partition(":")[0] + ".update"
            yield message(seq, payload, at_us, Role.PUSH, method=method, stream=stream)
        seq += 1


def message(
    seq: int,
    wire: bytes,
    at_us: int,
    role: Role,
    *,
    method: str = "price.query",
    stream: str = "",
    answers: int | None = None,
) -> NewMessage:
    return NewMessage(
        seq, role is Role.CALL, Opcode.TEXT, at_us, wire, decode(wire), role, method, answers, stream
    )


def build(folder: Path, count: int) -> None:
    """Write the store, settled, and the same payloads as gzipped lines and as mitmproxy's flows."""
    now_us = START_US
    flows: list[tuple[str, bytes, Decoded]] = []
    with (
        StoreWriter(str(folder / "store.db"), clock_us=lambda: now_us, synchronous="OFF") as writer,
        gzip.open(folder / "lines.gz", "wb", 6) as lines,
    ):
        spec = UpstreamSpec("hotbit", "hotbit", "wss://ws.hotbit.example", "127.0.0.1:8081")
        upstream = writer.begin_recording("benchmark", [spec]).upstreams[0]
        session = writer.begin_session(upstream.id, START_US, Handshake("/", ()))
        for new in conversation(count):
            writer.add(session, new)
            lines.write(new.wire + b"\n")
            if new.seq < count // MITMDUMP_SHARE:
                flows.append((new.stream, new.wire, new.decoded))
            if new.seq % 1000 == 999:
                writer.commit()
        writer.end_session(session, START_US + count * 1000, End(EndKind.EOF))
        writer.commit()
        while writer.settle():
            pass
    mitmproxy_bytes(folder / "flows", flows)


def ours(folder: Path) -> dict[str, list[str]]:
    """What is asked, and the command that asks it."""
    store = ["--store", str(folder / "store.db")]
    grep = [sys.executable, "-m", "wiretape", "grep", "-c", *store]
    sql = [sys.executable, "-m", "wiretape", "sql", "--csv", *store]
    return {
        "grep, a rare text": [*grep, "-F", RARE],
        "grep, a text in every fifth message": [*grep, "-F", "BTCUSDT"],
        "grep, a regular expression": [*grep, "BTCUSDT.*buy"],
        "grep, ignoring case": [*grep, "-i", "btcusdt"],
        "grep, a class at every place": [*grep, "[0-9a-f]{12}"],
        "grep, a rare value at a pointer": [*grep, "--pointer", "/params/1/0/id", "--value", RARE],
        "grep, a frequent value at a pointer": [*grep, "--pointer", "/params/0", "--value", "BTCUSDT"],
        "grep, a value of four messages in ten": [*grep, "--pointer", "/method", "--value", "depth.update"],
        "grep, only one method's calls": [*grep, "--method", "price.*", "--from", "client", "BTC"],
        "sql, which calls took longest": [
            *sql, "select message, method, took_ms, payload(answer) from calls order by took_ms desc limit 10",
        ],
        "sql, messages by method": [*sql, "select method, count(*), sum(wire_bytes) from messages group by method"],
        "sql, a value of every push": [*sql, "select count(*) from pushes where json(message, '/params/0') = 'BTCUSDT'"],
    }  # fmt: skip


def peers(folder: Path, *, with_mitmdump: bool) -> dict[str, list[str]]:
    """Other ways to ask the same; the keys name what of ours they stand beside."""
    found = {
        "grep, a rare text": ["sh", "-c", f"zcat {folder}/lines.gz | grep -cF {RARE}"],
        "grep, a regular expression": ["sh", "-c", f"zcat {folder}/lines.gz | grep -c 'BTCUSDT.*buy'"],
        "grep, a class at every place": ["sh", "-c", f"zcat {folder}/lines.gz | grep -cE '[0-9a-f]{{12}}'"],
    }
    if with_mitmdump:
        program = str(Path(sys.executable).parent / "mitmdump")
        found["grep, a rare value at a pointer"] = [program, "-q", "-nr", f"{folder}/flows", f"~b {RARE}"]
    return found


def measured(command: list[str], runs: int) -> tuple[float, float, float]:
    """Processor seconds of the best and of the middle of some runs, and the clock's seconds of the best."""
    used, elapsed = [], []
    for _ in range(runs):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(command, capture_output=True, check=False)
        elapsed.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
        if done.returncode not in {0, 1} or done.stderr:
            raise SystemExit(f"{command} failed: {done.stderr.decode()}")
    return min(used), sorted(used)[len(used) // 2], min(elapsed)


def main(folder: Path, count: int, runs: int, *, with_mitmdump: bool) -> bool:
    if not (folder / "store.db").exists():
        build(folder, count)
    print(f"{count:,} messages, seconds of whole processes, best of {runs} runs, in brackets the middle one")
    print(f"{'':<40}{'processor':>17}{'clock':>8}")
    beside = peers(folder, with_mitmdump=with_mitmdump)
    met = True
    for name, command in ours(folder).items():
        best, middle, elapsed = measured(command, runs)
        is_met = not name.startswith("grep") or middle <= TARGET_S * count / 1_000_000
        met = met and is_met
        print(
            f"{name:<40}{best:>8.2f} ({middle:6.2f}){elapsed:>8.2f}{'' if is_met else '   MISSED'}",
            flush=True,
        )
        if name in beside:
            best, middle, elapsed = measured(beside[name], runs)
            words = beside[name][-1] if beside[name][0] == "sh" else "mitmdump, a tenth of them"
            print(f"  {words.rpartition('/')[2]:<38}{best:>8.2f} ({middle:6.2f}){elapsed:>8.2f}", flush=True)
    return met


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="where to leave the store for the next run")
    parser.add_argument("--mitmdump", action="store_true", help="beside mitmdump, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        at = options.keep or Path(temporary)
        at.mkdir(exist_ok=True)
        is_met = main(at, options.messages, options.runs, with_mitmdump=options.mitmdump)
    raise SystemExit(0 if is_met else 1)
