"""
Pruning: removing whole recordings from a store that others use meanwhile, and keeping the pinned ones.

A recording is marked first, in one transaction: from then on no reader finds it, and its name is free.
Then it is taken apart a little at a time. A prune that is interrupted at any moment leaves whole
recordings and marked ones; the next prune finishes those.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from sqlalchemy import Column, Connection, delete, func, select, update

from wiretape_store.database import Database, Synchronous
from wiretape_store.locking import announced, lock_recordings, lock_sessions
from wiretape_store.opening import open_for_writing
from wiretape_store.reader import StoreReader
from wiretape_store.recording_rows import BEING_PRUNED
from wiretape_store.schema import chunk, event, message, recording, session, upstream
from wiretape_store.upkeep import prunable
from wiretape_store.upkeep.prunable import Prunable
from wiretape_store.upkeep.room import give_back, is_file, leaving_room, used_bytes
from wiretape_store.upkeep.sweeping import sweep

STEP_S = 0.02
"""A transaction takes this long, and what its last slice takes; a recorder may have to wait so long."""
SLICE_ROWS = 1000
SLICE_BYTES = 1024 * 1024
_COUNTED = (
    "messages_from_client",
    "messages_from_upstream",
    "exchanges",
    "pushes",
    "wire_bytes",
    "last_at_us",
)


@dataclass(frozen=True, slots=True)
class PruneRules:
    """Which recordings are to go: those that any of these names. Pinned and running ones stay."""

    older_than_us: int | None = None
    """Those that ended longer ago than this."""
    max_bytes: int | None = None
    """The oldest, until the store is not larger than this."""
    recordings: tuple[str, ...] = ()
    """Those with these names or ids."""


@dataclass(slots=True)
class Pruning:
    """What was removed, or would be."""

    removed: list[Prunable] = field(default_factory=list)
    """Oldest first."""
    bytes_before: int = 0
    """How large the store was, without what was free in it."""
    bytes_after: int = 0
    finished: bool = True
    """False where it was stopped; the next prune does the rest."""
    fits: bool = True
    """False where the store is larger than was asked for, and nothing is left that may go."""


class Pruner:
    """Removes recordings from a store; a context manager. It belongs to one thread."""

    def __init__(self, url: str, *, now_us: int, step_s: float = STEP_S) -> None:
        """Open the store at `url`; `now_us` is the time since 1970. Raises MissingStoreError."""
        with StoreReader(url):
            pass  # There is a store: opening it for writing will not make one.
        self._database: Database = open_for_writing(url, Synchronous.NORMAL)
        self._now_us = now_us
        self._step_s = step_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def plan(self, rules: PruneRules) -> Pruning:
        """
        Tell what `run` would remove, sizes estimated, and change nothing.

        Raises UnknownRecordingError and UnprunableError for what was named.
        """
        with self._database.transaction("looking for what to prune", writes=False) as connection:
            named, others = self._sorted_out(connection, rules)
            before = used_bytes(connection)
        planned = Pruning(named, before, before - sum(one.stored_bytes for one in named))
        limit = rules.max_bytes
        while limit is not None and planned.bytes_after > limit and others:
            planned.removed.append(others.pop(0))
            planned.bytes_after -= planned.removed[-1].stored_bytes
        planned.fits = limit is None or planned.bytes_after <= limit
        return planned

    def run(
        self,
        rules: PruneRules,
        *,
        progress: Callable[[Pruning, Prunable], None] = lambda *_: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Pruning:
        """
        Remove recordings, finish what an interrupted prune left, and give the room back.

        `stopped` is asked between steps, `progress` is called when a recording is about to go. Raises as
        `plan` does, before anything is removed.
        """
        with self._database.transaction("looking for what to prune", writes=False) as connection:
            named, others = self._sorted_out(connection, rules)
            done = Pruning(bytes_before=used_bytes(connection))
        for left in self._marked():
            self._take_apart(left, stopped)
        for one in named:
            self._remove(one, done, progress, stopped)
        limit = rules.max_bytes
        while limit is not None and others and not stopped() and self._left(done) > limit:
            self._remove(others.pop(0), done, progress, stopped)
        if not stopped():
            sweep(self._database)
        give_back(self._database, stopped)
        done.finished = not stopped()
        done.bytes_after = self._left(done)
        done.fits = limit is None or done.bytes_after <= limit
        return done

    def _left(self, done: Pruning) -> int:
        """How large the store is now; PostgreSQL's tables shrink later, so what they lost is taken off."""
        if is_file(self._database.connection):
            return self._used()
        return done.bytes_before - sum(one.stored_bytes for one in done.removed)

    def _sorted_out(self, connection: Connection, rules: PruneRules) -> tuple[list[Prunable], list[Prunable]]:
        """Those that go by name or by age, and those that may go for room; both oldest first."""
        every = prunable.recordings(connection)
        named = prunable.named(self._database.path, every, rules.recordings)
        may_go = [one for one in every if one.may_go]
        if rules.older_than_us is not None:
            before_us = self._now_us - rules.older_than_us
            named |= {one.id for one in may_go if one.last_at_us < before_us}
        return [one for one in may_go if one.id in named], [one for one in may_go if one.id not in named]

    def _remove(
        self,
        one: Prunable,
        done: Pruning,
        progress: Callable[[Pruning, Prunable], None],
        stopped: Callable[[], bool],
    ) -> None:
        if stopped() or not self._mark(one):
            return
        progress(done, one)
        before = self._used()
        self._take_apart(one.number, stopped)
        if is_file(self._database.connection):
            one = replace(one, stored_bytes=max(0, before - self._used()))
        done.removed.append(one)

    def _mark(self, one: Prunable) -> bool:
        """Take a recording out of everybody's sight; False where it was pinned meanwhile, or its recorder is back."""
        with self._database.transaction("pruning", writes=True) as connection:
            lock_recordings(connection)
            its = (recording.c.id == one.number) & (recording.c.pinned == 0)
            # Who commits to it holds this row (`holding`): either they see the mark, or we that they live.
            row = connection.execute(select(recording).where(its).with_for_update()).one_or_none()
            if row is None or prunable.is_live(row, announced(connection)):
                return False
            name = f"pruned {one.id}"
            taken = connection.scalar(select(recording.c.id).where(recording.c.name == name))
            values = {"pinned": BEING_PRUNED, "name": f"{name} {self._now_us}" if taken else name}
            connection.execute(update(recording).where(its).values(values))
            return True

    def _marked(self) -> Sequence[int]:
        with self._database.transaction("looking for what to prune", writes=False) as connection:
            return connection.scalars(select(recording.c.id).where(recording.c.pinned == BEING_PRUNED)).all()

    def _take_apart(self, number: int, stopped: Callable[[], bool]) -> None:
        """Delete a marked recording, in transactions that take some milliseconds each."""
        its = select(session.c.id).join(upstream, upstream.c.id == session.c.upstream_id)
        with self._database.transaction("pruning", writes=False) as connection:
            sessions = deque(connection.scalars(its.where(upstream.c.recording_id == number)))
        while sessions:
            if stopped():
                return
            with (
                leaving_room(self._database.connection),
                self._database.transaction("pruning", writes=True) as connection,
            ):
                until = time.monotonic() + self._step_s
                while sessions:
                    if _shorten(connection, sessions[0]):
                        sessions.popleft()
                    if time.monotonic() >= until:
                        break
        with self._database.transaction("pruning", writes=True) as connection:
            lock_recordings(connection)
            _delete_empty(connection, number)

    def _used(self) -> int:
        with self._database.transaction("measuring", writes=False) as connection:
            return used_bytes(connection)


