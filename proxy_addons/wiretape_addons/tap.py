"""
The mitmproxy addon of `wiretape record`: a tap on upgraded connections.

With mitmproxy's options `websocket=false` and `rawtcp=true` the handshake arrives through the HTTP
hooks and everything after it through `tcp_message`, in chunks as they come off the socket, forwarded
untouched. A hook takes the bytes, stamps the time and hands over; what they mean is found out by the
writer's process.
"""

import asyncio
from collections.abc import Sequence

from mitmproxy import connection, http, tcp
from mitmproxy.addons.proxyserver import Proxyserver

from wiretape_addons.brake import brake
from wiretape_addons.clock import now_us
from wiretape_addons.feed import Ending
from wiretape_addons.handshakes import is_upgrade, opening_of
from wiretape_addons.outlet import Outlet
from wiretape_addons.upstreams import Target

_BODY_BYTES = 64 * 1024
"""Of a refusal; the rest passes and is not stored."""
# Where a listener seems to lead, until the upstream is known from its number in the name.
_PLACE = "http://upstream-{}.wiretape.invalid"


def place_of(number: int) -> str:
    """The target of the reverse-mode listener of upstream `number`."""
    return _PLACE.format(number)


class Tap:
    """Sends each WebSocket handshake to its upstream and everything that passes to the outlet."""

    def __init__(self, outlet: Outlet, targets: Sequence[Target], proxyserver: Proxyserver) -> None:
        self._outlet = outlet
        self._targets = {place_of(number): (number, target) for number, target in enumerate(targets)}
        self._proxyserver = proxyserver
        # Handshakes under way, by flow id: when they began, and what the client asked for.
        self._asked: dict[str, tuple[int, str]] = {}
        # What came of the bodies of refusals under way, by flow id.
        self._bodies: dict[str, bytearray] = {}
        # Upgraded connections, by the id of the client's connection.
        self._keys: dict[str, int] = {}
        self._next_key = 0
        self._open_store = asyncio.Event()
        self._stopping = False

    def let_in(self) -> None:
        """The store is open: handshakes that waited for it go on."""
        self._open_store.set()

    def stop(self) -> None:
        """From here on connections end because the recorder does."""
        self._stopping = True

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """A client asks: remember what, and lead it to its upstream."""
        await self._open_store.wait()
        _, target = self._targets[flow.client_conn.proxy_mode.data]
        if is_upgrade(flow):
            self._asked[flow.id] = (now_us(), flow.request.path)
        else:
            # Not ours: a long upload must not be gathered before it is passed on.
            flow.request.stream = True
        flow.request.scheme = "https" if target.tls else "http"
        flow.request.host = target.host
        flow.request.port = target.port
        flow.request.path = target.join(flow.request.path)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """The upstream begins to answer; of what is no handshake nothing is gathered."""
        if flow.response is None:
            return
        if flow.id not in self._asked:
            flow.response.stream = True
        elif flow.response.status_code != 101:
            # A refusal is recorded with the beginning of its body, however long that is.
            kept = self._bodies[flow.id] = bytearray()

            def keep(data: bytes) -> bytes:
                kept.extend(data[: _BODY_BYTES - len(kept)])
                return data

            flow.response.stream = keep

    def response(self, flow: http.HTTPFlow) -> None:
        """The upstream answered: a 101 opens a session, anything else is a refused one."""
        key = self._open(flow, None)
        if key is None or flow.response is None:
            return
        if flow.response.status_code == 101:
            self._keys[flow.client_conn.id] = key
            brake(self._proxyserver, flow.client_conn.id, self._outlet.room)
        else:
            self._outlet.end(key, Ending(from_client=False), now_us())

    def error(self, flow: http.HTTPFlow) -> None:
        """There will be no answer: the upstream cannot be reached, or one side left."""
        text = flow.error.msg if flow.error else "no answer"
        key = self._open(flow, text if flow.client_conn.connected else None)
        if key is not None:
            # A client that leaves before it is answered has ended the session itself.
            left = not flow.client_conn.connected
            self._outlet.end(key, Ending(True if left else None, interrupted=self._stopping), now_us())

    def tcp_message(self, flow: tcp.TCPFlow) -> None:
        """Bytes pass. mitmproxy's own list of them is emptied, so that memory stays flat."""
        message = flow.messages.pop()
        key = self._keys.get(flow.client_conn.id)
        if key is not None:
            self._outlet.data(key, message.content, from_client=message.from_client, at_us=now_us())

    def tcp_end(self, flow: tcp.TCPFlow) -> None:
        """Both sides are closed."""
        key = self._keys.pop(flow.client_conn.id, None)
        if key is not None:
            from_client = self._ended_by_client(flow)
            interrupted = from_client is None or self._stopping
            self._outlet.end(key, Ending(from_client, interrupted=interrupted), now_us())

    tcp_error = tcp_end

    def _open(self, flow: http.HTTPFlow, unreachable: str | None) -> int | None:
        asked = self._asked.pop(flow.id, None)
        if asked is None:
            return None
        number, _ = self._targets[flow.client_conn.proxy_mode.data]
        opened_at_us, path = asked
        body = bytes(self._bodies.pop(flow.id, b""))
        key = self._next_key
        self._next_key += 1
        self._outlet.open(key, opening_of(flow, number, path, body, unreachable), opened_at_us)
        return key

    def _ended_by_client(self, flow: tcp.TCPFlow) -> bool | None:
        """
        Which side's stream ended first; None when neither did (we did).

        No hook tells. While `tcp_end` runs, mitmproxy still holds the readers of both sides, and only
        the one that ended by itself is at its end.
        """
        handler = self._proxyserver.connections.get(flow.client_conn.id)
        if handler is None:
            return None
        sides: tuple[tuple[connection.Connection, bool], ...] = (
            (flow.client_conn, True),
            (flow.server_conn, False),
        )
        for side, from_client in sides:
            transport = handler.transports.get(side)
            reader = transport.reader if transport else None
            if isinstance(reader, asyncio.StreamReader) and (
                reader.at_eof() or reader.exception() is not None
            ):
                return from_client
        return None
