"""
A client that does what was recorded: plays the client's side of a session against a server.

Its manner decides when it sends and how TCP cuts what it sends; what it sends is the recording's.
"""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from websockets.client import ClientProtocol
from websockets.exceptions import ProtocolError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame
from websockets.frames import Opcode as FrameOpcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from wiretape_protocols import Opcode
from wiretape_store.records import EndKind, Message, Session, header_value

_READ_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Manner:
    """
    When a client sends. Drawn from a seed, so that a run can be repeated.

    `early` is how likely it sends a message without waiting for what was recorded before it, `cuts`
    how likely TCP cuts what it sends after any byte, `late` how many turns of the loop it may wait.
    """

    seed: int
    early: float = 0.0
    cuts: float = 0.0
    late: int = 0


@dataclass(slots=True)
class Played:
    """What came back."""

    messages: list[tuple[Opcode, bytes]] = field(default_factory=list)
    status: int | None = None
    """Of the handshake; None when there was no answer."""
    close: tuple[int | None, str | None] | None = None
    """Code and reason of the server's close frame; None when it sent none."""
    lacking: int = 0
    """How many messages of the recording did not come before the deadline or the end."""


class _Client(ClientProtocol):
    """Keeps the server's close frame even where its code is one that the library refuses."""

    close_frame: Frame | None = None

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is FrameOpcode.CLOSE:
            self.close_frame = frame
        super().recv_frame(frame)


