"""The upstreams that tapes are recorded from: those of the ini file, or simulated ones."""

import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from wiretape.pytest_plugin.errors import PluginError
from wiretape.pytest_plugin.options import UPSTREAMS_INI

_STOP_DEADLINE_S = 10.0


class World(Protocol):
    """Upstreams, as a recorder sees them."""

    def targets(self) -> dict[str, str]:
        """Their URLs by NAME or NAME:PROTOCOL."""

    def step(self, upstream: str | None = None, times: int = 1) -> None:
        """Let the world of one, or of all, move on, where it does not do so by itself."""


class LiveWorld:
    """Upstreams that nobody here controls."""

    def __init__(self, targets: Mapping[str, str]) -> None:
        self._targets = dict(targets)

    @classmethod
    def of_lines(cls, lines: Sequence[str]) -> "LiveWorld":
        """Those of the ini file. Raises PluginError."""
        targets = {}
        for line in lines:
            name, equals, url = (part.strip() for part in line.partition("="))
            if not (name and equals and url):
                raise PluginError(
                    f"{UPSTREAMS_INI}: a line is NAME = URL or NAME:PROTOCOL = URL, not {line!r}"
                )
            targets[name] = url
        if not targets:
            raise PluginError(
                "there is nothing to record from: name the upstreams in the ini option "
                f"{UPSTREAMS_INI} (NAME = URL, one a line), or use the fixture wiretape_upstreams"
            )
        return cls(targets)

    def targets(self) -> dict[str, str]:
        """As they were given."""
        return self._targets

    def step(self, upstream: str | None = None, times: int = 1) -> None:
        """Nothing: they move on by themselves."""


class Upstreams:
    """
    A simulated Hotbit exchange and a simulated Ontology node, begun anew for each test.

    They are started when somebody asks for a URL of theirs. While a tape is replayed nobody does, and
    `step` and `drop` do nothing: what they did when it was recorded is in the tape.
    """

    def __init__(self, simulators: "Simulators") -> None:
        self._simulators = simulators
        self._urls: dict[str, str] = {}

    @property
    def urls(self) -> dict[str, str]:
        """Where they listen: `hotbit` and `ontology`."""
        if not self._urls:
            self._urls = self._simulators.ask(do="open")
        return self._urls

    @property
    def started(self) -> bool:
        """Whether somebody has asked for a URL."""
        return bool(self._urls)

    def url(self, upstream: str) -> str:
        """Where one of them listens."""
        return self.urls[upstream]

    def targets(self) -> dict[str, str]:
        """For a recorder."""
        return self.urls

    def step(self, upstream: str | None = None, times: int = 1) -> None:
        """Let the market of the exchange move, or the node make a block, so many times; both without a name."""
        for name in [upstream] if upstream else self._urls:
            self._do("step", name, times=times)

    def drop(self, upstream: str) -> None:
        """End all connections to one of them without a close frame."""
        self._do("drop", upstream)

    def close(self) -> None:
        """End them."""
        if self._urls:
            self._simulators.ask(do="close")
            self._urls = {}

    def _do(self, what: str, upstream: str, **more: Any) -> None:
        if self._urls:
            self._simulators.ask(do=what, upstream=upstream, **more)


class Simulators:
    """The process of the simulators: one for a session, started when it is first asked for something."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def ask(self, **what: Any) -> dict[str, Any]:
        """Let it do something, and return what it answers. Raises PluginError."""
        with self._lock:
            process = self._process = self._process or _started()
            if process.stdin is None or process.stdout is None:
                raise AssertionError("the pipes were asked for")
            try:
                process.stdin.write(json.dumps(what) + "\n")
                process.stdin.flush()
                answer: dict[str, Any] = json.loads(process.stdout.readline() or "{}")
            except OSError as exc:
                raise PluginError(f"the simulated upstreams have ended: {exc.strerror}") from exc
        if error := answer.get("error"):
            raise PluginError(str(error))
        return answer

    def end(self) -> None:
        """End it; it would end with this process anyway, because its stdin does."""
        if self._process is None:
            return
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(_STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _started() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "wiretape.pytest_plugin.simulated"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
        text=True,
    )
