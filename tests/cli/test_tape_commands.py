"""A tape where a recording is asked for: sessions, show, verify and replay need no store."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tape_builders import END, SESSION, a_tape, exported
from websockets.sync.client import connect

from wiretape import sources
from wiretape.daemon import daemon
from wiretape.main import run
from wiretape_store import StoreReader
from wiretape_store.memory_store import MemoryStore

CALL = {"at_us": 1, "from": "client", "json": {"method": "price.query", "params": ["BTCUSDT"], "id": 7}}
ANSWER = {"at_us": 2, "from": "upstream", "json": {"error": None, "result": "7998.01", "id": 7}}


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run the command line in this process: status, stdout, stderr."""
    status = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture
def demo_tape(demo_store: Path, tmp_path: Path) -> Path:
    tape = tmp_path / "demo.tape"
    tape.write_bytes(exported(demo_store, "demo"))
    return tape


def test_a_tape_is_listed_as_its_store_is(
    demo_tape: Path, demo_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, expected, _ = call(capsys, "sessions", "demo", "--store", demo_store, "--json")

    status, out, _ = call(capsys, "sessions", demo_tape, "--json")
    _, as_store, _ = call(capsys, "sessions", "--store", demo_tape, "--json")

    def comparable(text: str) -> list[dict[str, object]]:
        # Before redaction, messages with secrets had another length.
        return [{k: v for k, v in each.items() if k != "wire_bytes"} for each in json.loads(text)]

    assert status == 0
    assert comparable(out) == comparable(expected) == comparable(as_store)


def test_a_session_of_a_tape_is_shown_as_that_of_its_store(
    demo_tape: Path, demo_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, expected, _ = call(capsys, "show", "s3", "--store", demo_store, "--raw")

    assert call(capsys, "show", "s3", "--store", demo_tape, "--raw") == (0, expected, "")


def test_a_tape_of_one_session_is_shown_without_naming_it(
    tmp_path: Path, demo_tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = a_tape(tmp_path / "one.tape", SESSION, CALL, ANSWER, END)

    assert "price.query" in call(capsys, "show", one)[1]
    status, out, err = call(capsys, "show", demo_tape)
    assert (status, out) == (2, "")
    assert (
        f"{demo_tape} holds 4 sessions: name one of s1, s2, s3, s4 (of a tape with --store {demo_tape})"
        in err
    )


def test_a_tape_is_verified(demo_tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "verify", demo_tape, "--runs", "2", "--json")

    result = json.loads(out)
    assert (status, result["ok"], result["sessions"]) == (0, True, 4)


def test_a_changed_price_is_replayed_from_a_tape_alone(tmp_path: Path) -> None:
    tape = a_tape(tmp_path / "a.tape", SESSION, CALL, ANSWER, END)
    tape.write_text(tape.read_text().replace("7998.01", "1.50"))

    with daemon(["replay", str(tape), "--listen", "127.0.0.1:0", "--strict"]) as replay:
        assert replay.recording == "tuesday"
        with connect(replay.urls["hotbit"]) as exchange:
            exchange.send('{"method": "price.query", "params": ["BTCUSDT"], "id": 70}')
            answer = exchange.recv()

    assert answer == '{"error": null, "result": "1.50", "id": 70}'
    assert replay.status == 0


def test_nothing_is_left_of_a_tape_that_was_looked_at(demo_tape: Path, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "wiretape", "sessions", str(demo_tape)],
        cwd=tmp_path, env=os.environ | {"TMPDIR": str(folder)}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert "closed 1000" in done.stdout
    assert list(folder.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.tape", "temporary"]


@pytest.mark.parametrize("command", ["sessions", "verify", "replay", "show"])
def test_a_tape_that_is_not_there_is_a_mistake_of_usage(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = call(capsys, command, tmp_path / "none.tape")

    assert status == 2
    assert f"no tape at {tmp_path}/none.tape: export one with 'wiretape export WHAT" in err


@pytest.mark.parametrize("command", ["sessions", "verify", "replay", "show"])
def test_a_wrong_line_of_a_tape_is_named(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = a_tape(tmp_path / "a.tape", SESSION, CALL, CALL | {"at_us": 0}, END)

    status, out, err = call(capsys, command, tape)

    assert (status, out) == (1, "")
    assert err == f"wiretape: tape {tape}, line 4: member 'at_us' goes back, from 1 to 0\n"


def test_a_file_at_a_path_is_a_tape_whatever_its_suffix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a_tape(tmp_path / "fixture", SESSION, CALL, ANSWER, END)
    monkeypatch.chdir(tmp_path)

    assert call(capsys, "sessions", "./fixture")[0] == 0
    status, _, err = call(capsys, "sessions", "fixture")
    assert (status, "no store at wiretape.db" in err) == (1, True)


def test_a_recording_that_is_called_like_a_tape_is_found_in_the_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = a_tape(tmp_path / "a.tape", SESSION, CALL, ANSWER, END)
    store = tmp_path / "a.db"
    assert call(capsys, "import", tape, "--store", store, "--recording", "b.tape")[0] == 0
    assert call(capsys, "import", tape, "--store", store, "--recording", "runs/1")[0] == 0
    monkeypatch.chdir(tmp_path)

    assert [call(capsys, "sessions", what, "--store", store)[0] for what in ("b.tape", "runs/1")] == [0, 0]


def test_a_tape_is_exported_and_searched_as_its_store_is(
    demo_tape: Path, demo_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, expected, _ = call(capsys, "grep", "price", "--store", demo_store, "-c")

    asked: tuple[list[object], ...] = ([demo_tape], ["demo", "--store", demo_tape])
    for number, arguments in enumerate(asked):
        again = tmp_path / f"{number}.tape"
        assert call(capsys, "export", arguments[0], again, *arguments[1:])[0] == 0
        assert again.read_bytes() == demo_tape.read_bytes()
    assert call(capsys, "grep", "price", demo_tape, "-c") == (0, expected, "")
    assert call(capsys, "grep", "price", "--store", demo_tape, "-c") == (0, expected, "")


@pytest.mark.parametrize(
    "command", [["stats"], ["tail"], ["compact"], ["pin"], ["unpin"], ["copy", "--to", "b.db"]], ids=" ".join
)
def test_a_command_that_takes_no_tape_says_to_import_it(
    command: list[str], demo_tape: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(demo_tape.parent)

    status, _, err = call(capsys, *command, "demo.tape")

    assert (status, "demo.tape is a tape: import it first ('wiretape import demo.tape')" in err) == (2, True)
    assert list(demo_tape.parent.iterdir()) == [demo_tape]


@pytest.mark.parametrize("command", [["stats"], ["tail"], ["sql", "select 1"], ["check"]], ids=" ".join)
def test_a_tape_in_the_place_of_a_store_is_named_as_one(
    command: list[str], demo_tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = call(capsys, *command, "--store", demo_tape)

    assert (status, "it is a tape, not a store; import it first" in err) == (1, True)


@pytest.mark.parametrize(
    "arguments", [["sessions", "n.tape"], ["sessions", "--store", "n.tape"], ["export", "n.tape", "n.har"]]
)
def test_a_tape_that_is_not_there_is_no_missing_store(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    status, _, err = call(capsys, *arguments)

    assert (status, "no tape at n.tape" in err) == (2, True)


@pytest.mark.parametrize(
    ("limit_bytes", "kind"),
    [(sources.IN_MEMORY_BYTES, MemoryStore), (10, StoreReader)],
    ids=["small", "large"],
)
def test_a_tape_is_replayed_from_memory_unless_it_is_large(
    demo_tape: Path, monkeypatch: pytest.MonkeyPatch, limit_bytes: int, kind: type
) -> None:
    monkeypatch.setattr(sources, "IN_MEMORY_BYTES", limit_bytes)
    for store, what in (("none.db", str(demo_tape)), (str(demo_tape), "demo"), (str(demo_tape), "s1")):
        with sources.opened_to_replay(store, what) as (reader, name):
            assert isinstance(reader, kind)
            assert name == ("s1" if what == "s1" else "demo")
            assert len(reader.sessions(name)) == (1 if what == "s1" else 4)


def test_a_store_is_replayed_from_itself(demo_store: Path) -> None:
    with sources.opened_to_replay(str(demo_store), "demo") as (reader, name):
        assert (type(reader), name) == (StoreReader, "demo")
