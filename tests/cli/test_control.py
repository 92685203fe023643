"""`wiretape replay --control`: with and without a first run, as a process of its own."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from wiretape import __version__
from wiretape.control_options import TOKEN_VARIABLE
from wiretape.main import run

DEADLINE_S = 30
ASKED = '{"method": "server.ping", "params": [], "id": 0}'


@dataclass
class Running:
    """A replay daemon and what its ready file said."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    said: str = ""
    """What it wrote to stderr; set when it has ended."""

    def ask(self, method: str, path: str, body: object = None, token: str = "") -> Any:
        """The JSON of the answer, whatever its status."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.ready["control"] + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as exc:
            with exc:
                return json.load(exc)


@contextmanager
def replaying(folder: Path, *arguments: str, status: int = 0, token: str | None = None) -> Iterator[Running]:
    """A daemon, ended with SIGTERM; `token` is its environment's."""
    ready = folder / "ready.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "wiretape", "replay", *arguments, "--ready-file", str(ready)],
        stderr=subprocess.PIPE, text=True, cwd=folder,
        env=os.environ | {"PYTHONWARNINGS": "error"} | ({} if token is None else {TOKEN_VARIABLE: token}),
    )  # fmt: skip
    assert process.stderr is not None
    said = ""
    while "Ctrl-C ends it" not in said:
        assert process.poll() is None, said
        said += process.stderr.readline()
    # The line on stderr comes just before the file.
    while not ready.exists():
        assert process.poll() is None
    running = Running(process, json.loads(ready.read_text()))
    try:
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        running.said = said + process.communicate(timeout=DEADLINE_S)[1]
    assert process.returncode == status, running.said


def test_what_is_the_first_run_and_others_are_begun_beside_it(tmp_path: Path, demo_store: Path) -> None:
    arguments = ("demo", "--store", str(demo_store), "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0")
    with replaying(tmp_path, *arguments) as daemon:
        assert daemon.ready["recording"] == "demo"
        urls = {at["upstream"]: at["url"] for at in daemon.ready["listeners"]}
        (first,) = daemon.ask("GET", "/v1/runs")["runs"]
        assert (first["id"], first["recording"], first["urls"]) == ("run1", "demo", urls)
        second = daemon.ask("POST", "/v1/runs", {"recording": "s1", "addresses": "paths"})
        assert second["id"] == "run2"
        assert [upstream["sessions"] for upstream in second["upstreams"]] == [1]
        with connect(second["urls"]["hotbit"]) as client:
            client.send(ASKED)
            assert isinstance(client.recv(DEADLINE_S), bytes)
        assert daemon.ask("GET", "/v1/health") == {"version": __version__, "runs": 2}
    assert f"control API: {daemon.ready['control']}\n" in daemon.said
    assert daemon.said.count("was not opened") == 4
    assert list(tmp_path.iterdir()) == []


def test_the_status_is_about_what_alone(tmp_path: Path, demo_store: Path) -> None:
    arguments = (
        "s1",
        "--store",
        str(demo_store),
        "--listen",
        "127.0.0.1:0",
        "--control",
        "127.0.0.1:0",
        "--strict",
    )
    with replaying(tmp_path, *arguments, status=3) as daemon:
        verdict = daemon.ask("DELETE", "/v1/runs/run1")["verdict"]
        assert not verdict["ok"]
    assert daemon.said.count("was not opened") == 1

    with replaying(tmp_path, *arguments[:-1]) as daemon:
        run = daemon.ask("POST", "/v1/runs", {"recording": "demo", "settings": {"strict": True}})
        assert run["settings"]["strict"]
    assert daemon.said.count("was not opened") == 1


def test_without_what_it_waits_for_runs_and_needs_no_store(tmp_path: Path, demo_store: Path) -> None:
    tape = tmp_path / "demo.tape"
    assert run(["export", "demo", str(tape), "--store", str(demo_store)]) == 0
    with replaying(tmp_path, "--control", "127.0.0.1:0") as daemon:
        assert (daemon.ready["recording"], daemon.ready["listeners"]) == (None, [])
        missing = daemon.ask("POST", "/v1/runs", {"recording": "demo"})["error"]
        assert (missing["code"], missing["message"].startswith("no store at ")) == ("unknown_recording", True)
        named = daemon.ask("POST", "/v1/runs", {"recording": str(tape)})["error"]
        assert named["code"] == "unknown_recording"
        first, second = (daemon.ask("POST", "/v1/runs", {"tape": tape.read_text()}) for _ in range(2))
        assert first["urls"] != second["urls"]
        with connect(first["urls"]["hotbit"]) as one, connect(second["urls"]["hotbit"]) as other:
            one.send(ASKED)
            other.send(ASKED)
            assert one.recv(DEADLINE_S) == other.recv(DEADLINE_S)
    assert "waiting for runs; Ctrl-C ends it" in daemon.said
    assert "was not opened" not in daemon.said
    assert [path.name for path in tmp_path.iterdir()] == ["demo.tape"]


