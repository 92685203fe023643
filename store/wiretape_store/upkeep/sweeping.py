"""Removing the names and codecs that nothing refers to any more, after recordings were pruned."""

from sqlalchemy import Connection, delete, func, select

from wiretape_store.chunks import ChunkError, Packer
from wiretape_store.database import Database
from wiretape_store.schema import chunk, codec, message, name
from wiretape_store.upkeep.room import is_file

_AT_A_TIME = 500
_CHUNKS_AT_A_TIME = 256


def sweep(database: Database) -> None:
    """
    Delete names and codecs that nothing refers to, unless somebody writes meanwhile.

    Looking for them reads the whole store, but keeps nobody waiting. The newest of each stays, so that
    no number is given out twice: readers remember what a number means. In PostgreSQL they all stay:
    its writers could not notice that a number they remember is gone (see `names.Renewal`).
    """
    if not is_file(database.connection):
        return
    with database.transaction("looking for unused names", writes=False) as connection:
        seen = _version(connection)
        names = _unused_names(connection)
        codecs = _unused_codecs(connection)
    if not names and not codecs:
        return
    # Nothing refers to them: to prove that for each, SQLite would read all messages once more.
    database.connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    database.connection.rollback()
    try:
        with database.transaction("removing unused names", writes=True) as connection:
            if _version(connection) != seen:
                return  # They may be used now. The next prune looks again.
            for table, numbers in ((name, names), (codec, codecs)):
                for start in range(0, len(numbers), _AT_A_TIME):
                    few = numbers[start : start + _AT_A_TIME]
                    connection.execute(delete(table).where(table.c.id.in_(few)))
    finally:
        database.connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        database.connection.rollback()


def _version(connection: Connection) -> int:
    """A number that changes when another connection has written."""
    return int(connection.exec_driver_sql("PRAGMA data_version").scalar_one())


def _unused_names(connection: Connection) -> list[int]:
    newest = connection.scalar(select(func.max(name.c.id)))
    numbers = set(connection.scalars(select(name.c.id))) - {newest}
    if numbers:
        for method_id, stream_id in connection.execute(
            select(message.c.method_id, message.c.stream_id).distinct()
        ):
            numbers -= {method_id, stream_id}
    return sorted(numbers)


def _unused_codecs(connection: Connection) -> list[int]:
    newest = connection.scalar(select(func.max(codec.c.id)))
    numbers = set(connection.scalars(select(codec.c.id))) - {newest}
    packer = Packer()
    place = (-1, -1)
    while numbers:
        # Page by page, so that no more than some chunks are in memory.
        after = (chunk.c.session_id > place[0]) | (
            (chunk.c.session_id == place[0]) & (chunk.c.first_seq > place[1])
        )
        columns = (chunk.c.session_id, chunk.c.first_seq, chunk.c.data)
        query = select(*columns).where(after, chunk.c.session_id >= place[0])
        rows = connection.execute(
            query.order_by(chunk.c.session_id, chunk.c.first_seq).limit(_CHUNKS_AT_A_TIME)
        ).all()
        if not rows:
            break
        for session_id, first_seq, data in rows:
            place = (session_id, first_seq)
            try:
                numbers -= {codec_id for codec_id, _, _ in packer.shares(data)}
            except ChunkError:
                return []  # Nobody knows what a damaged chunk refers to.
    return sorted(numbers)
