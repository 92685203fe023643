"""A test whose tape is recorded: a recorder of its own, and the tape if the test passes."""

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from wiretape.control_client import Findings, Stepped, Verdict
from wiretape.daemon import Daemon, daemon
from wiretape.pytest_plugin.errors import PluginError
from wiretape.pytest_plugin.fixture import Awaited, Journal
from wiretape.pytest_plugin.recording_journal import RecordingJournal
from wiretape.pytest_plugin.take import Take
from wiretape.pytest_plugin.tape_file import TapeFile
from wiretape.pytest_plugin.upstreams import World

__tracebackhide__ = True  # a failure is shown where the test has called us

_NOTHING = Findings(0, ())


class Recording(Take):
    """The fixture while a tape is recorded."""

    recording = True

    def __init__(self, name: str, tape: TapeFile, world: World, options: Sequence[str], folder: Path) -> None:
        """Start the recorder; `folder` is for its store. Raises DaemonError."""
        self._name = name
        self._tape = tape
        self._world = world
        self._text = ""
        """What the tape will be; empty before the end."""
        self._stack = contextlib.ExitStack()
        self._folder = folder
        self._store = folder / "recording.db"
        targets = [f"{upstream}={url}" for upstream, url in world.targets().items()]
        arguments = ["record", *targets, "--listen", "127.0.0.1:0", "--store", str(self._store)]
        self._daemon: Daemon = self._stack.enter_context(daemon([*arguments, "--recording", name, *options]))
        self._journal = self._stack.enter_context(contextlib.closing(RecordingJournal(name, self._store)))

    def __repr__(self) -> str:
        return f"<wiretape recording of {self._tape.shown}>"

    @property
    def urls(self) -> dict[str, str]:
        """Where the recorder listens."""
        return self._daemon.urls

    def step(
        self,
        messages: int | None = None,
        *,
        method: str | None = None,
        stream: str | None = None,
        until_us: int | None = None,
        upstream: str | None = None,
    ) -> Stepped:
        """Let the world of simulated upstreams take as many steps; live upstreams take their own."""
        self._world.step(upstream, messages or 1)
        return Stepped(0, 0)

    def pause(self) -> None:
        """Do nothing: upstreams do not pause."""

    def resume(self) -> None:
        """Do nothing."""

    def pace(self, pace: str) -> None:
        """Do nothing: upstreams have their own pace."""

    def push(
        self,
        upstream: str,
        payload: str | bytes | Mapping[str, Any] | Sequence[Any],
        *,
        opcode: str | None = None,
        connection: int | None = None,
    ) -> int:
        """Refuse."""
        self._refuse("push")

    def disconnect(
        self,
        upstream: str | None = None,
        code: int | None = 1000,
        reason: str = "",
        *,
        connection: int | None = None,
    ) -> int:
        """Refuse."""
        self._refuse("disconnect")

    def fault(self, kind: str, **members: Any) -> None:
        """Refuse."""
        self._refuse("fault")

    def clear_faults(self) -> None:
        """Do nothing: there are none."""

    @property
    def journal(self) -> Journal:
        """What was recorded so far, as a replay would tell it: `matched` and `pushed`."""
        return self._journal.entries()

    def verdict(self) -> Verdict:
        """Everything is in the tape."""
        return Verdict(True, _NOTHING, _NOTHING, _NOTHING, _NOTHING)

    def _waited_for(self, awaited: Awaited) -> Journal:
        return self._journal.wait(awaited)

    def _refuse(self, what: str) -> NoReturn:
        raise PluginError(
            f"wiretape.{what}() does what no upstream does, so this test cannot record {self._tape.shown}: "
            "record it with another test, or do that only `if not wiretape.recording`"
        )

    def failure(self) -> str:
        """Nothing: what is recorded is right."""
        return ""

    def section(self, *, passed: bool) -> str:
        """Nothing: the upstreams were real."""
        return ""

    def end(self, *, judged: bool) -> str:
        """Stop the recorder; if the test is `judged`, make its tape. Raises PluginError, DaemonError."""
        try:
            self._stack.close()
            if judged:
                self._text = self._tape.exported(self._name, self._store)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        return ""

    def commit(self) -> None:
        """Write the tape."""
        self._tape.write(self._text)
        self.recorded = self._tape
