"""Starts `wiretape record` and `wiretape replay` as processes of their own, and ends them."""

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from wiretape_protocols import WiretapeError

_START_DEADLINE_S = 60.0
_STOP_DEADLINE_S = 150.0
_LOOK_EVERY_S = 0.02


class DaemonError(WiretapeError):
    """A daemon did not start, or did not end as it should; the text is what it said."""


@dataclass(slots=True)
class Daemon:
    """A running daemon."""

    recording: str
    urls: dict[str, str]
    """Where each upstream's clients connect."""
    process: subprocess.Popen[str]
    said: str = ""
    """What it wrote to stderr; set when it has ended."""
    status: int | None = None


@contextmanager
def daemon(arguments: Sequence[str]) -> Iterator[Daemon]:
    """
    Run `wiretape ARGUMENTS` until the block ends, then end it cleanly.

    Raises DaemonError when it does not come up or ends with a status other than 0 or 3.
    """
    with tempfile.TemporaryDirectory(prefix="wiretape-") as folder:
        ready = Path(folder) / "ready.json"
        said = Path(folder) / "stderr"
        with said.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "wiretape", *arguments, "--ready-file", str(ready)],
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                text=True,
            )
        try:
            running = _when_ready(process, ready, said)
            yield running
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                status = process.wait(_STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                status = -signal.SIGKILL
        running.status, running.said = status, said.read_text()
        if status not in {0, 3}:
            raise DaemonError(
                _last_line(running.said) or f"wiretape {arguments[0]} ended with status {status}"
            )


@asynccontextmanager
async def daemon_beside(arguments: Sequence[str]) -> AsyncIterator[Daemon]:
    """As `daemon`, for a program whose event loop goes on while the daemon starts and ends."""
    manager = daemon(arguments)
    running = await asyncio.to_thread(manager.__enter__)
    try:
        yield running
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


def _when_ready(process: subprocess.Popen[str], ready: Path, said: Path) -> Daemon:
    deadline = time.monotonic() + _START_DEADLINE_S
    while not ready.exists():
        if process.poll() is not None:
            raise DaemonError(_last_line(said.read_text()) or f"it ended with status {process.returncode}")
        if time.monotonic() > deadline:
            message = f"it was not ready within {_START_DEADLINE_S:.0f} s"
            raise DaemonError(message)
        time.sleep(_LOOK_EVERY_S)
    what = json.loads(ready.read_text())
    return Daemon(what["recording"], {at["upstream"]: at["url"] for at in what["listeners"]}, process)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].removeprefix("wiretape: ") if lines else ""
