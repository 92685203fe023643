"""
Finding, creating, checking and connecting to a store's file; nothing of what its tables hold.

A file that is there is never written to before it has shown itself to be a store of this version.
"""

import os
import secrets
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import cast
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, insert, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from wiretape_store import schema
from wiretape_store.errors import MissingStoreError, Refusal, RefusedStoreError, StoreError

BUSY_TIMEOUT_MS = 10_000
"""How long a statement waits for another process's transaction."""
WAL_LIMIT_BYTES = 4 * 1024 * 1024
"""The write-ahead log is cut back to this after a checkpoint."""
REDACTION_KEY_BYTES = 32
PAGE_BYTES = 8192
"""A settled chunk is some 10 KiB; with SQLite's 4096 a push takes 80 bytes of file, with this 77."""


class Synchronous(StrEnum):
    """SQLite's setting of that name: how soon a commit must have reached the disk."""

    FULL = "FULL"
    """Each commit survives a loss of power."""
    NORMAL = "NORMAL"
    """The last commits may be lost with the power, never with the process."""
    OFF = "OFF"
    """A loss of power may damage the store."""


def path_of(url: str) -> Path:
    """Read a path, or the path in an SQLAlchemy URL of SQLite. Raises StoreError for other databases."""
    if "://" not in url:
        return Path(url)
    try:
        parsed = make_url(url)
    except ArgumentError as exc:
        raise StoreError(url, "not a URL that SQLAlchemy can read", "give a path or sqlite:///PATH") from exc
    hidden = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() != "sqlite":
        raise StoreError(hidden, "this version keeps stores in SQLite", "give a path or sqlite:///PATH")
    if not parsed.database or parsed.database == ":memory:":
        raise StoreError(hidden, "a store needs a file to outlive its process", "give sqlite:///PATH")
    return Path(parsed.database)


class Database:
    """One connection to a store, in transactions that are begun and ended here alone."""

    def __init__(self, path: Path, connection: Connection) -> None:
        """Take over an open connection to the store at `path`."""
        self.path = path
        self.connection = connection
        # Which file it is: SQLite would go on writing into one that has lost its name.
        self._file = _file_at(path)

    @contextmanager
    def transaction(self, doing: str, *, writes: bool) -> Iterator[Connection]:
        """All or nothing: on any error nothing of it is stored, and the connection is fit for the next."""
        with translated_errors(self.path, doing):
            if writes and _file_at(self.path) != self._file:
                what = f"{doing} failed: it was moved or deleted while it was written to"
                raise StoreError(str(self.path), what, "put it back, or record into another with --store")
            try:
                # IMMEDIATE: one that reads before it writes could otherwise not be made to wait.
                self.connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
                yield self.connection
                self.connection.commit()
            except BaseException:
                self._roll_back()
                raise

    def shrink(self) -> None:
        """Give the pages that nothing uses any more back to the file system."""
        with translated_errors(self.path, "shrinking"):
            # The pragma frees a page a step, and has no columns that would let a cursor step on.
            cast("sqlite3.Connection", self.connection.connection.dbapi_connection).executescript(
                "PRAGMA incremental_vacuum"
            )

    def close(self) -> None:
        """Close the connection; the last one to close folds the log into the file."""
        with translated_errors(self.path, "closing"):
            self.connection.close()

    def _roll_back(self) -> None:
        with suppress(DBAPIError, sqlite3.Error):
            self.connection.rollback()
            # SQLAlchemy forgets a transaction whose COMMIT failed; SQLite still holds it.
            self.connection.connection.rollback()


