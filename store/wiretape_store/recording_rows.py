"""The statements about whole recordings: naming, beginning, ending, and tidying up after the dead."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

from sqlalchemy import Connection, delete, insert, select, update

from wiretape_store.errors import RecordingExistsError
from wiretape_store.locking import announced, lock_recordings, lock_sessions
from wiretape_store.recorder_process import RecorderProcess, has_recorder
from wiretape_store.records import EndKind, Recording, Upstream, UpstreamSpec
from wiretape_store.schema import chunk, event, message, meta, recording, session, upstream

BEING_PRUNED = -1
"""In place of `pinned`: the recording is being taken apart, and nobody finds it any more."""
BEING_IMPORTED = -2
"""In place of `pinned`: the recording is not whole yet, and nobody finds it until it has ended."""
IS_THERE = recording.c.pinned > BEING_PRUNED


@dataclass(frozen=True, slots=True)
class About:
    """What a recording knows of its secrets and of where it came from."""

    redaction_rules: tuple[str, ...] = ()
    redaction_key: bytes | None = None
    """None: the store's own."""
    origin: str | None = None
    hidden: bool = False
    """It is of no use to anybody before it has ended."""


def redaction_key(connection: Connection) -> bytes:
    """Read the key that was made with the store."""
    return bytes(connection.execute(select(meta.c.value).where(meta.c.key == "redaction_key")).scalar_one())


def free_name(connection: Connection, path: str, asked: str | None, now_us: int) -> str:
    """Say what a new recording is called. Raises RecordingExistsError for a name that is taken."""
    lock_recordings(connection)
    if asked is not None:
        if _is_taken(connection, asked):
            raise RecordingExistsError(path, asked)
        return asked
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now_us)
    stem = moment.strftime("%Y-%m-%d-%H%M%S")
    names = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
    return next(name for name in names if not _is_taken(connection, name))


def insert_recording(
    connection: Connection,
    name: str,
    started_at_us: int,
    process: RecorderProcess,
    upstreams: Sequence[UpstreamSpec],
    about: About,
) -> Recording:
    """Insert a recording and its upstreams."""
    begun = {
        "name": name,
        "started_at_us": started_at_us,
        "host": process.host,
        "pid": process.pid,
        "born": process.born,
        "redaction_rules": json.dumps(about.redaction_rules, ensure_ascii=False),
        "redaction_key": about.redaction_key,
        "origin": about.origin,
        "pinned": BEING_IMPORTED if about.hidden else 0,
    }
    recording_id = connection.execute(insert(recording).returning(recording.c.id), begun).scalar_one()
    inserted = []
    for spec in upstreams:
        columns = {"name": spec.name, "protocol": spec.protocol, "url": spec.url, "listen": spec.listen}
        row = {"recording_id": recording_id, **columns}
        upstream_id = connection.execute(insert(upstream).returning(upstream.c.id), row).scalar_one()
        inserted.append(Upstream(id=upstream_id, **columns))
    rules = about.redaction_rules
    return Recording(f"r{recording_id}", name, started_at_us, None, tuple(inserted), redaction_rules=rules)


def end_recording(connection: Connection, recording_id: str, ended_at_us: int) -> None:
    """Set the time at which a recording, given as `r3`, ended; one that was hidden is there from now on."""
    its = recording.c.id == int(recording_id.removeprefix("r"))
    connection.execute(update(recording).where(its), {"ended_at_us": ended_at_us})
    hidden = recording.c.pinned == BEING_IMPORTED
    connection.execute(update(recording).where(its, hidden), {"pinned": 0})


def delete_recording(connection: Connection, recording_id: str) -> list[int]:
    """Delete a recording, given as `r3`, and all that refers to it; returns the ids of its sessions."""
    is_it = upstream.c.recording_id == int(recording_id.removeprefix("r"))
    upstreams = select(upstream.c.id).where(is_it)
    sessions = select(session.c.id).where(session.c.upstream_id.in_(upstreams))
    deleted = list(connection.scalars(sessions.order_by(session.c.id)))
    lock_sessions(connection, deleted)
    for table in (message, chunk, event):
        connection.execute(delete(table).where(table.c.session_id.in_(sessions)))
    connection.execute(delete(session).where(session.c.upstream_id.in_(upstreams)))
    connection.execute(delete(upstream).where(is_it))
    connection.execute(delete(recording).where(recording.c.id == int(recording_id.removeprefix("r"))))
    return deleted


def mark_interrupted(connection: Connection) -> None:
    """End the sessions whose recorder can no longer do it; their last sign of life was their end."""
    lock_recordings(connection)
    alive = announced(connection)
    still_open = (
        select(
            session.c.id,
            recording.c.id,
            recording.c.ended_at_us,
            recording.c.host,
            recording.c.pid,
            recording.c.born,
        )
        .join(upstream, upstream.c.id == session.c.upstream_id)
        .join(recording, recording.c.id == upstream.c.recording_id)
        .where(session.c.end_kind.is_(None))
        .order_by(session.c.id)
    )
    for session_id, recording_id, ended_at_us, *process in connection.execute(still_open).all():
        if ended_at_us is None and has_recorder(recording_id, RecorderProcess(*process), alive):
            continue
        connection.execute(
            update(session)
            .where(session.c.id == session_id, session.c.end_kind.is_(None))
            .values(
                end_kind=EndKind.INTERRUPTED.value, ended_at_us=session.c.started_at_us + session.c.last_at_us
            )
        )


def give_up_imports(connection: Connection) -> None:
    """Leave to the next prune what an import that died has brought in, and give its name free."""
    alive = announced(connection)
    for row in connection.execute(select(recording).where(recording.c.pinned == BEING_IMPORTED)).all():
        if not has_recorder(row.id, RecorderProcess(row.host, row.pid, row.born), alive):
            name = f"import given up r{row.id} {row.name}"
            values = {"pinned": BEING_PRUNED, "name": name}
            connection.execute(update(recording).where(recording.c.id == row.id).values(values))


def _is_taken(connection: Connection, name: str) -> bool:
    return connection.scalar(select(recording.c.id).where(recording.c.name == name)) is not None
