"""Running the commands of a page of the documentation as its reader would."""

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

_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_DEADLINE_S = 30
_RUN_DEADLINE_S = 180


def blocks(page: str, title: str) -> list[tuple[str, str, str]]:
    """The fenced blocks of a section of a page: language, further words, text."""
    text = page.split(f"\n## {title}\n")[1].split("\n## ", maxsplit=1)[0]
    return _FENCE.findall(text)


def commands(page: str, title: str) -> list[tuple[bool, str]]:
    """The shell blocks of a section, and whether each runs in a terminal of its own."""
    return [
        ("background" in words, text) for language, words, text in blocks(page, title) if language == "sh"
    ]


@contextmanager
def shell(folder: Path, replaced: dict[str, str]) -> Iterator["Shell"]:
    """A shell in `folder`; in its commands each key of `replaced` becomes its value."""
    running = Shell(folder, replaced)
    try:
        yield running
    finally:
        running.stop()


class Shell:
    """Runs blocks of a page as a reader would, each background block in a terminal of its own."""

    def __init__(self, folder: Path, replaced: dict[str, str]) -> None:
        self.folder = folder
        self.replaced = replaced
        self.processes: list[subprocess.Popen[str]] = []
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = os.environ | {"PATH": path}

    def run(self, text: str) -> str:
        """Run a block to its end; what it printed."""
        done = subprocess.run(
            ["bash", "-euc", self._placed(text)], cwd=self.folder, env=self.environment,
            capture_output=True, text=True, timeout=_RUN_DEADLINE_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, text: str) -> None:
        """Start a block and wait until its port accepts."""
        placed = self._placed(text)
        process = subprocess.Popen(
            ["bash", "-euc", f"exec {placed.strip()}"], cwd=self.folder, env=self.environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.processes.append(process)
        found = re.search(r"--port (\d+)|--(?:listen|control) 127\.0\.0\.1:(\d+)", placed)
        assert found, placed
        self._wait_for(int(found.group(1) or found.group(2)), process)

    def stop(self, *, killed: tuple[int, ...] = ()) -> None:
        """End the background blocks as Ctrl-C would, the latest first; `killed` have been killed before."""
        while self.processes:
            process = self.processes.pop()
            if len(self.processes) not in killed:
                process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=_DEADLINE_S)
            assert process.returncode == (-signal.SIGKILL if len(self.processes) in killed else 0), said

    def _placed(self, text: str) -> str:
        for written, real in self.replaced.items():
            text = text.replace(written, real)
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
