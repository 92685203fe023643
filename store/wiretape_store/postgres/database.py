"""
A store in PostgreSQL: opening it, its transactions, and going on after the server was away.

A connection that was lost is made again at the next transaction. Whoever waits for a commit when the
connection is lost is told so by UncertainCommitError: it may have been done.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import psycopg
from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from wiretape_store import locking, schema
from wiretape_store.database import BUSY_TIMEOUT_MS, Database, Synchronous
from wiretape_store.errors import StoreError, UncertainCommitError
from wiretape_store.postgres import creating as postgres_creating
from wiretape_store.postgres.errors import translated, translated_errors
from wiretape_store.urls import shown

_DRIVER = "postgresql+psycopg"
_CONNECTING: dict[str, Any] = {
    "connect_timeout": 10,
    "application_name": "wiretape",
    # A server that went away without a word is given up after half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
"""Of libpq, where the URL says nothing else."""
_SYNCHRONOUS_COMMIT = {Synchronous.FULL: "on", Synchronous.NORMAL: "off", Synchronous.OFF: "off"}
_BEGIN_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresDatabase(Database):
    """A connection to a store in PostgreSQL."""

    def __init__(self, url: URL, settings: dict[str, str]) -> None:
        """Connect, with `settings` of the session. Raises StoreError."""
        self.path = shown(url)
        self._settings = settings
        self._announced: set[int] = set()
        connecting = {key: value for key, value in _CONNECTING.items() if key not in url.query}
        engine = create_engine(url, poolclass=NullPool, connect_args=connecting)
        event.listen(engine, "connect", lambda driver, _: self._prepare(driver))
        with translated_errors(self.path, "opening"):
            self.connection = engine.connect()

    @contextmanager
    def transaction(self, doing: str, *, writes: bool) -> Iterator[Connection]:
        """All or nothing; a reader sees one moment throughout."""
        with translated_errors(self.path, doing):
            try:
                self._begin(_BEGIN_WRITING if writes else _BEGIN_READING)
                yield self.connection
            except BaseException:
                self._roll_back()
                raise
            self._commit(doing)

    def announce(self, recording_id: int) -> None:
        """Show, in a transaction, that a recording's recorder lives, also after reconnecting."""
        self._announced.add(recording_id)
        locking.announce(self.connection, recording_id)

    def close(self) -> None:
        """Close the connection."""
        with translated_errors(self.path, "closing"):
            self.connection.close()

    def _begin(self, statement: str) -> None:
        try:
            self.connection.exec_driver_sql(statement)
        except DBAPIError:
            # Nothing has been done yet, so a server that was away in the meantime need not be noticed.
            if not self._is_lost():
                raise
            self._roll_back()
            self.connection.exec_driver_sql(statement)

    def _commit(self, doing: str) -> None:
        try:
            self.connection.commit()
        except BaseException as exc:
            was_lost = self._is_lost()
            self._roll_back()
            cause = exc.orig if isinstance(exc, DBAPIError) else exc
            if was_lost and isinstance(cause, psycopg.Error):
                error = translated(self.path, doing, cause)
                raise UncertainCommitError(error.path, error.what, error.advice) from exc
            raise

    def _is_lost(self) -> bool:
        return self.connection.invalidated or bool(self._driver().closed)

    def _roll_back(self) -> None:
        with suppress(DBAPIError, psycopg.Error):
            if not self.connection.invalidated and self._driver().closed:
                self.connection.invalidate()  # COPY is past SQLAlchemy, which has not noticed.
            self.connection.rollback()

    def _driver(self) -> psycopg.Connection:
        return cast("psycopg.Connection", self.connection.connection.driver_connection)

    def _prepare(self, driver: psycopg.Connection) -> None:
        """Set a new connection up: transactions begin when we say so, and who lives is shown again."""
        driver.autocommit = True
        with driver.cursor() as cursor:
            for name, value in self._settings.items():
                cursor.execute("SELECT set_config(%s, %s, false)", (name, value))
            for recording_id in self._announced:
                cursor.execute(locking.SHOW_ALIVE, (recording_id,))


def open_for_writing(url: URL, synchronous: str) -> PostgresDatabase:
    """Open the store in a database, creating it where there are no tables. The caller closes it."""
    settings = {
        "lock_timeout": str(BUSY_TIMEOUT_MS),
        "synchronous_commit": _SYNCHRONOUS_COMMIT[Synchronous(synchronous)],
    }
    database = PostgresDatabase(_with_driver(url), settings)
    return _checked(database, _create_or_check)


def open_for_reading(url: URL) -> PostgresDatabase:
    """Open the store in a database so that no statement can change it. The caller closes it."""
    url = _with_driver(url)
    settings = {"lock_timeout": str(BUSY_TIMEOUT_MS), "default_transaction_read_only": "on"}
    database = PostgresDatabase(url, settings)
    return _checked(database, _check)


def _checked(database: PostgresDatabase, check: Callable[[PostgresDatabase], None]) -> PostgresDatabase:
    try:
        check(database)
    except BaseException:
        database.close()
        raise
    return database


def _create_or_check(database: PostgresDatabase) -> None:
    with database.transaction("opening", writes=True) as connection:
        postgres_creating.create_or_check(connection, database.path)


def _check(database: PostgresDatabase) -> None:
    with database.transaction("opening", writes=False) as connection:
        version = postgres_creating.check(connection, database.path)
    if version < schema.SCHEMA_VERSION:
        _create_or_check(database)


def _with_driver(url: URL) -> URL:
    if url.drivername not in {"postgresql", _DRIVER}:
        raise StoreError(shown(url), "wiretape reaches PostgreSQL through psycopg", f"write {_DRIVER}://...")
    return url.set(drivername=_DRIVER)
