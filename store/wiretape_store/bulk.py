"""Inserting many rows of one table at once, in the quickest way that the database has."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, insert
from sqlalchemy.dialects import sqlite


def insert_rows(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows that have a value for every column of `table`, in their order."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        from wiretape_store.postgres.copy_in import copy_rows

        copy_rows(connection, table, rows)
        return
    connection.exec_driver_sql(_insert(table), list(rows))


@cache
def _insert(table: Table) -> str:
    return str(insert(table).compile(dialect=sqlite.dialect(paramstyle="qmark")))
