"""
The proxy's side of a recorder: hands records to the writer's process through a bounded queue.

What a hook calls for each piece of traffic does the least: it gives the bytes to the event loop's
transport. While the writer is behind the bound, `room` waits; connections await it before they read on.
"""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from wiretape_addons.feed import Ending, IntakeSettings, Kind, Opening, header, json_body
from wiretape_protocols import RedactionRule, WiretapeError
from wiretape_store import COMMIT_INTERVAL_US, KeepWire, UpstreamSpec, shown

_SOCKET_BYTES = 4 << 20


class RecordingStoppedError(WiretapeError):
    """The store cannot be written, so nothing is recorded any more; the text says why."""


@dataclass(frozen=True, slots=True)
class OutletSettings:
    """How much may wait for the writer, how long a stop may take, and how soon a commit comes."""

    queue_bytes: int = 64 << 20
    stop_deadline_s: float = 120.0
    start_deadline_s: float = 30.0
    commit_interval_us: int = COMMIT_INTERVAL_US
    limit_bytes: int = 1 << 28
    pass_unrecorded: bool = False
    keep_wire: KeepWire = KeepWire.NEEDED
    redaction_rules: tuple[RedactionRule, ...] = ()
    """What the user adds to the protocols' secrets; their variables are those of this process."""


class Outlet(asyncio.Protocol):
    """
    One recorder's way to its store. Start it inside a running event loop, stop it once.

    `on_failure` is called with a sentence, at most once, when the writer ends before it was asked to;
    `on_warning` with a sentence when it goes on and the user should know something.
    """

    def __init__(
        self,
        on_failure: Callable[[str], None],
        settings: OutletSettings = OutletSettings(),
        *,
        on_warning: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._on_failure = on_failure
        self._on_warning = on_warning
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.Transport | None = None
        # Set while the queue has room; cleared by the transport at its high-water mark.
        self._room = asyncio.Event()
        self._room.set()
        self._told = b""
        self._started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._ended = asyncio.Event()
        self._error: str | None = None
        self._stopping = False
        self._stored = False
        self.waits = 0
        """How often a connection had to wait for the writer."""

    async def start(self, store: str, recording: str | None, upstreams: Sequence[UpstreamSpec]) -> str:
        """Start the writer's process; return the recording's name. Raises RecordingStoppedError."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        settings = IntakeSettings(
            store,
            recording,
            [asdict(upstream) for upstream in upstreams],
            self._settings.commit_interval_us,
            self._settings.limit_bytes,
            self._settings.pass_unrecorded,
            list(map(str, self._settings.redaction_rules)),
            self._settings.keep_wire,
        )
        with theirs:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - its pipe is a socket of ours
                [sys.executable, "-m", "wiretape_addons.intake"],
                stdin=theirs.fileno(),
            )
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: self, sock=ours)
        transport.set_write_buffer_limits(high=self._settings.queue_bytes)
        # Not on its command line, which everybody on the machine may read: a URL may hold a password.
        transport.write(json.dumps(asdict(settings)).encode() + b"\n")
        self._transport = transport
        try:
            async with asyncio.timeout(self._settings.start_deadline_s):
                return await self._started
        except (RecordingStoppedError, TimeoutError) as exc:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
            self._process = None
            if isinstance(exc, RecordingStoppedError):
                raise
            message = f"the store {shown(store)} did not open within {self._settings.start_deadline_s:.0f} s"
            raise RecordingStoppedError(message) from exc

    def open(self, key: int, opening: Opening, at_us: int) -> None:
        """A handshake passed or failed."""
        self._write(Kind.OPEN, key, json_body(opening), at_us)

    def data(self, key: int, chunk: bytes, *, from_client: bool, at_us: int) -> None:
        """Bytes came off a socket."""
        self._write(Kind.DATA, key, chunk, at_us, from_client=from_client)

    def message(self, key: int, data: bytes, opcode: int, *, from_client: bool, at_us: int) -> None:
        """A whole message passed."""
        self._write(Kind.MESSAGE, key, data, at_us, from_client=from_client, opcode=opcode)

    async def room(self) -> None:
        """Wait until the queue is below its bound; to be awaited before a connection is read on."""
        if not self._room.is_set():
            self.waits += 1
            await self._room.wait()

    def end(self, key: int, ending: Ending, at_us: int) -> None:
        """A connection ended."""
        self._write(Kind.END, key, json_body(ending), at_us)

    async def stop(self, at_us: int) -> None:
        """Let the writer store everything and end. Raises RecordingStoppedError when it could not."""
        self._stopping = True
        if self._process is None:
            return
        self._write(Kind.STOP, 0, b"", at_us)
        try:
            async with asyncio.timeout(self._settings.stop_deadline_s):
                await self._ended.wait()
        except TimeoutError as exc:
            self._process.kill()
            message = f"the store did not take everything within {self._settings.stop_deadline_s:.0f} s"
            raise RecordingStoppedError(message) from exc
        finally:
            await asyncio.to_thread(self._process.wait)
        if self._error is not None:
            raise RecordingStoppedError(self._error)

    def _write(
        self, kind: Kind, key: int, body: bytes, at_us: int, *, from_client: bool = False, opcode: int = 0
    ) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        head = header(kind, key, from_client=from_client, opcode=opcode, at_us=at_us, length=len(body))
        # Not writelines(): CPython's does not look at the high-water mark.
        transport.write(head + body)

    # What asyncio calls.

    def data_received(self, data: bytes) -> None:
        """The writer tells something: one JSON object a line."""
        *lines, self._told = (self._told + data).split(b"\n")
        for line in lines:
            told = json.loads(line)
            if "recording" in told:
                self._started.set_result(told["recording"])
            elif "error" in told:
                self._error = told["error"]
            elif "stored" in told:
                self._stored = True
            elif "warning" in told:
                self._on_warning(told["warning"])

    def pause_writing(self) -> None:
        """The queue is at its bound."""
        self._room.clear()

    def resume_writing(self) -> None:
        """The writer caught up."""
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The writer's process ended, or its socket did."""
        self._room.set()
        self._ended.set()
        if self._error is None and not self._stored:
            self._error = "the writer's process ended before everything was stored"
        if not self._started.done():
            self._started.set_exception(RecordingStoppedError(self._error or ""))
        elif not self._stopping:
            self._on_failure(self._error or "the writer's process ended")
