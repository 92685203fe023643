"""Running a statement against a store in PostgreSQL, which has the views and none of the functions."""

import json
import re
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from itertools import chain, islice
from typing import Any, cast

import psycopg
from sqlalchemy import Connection

from wiretape_store.database import Database
from wiretape_store.queries.errors import QueryError
from wiretape_store.queries.functions import sql_number
from wiretape_store.queries.query import (
    READING_ADVICE,
    VIEWS_ADVICE,
    WRITING_ADVICE,
    Cell,
    Query,
    Result,
    without_rows,
)
from wiretape_store.queries.views import POSTGRESQL, views

_OURS = re.compile(r"\b(?:payload|json|regexp)\s*\(", re.IGNORECASE)
_DONE = psycopg.pq.ExecStatus.COMMAND_OK
_UNDEFINED_FUNCTION = "42883"
_ABOUT_NAMES = (_UNDEFINED_FUNCTION, "42P01", "42703", "42601")
"""Unknown functions, tables and columns, and syntax errors."""
_CANCELED = "57014"
_NO_RIGHTS = "42501"
_READ_ONLY = "25006"
_MISTAKES = ("0A", "21", "22", "42")
"""How the SQLSTATE of what is wrong with a statement begins (appendix A of PostgreSQL's manual)."""


class PostgresQuery(Query):
    """Runs statements on a store in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        """Make the views, which are this connection's own."""
        super().__init__(database)
        with database.transaction("preparing a query", writes=True) as connection:
            for view in views(POSTGRESQL):
                connection.exec_driver_sql(view.create())

    def run(self, statement: str) -> Result:
        """Run one statement, as Query says."""
        columns = self._columns(statement)
        if not columns:
            raise without_rows(statement, READING_ADVICE)
        rows = self._rows(statement)
        # The first row here, so that what is wrong with it is said here.
        first = list(islice(rows, 1))
        return Result(columns, chain(first, rows))

    def _columns(self, statement: str) -> tuple[str, ...]:
        """
        The names of the columns that a statement gives, without running it; none where it gives no rows.

        Also in a transaction that only reads, PostgreSQL lets COPY write files: it gives no rows.
        """
        with self._database.transaction("the query", writes=False) as connection, _mistakes(statement):
            server = _driver(connection).pgconn
            prepared = server.prepare(b"", _encoded(statement))
            described = server.describe_prepared(b"") if prepared.status == _DONE else prepared
            if described.status != _DONE:
                raise psycopg.errors.error_from_result(described)
            names = [described.fname(number) or b"" for number in range(described.nfields)]
            return tuple(name.decode() for name in names)

    def _rows(self, statement: str) -> Iterator[tuple[Cell, ...]]:
        with (
            self._database.transaction("the query", writes=False) as connection,
            _mistakes(statement),
            _driver(connection).cursor() as cursor,
            closing(_stream(cursor, statement)) as rows,
        ):
            for row in rows:
                yield tuple(map(_cell, row))


def _driver(connection: Connection) -> "psycopg.Connection":
    return cast("psycopg.Connection", connection.connection.driver_connection)


def _encoded(statement: str) -> bytes:
    """The statement as the server reads it, in UTF-8."""
    try:
        text = statement.encode()
    except UnicodeEncodeError:
        text = b"\0"
    if b"\0" in text:
        raise QueryError("it has a character that no text can have", "leave it out")
    return text


def _stream(cursor: "psycopg.Cursor[Any]", statement: str) -> Generator[tuple[Any, ...]]:
    """Row by row, and never more than one statement: it goes by the extended protocol."""
    yield from cursor.stream(_encoded(statement))


@contextmanager
def _mistakes(statement: str) -> Iterator[None]:
    """Turn the errors that the statement is to blame for into ours."""
    try:
        yield
    except psycopg.Error as exc:
        state = exc.sqlstate or ""
        what = (exc.diag.message_primary or " ".join(str(exc).split())).rstrip(".")
        if state == _UNDEFINED_FUNCTION and _OURS.search(statement):
            text = "payload(), json() and regexp() need a store in SQLite"
            raise QueryError(text, "bring the recording into one with 'wiretape copy'") from exc
        if state == _CANCELED:
            raise KeyboardInterrupt from exc
        if state == _READ_ONLY:
            raise QueryError(what, READING_ADVICE) from exc
        is_mistake = state.startswith(_MISTAKES) and state != _NO_RIGHTS
        if is_mistake or (not state and isinstance(exc, psycopg.ProgrammingError)):
            raise QueryError(what, VIEWS_ADVICE if state in _ABOUT_NAMES else WRITING_ADVICE) from exc
        raise


def _cell(value: Any) -> Cell:
    """A value as SQLite would have it; what it does not know becomes text."""
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, str | bytes | int | float):
        return value
    if isinstance(value, Decimal):
        return sql_number(f"{value:f}")
    if isinstance(value, memoryview):
        return bytes(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
