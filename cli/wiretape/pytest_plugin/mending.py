"""
A test whose tape is replayed and mended: what it cannot answer is asked of the upstream, and recorded.

That takes a daemon of the test's own, because a daemon stores what it has recorded when it ends.
"""

import contextlib
import secrets
import shutil
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from wiretape.control_client import ControlClient
from wiretape.daemon import daemon
from wiretape.pytest_plugin.findings import told
from wiretape.pytest_plugin.replay import Replay
from wiretape.pytest_plugin.tape_file import TapeFile
from wiretape.pytest_plugin.upstreams import World

_OPTIONS = {
    "order": "--order",
    "pace": "--pace",
    "repeats": "--repeats",
    "reconnect": "--reconnect",
    "stall_s": "--stall",
}


class Mending(Replay):
    """The fixture while a tape is mended."""

    def __init__(
        self,
        name: str,
        tape: TapeFile,
        world: World,
        settings: Mapping[str, Any],
        command: str,
        folder: Path,
        *,
        strict: bool | str,
    ) -> None:
        """Start the daemon; `folder` is for its store. Raises DaemonError."""
        self._name = name
        self._file = tape
        self._folder = folder
        self._store = folder / "mended.db"
        self._text = ""
        """What the tape will be; empty where it stays as it is."""
        token = secrets.token_hex()
        token_file = folder / "token"
        token_file.touch(0o600)
        token_file.write_text(token)
        arguments = ["replay", str(tape.path), "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]
        arguments += ["--control-token-file", str(token_file), "--store", str(self._store)]
        arguments += ["--on-miss", "record", "--record-as", name, *_options(settings)]
        arguments += _live(world, tape.upstreams())
        self._stack = contextlib.ExitStack()
        running = self._stack.enter_context(daemon(arguments))
        (run,) = ControlClient(running.control, token).runs()
        super().__init__(run, tape.shown, command, strict=strict)

    def failure(self) -> str:
        """Nothing before the end: what was not sent may be what was changed."""
        return ""

    def end(self, *, judged: bool) -> str:
        """End the daemon, which stores what it has recorded."""
        outcome = None
        try:
            outcome = self._last_outcome() if judged else None
            mended = outcome is not None and self._run.count(kind="forwarded") > 0
            self._stack.close()
            if mended and outcome is not None:
                # The new tape has what the client has sent, and nothing else.
                outcome = outcome.without_unused()
                self._text = self._file.exported(self._name, self._store)
        finally:
            self._stack.close()
            shutil.rmtree(self._folder, ignore_errors=True)
        return told(outcome) if outcome is not None and outcome.fails(strict=self._strict) else ""

    def commit(self) -> None:
        """Write the tape, if it has changed."""
        if self._text:
            self._file.write(self._text)
            self.recorded = self._file


def _live(world: World, upstreams: Container[str]) -> list[str]:
    """Where the upstreams of the tape are now."""
    named = ((name.partition(":")[0], url) for name, url in world.targets().items())
    return [word for name, url in named if name in upstreams for word in ("--upstream", f"{name}={url}")]


def _options(settings: Mapping[str, Any]) -> list[str]:
    """What `wiretape replay` takes for these settings."""
    given = ((option, settings[name]) for name, option in _OPTIONS.items() if name in settings)
    found = [word for option, value in given for word in (option, str(value))]
    found += [word for relaxation in settings.get("relax", ()) for word in ("--relax", relaxation)]
    return [*found, "--allow-effects"] if settings.get("allow_effects") else found
