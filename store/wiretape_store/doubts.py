"""
Finding out, once the database is back, whether a commit was done that nobody saw the end of.

It was all or nothing, so one row of it tells.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, Table, delete, select

from wiretape_store.pending import LiveSession
from wiretape_store.schema import event, message, session


def is_stored(connection: Connection, session_id: int, live: LiveSession) -> bool:
    """Tell whether what is in doubt of a session was stored."""
    messages, events = live.doubtful
    if messages:
        return _has(connection, message, session_id, live.messages[0].seq)
    return events > 0 and _has(connection, event, session_id, live.next_event)


def forget_sessions(connection: Connection, session_ids: Iterable[int], upstream_ids: Iterable[int]) -> None:
    """Delete sessions whose beginning was in doubt and was told as failed; those of our upstreams alone."""
    is_one = session.c.id.in_(session_ids) & session.c.upstream_id.in_(upstream_ids)
    connection.execute(delete(session).where(is_one))


def _has(connection: Connection, table: Table, session_id: int, number: int) -> bool:
    key = tuple(table.primary_key.columns)
    found = select(key[0]).where(key[0] == session_id, key[1] == number)
    return connection.scalar(found) is not None
