"""
The order in which writers that share a store wait for each other, so that none waits in a circle.

Who needs several takes them in this order: all recordings, then sessions in the order of their ids,
then the row of their recording (`holding`), then names. SQLite lets one writer in at a time, and needs none of it.
"""

from collections.abc import Collection

from sqlalchemy import Connection, func, select

from wiretape_store.schema import APPLICATION_ID, session

_CREATING, _RECORDINGS, _NAMES = range(3)
"""Numbers of advisory locks of PostgreSQL, each held until its transaction ends."""
ALIVE_CLASS = (
    "(SELECT ('x' || left(convert_from(value, 'UTF8'), 8))::bit(32)::int FROM meta WHERE key = 'store_id')"
)
"""
SQL for the first number of the locks that recorders hold while they live; the second is the recording.

It is the store's own: several may be in one database, in schemas of their own.
"""
SHOW_ALIVE = f"SELECT pg_try_advisory_lock_shared({ALIVE_CLASS}, %s)"
"""Takes that lock, shared: the server may not have noticed yet that a former connection of the recorder's is gone."""


def lock_creating(connection: Connection) -> None:
    """Keep others from creating or migrating the store."""
    _lock(connection, _CREATING)


def lock_recordings(connection: Connection) -> None:
    """Keep others from beginning recordings and from tidying up, until the transaction ends."""
    _lock(connection, _RECORDINGS)


def lock_names(connection: Connection) -> None:
    """Keep others from inserting names and codecs; what they have committed can be seen afterwards."""
    _lock(connection, _NAMES)


def lock_sessions(connection: Connection, session_ids: Collection[int]) -> None:
    """Keep others from writing to these sessions."""
    if is_shared(connection) and session_ids:
        rows = select(session.c.id).where(session.c.id.in_(session_ids)).order_by(session.c.id)
        connection.execute(rows.with_for_update(key_share=True)).all()


def announce(connection: Connection, recording_id: int) -> None:
    """Show that a recording's recorder lives, for as long as it stays connected."""
    if is_shared(connection):
        connection.exec_driver_sql(SHOW_ALIVE, (recording_id,))


def announced(connection: Connection) -> set[int] | None:
    """Tell the ids of the recordings whose recorders live; None where the database does not know."""
    if not is_shared(connection):
        return None
    query = (
        f"SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid = {ALIVE_CLASS} AND granted"  # noqa: S608 - a constant
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return {int(row[0]) for row in connection.exec_driver_sql(query)}


def _lock(connection: Connection, number: int) -> None:
    if is_shared(connection):
        connection.execute(select(func.pg_advisory_xact_lock(APPLICATION_ID, number)))


def is_shared(connection: Connection) -> bool:
    """Tell whether the store is in PostgreSQL, where many write at once and a connection shows who lives."""
    return connection.dialect.name == "postgresql"
