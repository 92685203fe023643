"""What pruning needs to know of each recording: how old and how large it is, and whether it may go."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from wiretape_store.database import Synchronous
from wiretape_store.errors import StoreError, UnknownRecordingError
from wiretape_store.locking import announced, lock_recordings
from wiretape_store.opening import open_for_writing
from wiretape_store.reader import StoreReader
from wiretape_store.recorder_process import RecorderProcess, has_recorder
from wiretape_store.recording_rows import IS_THERE
from wiretape_store.schema import chunk, recording, session, upstream
from wiretape_store.upkeep.room import fixed_bytes, used_bytes


class UnprunableError(StoreError):
    """A recording that was named must stay."""

    def __init__(self, path: str, name: str, why: str, advice: str) -> None:
        """Keep the recording's name."""
        super().__init__(path, f"recording {name!r} stays: it is {why}", advice)
        self.name = name


@dataclass(frozen=True, slots=True)
class Prunable:
    """A recording, seen by who prunes."""

    number: int
    name: str
    last_at_us: int
    """When it ended; of one whose recorder died, its last sign of life."""
    sessions: int
    messages: int
    stored_bytes: int
    """What removing it frees: estimated before, measured after."""
    pinned: bool
    live: bool
    """It is still being recorded."""

    @property
    def id(self) -> str:
        """As the user names it."""
        return f"r{self.number}"

    @property
    def may_go(self) -> bool:
        """Neither pinned nor still being recorded."""
        return not self.pinned and not self.live


def recordings(connection: Connection) -> list[Prunable]:
    """All recordings, those that ended first before the others."""
    sizes = _chunk_bytes(connection)
    share, overhead = _estimate(connection, sum(sizes.values()))
    alive = announced(connection)
    found = []
    facts = {row.recording_id: row for row in connection.execute(_FACTS)}
    for row in connection.execute(select(recording).where(IS_THERE)):
        fact = facts.get(row.id)
        messages = 0 if fact is None else int(fact.messages)
        last_at_us = row.ended_at_us
        if last_at_us is None:
            last_at_us = row.started_at_us if fact is None else max(row.started_at_us, int(fact.last_at_us))
        live = is_live(row, alive)
        stored = round(sizes.get(row.id, 0) * share + messages * overhead)
        sessions = 0 if fact is None else int(fact.sessions)
        found.append(
            Prunable(row.id, row.name, last_at_us, sessions, messages, stored, row.pinned == 1, live)
        )
    return sorted(found, key=lambda one: (one.last_at_us, one.number))


def is_live(row: "Row[*tuple[Any, ...]]", alive: set[int] | None) -> bool:
    """Tell whether a row of `recording` is still being recorded; `alive` is what `announced` tells."""
    process = RecorderProcess(row.host, row.pid, row.born)
    return row.ended_at_us is None and has_recorder(row.id, process, alive)


def named(path: str, every: Sequence[Prunable], asked: Sequence[str]) -> set[str]:
    """Find recordings by name or id. Raises UnknownRecordingError, and UnprunableError for what must stay."""
    found = set()
    for what in asked:
        one = next((one for one in every if one.name == what), None)
        one = one or next((one for one in every if one.id == what), None)
        if one is None:
            raise UnknownRecordingError(path, what, [each.name for each in reversed(every)])
        if one.pinned:
            raise UnprunableError(path, one.name, "pinned", f"wiretape unpin {one.name} lets it go")
        if one.live:
            raise UnprunableError(path, one.name, "still being recorded", "end its recorder first")
        found.add(one.id)
    return found


def pin(url: str, *asked: str, pinned: bool) -> list[str]:
    """
    Keep recordings, found by their names or ids, from being pruned, or no longer; returns their names.

    All of them or, with UnknownRecordingError, none.
    """
    with StoreReader(url) as reader:
        found = [reader.recording(what) for what in asked]
    database = open_for_writing(url, Synchronous.FULL)
    try:
        with database.transaction("pinning", writes=True) as connection:
            lock_recordings(connection)
            for one, what in zip(found, asked, strict=True):
                its = (recording.c.id == int(one.id[1:])) & IS_THERE
                changed = connection.execute(update(recording).where(its).values(pinned=int(pinned)))
                if changed.rowcount != 1:  # Pruned since it was found.
                    raise UnknownRecordingError(database.path, what, [])
    finally:
        database.close()
    return [one.name for one in found]


_FACTS = (
    select(
        upstream.c.recording_id,
        func.count().label("sessions"),
        func.sum(session.c.messages_from_client + session.c.messages_from_upstream).label("messages"),
        func.max(session.c.started_at_us + session.c.last_at_us).label("last_at_us"),
    )
    .join(upstream, upstream.c.id == session.c.upstream_id)
    .group_by(upstream.c.recording_id)
)


def _chunk_bytes(connection: Connection) -> dict[int, int]:
    query = (
        select(upstream.c.recording_id, func.sum(func.length(chunk.c.data)))
        .select_from(chunk)
        .join(session, session.c.id == chunk.c.session_id)
        .join(upstream, upstream.c.id == session.c.upstream_id)
        .group_by(upstream.c.recording_id)
    )
    return {number: int(size) for number, size in connection.execute(query)}


def _estimate(connection: Connection, chunks: int) -> tuple[float, float]:
    """
    Say which share of the chunks' bytes removing them would free, and how many bytes a message besides.

    What fits into the pages that an empty store has as well frees nothing.
    """
    room = max(0, used_bytes(connection) - fixed_bytes(connection))
    if room < chunks:
        return room / chunks, 0.0
    counted = select(func.sum(session.c.messages_from_client + session.c.messages_from_upstream))
    messages = int(connection.scalar(counted) or 0)
    return 1.0, (room - chunks) / messages if messages else 0.0
