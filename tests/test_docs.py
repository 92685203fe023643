"""The documentation is true: its commands run, its links lead somewhere, its tables are the code's."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recorders import free_port
from wiretape.command_docs import commands_markdown

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_DEADLINE_S = 30


def section(title: str) -> list[tuple[str, str, str]]:
    """The fenced blocks of a section of the README: language, further words, text."""
    text = README.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return _FENCE.findall(text)


def commands_of(title: str) -> list[tuple[bool, str]]:
    return [("background" in words, text) for language, words, text in section(title) if language == "sh"]


@contextmanager
def shell(folder: Path, ports: dict[str, str]) -> Iterator["Shell"]:
    running = Shell(folder, ports)
    try:
        yield running
    finally:
        running.stop()


class Shell:
    """Runs blocks of the README as a reader would, each background block in a terminal of its own."""

    def __init__(self, folder: Path, ports: dict[str, str]) -> None:
        self.folder = folder
        self.ports = ports
        self.processes: list[subprocess.Popen[str]] = []
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = os.environ | {"PATH": path}

    def run(self, text: str) -> str:
        """Run a block to its end; what it printed."""
        done = subprocess.run(
            ["bash", "-euc", self._placed(text)], cwd=self.folder, env=self.environment,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, text: str) -> None:
        """Start a block and wait until its port accepts."""
        placed = self._placed(text)
        process = subprocess.Popen(
            ["bash", "-euc", f"exec {placed.strip()}"], cwd=self.folder, env=self.environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.processes.append(process)
        found = re.search(r"--port (\d+)|--listen 127\.0\.0\.1:(\d+)", placed)
        assert found, placed
        self._wait_for(int(found.group(1) or found.group(2)), process)

    def stop(self) -> None:
        """End the background blocks as Ctrl-C would, the latest first."""
        while self.processes:
            process = self.processes.pop()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=_DEADLINE_S)
            assert process.returncode == 0, said

    def _placed(self, text: str) -> str:
        for written, free in self.ports.items():
            text = text.replace(written, free)
        return text

    @staticmethod
    def _wait_for(port: int, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + _DEADLINE_S
        while time.monotonic() < deadline and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            os.sched_yield()
        raise AssertionError(f"nothing listens on {port}")


def test_the_readme_records_looks_replays_and_tests(tmp_path: Path) -> None:
    ports = {"18765": str(free_port()), "8081": str(free_port())}
    with shell(tmp_path, ports) as terminals:
        *background, (_, client) = commands_of("Record")
        for in_background, text in background:
            assert in_background
            terminals.start(text)
        recorded = terminals.run(client)
        terminals.stop()
        assert '"result": "7998.01000000"' in recorded

        ((_, look),) = commands_of("Look")
        looked = terminals.run(look)
        assert "price.query" in looked
        assert "the same bytes every time" in looked

        ((_, replay),) = commands_of("Replay")
        terminals.start(replay)
        assert terminals.run(client) == recorded
        terminals.stop()
        assert '"matched"' in (tmp_path / "journal.jsonl").read_text()

        ((_, _, code),) = section("Use it in a test")
        (tmp_path / "test_price.py").write_text(code)
        assert "1 passed" in terminals.run("python -m pytest -q -p no:randomly test_price.py")


def test_make_has_the_targets_that_the_documentation_names() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(
        re.findall(r"(?:`|^)make ([a-z]+)\b", README + (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    )

    assert {"demo", "test", "check", "bench", "clean"} <= targets
    assert {"demo", "test"} <= named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    local = [link for link in links if "://" not in link]

    assert [link for link in local if not (page.parent / link).exists()] == []


def test_every_page_is_reached_from_the_readme() -> None:
    assert [page.name for page in ROOT.glob("docs/*.md") if f"docs/{page.name}" not in README] == []


def test_the_page_of_commands_is_what_the_commands_say() -> None:
    assert (ROOT / "docs" / "commands.md").read_text() == commands_markdown()
