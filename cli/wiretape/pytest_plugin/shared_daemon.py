"""
The replay daemon of a test session: started by the test that needs it first, ended with the session.

Under pytest-xdist all workers share the one of their controller. The controller owns a private folder
and the write end of a pipe with a name in it; the first worker in need starts the daemon there, and the
daemon ends when that pipe does: with the controller, however that ends.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from wiretape.daemon import DaemonError, last_line, start, wait_until_ready

_STOP_DEADLINE_S = 10.0
_LOOK_EVERY_S = 0.02


class SharedDaemon:
    """A daemon with a control API that several processes may share; `folder` is where they meet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tether: int | None = None
        """The write end of the pipe that the daemon lives on; None unless this process owns it."""
        self._process: subprocess.Popen[str] | None = None
        """The daemon; None unless this process started it."""
        self._control = ""
        self._failure: DaemonError | None = None

    @classmethod
    def owned(cls) -> "SharedDaemon":
        """One that this process has to `end`."""
        self = cls(Path(tempfile.mkdtemp(prefix="wiretape-")))
        os.mkfifo(self.folder / "tether", 0o600)
        # For reading too, because nobody reads yet.
        self._tether = os.open(self.folder / "tether", os.O_RDWR)
        return self

    def control(self) -> tuple[str, str]:
        """The URL of the control API and its token; starts the daemon if need be. Raises DaemonError."""
        if self._failure is not None:
            raise self._failure
        if not self._control:
            try:
                with _locked(self.folder / "starting"):
                    self._control = self._running() or self._start()
            except DaemonError as exc:
                self._failure = exc
                raise
        return self._control, (self.folder / "token").read_text()

    def last_words(self) -> str:
        """What the daemon said last, for when it does not answer any more."""
        return last_line((self.folder / "stderr").read_text())

    def leave(self) -> None:
        """Use it no more; it goes on for the others, and whoever owns it ends it."""
        if self._process is not None and self._process.poll() is None:
            # Popen warns about processes that nobody waits for. This one has somebody who does.
            self._process.returncode = 0

    def end(self) -> None:
        """End the daemon if it was started, and remove the folder. Only the owner may."""
        if self._tether is not None:
            os.close(self._tether)
            self._tether = None
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._alive(0.0):
                # Whoever holds the lock is the daemon, so the number is still its own.
                with contextlib.suppress(OSError, ValueError):
                    os.kill(int((self.folder / "pid").read_text()), number)
            if not self._alive(_STOP_DEADLINE_S):
                break
        if self._process is not None:
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _running(self) -> str:
        try:
            control: str = json.loads((self.folder / "ready.json").read_text())["control"]
        except FileNotFoundError:
            return ""
        return control

    def _start(self) -> str:
        (self.folder / "token").touch(0o600)
        (self.folder / "token").write_text(secrets.token_hex())
        arguments = ["replay", "--control", "127.0.0.1:0", "--control-token-file", str(self.folder / "token")]
        with _opened(self.folder / "alive", os.O_RDWR | os.O_CREAT) as alive:
            fcntl.flock(alive, fcntl.LOCK_EX)  # the daemon inherits it, and gives it up by ending
            # Not to wait for a writer: where the owner is gone already, the pipe ends at once.
            with _opened(self.folder / "tether", os.O_RDONLY | os.O_NONBLOCK) as tether:
                os.set_blocking(tether, True)
                self._process = start(arguments, self.folder, tether, [alive])
        (self.folder / "pid").write_text(str(self._process.pid))
        control: str = wait_until_ready(self._process, self.folder)["control"]
        return control

    def _alive(self, patience_s: float) -> bool:
        """Whether the daemon is there, and still after so many seconds."""
        deadline = time.monotonic() + patience_s
        try:
            with _opened(self.folder / "alive", os.O_RDWR) as alive:
                while not _taken(alive):
                    if time.monotonic() >= deadline:
                        return True
                    time.sleep(_LOOK_EVERY_S)
        except FileNotFoundError:
            pass
        return False


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with _opened(path, os.O_RDWR | os.O_CREAT) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
