"""
Running one statement of the user against a store, with the views and functions at hand.

The statement can change nothing, whatever it says. Rows come as they are found; nothing here holds
them all. How each kind of database does it is in `sqlite_query` and `postgres_query`.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from wiretape_store.database import Database
from wiretape_store.opening import open_for_reading
from wiretape_store.queries.errors import QueryError

Cell = str | bytes | int | float | None
VIEWS_ADVICE = "there are the views sessions, messages, calls and pushes, described in docs/querying.md"
WRITING_ADVICE = "correct the statement"
READING_ADVICE = "the store is only read here: write a select"


_COMMENT = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)|[\s;]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Result:
    """What a statement gives: the names of its columns, and its rows, once."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Cell, ...]]


def without_rows(statement: str, advice: str) -> QueryError:
    """What is wrong with a statement that gives no rows."""
    if not _COMMENT.sub("", statement):
        return QueryError("there is no statement", "write a select")
    return QueryError("it gives no rows", advice)


class Query(ABC):
    """Runs statements on one store, one at a time; a context manager."""

    def __init__(self, database: Database) -> None:
        """Take over an open database."""
        self._database = database

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    @abstractmethod
    def run(self, statement: str) -> Result:
        """
        Run one statement.

        Raises QueryError for one that is wrong or would do more than read, StoreError for a store
        that cannot be read, KeyboardInterrupt soon after the signal; the rows raise them too.
        """


def open_query(url: str) -> Query:
    """Open the store at `url`, a path or a URL of SQLAlchemy. Raises MissingStoreError."""
    database = open_for_reading(url)
    try:
        if database.connection.dialect.name == "sqlite":
            from wiretape_store.queries.on_sqlite import SqliteQuery

            return SqliteQuery(database)
        from wiretape_store.queries.on_postgres import PostgresQuery  # psycopg is an extra.

        return PostgresQuery(database)
    except BaseException:
        database.close()
        raise
