"""
A stand-in for the Hotbit exchange on a real socket, for the demo and the tests.

Owns the listener, the connections, the clock and the order in which messages leave. What they say
is decided in the ``hotbit_*`` modules beside it. Nothing here is shared with the recorder's own
protocol code, so that a misreading of the protocol cannot hide in both.

Run it by hand with ``python -m wiretape.simulators.hotbit --port 8765``.
"""

import argparse
import asyncio
import contextlib
import random
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from websockets.asyncio.server import Server, ServerConnection
from websockets.exceptions import ConnectionClosed

from wiretape.simulators.hotbit_exchange import Exchange
from wiretape.simulators.hotbit_session import Session
from wiretape.simulators.hotbit_socket import abort_stream, end_stream, listen
from wiretape.simulators.hotbit_wire import Compression, pack

__all__ = ["DEMO_API_KEY", "DEMO_SECRET_KEY", "Compression", "HotbitSimulator", "SimulatedClock"]

DEMO_API_KEY = "demo-api-key"
DEMO_SECRET_KEY = "demo-secret-key"  # noqa: S105 - opens nothing but this simulator
#: ViaBTC looks for changes twice a second.
STEP_S = 0.5
#: When the simulated clock starts: 2017-12-13 03:19:00 UTC and a fraction that a double just holds.
START_S = 1_513_135_140.0405071
#: How long a client may leave its socket full before it is dropped.
SEND_TIMEOUT_S = 5.0
#: Inquiry replies that wait for each other at most.
HELD_LIMIT = 64


class SimulatedClock:
    """A clock that stands still until it is advanced."""

    def __init__(self, start_s: float = START_S) -> None:
        self._now_s = start_s

    def __call__(self) -> float:
        """Return the seconds since the epoch."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Move the clock on."""
        self._now_s += seconds


@dataclass(eq=False, slots=True)
class _Connection:
    """A client and what is still to be sent to it."""

    websocket: ServerConnection
    session: Session
    #: Draws the order of the inquiry replies.
    rng: random.Random
    #: Held while texts are made and sent, so that they leave in the order in which they were made.
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: Inquiry replies that others may still overtake.
    held: list[str] = field(default_factory=list)
    #: Sends `held`; None while nothing is held.
    release: asyncio.Task[None] | None = None


