"""
Writing a store: sessions, messages and events as they come, durable at each commit.

What is added waits in memory until the next commit, which stores all of it or nothing. The caller
keeps the time: it commits when `next_commit_at_us` has come, and settles when nothing waits.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, bindparam, func, insert, select, update

from wiretape_store import pending, recording_rows
from wiretape_store.bulk import insert_rows
from wiretape_store.chunks import Packer, runs
from wiretape_store.database import Synchronous
from wiretape_store.doubts import forget_sessions, is_stored
from wiretape_store.errors import RefusedStoreError, StoreError, UncertainCommitError
from wiretape_store.holding import hold_sessions, hold_upstream, reopen_sessions
from wiretape_store.locking import is_shared, lock_sessions
from wiretape_store.names import CodecIds, NameIds, Renewal
from wiretape_store.opening import open_for_writing
from wiretape_store.pending import LiveSession, NewMessage
from wiretape_store.recorder_process import RecorderProcess
from wiretape_store.records import End, EndKind, Event, Handshake, Recording, UpstreamSpec
from wiretape_store.schema import chunk, event, message, session
from wiretape_store.session_rows import COUNTED, end_values, handshake_values
from wiretape_store.settling import KeepWire, Settler
from wiretape_store.upkeep.room import give_back

COMMIT_INTERVAL_US = 25_000
"""So long after the first message that waits a commit begins: half of the 50 ms within which it is to be done."""
BUSY_MESSAGES = 1000
"""A commit of more messages than this says that the writer is busy; settling can wait."""
WAITING_BYTES = 32 * 1024 * 1024
"""A commit is due at once when so many bytes wait, packed and unpacked counted."""
BACKLOG_BYTES = 4 * 1024 * 1024 * 1024
"""It cannot wait any longer when so much is unsettled: that much the file may be larger than it will be."""
CLOSING_US = 30_000_000
"""How long closing may settle; what is left then is as safe, and the next writer goes on with it."""

_SESSION = session.c.id == bindparam("session")


class StoreWriter:
    """
    Writes to one store, in one thread at a time. Several writers may share a store.

    After a StoreError from a commit nothing of it is stored and everything still waits: the next
    commit tries again, `discard` gives up on the messages, `abandon` on the store. Where the connection
    was lost in the middle of it, so that nobody knows, the next commit finds out first.
    """

    redaction_key: bytes
    """Made with the store: equal secrets become equal tokens in all of its recordings."""

    def __init__(
        self,
        url: str,
        *,
        clock_us: Callable[[], int],
        commit_interval_us: int = COMMIT_INTERVAL_US,
        synchronous: str = Synchronous.FULL,
        process: RecorderProcess | None = None,
        keep_wire: KeepWire = KeepWire.NEEDED,
    ) -> None:
        """
        Open the store at `url`, a path or a URL of SQLAlchemy, or create it there.

        `clock_us` tells microseconds since 1970, UTC. `process` is who records, this process unless
        said otherwise. `keep_wire` counts when this writer's messages are settled. Sessions that a dead
        recorder left open are marked as interrupted, and its messages settled with all their bytes.
        """
        self._clock_us = clock_us
        self._commit_interval_us = commit_interval_us
        self._process = process or RecorderProcess.current()
        self._database = open_for_writing(url, synchronous)
        self._packer = Packer()
        self._name_ids = NameIds(self._database.connection)
        self._codec_ids = CodecIds(self._database.connection)
        self._renewal = Renewal(self._database.connection, self._name_ids, self._codec_ids)
        self._settler = Settler(self._database, self._packer, self._codec_ids, self._renewal, keep_wire)
        self._live: dict[int, LiveSession] = {}
        self._waiting: dict[int, LiveSession] = {}
        """Those of `_live` that the next commit has something to store of."""
        self._waiting_bytes = 0
        self._due_at_us: int | None = None
        self._open_recordings: list[str] = []
        self._unsure: dict[int, int] = {}
        """Sessions whose beginning failed and may be stored all the same, with their upstreams."""
        try:
            with self._database.transaction("opening", writes=True) as connection:
                self.redaction_key = recording_rows.redaction_key(connection)
                recording_rows.mark_interrupted(connection)
                recording_rows.give_up_imports(connection)
                self._settler.take_over(connection)
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> str:
        """Where the store is."""
        return str(self._database.path)

    @property
    def next_commit_at_us(self) -> int | None:
        """When what waits is due to be stored; None when nothing waits."""
        return self._due_at_us

    def begin_recording(
        self,
        name: str | None,
        upstreams: Sequence[UpstreamSpec],
        *,
        started_at_us: int | None = None,
        redaction_rules: Sequence[str] = (),
        redaction_key: bytes | None = None,
        origin: str | None = None,
        hidden: bool = False,
    ) -> Recording:
        """
        Begin a recording, durable at once; without a name it is named after the time.

        `started_at_us` is given for one that happened before, `redaction_key` for one whose tokens
        were not made here (empty: nobody knows with what), `origin` for a copy; `hidden` keeps it from
        readers until it has ended. Raises
        RecordingExistsError for a name that is taken.
        """
        at_us = self._clock_us() if started_at_us is None else started_at_us
        about = recording_rows.About(tuple(redaction_rules), redaction_key, origin, hidden)
        with self._database.transaction("beginning a recording", writes=True) as connection:
            free = recording_rows.free_name(connection, self.path, name, at_us)
            begun = recording_rows.insert_recording(connection, free, at_us, self._process, upstreams, about)
            if self._process == RecorderProcess.current():
                self._database.announce(int(begun.id.removeprefix("r")))
        self._open_recordings.append(begun.id)
        return begun

    def end_recording(self, recording_id: str, ended_at_us: int | None = None) -> None:
        """Commit, and mark a recording as ended. Sessions of it without an end are interrupted."""
        self.commit()
        at_us = self._clock_us() if ended_at_us is None else ended_at_us
        with self._database.transaction("ending a recording", writes=True) as connection:
            recording_rows.end_recording(connection, recording_id, at_us)
        self._open_recordings.remove(recording_id)

    def drop_recording(self, recording_id: str) -> None:
        """Take back a recording that was begun here, with all that belongs to it."""
        self._waiting, self._waiting_bytes, self._due_at_us = {}, 0, None
        with self._database.transaction("dropping a recording", writes=True) as connection:
            dropped = recording_rows.delete_recording(connection, recording_id)
        for session_id in dropped:
            self._live.pop(session_id, None)
            self._settler.forget(session_id)
        self._open_recordings.remove(recording_id)

    def begin_session(self, upstream_id: int, started_at_us: int, handshake: Handshake) -> int:
        """
        Begin a session, durable at once, and return the number that the other methods take.

        Raises StoreError where its recording has been pruned.
        """
        taken = select(func.count()).where(session.c.upstream_id == upstream_id).select_from(session)
        values: dict[str, Any] = {
            "upstream_id": upstream_id,
            "started_at_us": started_at_us,
            "last_at_us": 0,
            **handshake_values(handshake),
            **dict.fromkeys(COUNTED, 0),
        }
        session_id: int = 0
        try:
            with self._database.transaction("beginning a session", writes=True) as connection:
                self._forget_unsure(connection)
                hold_upstream(connection, self.path, upstream_id)
                values["number"] = connection.scalar(taken)
                session_id = connection.execute(insert(session).returning(session.c.id), values).scalar_one()
        except UncertainCommitError:
            self._unsure[session_id] = upstream_id
            raise
        self._unsure.clear()
        self._live[session_id] = LiveSession()
        return session_id

    def add(self, session_id: int, new: NewMessage) -> None:
        """Add a session's next message. Its number must be greater than those before."""
        live = self._await_commit(session_id)
        if new.seq < live.next_seq:
            text = f"message {new.seq} of session s{session_id} comes after message {live.next_seq - 1}"
            raise ValueError(text)
        live.next_seq = new.seq + 1
        live.messages.append(new)
        self._waiting_bytes += len(new.wire) + len(new.decoded.payload)
        if self._waiting_bytes > WAITING_BYTES:
            self._due_at_us = 0

    def add_event(self, session_id: int, new: Event) -> None:
        """Add what happened after the messages so far."""
        self._await_commit(session_id).events.append(new)

    def end_session(self, session_id: int, ended_at_us: int, end: End) -> None:
        """End a session: nothing more may be added."""
        self._await_commit(session_id).end = (ended_at_us, end)

    def commit_if_due(self) -> None:
        """Commit when what waits has waited for the commit interval."""
        if self._due_at_us is None:
            return
        # Also when the clock has been set back: what waits must not wait for it to come round again.
        if not self._due_at_us - self._commit_interval_us <= self._clock_us() < self._due_at_us:
            self.commit()

    def commit(self) -> None:
        """
        Store all that waits, durably. Also settles a little, unless there is too much to do.

        A session that others took for interrupted is open again. Raises StoreError where one has been pruned.
        """
        if not self._waiting:
            return
        waiting = self._waiting
        self._due_at_us = self._clock_us() + self._commit_interval_us
        try:
            with self._database.transaction("storing messages", writes=True) as connection:
                self._forget_unsure(connection)
                self._resolve_doubts(connection, waiting)
                hold_sessions(connection, self.path, waiting)
                sizes = self._store(connection, waiting)
        except BaseException as exc:
            self._forget_ids()
            if isinstance(exc, UncertainCommitError):
                for live in waiting.values():
                    live.doubt()
            raise
        self._unsure.clear()
        self._waiting, self._waiting_bytes, self._due_at_us = {}, 0, None
        written = 0
        for session_id, live in waiting.items():
            written += len(live.messages)
            ended = live.end is not None
            self._settler.note(session_id, len(live.messages), sizes[session_id], ended=ended)
            live.committed()
            if ended:
                del self._live[session_id]
        self._settle_after(written)

    def settle(self) -> bool:
        """
        Use a pause: pack some of what is stored for good. False when there is nothing worth it.

        Takes some 15 ms; to be called when no message waits. Without it the store is as complete,
        and settling catches up when the backlog is full and at the end. Where the store cannot be
        written now, all stays as it is: the next commit will say so. Raises RefusedStoreError.
        """
        try:
            return self._settler.step()
        except RefusedStoreError:
            raise
        except StoreError:
            return False

    def keep_alive(self) -> None:
        """
        Show others that this recorder lives; to be called every few seconds, whatever else is done.

        In SQLite they look for its process, and there is nothing to do. Where the server cannot be
        reached, all stays as it is: the next commit will say so.
        """
        if not is_shared(self._database.connection):
            return
        live = [session_id for session_id, live in self._live.items() if live.end is None]
        with (
            suppress(StoreError),
            self._database.transaction("showing that it lives", writes=True) as connection,
        ):
            reopen_sessions(connection, live)

    def discard(self) -> int:
        """
        Forget the messages and events that wait, and say how many messages those were.

        Gaps and violations go on waiting. The next commit that succeeds stores how many messages and
        events were lost, as a gap in each session.
        """
        self._waiting_bytes = 0
        return sum(live.give_up() for live in self._waiting.values())

    def close(self) -> None:
        """Store everything, settle what half a minute allows, end what is open as interrupted, and close."""
        try:
            now_us = self._clock_us()
            for session_id, live in self._live.items():
                if live.end is None:
                    self.end_session(session_id, now_us, End(EndKind.INTERRUPTED))
            self.commit()
            for recording_id in list(self._open_recordings):
                self.end_recording(recording_id)
            until_us = self._clock_us() + CLOSING_US
            while self._clock_us() < until_us and self.settle():
                pass
            self._give_back(until_us)
        finally:
            self._database.close()

    def _give_back(self, until_us: int) -> None:
        try:
            give_back(self._database, lambda: self._clock_us() >= until_us)
        except RefusedStoreError:
            raise
        except StoreError:
            return  # All is stored; the next who closes the store gives back what is free.

    def abandon(self) -> None:
        """Close without storing what waits: as if the process had ended here."""
        self._database.close()

    def _await_commit(self, session_id: int) -> LiveSession:
        waiting = self._waiting.get(session_id)
        if waiting is not None and waiting.end is None:
            return waiting
        live = self._live.get(session_id)
        if live is None or live.end is not None:
            text = f"session s{session_id} has not begun here, or has ended"
            raise ValueError(text)
        self._waiting[session_id] = live
        if self._due_at_us is None:
            self._due_at_us = self._clock_us() + self._commit_interval_us
        return live

    def _resolve_doubts(self, connection: Connection, waiting: dict[int, LiveSession]) -> None:
        lock_sessions(connection, waiting)
        for session_id, live in waiting.items():
            if any(live.doubtful) and is_stored(connection, session_id, live):
                stored = live.messages[: live.doubtful[0]]
                size = sum(len(new.wire) for new in stored)
                self._settler.note(session_id, len(stored), size, ended=False)
                live.resolve()

    def _forget_unsure(self, connection: Connection) -> None:
        gone = {key: upstream_id for key, upstream_id in self._unsure.items() if key not in self._live}
        if gone:
            forget_sessions(connection, gone.keys(), gone.values())

    def _store(self, connection: Connection, waiting: dict[int, LiveSession]) -> dict[int, int]:
        """Write all that waits, each table in one go; return how many bytes of each session are hot."""
        self._renewal.renew()
        messages: list[pending.Row] = []
        chunks: list[tuple[int, int, int, int, bytes]] = []
        sizes: dict[int, int] = {}
        for session_id, live in waiting.items():
            messages += pending.message_rows(session_id, live.messages, self._name_ids)
            size = 0
            for first_seq, entries in runs(pending.entries(live.messages, self._codec_ids)):
                size += sum(len(piece) for _, piece in entries)
                data = self._packer.pack(entries, settled=False)
                chunks.append((session_id, first_seq, len(entries), 0, data))
            sizes[session_id] = size
        insert_rows(connection, message, messages)
        insert_rows(connection, chunk, chunks)
        self._store_sessions(connection, waiting)
        return sizes

    def _store_sessions(self, connection: Connection, waiting: dict[int, LiveSession]) -> None:
        events = [row for session_id, live in waiting.items() for row in live.event_rows(session_id)]
        if events:
            connection.execute(insert(event), events)
        counted = {column: session.c[column] + bindparam(f"more_{column}") for column in COUNTED}
        changed = update(session).where(_SESSION).values(last_at_us=bindparam("last"), **counted)
        connection.execute(changed, [live.counter_row(session_id) for session_id, live in waiting.items()])
        for session_id, live in waiting.items():
            if live.end is not None:
                values = end_values(*live.end)
                connection.execute(update(session).where(session.c.id == session_id), values)

    def _settle_after(self, written: int) -> None:
        if written <= BUSY_MESSAGES:
            self.settle()
            return
        while self._settler.backlog_bytes > BACKLOG_BYTES and self.settle():
            pass

    def _forget_ids(self) -> None:
        """Forget ids that were given out in a transaction which is not stored."""
        self._name_ids.clear()
        self._codec_ids.clear()
