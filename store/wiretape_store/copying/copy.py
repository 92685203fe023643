"""
Copying recordings from store to store, whichever databases they are in.

A copy that was interrupted goes on where it was: the target's recording knows its origin, has no end
until all of it is there, and each step of a session is one transaction.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Connection, Row, delete, insert, select, update

from wiretape_store import recording_rows
from wiretape_store.copying.copied_chunks import ChunkCopier
from wiretape_store.copying.presence import hold_target, pruned_source, pruned_target
from wiretape_store.database import Synchronous
from wiretape_store.errors import StoreError
from wiretape_store.locking import announced, lock_recordings
from wiretape_store.opening import open_for_reading, open_for_writing
from wiretape_store.reader import StoreReader
from wiretape_store.recorder_process import RecorderProcess, has_recorder
from wiretape_store.records import EndKind, Recording, Session, UpstreamSpec
from wiretape_store.schema import event, meta, recording, session, upstream
from wiretape_store.session_rows import COUNTED, end_values

_MOVED = frozenset(column.name for column in session.columns) - {"id", "upstream_id"}


class CopyRefusedError(StoreError):
    """This recording cannot be copied now, or not there."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the copy of one recording has come."""

    recording: str
    messages: int
    """Copied now, or there from an earlier call."""
    total: int


@dataclass(frozen=True, slots=True)
class Copied:
    """A recording that is in both stores now."""

    source: Recording
    id: str
    """In the target."""
    name: str
    sessions: int
    messages: int
    """In all."""
    messages_before: int
    """So many of them were there from an earlier call."""


