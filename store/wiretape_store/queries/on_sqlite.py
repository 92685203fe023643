"""Running a statement against a store in SQLite: its guard, its functions, its errors."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from wiretape_store.database import Database
from wiretape_store.queries.errors import QueryError
from wiretape_store.queries.functions import Functions
from wiretape_store.queries.guard import authorize
from wiretape_store.queries.query import (
    READING_ADVICE,
    VIEWS_ADVICE,
    WRITING_ADVICE,
    Cell,
    Query,
    Result,
    without_rows,
)
from wiretape_store.queries.views import SQLITE, views
from wiretape_store.sqlite.errors import translated_errors

_ROWS_AT_A_TIME = 256
_STEPS = 10_000
"""Of SQLite's machine, some hundred microseconds: so often Ctrl-C is looked for."""
_MISTAKES = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_MISUSE,
    sqlite3.SQLITE_RANGE,
    sqlite3.SQLITE_TOOBIG,
}
"""The codes for what is wrong with a statement; others tell about the file."""
_ABOUT_NAMES = re.compile(
    r"no such (?:table|column|function)|syntax error|incomplete input|unrecognized token"
)
_JSON_OF_ONE = re.compile(r"\bjson\s*\([^,()]*\)", re.IGNORECASE)
_FORBIDDEN = {sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY}


class SqliteQuery(Query):
    """Runs statements on a store in SQLite."""

    def __init__(self, database: Database) -> None:
        """Make the views and functions, and let nothing but reading through from then on."""
        super().__init__(database)
        self._path = Path(database.path)
        self._connection = cast("sqlite3.Connection", database.connection.connection.dbapi_connection)
        with translated_errors(self._path, "preparing a query"):
            # Views are temporary: they are in no file, and go with the connection.
            self._connection.execute("PRAGMA query_only = OFF")
            for view in views(SQLITE):
                self._connection.execute(view.create())
            self._connection.execute("PRAGMA query_only = ON")
        self._functions = Functions(self._connection, database.path)
        self._connection.text_factory = _text
        self._connection.set_authorizer(authorize)
        # A handler in Python lets Python see its signals; by itself it never ends a query.
        self._connection.set_progress_handler(lambda: 0, _STEPS)

    def run(self, statement: str) -> Result:
        """Run one statement, as Query says."""
        with self._translated(statement):
            cursor = self._connection.execute(statement)
        if cursor.description is None:
            raise without_rows(statement, "write a select")
        return Result(tuple(column[0] for column in cursor.description), self._rows(cursor, statement))

    def _rows(self, cursor: sqlite3.Cursor, statement: str) -> Iterator[tuple[Cell, ...]]:
        while True:
            with self._translated(statement):
                rows = cursor.fetchmany(_ROWS_AT_A_TIME)
            if not rows:
                return
            yield from rows

    @contextmanager
    def _translated(self, statement: str) -> Iterator[None]:
        """Turn SQLite's errors into ours, and let those of our functions through."""
        self._functions.failure = None
        with translated_errors(self._path, "the query"):
            try:
                yield
            except (sqlite3.Error, sqlite3.Warning, ValueError) as exc:
                meant = self._meant(exc, statement)
                if meant is None:
                    raise
                raise meant from exc

    def _meant(self, exc: Exception, statement: str) -> BaseException | None:
        """What a statement's error means; None for an error of the file, which others explain."""
        if self._functions.failure is not None:
            return self._functions.failure
        code = getattr(exc, "sqlite_errorcode", None)
        primary = code & 0xFF if isinstance(code, int) else None
        if primary == sqlite3.SQLITE_INTERRUPT:
            return KeyboardInterrupt()
        if primary in _FORBIDDEN or "not authorized" in str(exc):
            return QueryError(str(exc), READING_ADVICE)
        if primary is None or primary in _MISTAKES:
            return _mistake(str(exc).rstrip("."), statement)
        return None


def _mistake(what: str, statement: str) -> QueryError:
    """A mistake in a statement, with the advice that fits."""
    if what == "malformed JSON" and _JSON_OF_ONE.search(statement):
        # SQLite's own json() answered, which takes one argument.
        return QueryError(what, "json() takes a pointer too: json(message, pointer)")
    if what == "user-defined function raised exception":
        # None of ours did, or it would have been kept: it was not even called.
        return QueryError(
            "a function was given a text that is not UTF-8", "give it text without half a surrogate pair"
        )
    return QueryError(what, VIEWS_ADVICE if _ABOUT_NAMES.search(what) else WRITING_ADVICE)


def _text(data: bytes) -> str | bytes:
    """Text as it is, and a blob for what only claims to be text."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
