"""A recorder, three readers, a compaction and a prune at once: nothing is lost, and nothing is torn."""

import subprocess
import sys
from pathlib import Path

import pytest
from store_builders import HANDSHAKE, HOTBIT, START_US, a_message, a_writer, packed, query, read

from wiretape_store import End, EndKind, StoreReader
from wiretape_store.upkeep.compacting import Compactor

KEPT, GONE, MESSAGES = 3, 3, 2000
PATIENCE_S = 100

RECORDER = """
import gzip, select, sys, time
from wiretape_protocols import Opcode, Role, decode
from wiretape_store import End, EndKind, Handshake, NewMessage, StoreWriter, UpstreamSpec

with StoreWriter(sys.argv[1], clock_us=lambda: time.time_ns() // 1000, commit_interval_us=20_000) as writer:
    upstream = writer.begin_recording("running", [UpstreamSpec("u", "hotbit", "ws://u", "h:1")]).upstreams[0]
    session = writer.begin_session(upstream.id, 0, Handshake("/", ()))
    seq = 0
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0.005)[0]:
        for _ in range(40):
            wire = gzip.compress(b'{"n": %d}' % seq, mtime=0)
            writer.add(session, NewMessage(seq, False, Opcode.BINARY, seq, wire, decode(wire), Role.PUSH, "a.b", None, "s"))
            seq += 1
        writer.commit_if_due()
    writer.end_session(session, time.time_ns() // 1000, End(EndKind.EOF))
print(seq, flush=True)
"""
READER = """
import select, sys
from wiretape_store import StoreError, StoreReader

expected = [b'{"n": %d}' % seq for seq in range(int(sys.argv[2]))]
pruned = whole = 0
with StoreReader(sys.argv[1]) as reader:
    print("ready", flush=True)
    while True:
        for session in reader.sessions():
            got = []
            try:
                got = [message.payload for message in reader.messages(session.id)]
            except StoreError as error:
                assert session.recording.startswith("gone"), error
                pruned += 1
                continue
            if session.recording == "running":
                assert got == [b'{"n": %d}' % seq for seq in range(len(got))], "torn"
            else:
                assert got == expected, (session, len(got))
            whole += 1
        if select.select([sys.stdin], [], [], 0)[0]:
            break
print(pruned, whole, flush=True)
"""
UPKEEP = """
import sys
from wiretape_store.upkeep.compacting import Compactor
from wiretape_store.upkeep.pruning import Pruner, PruneRules

print("ready", flush=True)
sys.stdin.readline()
if sys.argv[2] == "compact":
    with Compactor(sys.argv[1]) as compactor:
        done = compactor.run()
        assert not done.damaged
else:
    with Pruner(sys.argv[1], now_us=0) as pruner:
        done = pruner.run(PruneRules(recordings=("gone0", "gone1", "gone2")))
        assert len(done.removed) == 3
assert done.finished
print("done", flush=True)
"""


def start(program: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def say(process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def hear(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def old_recordings(path: Path) -> None:
    for name in [f"kept{number}" for number in range(KEPT)] + [f"gone{number}" for number in range(GONE)]:
        with a_writer(path) as writer:
            upstream = writer.begin_recording(name, [HOTBIT]).upstreams[0]
            session = writer.begin_session(upstream.id, START_US, HANDSHAKE)
            for seq in range(MESSAGES):
                writer.add(session, a_message(seq, packed_number(seq)))
            writer.end_session(session, START_US, End(EndKind.EOF))


def packed_number(seq: int) -> bytes:
    return packed(b'{"n": %d}' % seq)["gzip"] if seq % 3 else b'{"n": %d}' % seq


def test_a_recorder_three_readers_a_compaction_and_a_prune_at_once(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    old_recordings(path)
    recorder = start(RECORDER, str(path))
    readers = [start(READER, str(path), str(MESSAGES)) for _ in range(3)]
    upkeep = [start(UPKEEP, str(path), what) for what in ("compact", "prune")]
    everybody = [recorder, *readers, *upkeep]
    try:
        assert {hear(process) for process in everybody} == {"ready"}
        for process in upkeep:
            say(process, "go")
        # The others go on for as long as there is upkeep.
        for process in upkeep:
            process.wait(PATIENCE_S)
        for process in (recorder, *readers):
            say(process, "stop")
        said = [process.communicate(timeout=PATIENCE_S)[0].strip() for process in everybody]
    finally:
        for process in everybody:
            process.kill()
            process.wait()
    assert [process.returncode for process in everybody] == [0] * 6
    assert said[4:] == ["done", "done"]
    recorded = int(said[0])
    assert recorded > 0
    assert all(int(line.split()[1]) >= KEPT for line in said[1:4])
    with StoreReader(str(path)) as reader:
        assert [one.name for one in reader.recordings()] == ["kept0", "kept1", "kept2", "running"]
        (running,) = reader.sessions("running")
        assert running.messages_from_upstream == recorded
    assert [m.payload for m in read(path, running.id)] == [b'{"n": %d}' % seq for seq in range(recorded)]
    for session in ("s1", "s2", "s3"):
        assert [message.wire for message in read(path, session)] == list(map(packed_number, range(MESSAGES)))
    assert query(path, "pragma integrity_check") == [("ok",)]
    assert query(path, "pragma foreign_key_check") == []


@pytest.mark.parametrize("writers", [2])
def test_two_compactions_at_once_do_it_once(tmp_path: Path, writers: int) -> None:
    path = tmp_path / "t.db"
    old_recordings(path)
    both = [start(UPKEEP, str(path), "compact") for _ in range(writers)]
    try:
        assert [hear(process) for process in both] == ["ready"] * writers
        for process in both:
            say(process, "go")
        said = [process.communicate(timeout=PATIENCE_S)[0].strip() for process in both]
    finally:
        for process in both:
            process.kill()
            process.wait()
    assert said == ["done"] * writers
    assert query(path, "select min(settled), sum(count) from chunk") == [(2, (KEPT + GONE) * MESSAGES)]
    with Compactor(str(path)) as compactor:
        assert compactor.run().messages == 0
    for session in range(1, KEPT + GONE + 1):
        assert len(read(path, f"s{session}")) == MESSAGES
