"""The control API's own server: uvicorn beside the replay in one event loop, and the order in which all of it ends."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import uvicorn

from wiretape_replay.binding import bind, in_url, resolve
from wiretape_replay.control.app import ControlApp
from wiretape_replay.control.guard import Guard, MissingTokenError, is_loopback
from wiretape_replay.control.settings import ControlSettings
from wiretape_replay.runs import Runs
from wiretape_replay.server import split_address
from wiretape_replay.shared_port import SharedPort


class _Http(uvicorn.Server):
    """uvicorn's server as a part of another program: it leaves the signals alone and says when it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serving = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.serving.set()

    def abort(self) -> None:
        """Cut every connection that is left."""
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()


class ControlServer:
    """
    Serves the control API of `runs`, and their shared port, until it is stopped.

    An asynchronous context manager. Entering raises AddressError for an address that cannot be
    had, MissingTokenError for one that others reach while there is no token, and then nothing listens.
    Leaving ends the runs too.
    """

    def __init__(
        self,
        runs: Runs,
        shared_port: SharedPort,
        *,
        listen: str,
        token: str | None = None,
        version: str = "",
        settings: ControlSettings | None = None,
    ) -> None:
        self._runs = runs
        self._shared_port = shared_port
        self._host, self._port = split_address(listen)
        self._token = token
        self._version = version
        self._settings = settings if settings is not None else ControlSettings()
        self._tasks = asyncio.TaskGroup()
        self._http: _Http
        self._serving: asyncio.Task[None]

    @property
    def url(self) -> str:
        """Where it listens; known once it does."""
        return f"http://{in_url(self._host)}:{self._port}"

    async def __aenter__(self) -> Self:
        """Listen. Once this returns, clients are accepted."""
        address = await resolve("--control", self._host, self._port)
        if self._token is None and not is_loopback(address):
            raise MissingTokenError(f"{in_url(self._host)}:{self._port}")
        with contextlib.ExitStack() as undone:
            sock = undone.enter_context(bind("--control", address, self._port))
            self._port = sock.getsockname()[1]
            await self._shared_port.start()
            undone.callback(self._shared_port.close)
            guard = Guard(self._host, address, self._token)
            self._http = _Http(_config(ControlApp(self._runs, guard, self._settings, self._version)))
            undone.pop_all()
        await self._tasks.__aenter__()
        self._serving = self._tasks.create_task(self._http.serve([sock]))
        await self._http.serving.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop. An error of the block stays what it is: the group below hears nothing of it."""
        try:
            await self.stop()
        finally:
            await self._tasks.__aexit__(None, None, None)

    async def stop(self) -> None:
        """
        End everything, within `settings.stopping_us`, in this order.

        Nobody is accepted any more, by the API or by the shared port. Whoever waits for a journal waits
        no longer, and requests that are being served are answered; clients that do not take their
        answer are cut. Then the runs end, all at once. Stopping twice does nothing.
        """
        for server in self._http.servers:
            server.close()
        self._shared_port.close()
        self._runs.end_waiting()
        self._http.should_exit = True
        patience_us = self._settings.stopping_us - self._settings.run_stopping_us
        await asyncio.wait({self._serving}, timeout=patience_us / 1_000_000)
        self._http.abort()
        await self._runs.end_all()
        await asyncio.wait({self._serving})


def _config(app: ControlApp) -> uvicorn.Config:
    """The smallest uvicorn: HTTP/1.1 by h11 alone, and no word on the standard streams."""
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",  # what goes wrong here is logged by the application, with its own words
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
