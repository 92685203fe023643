"""
One port for any number of runs: the path says which run and which upstream a client means.

`ws://127.0.0.1:9002/run/TOKEN/hotbit/ws?x=1` asks upstream `hotbit` of the run with that token for
`/ws?x=1`. The token cannot be guessed, so no client meets a run that it was not told of.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from urllib.parse import quote, unquote

from wiretape_replay.binding import BACKLOG, bind, in_url, resolve

_TOKEN_BYTES = 16
_PREFIX = b"/run/"
_LINE_END = b"\r\n"
_LONGEST_LINE = 16 * 1024  # beyond what the handshake's parser takes, so that it is the one to refuse
_UNKNOWN = (
    b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s"
)
_ADVICE = b"wiretape: no run has this address. Ask the control API for the run's urls.\n"

Accept = Callable[[], asyncio.Protocol]
"""Makes what serves one connection to one upstream."""


class SharedPort:
    """Listens once for all runs that were let in."""

    def __init__(self, host: str, port: int, *, handshake_us: int = 10_000_000) -> None:
        self._host = host
        self._port = port
        self._handshake_us = handshake_us
        self._stands: dict[tuple[str, str], Accept] = {}
        """By token and upstream."""
        self._undecided: set[_Doorkeeper] = set()
        """The connections that have not said yet what they want."""
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens, the way to a run left out."""
        return f"ws://{in_url(self._host)}:{self._port}"

    async def start(self) -> None:
        """Listen. Raises AddressError."""
        address = await resolve("--shared", self._host, self._port)
        sock = bind("--shared", address, self._port)
        self._port = sock.getsockname()[1]
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Doorkeeper(self._find, self._undecided, self._handshake_us / 1_000_000),
            sock=sock,
            backlog=BACKLOG,
        )

    def close(self) -> None:
        """Accept nobody any more; connections that a run has got are the run's to end."""
        if self._server is not None:
            self._server.close()
        for waiting in tuple(self._undecided):
            waiting.abort()

    def let_in(self, stands: Iterable[tuple[str, Accept]]) -> tuple[str, dict[str, str]]:
        """Serve a run's upstreams; returns the run's token, and by upstream the URL for its clients."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        urls: dict[str, str] = {}
        for upstream, accept in stands:
            self._stands[token, upstream] = accept
            urls[upstream] = f"{self.url}{_PREFIX.decode()}{token}/{quote(upstream, safe='')}"
        return token, urls

    def shut_out(self, token: str) -> None:
        """Serve the run no more."""
        for key in [key for key in self._stands if key[0] == token]:
            del self._stands[key]

    def _find(self, token: str, upstream: str) -> Accept | None:
        return self._stands.get((token, upstream))


class _Doorkeeper(asyncio.Protocol):
    """Reads the first line of a handshake, then leaves the connection to the stand that it names."""

    def __init__(
        self,
        find: Callable[[str, str], Accept | None],
        undecided: "set[_Doorkeeper]",
        handshake_s: float,
    ) -> None:
        self._find = find
        self._undecided = undecided
        self._handshake_s = handshake_s
        self._head = bytearray()
        self._deadline: asyncio.TimerHandle
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._undecided.add(self)
        self._deadline = asyncio.get_running_loop().call_later(self._handshake_s, transport.abort)

    def data_received(self, data: bytes) -> None:
        self._head += data
        end = self._head.find(_LINE_END)
        if end < 0 and len(self._head) < _LONGEST_LINE:
            return
        self._decide(bytes(self._head), end)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    def _decide(self, head: bytes, end: int) -> None:
        self._leave()
        method, _, rest = head[: max(end, 0)].partition(b" ")
        target, _, version = rest.partition(b" ")
        found = read_path(target)
        accept = self._find(found[0], found[1]) if found is not None else None
        if found is None or accept is None:
            self._transport.write(_UNKNOWN % (len(_ADVICE), _ADVICE))
            self._transport.close()
            return
        connection = accept()
        self._transport.set_protocol(connection)
        connection.connection_made(self._transport)
        connection.data_received(b" ".join((method, found[2], version)) + head[end:])

    def _leave(self) -> None:
        self._deadline.cancel()
        self._undecided.discard(self)


def read_path(target: bytes) -> tuple[str, str, bytes] | None:
    """
    What a request's target means: the token, the upstream, and what the upstream is asked for.

    None where it is no run's address.
    """
    if not target.startswith(_PREFIX):
        return None
    path, mark, query = target.removeprefix(_PREFIX).partition(b"?")
    token, _, rest = path.partition(b"/")
    upstream, slash, inner = rest.partition(b"/")
    asked = (slash + inner if slash else b"/") + mark + query
    return token.decode("latin-1"), unquote(upstream.decode("latin-1")), asked
