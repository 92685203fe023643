"""
Whether what a recorder is about to add to is there still, and stays there until its transaction ends.

A recorder that was cut off from its server looks dead to others until it is back: meanwhile its
recording may have been pruned, and its sessions may have been marked as interrupted.
"""

from collections.abc import Collection

from sqlalchemy import Connection, Select, select, update

from wiretape_store.errors import StoreError
from wiretape_store.recording_rows import BEING_PRUNED
from wiretape_store.schema import recording, session, upstream

_IS_KEPT = recording.c.pinned != BEING_PRUNED
_NO_END = dict.fromkeys(("ended_at_us", "end_kind", "end_from_client", "end_code", "end_reason"))


def hold_sessions(connection: Connection, path: str, session_ids: Collection[int]) -> None:
    """
    Keep sessions that live from being pruned, and take back the end that others have given them.

    Raises StoreError where one is gone, or its recording is being pruned.
    """
    # Shared, and against the mark of a prune: `Pruner._mark` locks this row before it looks who lives.
    rows = _sessions(session_ids).with_for_update(read=True, of=recording)
    found = {row.id: row.end_kind for row in connection.execute(rows)}
    gone = sorted(set(session_ids) - found.keys())
    if gone:
        what = f"session s{gone[0]} cannot be added to: its recording was pruned or dropped"
        raise StoreError(path, what, "start the recorder again, which begins a new recording")
    _reopen(connection, [key for key, end_kind in found.items() if end_kind is not None])


def hold_upstream(connection: Connection, path: str, upstream_id: int) -> None:
    """Keep the recording of an upstream from being pruned. Raises StoreError where it is."""
    rows = select(recording.c.id).join(upstream, upstream.c.recording_id == recording.c.id)
    its = rows.where(upstream.c.id == upstream_id, _IS_KEPT)
    if connection.scalar(its.with_for_update(read=True, of=recording)) is None:
        what = "a session cannot begin: its recording was pruned or dropped"
        raise StoreError(path, what, "start the recorder again, which begins a new recording")


def reopen_sessions(connection: Connection, session_ids: Collection[int]) -> None:
    """Take back the end that others have given sessions which live."""
    ended = _sessions(session_ids).where(session.c.end_kind.is_not(None))
    _reopen(connection, [row.id for row in connection.execute(ended)])


def _sessions(session_ids: Collection[int]) -> Select[int, str | None]:
    return (
        select(session.c.id, session.c.end_kind)
        .join(upstream, upstream.c.id == session.c.upstream_id)
        .join(recording, recording.c.id == upstream.c.recording_id)
        .where(session.c.id.in_(session_ids), _IS_KEPT)
    )


def _reopen(connection: Connection, session_ids: Collection[int]) -> None:
    if session_ids:
        connection.execute(update(session).where(session.c.id.in_(session_ids)).values(_NO_END))
