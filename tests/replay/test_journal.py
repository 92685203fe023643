"""What the journal and the verdict tell, word for word."""

import errno
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from replay_builders import Stage, a_script, a_session
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from wiretape_replay import Entry, EntryKind, Findings, Journal, Verdict
from wiretape_store import StoreWriter, UpstreamSpec
from wiretape_store.records import End, EndKind, Handshake

RECORDED = (
    "< push hi",
    "> call 1 price BTC",
    "< answer 1 10",
    "< push a",
    "< push b",
    "> order 2 buy",
    "< answer 2 ok",
)


def test_a_run_is_told_in_order_and_pushes_by_the_run() -> None:
    stage = Stage(a_script(*RECORDED, session=a_session(end=End(EndKind.EOF, from_client=False))))
    stage.open()
    stage.say("call 1 price ETH", "call 1 price BTC", "call 3 price BTC", "order 2 buy", "order 2 buy")
    told = [
        {
            name: value
            for name, value in json.loads(entry.to_json()).items()
            if name not in ("number", "upstream", "connection", "session", "at_us")
        }
        for entry in stage.journal.entries
    ]
    assert told == [
        {"kind": "opened", "detail": "recorded as connection 1"},
        {"kind": "pushed", "seq": 0, "last_seq": 0, "pushes": 1},
        {
            "kind": "missed",
            "seq": 1,
            "method": "call price",
            "detail": "nearest is message 1: recorded call price BTC, sent call price ETH",
            "payload": "call 1 price ETH",
            "why": "different",
            "nearest": "call 1 price BTC",
            "differs": [{"pointer": "", "recorded": "call 1 price BTC", "sent": "call 1 price ETH"}],
        },
        {"kind": "matched", "seq": 1, "method": "call price", "payload": "call 1 price BTC"},
        {"kind": "pushed", "seq": 2, "last_seq": 4, "pushes": 2},
        {"kind": "repeated", "seq": 1, "method": "call price", "payload": "call 3 price BTC"},
        {"kind": "matched", "seq": 5, "method": "order buy", "payload": "order 2 buy"},
        {"kind": "ended", "detail": "the upstream ended TCP, as recorded"},
    ]


@pytest.mark.parametrize(
    ("recorded", "said", "why"),
    [
        pytest.param(
            ("> order 1 buy",),
            ("order 1 buy", "order 2 buy"),
            "nearest is message 0: used up: it was recorded once",
            id="used up",
        ),
        pytest.param(
            ("> order 1 buy", "> order 2 buy"),
            ("order 1 buy", "order 2 buy", "order 3 buy"),
            "nearest is message 1: used up: it was recorded 2 times",
            id="used up twice",
        ),
        pytest.param(
            ("> call 1 price BTC spot", "> call 2 price ETH spot"),
            ("call 1 price ETH margin",),
            "nearest is message 1: recorded call price ETH spot, sent call price ETH margin",
            id="different in a parameter",
        ),
        pytest.param(
            ("> beat 1", "> call 2 price BTC"),
            ("call 1 depth",),
            "nearest is message 1: the method: recorded call price, sent call depth",
            id="different in the method",
        ),
        pytest.param((), ("call 1 x",), "nothing is left in the recording to answer it", id="nothing left"),
    ],
)
def test_a_miss_names_the_nearest_message_and_what_differs(
    recorded: tuple[str, ...], said: tuple[str, ...], why: str
) -> None:
    stage = Stage(a_script(*recorded))
    stage.open()
    stage.say(*said)
    assert stage.journal.entries[-1].detail == why
    assert stage.session.verdict().misses.named == [f"s1: {said[-1]} ({why})"]


def test_a_verdict_has_a_line_for_each_finding() -> None:
    stage = Stage(a_script("> range 1 10 20", "< answer 1 x", "> call 2 a", "> beat 3", "< push p"))
    stage.open()
    stage.say("range 5 20 30", "sub 6 none")
    stage.wait(60_000_000)
    verdict = stage.session.verdict()
    assert not verdict.ok
    assert verdict.lines() == [
        "missed: s1: sub 6 none (nearest is message 2: the method: recorded call a, sent sub none)",
        "unused: s1 message 2: call 2 a",
        "stalled: s1 message 4 waits for message 2: call 2 a",
        "relaxed: s1 message 0 matched without start and end: range 5 20 30",
    ]


