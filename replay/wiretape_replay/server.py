"""The daemon's sockets: one listener for each upstream of a recording, the nth connection the nth session."""

import asyncio
import os
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from wiretape_replay.connection import Connection
from wiretape_replay.engine import ReplaySession
from wiretape_replay.errors import ListenError, SettingError
from wiretape_replay.journal import Entry, EntryKind, Journal
from wiretape_replay.recordings import ReplayedRecording, ReplayedUpstream
from wiretape_replay.script import Script
from wiretape_replay.settings import ReplaySettings
from wiretape_replay.verdict import Verdict, merged
from wiretape_store.importing import split_listen
from wiretape_store.records import Headers, Session

_HIGHEST_PORT = 65535
_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Listener:
    """Where an upstream is replayed."""

    upstream: str
    protocol: str
    url: str


class _Stand:
    """Stands in for one upstream: hands its sessions out, one a connection, and keeps how they went."""

    def __init__(
        self, replayed: ReplayedUpstream, what: str, settings: ReplaySettings, journal: Journal
    ) -> None:
        self.replayed = replayed
        self.settings = settings
        self._what = what
        self._journal = journal
        self._left = dict(enumerate(replayed.sessions))
        """The sessions that no connection has got yet, in the order in which they were recorded."""
        self._runs: list[ReplaySession] = []
        self._verdict = Verdict()
        """What did not happen within a session: connections without one."""
        self.connections: dict[Connection, None] = {}
        """Those that are there, oldest first."""
        self.empty = asyncio.Event()
        self.empty.set()

    def session_for(self, target: str) -> Session | None:
        asked = self.replayed.redact_target(target)
        same = (
            session
            for session in self._left.values()
            if self.replayed.redact_target(session.handshake.target) == asked
        )
        return next(same, None) or next(iter(self._left.values()), None)

    def describe(self) -> tuple[str, str, int]:
        return self._what, self.replayed.upstream.name, len(self.replayed.sessions)

    def begin(self, session: Session, target: str, headers: Headers) -> tuple[Script, ReplaySession]:
        script = self.replayed.script(self._take(session))
        asked, recorded = map(self.replayed.redact_target, (target, session.handshake.target))
        if asked != recorded:
            self._verdict.relaxed.add(f"{session.id}: asked for {asked}, recorded for {recorded}")
            self._journal.add(
                Entry(EntryKind.RELAXED, session.id, 0, detail=f"asked for {asked}, recorded for {recorded}")
            )
        redact = self.replayed.redaction(target, headers)
        run = ReplaySession(script, self.replayed.protocol, self.settings, self._journal, redact)
        self._runs.append(run)
        return script, run

    def _take(self, session: Session) -> int:
        index = next(index for index, left in self._left.items() if left is session)
        del self._left[index]
        return index

    def refused(self, why: str, session: Session | None) -> None:
        name = session.id if session is not None else ""
        if session is not None:
            self._take(session)
        else:
            self._verdict.misses.add(f"a connection to {self.replayed.upstream.name}: {why}")
        self._journal.add(Entry(EntryKind.REFUSED, name, 0, detail=f"{self.replayed.upstream.name}: {why}"))

    def add(self, connection: Connection) -> None:
        self.connections[connection] = None
        self.empty.clear()

    def discard(self, connection: Connection) -> None:
        self.connections.pop(connection, None)
        if not self.connections:
            self.empty.set()

    def verdict(self) -> Verdict:
        unopened = Verdict()
        for session in self._left.values():
            unopened.unused.add(f"{session.id}, {_nth(session)} to {session.upstream.name}, was not opened")
        return merged([self._verdict, *(run.verdict() for run in self._runs), unopened])


class ReplayServer:
    """
    Replays a recording until it is stopped; an asynchronous context manager.

    `listen` (`host:port`) is where the first upstream is replayed, the others count up from there;
    port 0 leaves each to the system. Without it every upstream is replayed where it was recorded.
    Opening raises ListenError for an address that cannot be had, and then nothing listens.
    """

    def __init__(
        self,
        recording: ReplayedRecording,
        settings: ReplaySettings | None = None,
        *,
        listen: str | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.settings = settings if settings is not None else ReplaySettings()
        self.journal = journal if journal is not None else Journal()
        self.listeners: list[Listener] = []
        """In the order of the recording's upstreams; empty before the server has started."""
        self._listen = listen
        self._stands = [
            _Stand(replayed, recording.what, self.settings, self.journal) for replayed in recording.upstreams
        ]
        self._servers: list[asyncio.Server] = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen. Once this returns, clients are accepted."""
        addresses = self._addresses()
        try:
            for stand, (host, port) in zip(self._stands, addresses, strict=True):
                self.listeners.append(await self._start_one(stand, host, port))
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """
        End everything, within `settings.stopping_us`: listeners first, then clients, told with code 1001.

        A client that has not gone by then is cut. Stopping twice does nothing.
        """
        for server in self._servers:
            server.close()
        for connection in self.connections():
            connection.going_away()
        try:
            async with asyncio.timeout(self.settings.stopping_us / 1_000_000):
                await self._all_gone()
        except TimeoutError:
            for connection in self.connections():
                connection.abort()
            await self._all_gone()  # an aborted transport reports its end in the loop's next turn
        self._servers.clear()

    def verdict(self) -> Verdict:
        """How the run compares with the recording so far, over all upstreams and sessions."""
        return merged(stand.verdict() for stand in self._stands)

    def connections(self) -> list[Connection]:
        """The connections that are open now, upstream by upstream, the oldest first."""
        return [connection for stand in self._stands for connection in stand.connections]

    async def _all_gone(self) -> None:
        for stand in self._stands:
            await stand.empty.wait()

    async def _start_one(self, stand: _Stand, host: str, port: int) -> Listener:
        upstream = stand.replayed.upstream
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(lambda: Connection(stand), host, port, backlog=_BACKLOG)
        except OSError as exc:
            # asyncio puts the address into the text of its own error, so the system's is looked up.
            why = os.strerror(exc.errno) if exc.errno and exc.errno > 0 else str(exc)
            address = f"{_bracketed(host)}:{port}"
            raise ListenError(address, upstream.name, why) from exc
        self._servers.append(server)
        bound = server.sockets[0].getsockname()[1]
        return Listener(upstream.name, upstream.protocol, f"ws://{_bracketed(host)}:{bound}")

    def _addresses(self) -> list[tuple[str, int]]:
        if self._listen is None:
            return [split_address(stand.replayed.upstream.listen) for stand in self._stands]
        host, port = split_address(self._listen)
        if port and port + len(self._stands) - 1 > _HIGHEST_PORT:
            accepted = f"a port with room for {len(self._stands)} upstreams"
            raise SettingError("listen", self._listen, accepted)
        return [(host, port + index if port else 0) for index in range(len(self._stands))]


def split_address(text: str) -> tuple[str, int]:
    """Read `host:port`, the host of IPv6 in brackets. Raises SettingError."""
    address = split_listen(text)
    if address is None:
        raise SettingError("listen", text, "host:port, such as 127.0.0.1:8081")
    host, port = address
    return host or "127.0.0.1", port


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _nth(session: Session) -> str:
    return f"connection {session.number + 1}"
