"""
Starts `wiretape record` and `wiretape replay` as processes of their own, and ends them.

Nothing else of ours is imported: programs that are tested with wiretape use this within their tests.
"""

import contextlib
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
from typing import Any

_START_DEADLINE_S = 60.0
_STOP_DEADLINE_S = 150.0
_LOOK_EVERY_S = 0.02


class DaemonError(Exception):
    """A daemon did not start, or did not end as it should; the text is what it said."""


@dataclass(slots=True)
class Daemon:
    """A running daemon."""

    recording: str
    """What it records or replays; empty for a daemon that waits to be told by its control API."""
    urls: dict[str, str]
    """Where each upstream's clients connect."""
    process: subprocess.Popen[str]
    control: str = ""
    """The URL of its control API; empty without `--control`."""
    said: str = ""
    """What it wrote to stderr; set when it has ended."""
    status: int | None = None


@contextmanager
def daemon(arguments: Sequence[str]) -> Iterator[Daemon]:
    """
    Run `wiretape ARGUMENTS` until the block ends, then end it cleanly.

    It is no part of the terminal's foreground, so a Ctrl-C there is the caller's alone; and it ends by
    itself when this process does. Raises DaemonError when it does not come up or ends with a status
    other than 0 or 3.
    """
    with tempfile.TemporaryDirectory(prefix="wiretape-") as folder:
        place = Path(folder)
        process = start(arguments, place, subprocess.PIPE)
        try:
            yield (running := _running(process, wait_until_ready(process, place)))
        finally:
            status = _ended(process)
        running.status, running.said = status, (place / "stderr").read_text()
        if status not in {0, 3}:
            raise DaemonError(
                last_line(running.said) or f"wiretape {arguments[0]} ended with status {status}"
            )


@asynccontextmanager
async def daemon_beside(arguments: Sequence[str]) -> AsyncIterator[Daemon]:
    """As `daemon`, for a program whose event loop goes on while the daemon starts and ends."""
    import asyncio

    manager = daemon(arguments)
    running = await asyncio.to_thread(manager.__enter__)
    try:
        yield running
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


def start(
    arguments: Sequence[str], folder: Path, tether: int, keep: Sequence[int] = ()
) -> subprocess.Popen[str]:
    """
    Start `wiretape ARGUMENTS`; it ends when everybody has closed the other end of `tether`, its stdin.

    What it says goes to `folder / "stderr"`, and its ready file is `folder / "ready.json"`. It inherits
    the descriptors `keep`.
    """
    command = [sys.executable, "-m", "wiretape.tethered", *arguments]
    with (folder / "stderr").open("w") as stderr:
        return subprocess.Popen(
            [*command, "--ready-file", str(folder / "ready.json")],
            stdin=tether,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=keep,
            process_group=0,
            text=True,
        )


def wait_until_ready(process: subprocess.Popen[str], folder: Path) -> dict[str, Any]:
    """Wait for what `start` started, and return what its ready file says. Raises DaemonError."""
    ready = folder / "ready.json"
    deadline = time.monotonic() + _START_DEADLINE_S
    while not ready.exists():
        if process.poll() is not None:
            said = (folder / "stderr").read_text()
            raise DaemonError(last_line(said) or f"it ended with status {process.returncode}")
        if time.monotonic() > deadline:
            raise DaemonError(f"it was not ready within {_START_DEADLINE_S:.0f} s")
        time.sleep(_LOOK_EVERY_S)
    what: dict[str, Any] = json.loads(ready.read_text())
    return what


def last_line(text: str) -> str:
    """The sentence with which a command ended: the last line of its stderr."""
    lines = text.strip().splitlines()
    return lines[-1].removeprefix("wiretape: ") if lines else ""


def _running(process: subprocess.Popen[str], ready: dict[str, Any]) -> Daemon:
    urls = {at["upstream"]: at["url"] for at in ready["listeners"]}
    return Daemon(ready["recording"] or "", urls, process, ready.get("control", ""))


def _ended(process: subprocess.Popen[str]) -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(_STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return -signal.SIGKILL
    finally:
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