def test_a_store_that_comes_later_is_found(tmp_path: Path, demo_store: Path) -> None:
    with replaying(tmp_path, "--control", "127.0.0.1:0", "--store", "later.db") as daemon:
        assert "no store at" in daemon.ask("POST", "/v1/runs", {"recording": "demo"})["error"]["message"]
        (tmp_path / "later.db").write_bytes(demo_store.read_bytes())
        assert daemon.ask("POST", "/v1/runs", {"recording": "demo"})["id"] == "run1"


def test_an_open_event_stream_does_not_hold_up_the_end(tmp_path: Path, demo_store: Path) -> None:
    arguments = ("demo", "--store", str(demo_store), "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0")
    with replaying(tmp_path, *arguments) as daemon:
        stream = urllib.request.urlopen(daemon.ready["control"] + "/v1/runs/run1/journal/stream")
        with stream:
            assert stream.readline() == b": the journal\n"
            daemon.process.send_signal(signal.SIGTERM)
            daemon.process.wait(DEADLINE_S)
            assert stream.read() == b"\n"


@pytest.mark.parametrize("by", ["file", "variable"])
def test_a_token_comes_from_a_file_or_the_environment(by: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-secret\n")
    given = ("--control-token-file", "token") if by == "file" else ()
    token = "other" if by == "file" else "a-secret"
    with replaying(tmp_path, "--control", "127.0.0.1:0", *given, token=token) as daemon:
        assert daemon.ask("GET", "/v1/health")["error"]["code"] == "token"
        assert daemon.ask("GET", "/v1/health", token="other")["error"]["code"] == "token"
        assert daemon.ask("GET", "/v1/health", token="a-secret")["runs"] == 0
    assert "a-secret" not in daemon.said


CONTROL = ["--control", "127.0.0.1:0"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        pytest.param([], 2, "name WHAT to replay", id="nothing"),
        pytest.param(["--control", "here"], 2, "use host:port", id="address"),
        pytest.param(["--control", "0.0.0.0:0"], 2, "so it needs a token", id="no token"),
        pytest.param([*CONTROL, "--shared", "there"], 2, "use host:port", id="shared"),
        pytest.param(["demo", "--shared", "127.0.0.1:0"], 2, "--shared is for the control API", id="shared only"),
        pytest.param(["demo", "--control-token-file", "x"], 2, "give --control too", id="token only"),
        pytest.param([*CONTROL, "--control-token-file", "none"], 2, "no token in none (No such file", id="no file"),
        pytest.param([*CONTROL, "--control-token-file", "empty"], 2, "(it is empty)", id="empty file"),
        pytest.param([*CONTROL, "--control-token-file", "odd"], 2, "printable ASCII", id="odd token"),
        pytest.param([*CONTROL, "--strict"], 2, "--strict is about the run of WHAT", id="strict"),
        pytest.param([*CONTROL, "--listen", "127.0.0.1:0"], 2, "--listen is about the run", id="listen"),
        pytest.param([*CONTROL, "--journal", "x"], 2, "--journal is about the run", id="journal"),
    ],
)  # fmt: skip
def test_a_wrong_word_gets_a_sentence(
    arguments: list[str], status: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("empty").write_text("\n")
    Path("odd").write_text("two words")

    assert run(["replay", *arguments]) == status
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


@pytest.mark.parametrize("option", ["--control", "--shared"])
def test_an_address_that_is_taken_is_named_with_its_option(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with replaying(tmp_path, "--control", "127.0.0.1:0") as daemon:
        taken = daemon.ready["control"].removeprefix("http://")
        others = CONTROL if option == "--shared" else []
        assert run(["replay", *others, option, taken]) == 1
    said = capsys.readouterr().err
    assert f"cannot listen on {taken}: Address already in use" in said
    assert f"with {option} (port 0" in said


def test_replay_imports_no_web_server_unless_it_is_asked_for_one() -> None:
    look = (
        "import sys; import wiretape.commands.replay; "
        "sys.exit(str({'starlette', 'uvicorn', 'anyio', 'h11'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stderr == "set()\n"
