"""A recorder that is killed: what it had committed is there, whole, and nothing is damaged."""

import subprocess
import sys

import pytest
from store_builders import a_writer, begin, query, read

from wiretape_store import End, EndKind, StoreReader

COMMIT_INTERVAL_US = 50_000
RECORDER = """
import gzip, itertools, sys
from wiretape_protocols import Opcode, Role, decode
from wiretape_store import Handshake, NewMessage, StoreWriter, UpstreamSpec

now_us = 0
writer = StoreWriter(sys.argv[1], clock_us=lambda: now_us, commit_interval_us=50_000)
upstream = writer.begin_recording("killed", [UpstreamSpec("u", "hotbit", "ws://u", "h:1")]).upstreams[0]
sessions = [writer.begin_session(upstream.id, 0, Handshake("/", ())) for _ in range(2)]
for seq in itertools.count():
    wire = gzip.compress(b'{"n": %d}' % seq, mtime=0)
    decoded = decode(wire)
    for session in sessions:
        message = NewMessage(seq, False, Opcode.BINARY, now_us, wire, decoded, Role.PUSH, "a.b", None, "s")
        writer.add(session, message)
    now_us += 500
    writer.commit_if_due()
    print(now_us, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 150, 777, 2600])
def test_a_killed_recorder_loses_nothing_older_than_the_commit_interval(store: str, lines: int) -> None:
    path = store
    command = [sys.executable, "-c", RECORDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as recorder:
        assert recorder.stdout is not None
        said = ""
        for _ in range(lines):
            said = recorder.stdout.readline()
        recorder.kill()
    durable = max(0, int(said) - COMMIT_INTERVAL_US) // 500
    with StoreReader(str(path)) as reader:
        for session in reader.sessions("killed"):
            messages = list(reader.messages(session.id))
            assert len(messages) >= durable
            assert [message.payload for message in messages] == [
                b'{"n": %d}' % seq for seq in range(len(messages))
            ]
            assert session.messages_from_upstream == len(messages)
            assert session.end == End(EndKind.INTERRUPTED)
    with a_writer(path) as writer:
        begin(writer, "after")
    if "://" not in path:
        assert query(path, "pragma integrity_check") == [("ok",)]
    assert query(path, "select count(*) from chunk where settled = 0") == [(0,)]
    assert len(read(path)) >= durable
