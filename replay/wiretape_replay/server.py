"""The sockets of a run: one listener for each upstream of its recording."""

import asyncio
import os
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from wiretape_replay.connection import Connection
from wiretape_replay.errors import ListenError, SettingError
from wiretape_replay.journal import Journal
from wiretape_replay.recordings import ReplayedRecording
from wiretape_replay.run import Run
from wiretape_replay.settings import ReplaySettings
from wiretape_replay.stand import Stand
from wiretape_replay.verdict import Verdict
from wiretape_store.importing import split_listen

_HIGHEST_PORT = 65535
_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Listener:
    """Where an upstream is replayed."""

    upstream: str
    protocol: str
    url: str


class ReplayServer:
    """
    Replays a recording, or a run of one, until it is stopped; an asynchronous context manager.

    `settings` and `journal` are for a recording, a run has its own. `listen` (`host:port`) is where the first upstream is replayed, the others count up from there;
    port 0 leaves each to the system. Without it every upstream is replayed where it was recorded.
    Opening raises ListenError for an address that cannot be had, and then nothing listens.
    """

    def __init__(
        self,
        recording: ReplayedRecording | Run,
        settings: ReplaySettings | None = None,
        *,
        listen: str | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.run = recording if isinstance(recording, Run) else Run(recording, settings, journal)
        self.journal = self.run.journal
        self.listeners: list[Listener] = []
        """In the order of the recording's upstreams; empty before the server has started."""
        self._listen = listen
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
            for stand, (host, port) in zip(self.run.stands, addresses, strict=True):
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
            async with asyncio.timeout(self.run.settings.stopping_us / 1_000_000):
                await self._all_gone()
        except TimeoutError:
            for connection in self.connections():
                connection.abort()
            await self._all_gone()  # an aborted transport reports its end in the loop's next turn
        self._servers.clear()

    def verdict(self) -> Verdict:
        """How the run compares with the recording so far, over all upstreams and sessions."""
        return self.run.verdict()

    def connections(self) -> list[Connection]:
        """The connections that are open now, upstream by upstream, the oldest first."""
        return [
            connection
            for stand in self.run.stands
            for connection in stand.connections
            if isinstance(connection, Connection)
        ]

    async def _all_gone(self) -> None:
        for stand in self.run.stands:
            await stand.empty.wait()

    async def _start_one(self, stand: Stand, host: str, port: int) -> Listener:
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
            return [split_address(stand.replayed.upstream.listen) for stand in self.run.stands]
        host, port = split_address(self._listen)
        if port and port + len(self.run.stands) - 1 > _HIGHEST_PORT:
            accepted = f"a port with room for {len(self.run.stands)} upstreams"
            raise SettingError("listen", self._listen, accepted)
        return [(host, port + index if port else 0) for index in range(len(self.run.stands))]


def split_address(text: str) -> tuple[str, int]:
    """Read `host:port`, the host of IPv6 in brackets. Raises SettingError."""
    address = split_listen(text)
    if address is None:
        raise SettingError("listen", text, "host:port, such as 127.0.0.1:8081")
    host, port = address
    return host or "127.0.0.1", port


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