@pytest.mark.parametrize("kind", ["misses", "unused", "stalls", "relaxed"])
def test_any_finding_spoils_the_verdict(kind: str) -> None:
    assert Verdict().ok
    assert not Verdict(**{kind: Findings(1, ["x"])}).ok


def test_findings_beyond_a_hundred_are_counted_only() -> None:
    verdict = Verdict()
    for number in range(250):
        verdict.misses.add(str(number))
    lines = verdict.lines()
    assert (len(lines), lines[-2:]) == (101, ["missed: 99", "missed: and 150 more"])


def test_every_entry_has_its_number_upstream_and_connection() -> None:
    stage = Stage(a_script("> call 1 x"))
    stage.open()
    stage.say("call 1 x")
    assert [(entry.number, entry.upstream, entry.connection) for entry in stage.journal.entries] == [
        (1, "up", 1),
        (2, "up", 1),
    ]


def test_who_listens_hears_of_each_entry_until_it_is_forgotten() -> None:
    journal = Journal()
    heard: list[int] = []

    def listener(entry: Entry) -> None:
        heard.append(entry.number)

    journal.listen(listener)
    journal.add(Entry(EntryKind.MATCHED, "s1", 0))
    journal.add(Entry(EntryKind.MATCHED, "s1", 0))
    journal.forget(listener)
    journal.add(Entry(EntryKind.MATCHED, "s1", 0))
    assert heard == [1, 2]


def test_a_journal_writes_everything_and_keeps_the_last() -> None:
    written: list[str] = []
    journal = Journal(written.append, kept=2)
    for seq in range(3):
        journal.add(Entry(EntryKind.MATCHED, "s1", seq, seq=seq))
    assert [entry.seq for entry in journal.entries] == [1, 2]
    assert written[0] == ('{"number": 1, "kind": "matched", "session": "s1", "at_us": 0, "seq": 0}\n')
    assert len(written) == 3


def test_a_long_payload_is_shown_by_its_beginning() -> None:
    stage = Stage(a_script("> call 1 " + "x" * 500))
    stage.open()
    stage.say("call 1 " + "x" * 500)
    payload = stage.journal.entries[-1].payload
    assert (len(payload), payload[-2:]) == (161, "x…")


def test_a_sink_that_fails_is_dropped_and_told_once() -> None:
    written: list[str] = []
    told: list[OSError] = []

    def sink(line: str) -> None:
        if len(written) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(line)

    journal = Journal(sink, told.append)
    for seq in range(4):
        journal.add(Entry(EntryKind.MATCHED, "s1", seq, seq=seq))
    journal.fail(OSError(errno.EIO, "at the end"))
    assert (len(written), len(journal.entries), len(told)) == (1, 4, 1)
    assert journal.failure is told[0]
    assert journal.failure.errno == errno.ENOSPC


def test_a_replay_whose_journal_cannot_be_written_goes_on_and_ends_with_1(tmp_path: Path) -> None:
    store = str(tmp_path / "s.db")
    with StoreWriter(store, clock_us=lambda: 0) as writer:
        upstream = UpstreamSpec("up", "opaque", "ws://up.example", "127.0.0.1:0")
        begun = writer.begin_recording("fixture", [upstream])
        session = writer.begin_session(begun.upstreams[0].id, 0, Handshake("/", (), 101))
        writer.end_session(session, 10, End(EndKind.CLOSED, from_client=True, code=1000))
    process = subprocess.Popen(
        [
            sys.executable, "-m", "wiretape", "replay", "fixture", "--store", store, "--strict",
            "--journal", "/dev/full",
        ],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    url = process.stderr.readline().split()[-1]
    assert "Ctrl-C ends it" in process.stderr.readline()
    with connect(url) as client:
        client.ping()
    with pytest.raises(InvalidStatus, match="503"):
        connect(url)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said.splitlines()[0] == (
        "wiretape: cannot write the journal /dev/full (No space left on device); the replay goes on without it"
    )
    assert said.count("/dev/full") == 1
    assert "Traceback" not in said
