"""When the daemon behind the fixture begins and ends: with the first test in need, and with pytest, however that ends."""

import json
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from projects import DEADLINE_S, Project, asked, result, tape

QUERY = tape([*asked("price.query", "BTCUSDT", answer=result("7998.01"))])
TESTS = """
import os
import signal
import threading

import pytest
from client import Exchange
from daemons import note_daemons

pytestmark = pytest.mark.wiretape("query.tape")


def query(wiretape):
    with Exchange(wiretape.url()) as exchange:
        exchange.ask("price.query", "BTCUSDT")
    note_daemons()


@pytest.mark.parametrize("number", range(4))
def test_query(wiretape, number):
    query(wiretape)


def test_fails(wiretape):
    note_daemons()


@pytest.mark.parametrize("number", range(4))
def test_crash(wiretape, number):
    query(wiretape)
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def test_blocks(wiretape):
    query(wiretape)
    print("blocked", flush=True)
    threading.Event().wait()


def test_blocks_while_connected(wiretape):
    with Exchange(wiretape.url()) as exchange:
        exchange.ask("price.query", "BTCUSDT")
        note_daemons()
        print("blocked", flush=True)
        threading.Event().wait()
"""
DAEMONS = '''
import json
import os
from pathlib import Path


def daemons():
    """The daemons whose folder is in the temporary folder of this project."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode().split("\\0")
        except OSError:
            continue
        if "wiretape.tethered" in words and any(word.startswith(os.environ["TMPDIR"]) for word in words):
            found.append(int(process.name))
    return found


def note_daemons():
    (Path(os.environ["TMPDIR"]) / f"noted.{os.getpid()}").open("a").write(json.dumps(daemons()) + "\\n")
'''


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write("query.tape", QUERY)
    project.write("test_it.py", TESTS)
    project.write("daemons.py", DAEMONS)
    (tmp_path / "tmp").mkdir()
    return project


def in_own_folder(project: Project) -> dict[str, str]:
    return {"TMPDIR": str(project.folder / "tmp")}


def noted(project: Project) -> set[tuple[int, ...]]:
    """The daemons that were there whenever a test looked."""
    files = (project.folder / "tmp").glob("noted.*")
    return {tuple(json.loads(line)) for file in files for line in file.read_text().splitlines()}


def left_behind(project: Project) -> list[str]:
    return [path.name for path in (project.folder / "tmp").iterdir() if path.name.startswith("wiretape-")]


def has_ended(pid: int, within_s: float = 0) -> bool:
    """Whether a process that is not our child ends in time; one that nobody has waited for yet counts."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ready, _, _ = select.select([descriptor], [], [], within_s)
    finally:
        os.close(descriptor)
    return bool(ready)


@contextmanager
def blocked(project: Project, test: str) -> Iterator[subprocess.Popen[str]]:
    """pytest in the middle of a test, the leader of a process group as in a terminal."""
    process = subprocess.Popen(
        project.command("-s", f"test_it.py::{test}"),
        cwd=project.folder,
        env=project.environment(in_own_folder(project)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    with process:
        try:
            assert process.stdout is not None
            said = ""
            while "blocked" not in said:
                line = process.stdout.readline()
                assert line, said
                said += line
            yield process
            process.stdout.read()
            process.wait(DEADLINE_S)
        finally:
            process.kill()


def test_a_session_has_one_daemon_and_leaves_none(project: Project) -> None:
    ran = project.run("-x", "-k", "query or fails", env=in_own_folder(project))

    assert ran.counts() == {"passed": 4, "failed": 1, "deselected": 6}, ran.text
    ((pid,),) = noted(project)
    assert has_ended(pid)
    assert left_behind(project) == []


def test_workers_share_a_daemon_and_one_that_crashes_takes_it_from_nobody(project: Project) -> None:
    ran = project.run("-n", "2", "-k", "crash", env=in_own_folder(project))

    assert ran.counts() == {"passed": 3, "failed": 1}, ran.text
    ((pid,),) = noted(project)
    assert has_ended(pid)
    assert left_behind(project) == []


def test_an_interrupt_ends_the_daemon_with_pytest(project: Project) -> None:
    with blocked(project, "test_blocks_while_connected") as process:
        os.killpg(process.pid, signal.SIGINT)

    assert process.returncode == pytest.ExitCode.INTERRUPTED
    ((pid,),) = noted(project)
    assert has_ended(pid)
    assert left_behind(project) == []


def test_the_daemon_never_outlives_pytest(project: Project) -> None:
    with blocked(project, "test_blocks") as process:
        process.kill()

    assert process.returncode == -signal.SIGKILL
    ((pid,),) = noted(project)
    assert has_ended(pid, DEADLINE_S)


def test_a_daemon_that_is_gone_is_named_by_its_last_words(project: Project) -> None:
    project.write(
        "test_gone.py",
        "import os, signal, time\n"
        "import pytest\n"
        "from daemons import daemons\n"
        "pytestmark = pytest.mark.wiretape('query.tape')\n"
        "def test_kills(wiretape):\n"
        "    (pid,) = daemons()\n"
        "    os.kill(pid, signal.SIGKILL)\n"
        "    descriptor = os.pidfd_open(pid)\n"
        "    os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOWAIT)\n"
        "    os.close(descriptor)\n"
        "def test_after(wiretape):\n"
        "    pass\n",
    )

    ran = project.run("test_gone.py", env=in_own_folder(project))

    assert ran.counts() == {"failed": 1, "error": 2}, ran.text
    ran.failure("test_kills").fnmatch_lines(
        ["wiretape: the control API at http://127.0.0.1:* does not answer: *"]
    )
    ran.failure("test_after").fnmatch_lines(
        ["wiretape: the control API at * does not answer: *; what it said last: *"]
    )


WATCHED = """
import sys


def pytest_unconfigure(config):
    ours = sorted(name for name in sys.modules if name.split(".")[0].startswith("wiretape"))
    theirs = {"click", "sqlalchemy", "websockets", "mitmproxy", "starlette", "uvicorn", "alembic"} & set(sys.modules)
    print("loaded:", *ours, *theirs)
"""
LIGHT = ["errors", "fixture", "hooks", "marker", "options", "session"]


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_whoever_does_not_use_the_fixture_pays_nothing(project: Project, workers: tuple[str, ...]) -> None:
    (project.folder / "test_it.py").unlink()
    project.write("conftest.py", WATCHED)
    project.write(
        "test_other.py", "import os\nfrom daemons import note_daemons\ndef test_it():\n    note_daemons()\n"
    )

    ran = project.run("-s", "-p", "no:anyio", *workers, env=in_own_folder(project))

    assert ran.counts() == {"passed": 1}, ran.text
    modules = ["wiretape", "wiretape.pytest_plugin", *(f"wiretape.pytest_plugin.{name}" for name in LIGHT)]
    shared = ["wiretape.daemon", "wiretape.pytest_plugin.shared_daemon"] if workers else []
    (loaded,) = [line for line in ran.text.splitlines() if line.startswith("loaded:")]
    assert loaded.split()[1:] == sorted(modules + shared)
    assert noted(project) == {()}
    assert left_behind(project) == []