def _file_at(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def open_for_writing(path: Path, synchronous: str) -> Database:
    """Open the store at `path`, creating it where there is none. The caller closes it."""
    with translated_errors(path, "opening"):
        if not path.exists():
            _create(path)
        _check_file(path)
        database = _connect(path, "rw")
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


def open_for_reading(path: Path) -> Database:
    """Open the store at `path` so that no statement can change it. The caller closes it."""
    with translated_errors(path, "opening"):
        if not path.exists():
            raise MissingStoreError(str(path))
        _check_file(path)
        database = _connect(path, _reading_mode(path))
        try:
            database.connection.exec_driver_sql("PRAGMA query_only = ON")
            database.connection.rollback()
        except BaseException:
            database.close()
            raise
        return database


@contextmanager
def translated_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn the database's errors into a StoreError that says what was being done and what helps."""
    try:
        yield
    except DBAPIError as exc:
        raise _translated(path, doing, exc.orig) from exc
    except (sqlite3.Error, OSError) as exc:
        raise _translated(path, doing, exc) from exc


def _translated(path: Path, doing: str, cause: BaseException | None) -> StoreError:
    code = getattr(cause, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None  # https://sqlite.org/rescode.html
    if primary == sqlite3.SQLITE_NOTADB:
        return _foreign(path, "not a SQLite database")
    if primary == sqlite3.SQLITE_CORRUPT:
        return _damaged(path, f"damaged ({cause})")
    advice = {
        sqlite3.SQLITE_FULL: "make room on its disk",
        sqlite3.SQLITE_BUSY: "another process holds it; end that one or try again",
        sqlite3.SQLITE_READONLY: "allow this user to write it and its folder, or name another with --store",
        sqlite3.SQLITE_CANTOPEN: "allow this user to open it and its folder, or name another with --store",
    }.get(primary or 0, "look at its disk and its permissions, or name another with --store")
    return StoreError(str(path), f"{doing} failed: {cause}", advice)


def _foreign(path: Path, what: str) -> RefusedStoreError:
    advice = "wiretape did not make it and leaves it alone; name another file with --store"
    return RefusedStoreError(str(path), Refusal.FOREIGN, what, advice)


def _damaged(path: Path, what: str) -> RefusedStoreError:
    advice = "restore a copy of it, or salvage it with sqlite3's .recover"
    return RefusedStoreError(str(path), Refusal.DAMAGED, what, advice)


def _check_file(path: Path) -> None:
    """Refuse what SQLite would take for an empty database, or could not explain."""
    if not path.is_file():
        raise _foreign(path, "a folder, not a file" if path.is_dir() else "not a regular file")
    if path.stat().st_size == 0:
        raise RefusedStoreError(
            str(path), Refusal.FOREIGN, "an empty file, not a store", "delete it to start a store there"
        )


def _connect(path: Path, mode: str) -> Database:
    """Connect, and refuse whatever is not a store of this version before a statement could change it."""
    connection = _engine(path, mode).connect()
    try:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        _check_store(connection, path)
    except BaseException:
        connection.close()
        raise
    return Database(path, connection)


def _check_store(connection: Connection, path: Path) -> None:
    """Tell a store of this version from everything else by the numbers in the file's header."""
    application_id = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if application_id != schema.APPLICATION_ID:
        raise _foreign(path, "a SQLite database, but not a wiretape store")
    if version != schema.SCHEMA_VERSION:
        known = f"its schema is version {version}, this wiretape knows version {schema.SCHEMA_VERSION}"
        if version > schema.SCHEMA_VERSION:
            raise RefusedStoreError(str(path), Refusal.NEWER, known, "open it with a newer wiretape")
        advice = "open it with the wiretape that made it; there is no migration from that version"
        raise RefusedStoreError(str(path), Refusal.OLDER, known, advice)
    missing = sorted(schema.metadata.tables.keys() - set(inspect(connection).get_table_names()))
    connection.rollback()
    if missing:
        raise _damaged(path, f"damaged: it has no table {missing[0]}")


def _create(path: Path) -> None:
    """Make a new store beside `path` and link it there whole: nobody ever sees half a store."""
    if not path.parent.is_dir():
        raise StoreError(
            str(path), "its folder does not exist", "make the folder, or name another with --store"
        )
    wal = Path(f"{path}-wal")
    if wal.exists():
        # SQLite would replay the old log into the new file.
        what = f"missing, but {wal.name}, the log of its last changes, is still there"
        raise StoreError(str(path), what, "put the store back beside it, or delete it")
    with (
        translated_errors(path, "creating"),
        tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder,
    ):
        draft = Path(folder) / "draft"
        _write_schema(draft)
        with suppress(FileExistsError):  # Another recorder was quicker; its store is as good.
            os.link(draft, path)
        _sync(path.parent)


def _write_schema(draft: Path) -> None:
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with _engine(draft, "rw").connect() as connection:
        connection.exec_driver_sql(f"PRAGMA page_size = {PAGE_BYTES}")
        # To be set before the first table: settling replaces chunks, and the file is to shrink again.
        connection.exec_driver_sql("PRAGMA auto_vacuum = INCREMENTAL")
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        connection.exec_driver_sql("PRAGMA synchronous = OFF")
        connection.exec_driver_sql(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        connection.exec_driver_sql(f"PRAGMA user_version = {schema.SCHEMA_VERSION}")
        connection.exec_driver_sql("BEGIN")
        schema.metadata.create_all(connection)
        key = secrets.token_bytes(REDACTION_KEY_BYTES)
        connection.execute(insert(schema.meta), {"key": "redaction_key", "value": key})
        connection.commit()
    _sync(draft)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def _engine(path: Path, mode: str) -> Engine:
    """Connect with transactions under our control, not guessed from the statements."""
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)

    return create_engine("sqlite://", creator=connect, poolclass=NullPool)
