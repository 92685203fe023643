"""
The writer's side of a recorder: records come in from the proxy's process, sessions go to the store.

Runs as a process of its own (`python -m wiretape_addons.intake`), so that framing, decoding,
compressing and writing take no time from the proxy, and so that what was handed over is stored even
when the proxy is killed. It ends when its input does.
"""

import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable

from wiretape_addons.assembly import SessionAssembler
from wiretape_addons.clock import now_us
from wiretape_addons.feed import (
    Ending,
    IntakeSettings,
    Kind,
    Record,
    RecordReader,
    ending,
    opening,
)
from wiretape_protocols import Opcode, Redactor, WiretapeError, parse_rules, protocol_named
from wiretape_store import KeepWire, Recording, StoreError, StoreWriter, UpstreamSpec

_CHUNK_BYTES = 1 << 20
_LONGEST_WAIT_US = 1_000_000
_KEEP_ALIVE_S = 3
"""So often others are shown that this recorder lives, also when nothing comes in."""


class Intake:
    """
    Turns the records of one recorder into sessions of one recording.

    With `pass_unrecorded` a store that cannot be written is no end: what could not be stored is
    forgotten and counted, and the count is stored as a gap as soon as the store is back.
    """

    def __init__(
        self,
        writer: StoreWriter,
        recording: Recording,
        limit_bytes: int,
        *,
        redactor: Redactor | None = None,
        pass_unrecorded: bool = False,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._writer = writer
        self._recording = recording
        self._redactor = redactor or Redactor(writer.redaction_key)
        self._limit_bytes = limit_bytes
        self._pass = pass_unrecorded
        self._warn = warn
        self._sessions: dict[int, SessionAssembler] = {}
        # While the store cannot be written: how many messages were lost, and by key the connections that
        # it does not know at all, with their end once they have one.
        self._failing = False
        self._lost = self._lost_connections = 0
        self._unopened: dict[int, tuple[Record, Record | None]] = {}
        self._try_again_us = 0
        self.stopped = False

    def take(self, record: Record) -> None:
        """Handle the next record, in the order in which the proxy made them."""
        kind = record.kind
        if kind is Kind.DATA:
            session = self._sessions.get(record.key)
            if session is not None:
                session.data(record.body, from_client=record.from_client, at_us=record.at_us)
        elif kind is Kind.MESSAGE:
            session = self._sessions.get(record.key)
            if session is not None:
                opcode = Opcode(record.opcode)
                session.message(record.body, opcode, from_client=record.from_client, at_us=record.at_us)
        elif kind is Kind.OPEN:
            self._open(record)
        elif kind is Kind.END:
            if record.key in self._unopened:
                self._unopened[record.key] = (self._unopened[record.key][0], record)
            self._end(record.key, ending(record.body), record.at_us)
        else:
            self.stop(record.at_us)

    def commit_if_due(self) -> None:
        """Commit when it is time; a failure is the end, or where that is allowed, a gap."""
        try:
            self._writer.commit_if_due()
        except StoreError as exc:
            self._fail(exc)
            self._lost += self._writer.discard()
            return
        at_us = now_us()
        if self._unopened and at_us >= self._try_again_us:
            self._try_again_us = at_us + _LONGEST_WAIT_US
            try:
                self._open_late(at_us)
            except StoreError as exc:
                self._fail(exc)
                return
        self._say_if_back()

    def _say_if_back(self) -> None:
        if self._failing and not self._unopened and self._writer.next_commit_at_us is None:
            self._failing = False
            more = f", and all of {self._lost_connections} connections" if self._lost_connections else ""
            self._warn(f"the store is back; {self._lost} messages{more} passed unrecorded")
            self._lost = self._lost_connections = 0

    def _fail(self, exc: StoreError) -> None:
        if not self._pass:
            raise exc
        if not self._failing:
            self._failing = True
            self._warn(f"traffic passes unrecorded: {exc}")

    def _open(self, record: Record) -> None:
        try:
            self._sessions[record.key] = self._begin(record)
        except StoreError as exc:
            self._fail(exc)
            self._unopened[record.key] = (record, None)

    def _open_late(self, at_us: int) -> None:
        """Record the connections that began while the store was away; their traffic so far is lost."""
        for key, (record, end) in list(self._unopened.items()):
            session = self._begin(record)
            session.miss_beginning(at_us)
            self._lost_connections += 1
            del self._unopened[key]
            if end is None:
                self._sessions[key] = session
            else:
                session.end(ending(end.body), end.at_us)

    def _begin(self, record: Record) -> SessionAssembler:
        what = opening(record.body)
        upstream = self._recording.upstreams[what.upstream]
        return SessionAssembler(
            self._writer,
            self._redactor,
            protocol_named(upstream.protocol),
            upstream_id=upstream.id,
            opening=what,
            opened_at_us=record.at_us,
            limit_bytes=self._limit_bytes,
        )

    def _end(self, key: int, how: Ending, at_us: int) -> None:
        session = self._sessions.pop(key, None)
        if session is not None:
            session.end(how, at_us)

    def stop(self, at_us: int) -> None:
        """
        End what is still open as interrupted, and the recording; everything is stored after it.

        Raises StoreError also where all that remains unstored is that there were some connections.
        """
        unopened = self._open_last(at_us)
        for key in list(self._sessions):
            self._end(key, Ending(None, interrupted=True), at_us)
        self._writer.end_recording(self._recording.id)
        self._writer.commit()
        self.stopped = True
        if unopened is not None:
            raise unopened
        self._say_if_back()

    def _open_last(self, at_us: int) -> StoreError | None:
        """Try for the last time to record the connections that the store does not know; say why not."""
        try:
            self._open_late(at_us)
        except StoreError as exc:
            self._warn(f"nothing is recorded of {len(self._unopened)} connections: the store is not back")
            return exc
        return None


def serve(feed: socket.socket, settings: IntakeSettings) -> int:
    """
    Store what comes in until the other end stops or goes away; return the exit status.

    Tells the other end, one JSON object a line: `recording` once the store is open, `error` with a
    sentence when it cannot be written, `stored` at the end.
    """
    try:
        writer = StoreWriter(
            settings.store,
            clock_us=_wall_us,
            commit_interval_us=settings.commit_interval_us,
            keep_wire=KeepWire(settings.keep_wire),
        )
    except WiretapeError as exc:
        _tell(feed, error=str(exc))
        return 1
    try:
        rules = parse_rules(settings.redaction_rules)
        redactor = Redactor(writer.redaction_key, rules, os.environ)
        upstreams = [
            UpstreamSpec(**upstream | {"url": redactor.url(upstream["url"])})
            for upstream in settings.upstreams
        ]
        recording = writer.begin_recording(
            settings.recording, upstreams, redaction_rules=settings.redaction_rules
        )
        _tell(feed, recording=recording.name)
        intake = Intake(
            writer,
            recording,
            settings.limit_bytes,
            redactor=redactor,
            pass_unrecorded=settings.pass_unrecorded,
            warn=lambda text: _tell(feed, warning=text),
        )
        _take_all(feed, writer, intake)
        writer.close()
    except WiretapeError as exc:
        _tell(feed, error=str(exc))
        return 1
    _tell(feed, stored=True)
    return 0


def _take_all(feed: socket.socket, writer: StoreWriter, intake: Intake) -> None:
    reader = RecordReader()
    poller = select.poll()
    poller.register(feed, select.POLLIN)
    shown_at = time.monotonic()
    while not intake.stopped:
        if time.monotonic() - shown_at >= _KEEP_ALIVE_S:
            writer.keep_alive()
            shown_at = time.monotonic()
        due_us = writer.next_commit_at_us
        # A clock that was set back must not put a commit off; nothing waits longer than a poll does.
        wait_us = _KEEP_ALIVE_S * 1_000_000 if due_us is None else min(due_us - _wall_us(), _LONGEST_WAIT_US)
        if due_us is None and not poller.poll(0) and writer.settle():
            continue
        if poller.poll(max(0, wait_us) // 1000 + 1):
            try:
                chunk = feed.recv(_CHUNK_BYTES)
            except ConnectionError:
                chunk = b""
            if not chunk:
                intake.stop(now_us())
                return
            for record in reader.feed(chunk):
                intake.take(record)
                intake.commit_if_due()
        intake.commit_if_due()


def _tell(feed: socket.socket, **what: object) -> None:
    try:
        feed.sendall(json.dumps(what).encode() + b"\n")
    except OSError:
        # The proxy's process is gone; what it handed over is stored all the same.
        return


def _wall_us() -> int:
    """The clock of the store: since 1970, UTC."""
    return time.time_ns() // 1000


def main() -> int:
    """Serve the socket that is standard input; its first line is the settings."""
    # The terminal sends its signals to the whole group; this process ends when its input does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with socket.socket(fileno=0) as feed:
        with feed.makefile("rb", buffering=0) as lines:  # Unbuffered: what comes after it is not its own.
            line = lines.readline()
        if not line:
            return 1
        settings = IntakeSettings(**json.loads(line))
        return serve(feed, settings)


if __name__ == "__main__":
    sys.exit(main())