class RecordingCopier:
    """Copies recordings from one store to another; a context manager. It belongs to one thread."""

    def __init__(self, source_url: str, target_url: str) -> None:
        """Open both; the target is made where there is none. Raises MissingStoreError for no source."""
        with ExitStack() as stack:
            self._reader = stack.enter_context(StoreReader(source_url))
            self._source = open_for_reading(source_url)
            stack.callback(self._source.close)
            self._target = open_for_writing(target_url, Synchronous.FULL)
            stack.callback(self._target.close)
            with self._source.transaction("reading", writes=False) as connection:
                self._source_id = _store_id(connection)
            with self._target.transaction("opening", writes=True) as connection:
                if _store_id(connection) == self._source_id:
                    what = "it is the same store, or a copy of its file"
                    raise CopyRefusedError(self._target.path, what, "name another with --to")
                recording_rows.mark_interrupted(connection)
            self._open = stack.pop_all()
        self._copier = ChunkCopier(self._source, self._target)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close both stores."""
        self._open.close()

    def recordings(self) -> list[Recording]:
        """What there is to copy."""
        return self._reader.recordings()

    def copy(
        self,
        what: str,
        name: str | None = None,
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> Copied:
        """
        Copy a recording (its name or id), under another name if one is given, or finish doing it.

        Raises UnknownRecordingError, CopyRefusedError while it is being recorded,
        RecordingExistsError where its name is another's, and StoreError where either is pruned meanwhile.
        """
        source = self._reader.recording(what)
        sessions = self._reader.sessions(source.id)
        self._refuse_unfinished(source, sessions)
        with self._target.transaction("beginning a copy", writes=True) as connection:
            target, upstreams = self._begin(connection, source, name)
        total = sum(each.messages_from_client + each.messages_from_upstream for each in sessions)
        copied = 0
        if target.ended_at_us is None:
            for each in sessions:
                for count in self._copy_session(each, upstreams[each.upstream.name]):
                    copied += count
                    progress(Progress(source.name, copied, total))
            with self._target.transaction("ending a copy", writes=True) as connection:
                self._end(connection, source, sessions, target.id)
        return Copied(source, f"r{target.id}", target.name, len(sessions), total, total - copied)

    def _refuse_unfinished(self, source: Recording, sessions: list[Session]) -> None:
        row = self._row(source)
        with self._source.transaction("reading", writes=False) as connection:
            alive = announced(connection)
        process = RecorderProcess(row.host, row.pid, row.born)
        lives = source.ended_at_us is None and has_recorder(row.id, process, alive)
        if lives or any(each.end.kind is EndKind.OPEN for each in sessions):
            what = f"recording {source.name!r} is still being recorded"
            raise CopyRefusedError(self._source.path, what, "end it first, or wait until it has ended")

    def _row(self, source: Recording) -> "Row[*tuple[Any, ...]]":
        its = select(recording).where(recording.c.id == int(source.id[1:]), recording_rows.IS_THERE)
        with self._source.transaction("reading", writes=False) as connection:
            found = connection.execute(its).one_or_none()
        if found is None:
            raise pruned_source(self._source.path, f"recording {source.name!r}")
        return found

    def _begin(
        self, connection: Connection, source: Recording, name: str | None
    ) -> tuple["Row[*tuple[Any, ...]]", dict[str, int]]:
        """Find the target's recording, or insert it; returns its row, and the upstreams' ids by name."""
        lock_recordings(connection)
        origin = f"{self._source_id}/{source.id}"
        its = select(recording).where(recording.c.origin == origin, recording_rows.IS_THERE)
        found = connection.execute(its.order_by(recording.c.id)).first()
        if found is None:
            inserted = self._insert(connection, source, name or source.name, origin)
            found = connection.execute(select(recording).where(recording.c.id == inserted)).one()
        elif found.ended_at_us is None:
            self._take_over(connection, found)
        if found.ended_at_us is None:
            self._target.announce(found.id)
        rows = connection.execute(select(upstream).where(upstream.c.recording_id == found.id))
        return found, {row.name: row.id for row in rows}

    def _insert(self, connection: Connection, source: Recording, name: str, origin: str) -> int:
        free = recording_rows.free_name(connection, self._target.path, name, source.started_at_us)
        about = recording_rows.About(source.redaction_rules, self._redaction_key(connection, source), origin)
        process = RecorderProcess.current()
        specs = [UpstreamSpec(each.name, each.protocol, each.url, each.listen) for each in source.upstreams]
        begun = recording_rows.insert_recording(connection, free, source.started_at_us, process, specs, about)
        return int(begun.id.removeprefix("r"))

    def _redaction_key(self, connection: Connection, source: Recording) -> bytes | None:
        """The key that goes with the recording; None where the target's own is the same."""
        key: bytes | None = self._row(source).redaction_key
        key = self._reader.redaction_key if key is None else bytes(key)
        return None if key == recording_rows.redaction_key(connection) else key

    def _take_over(self, connection: Connection, found: "Row[*tuple[Any, ...]]") -> None:
        """Go on with what a copy that is gone has left."""
        ours = RecorderProcess.current()
        process = RecorderProcess(found.host, found.pid, found.born)
        if process != ours and has_recorder(found.id, process, announced(connection)):
            what = f"recording {found.name!r} is being copied there by process {found.pid} of {found.host}"
            raise CopyRefusedError(self._target.path, what, "wait until it has ended")
        values = {"host": ours.host, "pid": ours.pid, "born": ours.born}
        connection.execute(update(recording).where(recording.c.id == found.id), values)

    def _copy_session(self, source: Session, upstream_id: int) -> Iterator[int]:
        number = int(source.id[1:])
        with self._source.transaction("reading a session", writes=False) as connection:
            row = connection.execute(select(session).where(session.c.id == number)).mappings().one_or_none()
            if row is None:
                raise pruned_source(self._source.path, f"session {source.id}")
            its_events = select(event).where(event.c.session_id == number)
            events = [dict(each) for each in connection.execute(its_events).mappings()]
        values = {name: row[name] for name in _MOVED}
        with self._target.transaction("beginning a session", writes=True) as connection:
            target = self._session(connection, upstream_id, values)
            hold_target(connection, self._target.path, target)
        yield from self._copier.copy(number, target)
        if source.end.kind is EndKind.INTERRUPTED and source.ended_at_us is not None:
            values |= end_values(source.ended_at_us, source.end)
        with self._target.transaction("ending a session", writes=True) as connection:
            hold_target(connection, self._target.path, target)
            connection.execute(delete(event).where(event.c.session_id == target))
            if events:
                connection.execute(insert(event), [each | {"session_id": target} for each in events])
            connection.execute(update(session).where(session.c.id == target), values)

    def _session(self, connection: Connection, upstream_id: int, values: dict[str, Any]) -> int:
        """Find the target's session, or insert it, without an end: not all of it is there."""
        its = select(session.c.id).where(
            session.c.upstream_id == upstream_id, session.c.number == values["number"]
        )
        found: int | None = connection.scalar(its)
        if found is not None:
            return found
        begun = {**values, "upstream_id": upstream_id, "end_kind": None, "ended_at_us": None}
        begun |= dict.fromkeys((*COUNTED, "last_at_us"), 0)
        return int(connection.execute(insert(session).returning(session.c.id), begun).scalar_one())

    def _end(self, connection: Connection, source: Recording, sessions: list[Session], target: int) -> None:
        ends = [each.ended_at_us for each in sessions if each.ended_at_us is not None]
        ended_at_us = source.ended_at_us or max(ends, default=source.started_at_us)
        row = self._row(source)
        values = {
            "ended_at_us": ended_at_us,
            "host": row.host,
            "pid": row.pid,
            "born": row.born,
        }
        if source.pinned:  # A pin that the copy was given meanwhile stays.
            values["pinned"] = 1
        its = (recording.c.id == target) & recording_rows.IS_THERE
        if connection.execute(update(recording).where(its), values).rowcount != 1:
            raise pruned_target(self._target.path)


def _store_id(connection: Connection) -> str:
    found: bytes = connection.execute(select(meta.c.value).where(meta.c.key == "store_id")).scalar_one()
    return bytes(found).decode()
