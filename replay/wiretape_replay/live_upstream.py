"""
The live upstream behind one replayed connection: what the recording cannot answer goes there.

Connects when the first message is passed on, and only then. Owns the socket and its one task; what
is passed on, and what becomes of the answers, is decided by who uses it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

from wiretape_protocols import Opcode, Protocol, decode
from wiretape_protocols.targets import joined_target
from wiretape_replay.actions import Forward
from wiretape_store.records import Headers, header_value

_CONNECT_S = 10.0
_ENDED = "the live upstream has ended the connection"
_NOT_PASSED_ON = frozenset({"host", "connection", "upgrade", "origin", "content-length", "transfer-encoding"})


class LiveUpstream:
    """
    One connection to the live upstream, for as long as its client's lasts.

    `logins` are the client's own messages of role AUTH so far: they are sent first, because what the
    client did on its connection was answered by the recording, and their answers are swallowed.
    `deliver` takes what the upstream sends, and is waited for; `failed` takes a message that could not
    be passed on, and why.
    """

    def __init__(
        self,
        url: str,
        protocol: Protocol,
        target: str,
        headers: Headers,
        logins: Callable[[], Sequence[tuple[Opcode, bytes]]],
        deliver: Callable[[bytes, Opcode], Awaitable[None]],
        failed: Callable[[Forward, str], None],
    ) -> None:
        self._url = url
        self._protocol = protocol
        self._target = target
        self._headers = headers
        self._logins = logins
        self._deliver = deliver
        self._failed = failed
        self._waiting: asyncio.Queue[Forward] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many messages wait to be sent."""
        return self._waiting.qsize()

    def send(self, forward: Forward) -> None:
        """Pass a message on, after those before it."""
        self._waiting.put_nowait(forward)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._talk())

    def end(self) -> None:
        """The client is gone."""
        if self._task is not None:
            self._task.cancel()

    async def _talk(self) -> None:
        """Until the upstream ends: the next message after that connects anew."""
        try:
            async with self._connecting() as upstream, asyncio.TaskGroup() as tasks:
                receiving = tasks.create_task(self._receive(upstream, await self._log_in(upstream)))
                sending = tasks.create_task(self._send_all(upstream))
                await receiving
                sending.cancel()
            why = _ENDED
        except ConnectionClosed:
            why = _ENDED
        except (OSError, InvalidHandshake, TimeoutError) as exc:
            why = f"the live upstream {self._url} cannot be reached ({exc})"
        except InvalidURI:
            why = f"{self._url} is no WebSocket URL; name the live upstream with --upstream"
        while not self._waiting.empty():
            self._failed(self._waiting.get_nowait(), why)

    def _connecting(self) -> connect:
        parts = urlsplit(self._url)
        target = joined_target(parts.path.rstrip("/"), parts.query, self._target)
        path, _, query = target.partition("?")
        offered = header_value(self._headers, "sec-websocket-protocol")
        own = [
            (name, value)
            for name, value in self._headers
            if name.lower() not in _NOT_PASSED_ON and not name.lower().startswith("sec-websocket-")
        ]
        return connect(
            urlunsplit((parts.scheme, parts.netloc, path, query, "")),
            additional_headers=own,
            subprotocols=[Subprotocol(name.strip()) for name in offered.split(",")] if offered else None,
            user_agent_header=None,
            max_size=None,
            open_timeout=_CONNECT_S,
            ping_interval=None,
            proxy=None,
        )

    async def _log_in(self, upstream: ClientConnection) -> int:
        """Send the client's logins; how many answers are theirs."""
        logins = self._logins()
        for opcode, wire in logins:
            await upstream.send(wire, text=opcode is Opcode.TEXT)
        return len(logins)

    async def _send_all(self, upstream: ClientConnection) -> None:
        while True:
            forward = await self._waiting.get()
            try:
                await upstream.send(forward.wire, text=forward.opcode is Opcode.TEXT)
            except ConnectionClosed:
                self._failed(forward, _ENDED)
                return

    async def _receive(self, upstream: ClientConnection, logins: int) -> None:
        conversation = self._protocol.conversation()
        for seq, (opcode, wire) in enumerate(self._logins()[:logins]):
            conversation.client(decode(wire).payload, opcode, seq)
        # How the upstream ends does not matter to the client, whose connection goes on.
        with contextlib.suppress(ConnectionClosed):
            async for message in upstream:
                opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
                wire = message.encode() if isinstance(message, str) else message
                if logins and conversation.upstream(decode(wire).payload, opcode).answers is not None:
                    logins -= 1
                    continue
                await self._deliver(wire, opcode)