def _shorten(connection: Connection, session_id: int) -> bool:
    """Delete the end of a session, messages and their bytes at once; True when all of it is gone."""
    lock_sessions(connection, [session_id])
    first = _last_chunks(connection, session_id)
    if first is None:
        first = _last_rows(connection, session_id, message.c.seq)
    if first is not None:
        for table, order in ((chunk, chunk.c.first_seq), (message, message.c.seq)):
            connection.execute(delete(table).where(table.c.session_id == session_id, order >= first))
        return False
    first = _last_rows(connection, session_id, event.c.ordinal)
    if first is not None:
        connection.execute(delete(event).where(event.c.session_id == session_id, event.c.ordinal >= first))
        return False
    # The numbers of sessions are not given out twice: a reader could take the new one for the old one.
    if session_id == connection.scalar(select(func.max(session.c.id))):
        nothing = dict.fromkeys(_COUNTED, 0)
        connection.execute(update(session).where(session.c.id == session_id).values(nothing))
    else:
        connection.execute(delete(session).where(session.c.id == session_id))
    return True


def _last_chunks(connection: Connection, session_id: int) -> int | None:
    """Where the last chunks of a session begin, as many as may go at once; None without chunks."""
    columns = (chunk.c.first_seq, chunk.c.count, func.length(chunk.c.data))
    query = select(*columns).where(chunk.c.session_id == session_id).order_by(chunk.c.first_seq.desc())
    first, rows, size = None, 0, 0
    for first_seq, count, length in connection.execute(query.limit(SLICE_ROWS)):
        if first is not None and (rows + count > SLICE_ROWS or size + length > SLICE_BYTES):
            break
        first, rows, size = int(first_seq), rows + count, size + length
    return first


def _last_rows(connection: Connection, session_id: int, order: Column[int]) -> int | None:
    """Where the last rows of a session begin, as many as may go at once; None without rows."""
    query = select(order).where(order.table.c.session_id == session_id).order_by(order.desc())
    rows = connection.scalars(query.limit(SLICE_ROWS)).all()
    return rows[-1] if rows else None


def _delete_empty(connection: Connection, number: int) -> None:
    """Delete a recording without sessions, but keep the newest number taken, as for sessions."""
    with_sessions = select(session.c.upstream_id)
    its = (upstream.c.recording_id == number) & upstream.c.id.not_in(with_sessions)
    connection.execute(delete(upstream).where(its))
    newest = connection.scalar(select(func.max(recording.c.id)))
    left = connection.scalar(select(func.count()).where(upstream.c.recording_id == number))
    if number != newest and not left:
        connection.execute(delete(recording).where(recording.c.id == number))
