"""Daemons that a program starts as a part of itself: they come up, say why not, and never outlive it."""

import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wiretape.daemon import DaemonError, daemon

HELLO = Path(__file__).parent.parent / "data" / "hello.db"
_DEADLINE_S = 60.0

PROGRAM = """
import sys
from wiretape.daemon import daemon

with daemon(sys.argv[1:]) as running:
    print(running.process.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What replays a recording of both upstreams; a copy, because opening it brings it up to date."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # a program that is killed removes nothing
    shutil.copy(HELLO, tmp_path)
    return ["replay", "hello", "--store", str(tmp_path / "hello.db"), "--listen", "127.0.0.1:0"]


def ended(pid: int, within_s: float = _DEADLINE_S) -> bool:
    """Whether a process that is not our child ends in time."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ready, _, _ = select.select([descriptor], [], [], within_s)
    finally:
        os.close(descriptor)
    return bool(ready)


def test_a_daemon_runs_as_long_as_its_block(replay: list[str]) -> None:
    with daemon(replay) as running:
        assert list(running.urls) == ["hotbit", "ontology"]
        assert (running.recording, running.control) == ("hello", "")
        assert running.process.poll() is None

    assert running.status == 0
    assert "unused" in running.said


def test_what_a_daemon_said_is_why_it_did_not_start(tmp_path: Path) -> None:
    with (
        pytest.raises(DaemonError, match=f"^no store at {tmp_path}/none.db"),
        daemon(["replay", "hello", "--store", str(tmp_path / "none.db")]),
    ):
        pytest.fail("it cannot have started")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "terminated"])
def test_a_daemon_ends_with_its_program_however_that_ends(number: signal.Signals, replay: list[str]) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *replay], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with program:
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        program.send_signal(number)
        program.wait(_DEADLINE_S)

    assert ended(pid)


def test_an_interrupt_at_the_terminal_is_for_the_program_alone(replay: list[str]) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *replay],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        process_group=0,
    )
    with program:
        assert program.stdout is not None
        pid = int(program.stdout.readline())

        assert os.getpgid(pid) != os.getpgid(program.pid)
        os.killpg(program.pid, signal.SIGINT)
        program.wait(_DEADLINE_S)

    assert ended(pid)


def test_starting_daemons_imports_nothing_else_of_ours() -> None:
    code = "import sys, wiretape.daemon; print(sorted(m for m in sys.modules if m.startswith('wiretape')))"

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert said.strip() == "['wiretape', 'wiretape.daemon']"
