"""
A store in a SQLite file: checking and opening it, and its transactions.

A file that is there is never written to before it has shown itself to be a store of a version that
this build knows.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError

from wiretape_store import schema
from wiretape_store.database import BUSY_TIMEOUT_MS, Database, Synchronous
from wiretape_store.errors import MissingStoreError, Refusal, RefusedStoreError, StoreError
from wiretape_store.sqlite import creating as sqlite_creating
from wiretape_store.sqlite.errors import damaged, foreign, translated_errors

WAL_LIMIT_BYTES = 4 * 1024 * 1024
"""The write-ahead log is cut back to this after a checkpoint."""


class SqliteDatabase(Database):
    """A connection to a store's file."""

    def __init__(self, path: Path, connection: Connection) -> None:
        """Take over an open connection to the store at `path`."""
        self.path = str(path)
        self.connection = connection
        # Which file it is: SQLite would go on writing into one that has lost its name.
        self._path = path
        self._file = _file_at(path)

    @contextmanager
    def transaction(self, doing: str, *, writes: bool) -> Iterator[Connection]:
        """All or nothing; a writer waits for other writers here, not in the middle."""
        with translated_errors(self._path, doing):
            if writes and _file_at(self._path) != self._file:
                what = f"{doing} failed: it was moved or deleted while it was written to"
                raise StoreError(self.path, what, "put it back, or record into another with --store")
            try:
                # IMMEDIATE: one that reads before it writes could otherwise not be made to wait.
                self.connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
                yield self.connection
                self.connection.commit()
            except BaseException:
                self._roll_back()
                raise

    def announce(self, recording_id: int) -> None:
        """Nothing: the recorder's process can be looked for."""

    def close(self) -> None:
        """Close the connection; the last one to close folds the log into the file."""
        with translated_errors(self._path, "closing"):
            self.connection.close()

    def _roll_back(self) -> None:
        with suppress(DBAPIError, sqlite3.Error):
            self.connection.rollback()
            # SQLAlchemy forgets a transaction whose COMMIT failed; SQLite still holds it.
            self.connection.connection.rollback()


def open_for_writing(path: Path, synchronous: str) -> SqliteDatabase:
    """Open the store at `path`, creating it where there is none. The caller closes it."""
    with translated_errors(path, "opening"):
        if not path.exists():
            sqlite_creating.create(path)
        database = _open(path, "rw")
        try:
            connection = database.connection
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
            connection.exec_driver_sql(f"PRAGMA synchronous = {Synchronous(synchronous)}")
            connection.exec_driver_sql(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
            connection.rollback()
        except BaseException:
            database.close()
            raise
        return database


def open_for_reading(path: Path) -> SqliteDatabase:
    """Open the store at `path` so that no statement can change it. The caller closes it."""
    with translated_errors(path, "opening"):
        if not path.exists():
            raise MissingStoreError(str(path))
        database = _open(path, _reading_mode(path))
        try:
            database.connection.exec_driver_sql("PRAGMA query_only = ON")
            database.connection.rollback()
        except BaseException:
            database.close()
            raise
        return database


def _open(path: Path, mode: str) -> SqliteDatabase:
    """Connect to a store, and bring it to this version first where it is of an older one."""
    _check_file(path)
    connection = _connect(path, mode)
    try:
        version = _version(connection, path)
        if version < schema.SCHEMA_VERSION:
            # Few stores need it, and it takes long to import.
            from wiretape_store.sqlite.migrating import migrate

            migrate(connection, path, version, may_write=mode == "rw")
        _check_tables(connection, path)
    except BaseException:
        connection.close()
        raise
    return SqliteDatabase(path, connection)


def _check_file(path: Path) -> None:
    """Refuse what SQLite would take for an empty database, or could not explain."""
    if not path.is_file():
        raise foreign(path, "a folder, not a file" if path.is_dir() else "not a regular file")
    if path.stat().st_size == 0:
        raise RefusedStoreError(
            str(path), Refusal.FOREIGN, "an empty file, not a store", "delete it to start a store there"
        )


def _connect(path: Path, mode: str) -> Connection:
    connection = sqlite_creating.engine(path, mode).connect()
    try:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    except BaseException:
        connection.close()
        raise
    return connection


def _version(connection: Connection, path: Path) -> int:
    """Tell a store from everything else by the numbers in the file's header; not newer than we know."""
    application_id = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    if application_id != schema.APPLICATION_ID:
        raise foreign(path, "a SQLite database, but not a wiretape store")
    if version > schema.SCHEMA_VERSION:
        known = f"its schema is version {version}, this wiretape knows version {schema.SCHEMA_VERSION}"
        raise RefusedStoreError(str(path), Refusal.NEWER, known, "open it with a newer wiretape")
    connection.rollback()
    return version


def _check_tables(connection: Connection, path: Path) -> None:
    missing = sorted(schema.metadata.tables.keys() - set(inspect(connection).get_table_names()))
    connection.rollback()
    if missing:
        raise damaged(path, f"damaged: it has no table {missing[0]}")


def _file_at(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _reading_mode(path: Path) -> str:
    """Choose how to open a file for reading: as its owner, without rights, or on a read-only disk."""
    folder = path.absolute().parent
    if _may_write(path) and _may_write(folder):
        return "rw"  # With query_only; the last one to close tidies the log away.
    wal = Path(f"{path}-wal")
    if not _may_write(folder) and not wal.exists():
        return "ro&immutable=1"  # Nobody is writing, and SQLite could not make the files to find out.
    return "ro"


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
