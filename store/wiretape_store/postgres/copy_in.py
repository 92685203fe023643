"""Rows into PostgreSQL by COPY, in its binary format."""

from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql

_TYPES = {"SMALLINT": "int2", "INTEGER": "int4", "BIGINT": "int8", "BYTEA": "bytea"}


def copy_rows(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows of numbers and bytes, in the order of the table's columns."""
    driver = cast("psycopg.Connection", connection.connection.driver_connection)
    statement, types = _plan(table)
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


@cache
def _plan(table: Table) -> tuple[sql.Composed, list[str]]:
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(sql.Identifier(table.name), names)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return statement, [_TYPES[column.type.compile(dialect=dialect)] for column in table.columns]
