"""The two ways to wait for the journal: a long poll and a stream of server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from wiretape_replay.control.filters import Filter
from wiretape_replay.journal import Entry
from wiretape_replay.watching import Watched

_PIECE = 100  # entries written at a stretch, before the client's reading is waited for


class Waited(Enum):
    """How a long poll ended."""

    FOUND = auto()
    DEADLINE = auto()
    OVER = auto()
    """Nothing more will come."""
    GONE = auto()
    """The client does not listen any more."""


class _Client:
    """Whoever waits; `gone` once it has hung up."""

    def __init__(self, changed: asyncio.Event) -> None:
        self.changed = changed
        self.gone = False

    async def listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self.changed.set()


@asynccontextmanager
async def _watching(watched: Watched, receive: Receive) -> AsyncIterator[_Client]:
    """Watch a journal and a client at once; the request's body must have been read."""
    with watched.watch() as changed:
        async with asyncio.TaskGroup() as group:
            client = _Client(changed)
            listening = group.create_task(client.listen(receive))
            try:
                yield client
            finally:
                listening.cancel()


async def wait_for(
    watched: Watched, receive: Receive, wanted: Filter, count: int, timeout_s: float
) -> tuple[Waited, list[Entry]]:
    """Wait until there are `count` entries; those that there are by then, at most so many."""
    found: list[Entry] = []
    async with _watching(watched, receive) as client:
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    client.changed.clear()
                    found += wanted.first(watched.journal, count - len(found))
                    wanted = wanted.later(watched.journal.count)
                    if len(found) == count:
                        return Waited.FOUND, found
                    if watched.over:
                        return Waited.OVER, found
                    if client.gone:
                        return Waited.GONE, found
                    await client.changed.wait()
        except TimeoutError:
            return Waited.DEADLINE, found


class EventStream(Response):
    """
    Entries as server-sent events, until the run ends or the client goes.

    A client that reads slowly holds nothing up and takes no memory: what it has not read yet is read
    from the journal when it does. What the journal has given up by then is told as an event `gap`.
    """

    def __init__(self, watched: Watched, wanted: Filter, *, heartbeat_s: float, patience_s: float) -> None:
        super().__init__(media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        # The class has set the length of the empty body that it was made with.
        del self.headers["content-length"]
        self._watched = watched
        self._wanted = wanted
        self._heartbeat_s = heartbeat_s
        """A comment is sent when nothing else was sent for so long: proxies cut silent connections."""
        self._patience_s = patience_s
        """A client that has not read a piece for so long is given up."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        piece: bytes | None = b": the journal\n\n"
        async with _watching(self._watched, receive) as client:
            try:
                while piece is not None:
                    async with asyncio.timeout(self._patience_s):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                    piece = await self._next(client)
            except TimeoutError:
                return  # the server cuts a response that was not finished
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _next(self, client: _Client) -> bytes | None:
        """What to send next, as soon as there is something; None at the end."""
        while not client.gone:
            client.changed.clear()
            if piece := self._next_piece():
                return piece
            if self._watched.over:
                return None
            try:
                async with asyncio.timeout(self._heartbeat_s):
                    await client.changed.wait()
            except TimeoutError:
                return b": still here\n\n"
        return None

    def _next_piece(self) -> bytes:
        journal, after = self._watched.journal, self._wanted.after
        lost = journal.count - len(journal.entries) - after
        entries = self._wanted.first(journal, _PIECE)
        full = len(entries) == _PIECE
        self._wanted = self._wanted.later(entries[-1].number if full else journal.count)
        gap = _event("gap", after + lost, {"lost": lost}) if lost > 0 else b""
        return gap + b"".join(_event(each.kind.value, each.number, each.to_object()) for each in entries)


def _event(kind: str, number: int, data: object) -> bytes:
    # JSON on one line: a line end within it would end the event's data.
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