class Player:
    """Plays one session once."""

    def __init__(self, url: str, session: Session, messages: Sequence[Message], manner: Manner) -> None:
        self._session = session
        self._messages = messages
        self._manner = manner
        self._rng = random.Random(manner.seed)  # noqa: S311 - timing, not secrecy
        self._url = url + (session.handshake.target if session.handshake.target.startswith("/") else "/")
        self._played = Played()
        # How many of the upstream's messages were recorded before each message, and in all.
        self._before = [0, *itertools.accumulate(not message.from_client for message in messages)]
        # Set whenever something came, or the connection ended.
        self._news = asyncio.Event()
        self._ended = False
        self._fragments: list[Frame] = []

    async def play(self, deadline_s: float) -> Played:
        """
        Connect, send, receive, end. Waits at most `deadline_s` for any one thing.

        Whatever the server does is told by what came back; nothing is raised for it.
        """
        uri = parse_uri(self._url)
        protocol = _Client(
            uri, extensions=self._extensions(), subprotocols=self._subprotocols(), max_size=None
        )
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(deadline_s):
                reader, writer = await asyncio.open_connection(uri.host, uri.port)
                protocol.send_request(protocol.connect())
                await self._flush(protocol, writer)
                await self._handshake(protocol, reader)
            if protocol.state is State.OPEN:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._receive(protocol, reader, writer))
                    await self._converse(protocol, writer, deadline_s)
        except (TimeoutError, ConnectionError):
            self._ended = True
        finally:
            if writer is not None:
                writer.close()
                with contextlib.suppress(ConnectionError, TimeoutError):
                    async with asyncio.timeout(deadline_s):
                        await writer.wait_closed()
        self._played.lacking = max(0, self._before[-1] - len(self._played.messages))
        return self._played

    async def _converse(self, protocol: _Client, writer: asyncio.StreamWriter, deadline_s: float) -> None:
        """Send and wait to the end; however that goes, nothing is left to receive afterwards."""
        with contextlib.suppress(ConnectionError):  # the server has reset TCP
            await self._send_all(protocol, writer, deadline_s)
            await self._wait_for_end(deadline_s)
        if not self._ended:
            writer.transport.abort()

    async def _handshake(self, protocol: _Client, reader: asyncio.StreamReader) -> None:
        while protocol.state is State.CONNECTING and protocol.handshake_exc is None:
            data = await reader.read(_READ_BYTES)
            if not data:
                protocol.receive_eof()
                break
            protocol.receive_data(data)
            self._take(protocol)
        if protocol.handshake_exc is not None:
            response: Response | None = getattr(protocol.handshake_exc, "response", None)
            self._played.status = response.status_code if response else None

    async def _send_all(self, protocol: _Client, writer: asyncio.StreamWriter, deadline_s: float) -> None:
        for number, message in enumerate(self._messages):
            if not message.from_client:
                continue
            if self._rng.random() >= self._manner.early:
                await self._wait_for(self._before[number], deadline_s)
            for _ in range(self._rng.randint(0, self._manner.late)):
                await asyncio.sleep(0)
            if self._ended or protocol.state is not State.OPEN:
                return
            send = protocol.send_text if message.opcode is Opcode.TEXT else protocol.send_binary
            send(message.wire)
            await self._flush(protocol, writer)
        await self._wait_for(self._before[-1], deadline_s)
        end = self._session.end
        upstream_ends = end.kind in {EndKind.CLOSED, EndKind.EOF} and end.from_client is False
        if upstream_ends or self._ended or protocol.state is not State.OPEN:
            return
        if end.kind is EndKind.CLOSED and end.code is not None:
            with contextlib.suppress(ProtocolError):  # the recorded code is none that may be sent
                protocol.send_close(end.code, end.reason or "")
                await self._flush(protocol, writer)
                return
        writer.close()

    @property
    def _over(self) -> bool:
        """No message can come any more."""
        return self._ended or self._played.close is not None

    async def _wait_for(self, count: int, deadline_s: float) -> None:
        try:
            async with asyncio.timeout(deadline_s):
                while len(self._played.messages) < count and not self._over:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return

    async def _wait_for_end(self, deadline_s: float) -> None:
        try:
            async with asyncio.timeout(deadline_s):
                while not self._ended:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return

    async def _receive(
        self, protocol: _Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while data := await reader.read(_READ_BYTES):
                protocol.receive_data(data)
                self._take(protocol)
                await self._flush(protocol, writer)
        except ConnectionError:
            pass
        self._ended = True
        self._news.set()

    def _take(self, protocol: _Client) -> None:
        for event in protocol.events_received():
            if isinstance(event, Response):
                self._played.status = event.status_code
            elif isinstance(event, Frame):
                self._take_frame(event)
                self._news.set()
        if protocol.close_frame is not None and self._played.close is None:
            data = bytes(protocol.close_frame.data)
            code = int.from_bytes(data[:2]) if len(data) >= 2 else None
            self._played.close = (code, data[2:].decode(errors="replace") or None)
            self._news.set()

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode in {FrameOpcode.TEXT, FrameOpcode.BINARY, FrameOpcode.CONT}:
            self._fragments.append(frame)
            if frame.fin:
                data = b"".join(bytes(fragment.data) for fragment in self._fragments)
                self._played.messages.append((Opcode(self._fragments[0].opcode), data))
                self._fragments = []

    async def _flush(self, protocol: _Client, writer: asyncio.StreamWriter) -> None:
        """Send what the protocol wants sent, in the pieces that the manner makes of it."""
        data = b"".join(protocol.data_to_send())
        start = 0
        for cut in range(1, len(data)):
            if self._rng.random() < self._manner.cuts:
                writer.write(data[start:cut])
                start = cut
                await asyncio.sleep(0)
        if data and not writer.is_closing():
            writer.write(data[start:])
            await writer.drain()

    def _subprotocols(self) -> list[Subprotocol] | None:
        offered = header_value(self._session.handshake.request_headers, "sec-websocket-protocol")
        return [Subprotocol(name.strip()) for name in offered.split(",")] if offered else None

    def _extensions(self) -> list[ClientPerMessageDeflateFactory] | None:
        agreed = header_value(self._session.handshake.response_headers, "sec-websocket-extensions")
        if "permessage-deflate" not in agreed.lower():
            return None
        return [ClientPerMessageDeflateFactory(client_max_window_bits=True)]
