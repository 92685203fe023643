"""A client that speaks raw WebSocket over TCP, so that tests decide where the stream is cut and who reads."""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from itertools import pairwise
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from wiretape_replay.frames import frame_size

_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_MASK = b"\x01\x02\x03\x04"
PATIENCE_S = 20
"""Far more than anything here takes: a test that waits this long has failed."""


def masked(opcode: int, payload: bytes, *, fin: bool = True, rsv1: bool = False) -> bytes:
    """A client's frame."""
    first = opcode | (0x80 if fin else 0) | (0x40 if rsv1 else 0)
    length = len(payload)
    if length < 126:
        head = bytes((first, 0x80 | length))
    elif length < 65536:
        head = bytes((first, 0xFE)) + length.to_bytes(2)
    else:
        head = bytes((first, 0xFF)) + length.to_bytes(8)
    return head + _MASK + bytes(byte ^ _MASK[index % 4] for index, byte in enumerate(payload))


def text(payload: str) -> bytes:
    return masked(1, payload.encode())


class RawClient:
    """One TCP connection; everything it receives is kept."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 0)
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(*self._address, limit=2**16)
        self._writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.transport.abort()

    async def handshake(self, *headers: str, path: str = "/any/path?at=all") -> bytes:
        """Open the WebSocket; returns the head of the answer."""
        lines = (
            f"GET {path} HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {_KEY}",
            "Sec-WebSocket-Version: 13",
            *headers,
            "",
            "",
        )
        await self.write("\r\n".join(lines).encode())
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.readuntil(b"\r\n\r\n")

    async def write(self, *pieces: bytes) -> None:
        """Write each piece by itself, giving the server a turn in between."""
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            await asyncio.sleep(0)

    def half_close(self) -> None:
        self._writer.write_eof()

    async def read(self, size: int) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.readexactly(size)

    async def frame(self) -> bytes:
        """The next whole frame."""
        data = await self.read(2)
        while (size := frame_size(data, 0)) is None:
            data += await self.read(1)
        return data + await self.read(size - len(data))

    async def message(self) -> str:
        """The next message's text."""
        data = await self.frame()
        start = {126: 4, 127: 10}.get(data[1], 2)
        return data[start:].decode()

    async def rest(self) -> bytes:
        """Everything until the server ends TCP."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.read(-1)

    async def rest_or_reset(self) -> bytes:
        """Everything until the server ends TCP, or resets it."""
        data = b""
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionResetError):
                while piece := await self._reader.read(2**16):
                    data += piece
        return data

    async def read_some(self) -> bytes:
        """What has come, at least a byte; nothing at the end."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.read(2**20)

    async def rest_after_close(self, reply: bytes, close: bytes) -> bytes:
        """Read until the server's close frame has come, answer it, and read to the end."""
        data = b""
        async with asyncio.timeout(PATIENCE_S):
            while not data.endswith(close):
                data += await self._reader.read(2**20)
        await self.write(reply)
        return data + await self.rest()


def cut(stream: bytes, places: Sequence[int]) -> list[bytes]:
    """The stream in pieces, cut at these places."""
    bounds = [0, *sorted({place % (len(stream) + 1) for place in places}), len(stream)]
    return [stream[start:end] for start, end in pairwise(bounds) if start < end]
