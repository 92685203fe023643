"""
A client that does what was recorded: plays the client's side of a session against a server.

Its manner decides when it sends and how TCP cuts what it sends; what it sends is the recording's.
"""

import asyncio
import contextlib
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

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

    seed: int | str
    early: float = 0.0
    cuts: float = 0.0
    late: int = 0

    @classmethod
    def drawn(cls, seed: str) -> Self:
        """Any manner; the same for the same seed, in every process."""
        rng = random.Random(seed)  # noqa: S311 - timing, not secrecy
        return cls(
            seed,
            early=rng.choice((0.0, 0.0, 0.3, 1.0)),
            cuts=rng.choice((0.0, 0.01, 0.1, 0.5)),
            late=rng.choice((0, 0, 3, 30)),
        )


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
    gave_up: str = ""
    """What was waited for to the deadline; empty where nothing was."""


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
        self._deadline_s = 0.0
        """Unset before `play`."""
        self.opened = asyncio.Event()
        """Set once the handshake is answered, or will never be."""

    async def play(self, deadline_s: float) -> Played:
        """
        Connect, send, receive, end. Gives up where nothing comes, and nothing is taken, for `deadline_s`.

        Whatever the server does is told by what came back; nothing is raised for it.
        """
        self._deadline_s = deadline_s
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
            self.opened.set()
            if protocol.state is State.OPEN:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._receive(protocol, reader, writer))
                    await self._converse(protocol, writer)
        except ConnectionError:
            self._ended = True
        except TimeoutError:
            self._give_up("an answer to the handshake")
            self._ended = True
        finally:
            self.opened.set()
            if writer is not None:
                writer.close()
                with contextlib.suppress(ConnectionError, TimeoutError):
                    async with asyncio.timeout(deadline_s):
                        await writer.wait_closed()
        self._played.lacking = max(0, self._before[-1] - len(self._played.messages))
        return self._played

    async def _converse(self, protocol: _Client, writer: asyncio.StreamWriter) -> None:
        """Send and wait to the end; however that goes, nothing is left to receive afterwards."""
        try:
            await self._send_all(protocol, writer)
            await self._wait_for_end()
        except ConnectionError:
            pass  # the server has reset TCP
        except TimeoutError:
            self._give_up("the server to read")
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

    async def _send_all(self, protocol: _Client, writer: asyncio.StreamWriter) -> None:
        for number, message in enumerate(self._messages):
            if not message.from_client:
                continue
            if self._rng.random() >= self._manner.early:
                await self._wait_for(self._before[number])
            for _ in range(self._rng.randint(0, self._manner.late)):
                await asyncio.sleep(0)
            if self._over or self._played.gave_up or protocol.state is not State.OPEN:
                return
            send = protocol.send_text if message.opcode is Opcode.TEXT else protocol.send_binary
            send(message.wire)
            await self._flush(protocol, writer)
        await self._wait_for(self._before[-1])
        end = self._session.end
        upstream_ends = end.kind in {EndKind.CLOSED, EndKind.EOF} and end.from_client is False
        if upstream_ends or self._over or self._played.gave_up or protocol.state is not State.OPEN:
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

    async def _wait_for(self, count: int) -> None:
        """Wait until so many messages have come. As long as some come, there is no hurry."""
        while (come := len(self._played.messages)) < count and not self._over and not self._played.gave_up:
            await self._wait_for_news(f"upstream message {come} of the recording, of {self._before[-1]}")

    async def _wait_for_end(self) -> None:
        """Wait until TCP ends, for one deadline: a server that talks for ever does not end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._deadline_s):
                while not self._ended and not self._played.gave_up:
                    await self._wait_for_news("the end of the connection")
        if not self._ended:
            self._give_up("the end of the connection")

    async def _wait_for_news(self, awaited: str) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._news.wait()
        except TimeoutError:
            self._give_up(awaited)

    def _give_up(self, awaited: str) -> None:
        self._played.gave_up = self._played.gave_up or awaited

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
        except TimeoutError:
            self._give_up("the server to read")
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
        for cut in self._cuts(len(data)):
            writer.write(data[start:cut])
            start = cut
            await asyncio.sleep(0)
        if data and not writer.is_closing():
            writer.write(data[start:])
            async with asyncio.timeout(self._deadline_s):
                await writer.drain()

    def _cuts(self, size: int) -> Iterator[int]:
        """Where TCP cuts so many bytes: after each as likely as the manner says."""
        if not self._manner.cuts:
            return
        if self._manner.cuts >= 1:
            yield from range(1, size)
            return
        # One draw for each cut instead of one for each byte: the gaps between them, as they would be.
        scale = math.log(1 - self._manner.cuts)
        cut = 0
        while (cut := cut + 1 + int(math.log(1 - self._rng.random()) / scale)) < size:
            yield cut

    def _subprotocols(self) -> list[Subprotocol] | None:
        offered = header_value(self._session.handshake.request_headers, "sec-websocket-protocol")
        return [Subprotocol(name.strip()) for name in offered.split(",")] if offered else None

    def _extensions(self) -> list[ClientPerMessageDeflateFactory] | None:
        agreed = header_value(self._session.handshake.response_headers, "sec-websocket-extensions")
        if "permessage-deflate" not in agreed.lower():
            return None
        return [ClientPerMessageDeflateFactory(client_max_window_bits=True)]
