"""
How much room a store takes and for what, and giving back what it no longer uses, while others use it.

In SQLite every byte of the file and its log is accounted for. PostgreSQL tells the sizes of our tables
with their indexes, and reuses freed room by itself.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from wiretape_store.database import BUSY_TIMEOUT_MS, Database
from wiretape_store.schema import chunk, message, metadata
from wiretape_store.sqlite.errors import translated_errors

STEP_PAGES = 256
"""Given back in one transaction: 2 MiB, some 10 ms."""
_LONGEST_PAUSE_S = 0.05

_DBSTAT = "SELECT name, pgsize FROM dbstat WHERE aggregate = 1"


@dataclass(frozen=True, slots=True)
class Room:
    """Where the bytes of a store are. `chunks` to `free` make up the file once its log is folded in."""

    on_disk: int
    """The file and its log as they are now; in PostgreSQL, the tables and their indexes."""
    log: int
    """Of it the write-ahead log, which comes and goes."""
    chunks: int
    """The messages' bytes, packed."""
    rows: int
    """One row for each message."""
    other: int
    """Everything else: sessions, events, names, indexes."""
    fixed: int
    """What an empty store takes as well, and no message's bytes have filled."""
    free: int
    """Pages that hold nothing; `compact` gives them back."""


def room_of(database: Database, connection: Connection, packed: int) -> Room:
    """Measure a store inside a transaction; the data of its chunks are `packed` bytes."""
    tables = _table_bytes(connection)
    chunks, rows = tables.get(chunk.name, 0), tables.get(message.name, 0)
    if not is_file(connection):
        whole = sum(tables.values())
        return Room(whole, 0, chunks, rows, whole - chunks - rows, 0, 0)
    log = _size(Path(f"{database.path}-wal"))
    free = _pragma(connection, "freelist_count") * _pragma(connection, "page_size")
    # With the pages that say where pages belong, which are in no table.
    other = used_bytes(connection) - chunks - rows
    # One page of each of the two tables is there from the beginning; messages' bytes may fill the chunks'.
    page = _pragma(connection, "page_size")
    its_chunks, its_rows = max(0, min(page, chunks - packed)), min(page, rows)
    its_other = min(other, fixed_bytes(connection) - 2 * page)
    chunks, rows, other = chunks - its_chunks, rows - its_rows, other - its_other
    fixed = its_chunks + its_rows + its_other
    return Room(_size(Path(database.path)) + log, log, chunks, rows, other, fixed, free)


def fixed_bytes(connection: Connection) -> int:
    """Tell what a store takes while nothing is in it: in SQLite, a page for each table and index."""
    if not is_file(connection):
        return 0
    roots = int(
        connection.exec_driver_sql("SELECT count(*) FROM sqlite_master WHERE rootpage > 0").scalar_one()
    )
    # And two more: the one of the schema, and the one that says where pages belong.
    return (roots + 2) * _pragma(connection, "page_size")


def used_bytes(connection: Connection) -> int:
    """Tell how large the store is without what is free in it and without its log."""
    if not is_file(connection):
        return sum(_table_bytes(connection).values())
    pages = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
    return pages * _pragma(connection, "page_size")


def is_file(connection: Connection) -> bool:
    """Whether the store is in a file of its own, so that its size is ours to care for."""
    return connection.dialect.name == "sqlite"


@contextmanager
def leaving_room(connection: Connection) -> Iterator[None]:
    """
    Wait after a transaction as long as it took, for others who want to write.

    SQLite has no queue: who waits looks again ever more rarely, and would find the store taken each time
    by one who does transaction after transaction.
    """
    since_s = time.monotonic()
    yield
    if is_file(connection):
        time.sleep(min(_LONGEST_PAUSE_S, time.monotonic() - since_s))


def give_back(database: Database, stopped: Callable[[], bool]) -> None:
    """
    Give free pages back to the file system, a little at a time, until it is done or `stopped`.

    The file becomes shorter when the log is folded into it: here where nobody else reads or writes,
    else by whoever closes the store last.
    """
    if not is_file(database.connection):
        return
    raw = cast("sqlite3.Connection", database.connection.connection.dbapi_connection)
    with translated_errors(Path(database.path), "shrinking"):
        free = _raw_pragma(raw, "freelist_count")
        while free and not stopped():
            # A cursor would free one page: the pragma frees one a step, and returns no rows to step on.
            with leaving_room(database.connection):
                raw.executescript(f"PRAGMA incremental_vacuum({STEP_PAGES})")
            left = _raw_pragma(raw, "freelist_count")
            if left >= free:
                break  # A recorder frees as much as we give back, or a reader needs what was there.
            free = left
        _fold_log(raw)


def _fold_log(raw: sqlite3.Connection) -> None:
    """Fold the log into the file as far as readers allow, and empty it where nobody would have to wait."""
    raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    # With a timeout, it would keep a recorder from writing while it waits for readers.
    raw.execute("PRAGMA busy_timeout = 0")
    try:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise
    finally:
        raw.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")


def _table_bytes(connection: Connection) -> dict[str, int]:
    """Each table's bytes with all of its pages; what belongs to no table of ours under its own name."""
    if not is_file(connection):
        sizes = {}
        for name in metadata.tables:
            query = text("SELECT pg_total_relation_size(to_regclass(quote_ident(:name)))")
            sizes[name] = int(connection.execute(query, {"name": name}).scalar_one() or 0)
        return sizes
    try:
        return {str(name): int(size) for name, size in connection.execute(text(_DBSTAT))}
    except DBAPIError:
        return _estimated(connection)


def _estimated(connection: Connection) -> dict[str, int]:
    """As well as it can be told by a SQLite that was built without dbstat: all that grows but the chunks are rows."""
    used = max(0, used_bytes(connection) - fixed_bytes(connection))
    chunks = int(connection.execute(text("SELECT coalesce(sum(length(data)), 0) FROM chunk")).scalar_one())
    return {chunk.name: min(chunks, used), message.name: max(0, used - chunks)}


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())


def _raw_pragma(raw: sqlite3.Connection, name: str) -> int:
    return int(raw.execute(f"PRAGMA {name}").fetchone()[0])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
