"""Whether what is copied and where it goes are still there: a prune may take either apart meanwhile."""

from sqlalchemy import Connection, bindparam, select

from wiretape_store.errors import StoreError
from wiretape_store.recording_rows import IS_THERE
from wiretape_store.schema import recording, session, upstream

_MESSAGES = (
    select(session.c.messages_from_client + session.c.messages_from_upstream)
    .join(upstream, upstream.c.id == session.c.upstream_id)
    .join(recording, recording.c.id == upstream.c.recording_id)
    .where(session.c.id == bindparam("session"), IS_THERE)
)


def messages_of_source(connection: Connection, path: str, session_id: int) -> int:
    """Say how many messages a session has by its counters. Raises StoreError once it is being pruned."""
    found: int | None = connection.scalar(_MESSAGES, {"session": session_id})
    if found is None:
        raise pruned_source(path, f"session s{session_id}")
    return found


def hold_target(connection: Connection, path: str, session_id: int) -> None:
    """Keep a prune from a session that is written to. Raises StoreError once it is being pruned."""
    # Against the mark of a prune, as in `holding`: `Pruner._mark` locks this row before it looks who lives.
    held = _MESSAGES.with_for_update(read=True, of=recording)
    if connection.scalar(held, {"session": session_id}) is None:
        raise pruned_target(path)


def pruned_source(path: str, what: str) -> StoreError:
    """Make the error for a source that is gone; what was copied of it has no end, and can be pruned."""
    advice = "'wiretape prune --recording' removes what there is of it in the other store"
    return StoreError(path, f"{what} was pruned while it was copied", advice)


def pruned_target(path: str) -> StoreError:
    """Make the error for a target that is gone."""
    return StoreError(path, "the copy was pruned while it was made", "copy the recording again")
