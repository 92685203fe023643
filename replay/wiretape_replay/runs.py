"""All runs of a process: begun, found and ended by their ids, each with addresses of its own."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

from wiretape_replay.attendance import Attendance
from wiretape_replay.binding import in_url
from wiretape_replay.connection import Connection
from wiretape_replay.errors import ReplayError
from wiretape_replay.run import Run
from wiretape_replay.server import ReplayServer
from wiretape_replay.settings import ReplaySettings
from wiretape_replay.shared_port import SharedPort
from wiretape_replay.shelf import Loan, Shelf
from wiretape_replay.verdict import Verdict
from wiretape_replay.watching import Watched

MOST_RUNS = 1000
_SHOWN = 60  # characters of an id that there is not


class Addresses(StrEnum):
    """How the clients of a run find its upstreams."""

    PORTS = "ports"
    """A port for each upstream."""
    PATHS = "paths"
    """A path for each upstream, on the port that runs share."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run that somebody asks for: of a recording in the store, or of a tape; exactly one of the two."""

    what: str | None = None
    tape: str | None = None
    """The text of a tape."""
    settings: ReplaySettings = field(default_factory=ReplaySettings)
    addresses: Addresses = Addresses.PORTS
    live_urls: Mapping[str, str] = field(default_factory=dict)
    """As `Run` has it."""


class UnknownRunError(ReplayError):
    """No run has that id."""

    def __init__(self, asked: str) -> None:
        super().__init__(asked)
        self.asked = asked

    def __str__(self) -> str:
        return f"no run {self.asked[:_SHOWN]}: it has ended, or never began; GET /v1/runs lists those that there are"


class TooManyRunsError(ReplayError):
    """There is no room for another run."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most

    def __str__(self) -> str:
        return f"there are {self.most} runs already: end those that nobody needs (DELETE /v1/runs/ID)"


class StoppingError(ReplayError):
    """A run that was asked for while the process ends."""

    def __str__(self) -> str:
        return "the daemon is about to end: start it again"


class LiveRun:
    """A run with its addresses, from its beginning to its end."""

    def __init__(
        self,
        name: str,
        run: Run,
        server: ReplayServer,
        urls: dict[str, str],
        doors: ExitStack,
        borrowed: ExitStack,
    ) -> None:
        self.id = name
        self.run = run
        self.urls = urls
        """By upstream: where its clients connect."""
        self.attendance = Attendance(run.journal)
        self.watched = Watched(run.journal)
        self._server = server
        self._doors = doors
        """What lets clients in besides the server; closed first."""
        self._borrowed = borrowed
        """What must be given back after the end."""
        self._verdict: Verdict | None = None
        """Of the whole run; unset before its end."""

    def verdict(self) -> Verdict:
        """How the run compares with the recording so far; after the end, how it did."""
        return self.run.verdict() if self._verdict is None else self._verdict

    async def end(self) -> None:
        """Close the connections, told with code 1001; returns when they are gone."""
        self._doors.close()
        with self._borrowed:
            await self._server.stop()
            self._verdict = self.run.verdict()
            self.watched.end()
            self.attendance.end()


class Runs:
    """
    The registry. Runs share recordings and perhaps a port, and nothing else.

    `host` is where runs with ports of their own listen. Everything is called in the thread of one
    event loop.
    """

    def __init__(
        self, shelf: Shelf, shared_port: SharedPort, *, host: str = "127.0.0.1", most: int = MOST_RUNS
    ) -> None:
        self._shelf = shelf
        self._shared_port = shared_port
        self._host = host
        self._most = most
        self._begun = 0
        """Counts the runs that were begun: ids are never used again."""
        self._beginning = 0
        """How many of them are on their way into `live`."""
        self._stopping = False
        self._live: dict[str, LiveRun] = {}

    def __iter__(self) -> Iterator[LiveRun]:
        """The oldest first."""
        return iter(tuple(self._live.values()))

    def __len__(self) -> int:
        return len(self._live)

    def find(self, name: str) -> LiveRun:
        """The run of that id. Raises UnknownRunError."""
        live = self._live.get(name)
        if live is None:
            raise UnknownRunError(name)
        return live

    async def begin(self, wanted: Wanted) -> LiveRun:
        """
        Begin a run.

        Raises TooManyRunsError, ListenError, UnknownUpstreamError, and what reading the recording raises.
        """
        with self._room(), ExitStack() as doors, ExitStack() as borrowed:
            loan = self._borrow(wanted)
            borrowed.callback(self._shelf.give_back, loan)
            run = Run(loan.recording, wanted.settings, live_urls=wanted.live_urls)
            if wanted.addresses is Addresses.PORTS:
                server, urls = await _started(run, f"{in_url(self._host)}:0")
            else:
                server = ReplayServer(run)
                stands = ((stand.name, partial(Connection, stand)) for stand in run.stands)
                token, urls = self._shared_port.let_in(stands)
                doors.callback(self._shared_port.shut_out, token)
            return await self._taken_in(run, server, urls, doors.pop_all(), borrowed.pop_all())

    async def adopt(self, run: Run, listen: str | None) -> LiveRun:
        """Take in a run that somebody else has made; it listens where `ReplayServer` does for `listen`."""
        with self._room():
            server, urls = await _started(run, listen)
            return await self._taken_in(run, server, urls, ExitStack(), ExitStack())

    async def end(self, name: str) -> LiveRun:
        """
        End a run: nobody finds it any more, its connections are closed, and what it held is given up.

        Raises UnknownRunError.
        """
        live = self.find(name)
        del self._live[name]
        await live.end()
        return live

    def end_waiting(self) -> None:
        """Whoever waits for something in a journal waits no longer."""
        for live in self:
            live.watched.end()

    async def end_all(self) -> None:
        """End every run, all at once, and begin no more."""
        self._stopping = True
        async with asyncio.TaskGroup() as group:
            for live in self:
                group.create_task(self.end(live.id))

    @contextmanager
    def _room(self) -> Iterator[None]:
        """Room for one more run, kept while it begins. Raises TooManyRunsError."""
        if self._stopping:
            raise StoppingError
        if len(self._live) + self._beginning >= self._most:
            raise TooManyRunsError(self._most)
        self._beginning += 1
        try:
            yield
        finally:
            self._beginning -= 1

    async def _taken_in(
        self, run: Run, server: ReplayServer, urls: dict[str, str], doors: ExitStack, borrowed: ExitStack
    ) -> LiveRun:
        self._begun += 1
        live = LiveRun(f"run{self._begun}", run, server, urls, doors, borrowed)
        if self._stopping:  # since it began to listen
            await live.end()
            raise StoppingError
        self._live[live.id] = live
        return live

    def _borrow(self, wanted: Wanted) -> Loan:
        if wanted.tape is not None:
            return self._shelf.borrow_tape(wanted.tape)
        assert wanted.what is not None
        return self._shelf.borrow(wanted.what)


async def _started(run: Run, listen: str | None) -> tuple[ReplayServer, dict[str, str]]:
    server = ReplayServer(run, listen=listen)
    await server.start()
    return server, {listener.upstream: listener.url for listener in server.listeners}
