"""What the fixture `wiretape` gives to a test, whether its tape is replayed or recorded."""

import contextlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wiretape.pytest_plugin.errors import PluginError

if TYPE_CHECKING:
    from wiretape.control_client import Entry, Stepped, Verdict

__tracebackhide__ = True  # a failure is shown where the test has called us


class Journal(tuple["Entry", ...]):
    """The entries of a test's journal so far, in order."""

    __slots__ = ()

    def of(self, *kinds: str, method: str | None = None, upstream: str | None = None) -> "Journal":
        """Those of some kinds (of any, without one), of a method, of an upstream."""
        return Journal(
            entry
            for entry in self
            if (not kinds or entry.kind in kinds)
            and method in {None, entry.method}
            and upstream in {None, entry.upstream}
        )


class Wiretape(ABC):
    """
    A test's own stand-in for the upstreams of its tape.

    Every call is over within milliseconds, and so may be made while an event loop runs, except for
    `wait_for`: in an async test that is `async_wait_for`.
    """

    recording: bool
    """Whether this run of the test records its tape, and the upstreams are the real ones."""

    @property
    @abstractmethod
    def urls(self) -> dict[str, str]:
        """Where the clients of each upstream connect, by the upstream's name."""

    def url(self, upstream: str | None = None) -> str:
        """Where the clients of an upstream connect; the name may be left out if there is only one."""
        if upstream is None and len(self.urls) == 1:
            return next(iter(self.urls.values()))
        if upstream not in self.urls:
            names = ", ".join(self.urls)
            asked = "it needs a name" if upstream is None else f"there is no upstream {upstream!r}"
            raise PluginError(f"{asked}: the upstreams are {names}")
        return self.urls[upstream]

    @abstractmethod
    def step(
        self,
        messages: int | None = None,
        *,
        method: str | None = None,
        stream: str | None = None,
        until_us: int | None = None,
        upstream: str | None = None,
    ) -> "Stepped":
        """
        Let so many pushes go (1), or all up to the next of a method or stream, or up to a recorded time.

        Pushes that are not free yet go as soon as they are: a step is no race with the client.
        """

    @abstractmethod
    def pause(self) -> None:
        """Hold back all pushes until `resume`."""

    @abstractmethod
    def resume(self) -> None:
        """Go on after `pause`."""

    @abstractmethod
    def pace(self, pace: str) -> None:
        """Change the pace: `asap`, `realtime`, `x10` and the like, `step`."""

    @abstractmethod
    def push(
        self,
        upstream: str,
        payload: str | bytes | Mapping[str, Any] | Sequence[Any],
        *,
        opcode: str | None = None,
        connection: int | None = None,
    ) -> int:
        """
        Send clients a message that is not in the tape: text, bytes, or what becomes JSON.

        It is packed as that upstream packs its messages, except with an `opcode` ("text", "binary").
        Returns to how many connections it went.
        """

    @abstractmethod
    def disconnect(
        self,
        upstream: str | None = None,
        code: int | None = 1000,
        reason: str = "",
        *,
        connection: int | None = None,
    ) -> int:
        """End connections with a close code, or for None without a close frame; returns how many."""

    @abstractmethod
    def fault(self, kind: str, **members: Any) -> None:
        """Set a fault, such as `fault("drop", method="deals.update", nth=3)`, besides those set."""

    @abstractmethod
    def clear_faults(self) -> None:
        """Set no faults, those of the mark included."""

    @property
    @abstractmethod
    def journal(self) -> Journal:
        """What has happened so far."""

    @abstractmethod
    def verdict(self) -> "Verdict":
        """How the test's clients and the tape compare so far."""

    def wait_for(
        self,
        kind: str | Iterable[str] | None = None,
        *,
        method: str | None = None,
        upstream: str | None = None,
        count: int = 1,
        timeout_s: float = 5.0,
    ) -> Journal:
        """
        Wait until so many entries of the journal match, those of before included; returns them.

        Raises TimeoutError. It blocks: where an event loop runs, use `async_wait_for`.
        """
        if _in_event_loop():
            raise PluginError(
                "wait_for would stop the event loop that the test's client needs: "
                "write `await wiretape.async_wait_for(...)`"
            )
        return self._wait_for(kind, method, upstream, count, timeout_s)

    async def async_wait_for(
        self,
        kind: str | Iterable[str] | None = None,
        *,
        method: str | None = None,
        upstream: str | None = None,
        count: int = 1,
        timeout_s: float = 5.0,
    ) -> Journal:
        """As `wait_for`, for async tests: it waits in a thread (asyncio and trio)."""
        return await _in_thread(lambda: self._wait_for(kind, method, upstream, count, timeout_s))

    def _wait_for(
        self,
        kind: str | Iterable[str] | None,
        method: str | None,
        upstream: str | None,
        count: int,
        timeout_s: float,
    ) -> Journal:
        kinds = [kind] if isinstance(kind, str) else list(kind or ())
        return self._waited_for(Awaited(kinds, method, upstream, count, timeout_s))

    @abstractmethod
    def _waited_for(self, awaited: "Awaited") -> Journal:
        """Wait, in whichever thread. Raises TimeoutError."""


class Awaited:
    """What a test waits for."""

    def __init__(
        self, kinds: list[str], method: str | None, upstream: str | None, count: int, timeout_s: float
    ) -> None:
        self.kinds = kinds
        """Any of these; any at all where there is none."""
        self.method = method
        self.upstream = upstream
        self.count = count
        self.timeout_s = timeout_s

    def found_in(self, journal: Journal) -> Journal:
        """The entries that match."""
        return journal.of(*self.kinds, method=self.method, upstream=self.upstream)

    def timeout(self, journal: Journal) -> TimeoutError:
        """What to raise when the time is up."""
        found = len(self.found_in(journal))
        times = "no" if self.count == 1 else f"only {found} of {self.count}"
        kinds = f" of kind {' or '.join(self.kinds)}" if self.kinds else ""
        of = "".join(f" of {name}" for name in (self.method, self.upstream) if name)
        what = f"{times} entries{kinds}{of}"
        lines = [f"wiretape: {what} within {self.timeout_s:g} s; what happened last:"]
        lines += [f"  {described(entry)}" for entry in journal[-8:]] or ["  nothing"]
        return TimeoutError("\n".join(lines))


def described(entry: "Entry") -> str:
    """One entry of the journal as a line."""
    where = entry.upstream + (f" connection {entry.connection}" if entry.connection else "")
    pushes = f"{entry.pushes} message{'s' if entry.pushes > 1 else ''}" if entry.pushes else ""
    what = " ".join(part for part in (pushes, entry.method, entry.detail) if part)
    told = f"{entry.kind} {what or entry.payload}".strip()
    return f"{where}: {told}" if where else told


def _in_event_loop() -> bool:
    """Whether one runs in this thread, without importing what no test of the project may need."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            return True
    return _in_trio()


def _in_trio() -> bool:
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_run())


async def _in_thread[T](call: Callable[[], T]) -> T:
    if _in_trio():
        result: T = await sys.modules["trio"].to_thread.run_sync(call)
        return result
    import asyncio

    return await asyncio.to_thread(call)