class HotbitSimulator:
    """
    A seeded Hotbit exchange that listens on a socket.

    Use it as ``async with HotbitSimulator() as simulator`` or call `start` and `stop`. The market
    stands still between calls of `tick`; with `push_interval_s` it ticks by itself. The same seed,
    the same ticks and the same requests give the same messages, byte by byte; with `reorder`, that
    holds for requests sent one by one or all at once.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        compression: Compression = Compression.GZIP,
        compression_level: int = 6,
        clock: Callable[[], float] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str = DEMO_API_KEY,
        secret_key: str = DEMO_SECRET_KEY,
        push_interval_s: float | None = None,
        reorder: bool = True,
        hold_s: float = 0.0,
        indent_inquiries: bool | None = None,
        strict: bool = False,
        empty_pong: bool = False,
    ) -> None:
        """
        Prepare the exchange; `start` opens the socket.

        `clock` gives seconds since the epoch; without one, each tick advances a simulated clock by
        half a second. `hold_s` is how long an inquiry reply waits to be overtaken when `reorder` is
        set; 0 is one turn of the loop. `indent_inquiries` has their replies written over several
        lines always or never; None draws it. `strict` drops the connection for a message that is no
        request, as ViaBTC does; otherwise it is ignored. `empty_pong` leaves out a pong's payload.
        """
        self.url = ""
        self.compression = compression
        self.compression_level = compression_level
        self._host = host
        self._port = port
        self._push_interval_s = push_interval_s
        self._reorder = reorder
        self._hold_s = hold_s
        self._indent_inquiries = indent_inquiries
        self._strict = strict
        self._empty_pong = empty_pong
        self._own_clock = SimulatedClock()
        self._clock = clock or self._own_clock
        self._seed = seed
        self._exchange = Exchange(seed=seed, api_key=api_key, secret_key=secret_key, now_s=self.now_s())
        #: By order of arrival.
        self._connections: list[_Connection] = []
        self._connections_seen = 0
        self._server: Server | None = None
        self._ticker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    async def start(self) -> str:
        """Open the listener and return its URL. Any path is served."""
        self._server, self.url = await listen(
            self._serve,
            self._host,
            self._port,
            deflate=self.compression is Compression.PERMESSAGE_DEFLATE,
            empty_pong=self._empty_pong,
        )
        if self._push_interval_s is not None:
            self._ticker = asyncio.create_task(self._tick_forever(self._push_interval_s))
        return self.url

    async def stop(self) -> None:
        """Stop ticking, close every connection with 1001 and close the listener. May be repeated."""
        if self._ticker is not None:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker
            self._ticker = None
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def tick(self) -> None:
        """Make one step of the market and send every subscriber what it changed."""
        self._own_clock.advance(STEP_S)
        now_s = self.now_s()
        step = self._exchange.step(now_s)
        for connection in tuple(self._connections):
            async with connection.lock:
                await self._send(connection, connection.session.pushes(now_s, step))

    async def drop_all(self) -> None:
        """End every connection abruptly: the TCP stream ends without a close frame."""
        for connection in tuple(self._connections):
            await abort_stream(connection.websocket)

    async def close_all(self, code: int, reason: str) -> None:
        """Close every connection with a close frame; the listener stays open."""
        async with asyncio.TaskGroup() as tasks:
            for connection in self._connections:
                tasks.create_task(connection.websocket.close(code, reason))

    def fail_next(self, method: str, code: int) -> None:
        """
        Refuse the next request of a method, on any connection, with a documented error code.

        Several calls queue up. Raises ValueError for a code that the exchange does not have.
        """
        self._exchange.plan_failure(method, code)

    def now_s(self) -> float:
        """Return the exchange's time, in seconds since the epoch."""
        return float(self._clock())

    def auth_sign(self) -> str:
        """Return the sign that a client with the right keys sends in server.auth."""
        return self._exchange.auth_sign()

    def auth2_sign(self, user_id: int, time_s: int) -> str:
        """Return a sign that server.auth2 accepts; how the real one is made is not known."""
        return self._exchange.auth2_sign(user_id, time_s)

    def sign_authorization(self, tonce_ms: int) -> str:
        """Return an authorization that server.sign accepts."""
        return self._exchange.sign_authorization(tonce_ms)

    async def _tick_forever(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            await self.tick()

    async def _serve(self, websocket: ServerConnection) -> None:
        connection = self._connect(websocket)
        try:
            async for message in websocket:
                async with connection.lock:
                    if not await self._receive(connection, message):
                        break
        except ConnectionClosed:
            pass  # how the client left is of no interest here
        finally:
            self._connections.remove(connection)
            if connection.release is not None:
                connection.release.cancel()

    def _connect(self, websocket: ServerConnection) -> _Connection:
        self._connections_seen += 1
        # Seeded per connection, so that one does not disturb the other. No secret depends on it.
        rng = random.Random(f"{self._seed}/connection/{self._connections_seen}")
        session = Session(self._exchange, rng, indent_inquiries=self._indent_inquiries)
        connection = _Connection(websocket, session, rng)
        self._connections.append(connection)
        return connection

    async def _receive(self, connection: _Connection, message: str | bytes) -> bool:
        """Answer a message; False when the connection was ended for it."""
        answer = connection.session.receive(message, self.now_s())
        if answer.malformed and self._strict:
            await end_stream(connection.websocket)
            return False
        if answer.inquiry and self._reorder:
            connection.held.extend(answer.texts)
            if len(connection.held) >= HELD_LIMIT:
                await self._send_held(connection)
            elif connection.release is None:
                connection.release = asyncio.create_task(self._release(connection))
        else:
            await self._send(connection, answer.texts)
        return True

    async def _release(self, connection: _Connection) -> None:
        await asyncio.sleep(self._hold_s)
        async with connection.lock:
            connection.release = None
            await self._send_held(connection)

    async def _send_held(self, connection: _Connection) -> None:
        texts, connection.held = connection.held, []
        connection.rng.shuffle(texts)
        await self._send(connection, texts)

    async def _send(self, connection: _Connection, texts: Iterable[str]) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                for text in texts:
                    await connection.websocket.send(pack(text, self.compression, self.compression_level))
        except TimeoutError:
            await abort_stream(connection.websocket)
        except ConnectionClosed:
            pass  # the reading side sees it too and cleans up


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m wiretape.simulators.hotbit", description="Simulate the Hotbit exchange."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port to listen on, 0 for a free one")
    parser.add_argument("--seed", type=int, default=1, help="seed of the market")
    parser.add_argument(
        "--compression",
        choices=[compression.value for compression in Compression],
        default=Compression.GZIP.value,
        help="how the server packs its messages",
    )
    parser.add_argument("--interval", type=float, default=STEP_S, help="seconds between market steps")
    parser.add_argument("--strict", action="store_true", help="drop a client that sends no request")
    return parser.parse_args(arguments)


async def _run(options: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    simulator = HotbitSimulator(
        seed=options.seed,
        compression=Compression(options.compression),
        host=options.host,
        port=options.port,
        push_interval_s=options.interval,
        # Long enough for requests to overtake each other through a proxy.
        hold_s=0.005,
        strict=options.strict,
    )
    async with simulator:
        sys.stdout.write(simulator.url + "\n")
        sys.stdout.flush()
        await stopped.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; the URL is the only line on stdout."""
    asyncio.run(_run(_arguments(arguments)))


if __name__ == "__main__":
    main()
