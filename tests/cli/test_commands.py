"""The commands as a user runs them: what they print, and the one sentence that bad input gets."""

import base64
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from wiretape import __version__
from wiretape.main import COMMANDS, run, wiretape
from wiretape_store import StoreReader

SESSION_MEMBERS = {
    "id", "recording", "upstream", "protocol", "url", "started_at", "ended_at", "messages_from_client",
    "messages_from_upstream", "exchanges", "pushes", "end",
}  # fmt: skip
MESSAGE_MEMBERS = {
    "seq", "from_client", "opcode", "at_us", "codec", "role", "method", "answers", "stream", "payload",
}  # fmt: skip


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run the command line in this process: status, stdout, stderr."""
    status = run(list(arguments))
    out, err = capsys.readouterr()
    return status, out, err


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(wiretape, ["--version"]).output == f"wiretape, version {__version__}\n"


def test_help_lists_every_command() -> None:
    output = CliRunner().invoke(wiretape, ["--help"]).output

    assert [name for name in COMMANDS if f"  {name} " not in output] == []


def test_sessions_prints_a_table(capsys: pytest.CaptureFixture[str], demo_store: Path) -> None:
    status, out, _ = call(capsys, "sessions", "demo", "--store", str(demo_store))

    lines = out.splitlines()
    assert status == 0
    assert lines[0].split() == [
        "session", "recording", "upstream", "path", "started", "sent", "received", "exchanges", "pushes", "wire", "end",
    ]  # fmt: skip
    assert len(lines) == 5
    assert lines[1].endswith("closed 1000 by the client")
    assert lines[2].endswith("eof by the upstream")


def test_sessions_as_json_has_the_members_that_scripts_rely_on(
    capsys: pytest.CaptureFixture[str], demo_store: Path
) -> None:
    _, out, _ = call(capsys, "sessions", "--store", str(demo_store), "--json")

    sessions = json.loads(out)
    assert len(sessions) == 4
    for session in sessions:
        assert set(session) >= SESSION_MEMBERS
        assert set(session["end"]) >= {"kind", "code", "reason"}
    assert sessions[0]["end"] == {"kind": "closed", "code": 1000, "reason": None, "from_client": True}
    assert {session["upstream"] for session in sessions} == {"hotbit", "ontology"}


def test_show_as_json_has_the_members_that_scripts_rely_on(
    capsys: pytest.CaptureFixture[str], demo_store: Path
) -> None:
    _, out, _ = call(capsys, "show", "s1", "--store", str(demo_store), "--json")

    messages = [json.loads(line) for line in out.splitlines()]
    assert [message["seq"] for message in messages] == list(range(len(messages)))
    assert all(set(message) == MESSAGE_MEMBERS for message in messages)
    assert messages[0]["payload"] == '{"method": "server.ping", "params": [], "id": 0}'
    assert (messages[1]["role"], messages[1]["answers"], messages[1]["codec"]) == ("background", 0, "gzip")


def test_show_raw_adds_the_exact_bytes(capsys: pytest.CaptureFixture[str], demo_store: Path) -> None:
    _, out, _ = call(capsys, "show", "s1", "--store", str(demo_store), "--raw")

    with StoreReader(str(demo_store)) as reader:
        wires = [message.wire for message in reader.messages("s1")]
    shown = [base64.b64decode(json.loads(line)["wire_base64"]) for line in out.splitlines()]
    assert shown == wires
    assert shown[1][:2] == b"\x1f\x8b"


def test_show_prints_events_between_the_messages(
    capsys: pytest.CaptureFixture[str], demo_store: Path
) -> None:
    _, out, _ = call(capsys, "show", "s1", "--store", str(demo_store))

    lines = out.splitlines()
    assert lines[0].endswith("-> / <- 101")
    assert '-> background {"method": "server.ping"' in lines[1]
    assert "-> (close) 1000" in lines[-3]
    assert "<- (close) 1000" in lines[-2]
    assert lines[-1].strip() == "closed 1000 by the client"


def test_tail_ends_with_the_recording(capsys: pytest.CaptureFixture[str], demo_store: Path) -> None:
    status, out, _ = call(capsys, "tail", "--store", str(demo_store), "--json")

    with StoreReader(str(demo_store)) as reader:
        count = sum(s.messages_from_client + s.messages_from_upstream for s in reader.sessions("demo"))
    messages = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert len(messages) == count
    assert messages[0]["session"] == "s1"


def test_verify_says_that_every_run_gave_the_same(
    capsys: pytest.CaptureFixture[str], demo_store: Path
) -> None:
    status, out, _ = call(capsys, "verify", "demo", "--store", str(demo_store), "--runs", "5", "--json")

    result = json.loads(out)
    assert status == 0
    assert result["ok"]
    assert len(result["digests"]) == 1
    assert result["sessions"] == 4


def test_a_strict_replay_that_nobody_visits_ends_with_3(tmp_path: Path, demo_store: Path) -> None:
    ready = tmp_path / "ready.json"
    process = subprocess.Popen(
        [
            sys.executable, "-m", "wiretape", "replay", "demo", "--store", str(demo_store), "--listen",
            "127.0.0.1:0", "--strict", "--ready-file", str(ready),
        ],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    while "Ctrl-C ends it" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)

    assert process.returncode == 3
    assert said.count("was not opened") == 4


def test_replay_says_where_it_listens_in_its_ready_file(tmp_path: Path, demo_store: Path) -> None:
    ready = tmp_path / "ready.json"
    process = subprocess.Popen(
        [
            sys.executable, "-m", "wiretape", "replay", "demo", "--store", str(demo_store), "--listen",
            "127.0.0.1:0", "--ready-file", str(ready),
        ],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    while "Ctrl-C ends it" not in process.stderr.readline():
        assert process.poll() is None
    # The line on stderr comes just before the file.
    while not ready.exists():
        assert process.poll() is None
    what = json.loads(ready.read_text())
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    assert process.returncode == 0
    assert what["pid"] == process.pid
    assert what["recording"] == "demo"
    assert [(at["upstream"], at["protocol"]) for at in what["listeners"]] == [
        ("hotbit", "hotbit"),
        ("ontology", "ontology"),
    ]
    assert all(at["url"].startswith("ws://127.0.0.1:") for at in what["listeners"])
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def damaged(tmp_path: Path, demo_store: Path) -> Path:
    """A store whose second half is lost."""
    copy = tmp_path / "damaged.db"
    shutil.copy(demo_store, copy)
    content = copy.read_bytes()
    copy.write_bytes(content[:4096] + b"\xff" * 4096 + content[8192 : len(content) // 2])
    return copy


@pytest.fixture
def newer(tmp_path: Path, demo_store: Path) -> Path:
    """A store of a schema from the future."""
    copy = tmp_path / "newer.db"
    shutil.copy(demo_store, copy)
    with sqlite3.connect(copy) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    return copy


READERS = (
    ["sessions"],
    ["show", "s1"],
    ["tail"],
    ["verify", "demo"],
    ["replay", "demo", "--listen", "127.0.0.1:0"],
)


@pytest.mark.parametrize("arguments", READERS, ids=lambda arguments: arguments[0])
def test_a_missing_store_gets_one_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, out, err = call(capsys, *arguments, "--store", str(tmp_path / "none.db"))

    assert (status, out) == (1, "")
    assert err.startswith("wiretape: no store at ")
    assert err.count("\n") == 1
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("arguments", READERS, ids=lambda arguments: arguments[0])
def test_a_damaged_store_gets_one_sentence_and_stays_as_it_is(
    arguments: list[str], capsys: pytest.CaptureFixture[str], damaged: Path
) -> None:
    before = damaged.read_bytes()

    status, _, err = call(capsys, *arguments, "--store", str(damaged))

    assert status == 1
    assert str(damaged) in err
    assert "Traceback" not in err
    assert err.count("\n") == 1
    assert damaged.read_bytes() == before


@pytest.mark.parametrize("arguments", READERS, ids=lambda arguments: arguments[0])
def test_a_newer_store_is_refused_by_name(
    arguments: list[str], capsys: pytest.CaptureFixture[str], newer: Path
) -> None:
    status, _, err = call(capsys, *arguments, "--store", str(newer))

    assert status == 1
    assert str(newer) in err
    assert "99" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        pytest.param(["sessions", "nosuch"], 1, "nosuch", id="sessions-of-nothing"),
        pytest.param(["show", "s99"], 1, "s99", id="show-nothing"),
        pytest.param(
            ["show", "demo"], 2, "demo holds 4 sessions: name one of s1, s2, s3, s4", id="show-a-recording"
        ),
        pytest.param(["tail", "nosuch"], 1, "nosuch", id="tail-nothing"),
        pytest.param(["verify", "nosuch"], 1, "nosuch", id="verify-nothing"),
        pytest.param(["replay", "nosuch"], 1, "nosuch", id="replay-nothing"),
        pytest.param(["replay", "demo", "--pace", "fast"], 2, "asap, realtime", id="pace"),
        pytest.param(["replay", "demo", "--pace", "x0"], 2, "x10", id="pace-zero"),
        pytest.param(["replay", "demo", "--listen", "nowhere"], 2, "host:port", id="listen"),
        pytest.param(["replay", "demo", "--order", "random"], 2, "'random' is not", id="order"),
        pytest.param(["verify", "demo", "--runs", "0"], 2, "0 is not in the range", id="runs"),
        pytest.param(["nosuch"], 2, "No such command 'nosuch'", id="command"),
    ],
)
def test_a_wrong_word_gets_a_sentence_that_says_what_to_do(
    arguments: list[str], status: int, words: str, capsys: pytest.CaptureFixture[str], demo_store: Path
) -> None:
    store = [] if arguments == ["nosuch"] else ["--store", str(demo_store)]

    got, _, err = call(capsys, *arguments, *store)

    assert got == status
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        pytest.param(["hotbit"], 2, "write NAME=URL", id="no-url"),
        pytest.param(["hotbit=https://x"], 2, "is not a WebSocket URL", id="https"),
        pytest.param(["a:nosuch=ws://x"], 2, "no protocol is called 'nosuch'", id="protocol"),
        pytest.param(["a=ws://x", "--listen", "here"], 2, "write HOST:PORT", id="listen"),
        pytest.param([], 2, "Missing argument", id="nothing"),
    ],
)
def test_record_refuses_before_it_does_anything(
    arguments: list[str], status: int, words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    got, _, err = call(capsys, "record", *arguments, "--store", str(tmp_path / "a.db"))

    assert got == status
    assert words in err
    assert list(tmp_path.iterdir()) == []


def test_a_journal_that_cannot_be_written_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, demo_store: Path
) -> None:
    journal = tmp_path / "no" / "journal.jsonl"

    status, _, err = call(capsys, "replay", "demo", "--store", str(demo_store), "--journal", str(journal))

    assert status == 1
    assert str(journal) in err


@pytest.mark.parametrize(
    "arguments", [["replay", "demo"], ["record", "a=ws://127.0.0.1:9"]], ids=lambda a: a[0]
)
def test_a_ready_file_that_cannot_be_written_is_named_at_once(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, demo_store: Path
) -> None:
    ready = str(tmp_path / "no" / "ready.json")
    store = str(demo_store if arguments[0] == "replay" else tmp_path / "a.db")
    done = subprocess.run(
        [
            sys.executable, "-m", "wiretape", *arguments, "--store", store, "--listen", "127.0.0.1:0",
            "--ready-file", ready,
        ],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert done.stderr.startswith(f"wiretape: cannot write the ready file {ready}")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "a.db").exists()


def test_output_that_has_no_room_gets_one_sentence(demo_store: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "wiretape", "sessions", "--store", str(demo_store)],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr == "wiretape: cannot write the output (No space left on device): give it room\n"


def test_a_demo_does_not_overwrite_what_is_not_a_demo(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.db").write_text("mine")

    status, _, err = call(capsys, "demo", "--store", str(tmp_path / "mine.db"))

    assert status == 1
    assert "mine.db holds something other than an earlier demo" in err
    assert (tmp_path / "mine.db").read_text() == "mine"
