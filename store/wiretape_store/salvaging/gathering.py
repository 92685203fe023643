"""
Gathering every row that can still be read of a damaged store, into the tables of a new one.

Out of a SQLite file page by page, past SQLite; out of another database table by table. What the rows
say together is not looked at here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects import sqlite

from wiretape_store.checking.row_shapes import Shape, shapes
from wiretape_store.salvaging.sqlite_pages import PageFile, Row

_BATCH_ROWS = 2000
_MENDED_COLUMNS = 3
"""A row of the few precious tables is kept if no more of its columns than this are unreadable."""
_PRECIOUS = ("recording", "upstream", "session")
_PAGES_A_REPORT = 64


@dataclass(slots=True)
class Gathered:
    """What was gathered, and what was wrong with it."""

    rows: dict[str, int] = field(default_factory=dict)
    bad_pages: int = 0
    """Pages of which nothing, or not all, could be read."""
    missing_pages: int = 0
    """Pages behind the end of a file that was cut off."""
    pages_told: int = 0
    """How many pages that file should have."""
    unreadable: list[tuple[str, int, str]] = field(default_factory=list)
    """Table, id and column of each value that was replaced by an empty one."""


class Gatherer:
    """Inserts rows into the tables of a new store, whose references are not checked yet."""

    def __init__(self, connection: Connection) -> None:
        """Insert through `connection`, inside its transaction."""
        self._connection = connection
        self._shapes = shapes()
        self._waiting: dict[str, list[tuple[object, ...]]] = {}
        self._inserts = {
            shape.table.name: str(
                insert(shape.table)
                .prefix_with("OR IGNORE")
                .compile(dialect=sqlite.dialect(paramstyle="qmark"))
            )
            for shape in self._shapes
        }
        self.gathered = Gathered()

    def from_pages(self, file: PageFile, on_progress: Callable[[int, int], None]) -> None:
        """Take the rows of all pages of a file."""
        for number in range(1, file.page_count + 1):
            for row in file.rows(number):
                self._take(row)
            if number % _PAGES_A_REPORT == 0:
                on_progress(number, file.page_count)
        self._flush_all()
        self.gathered.bad_pages = file.bad_pages
        self.gathered.missing_pages, self.gathered.pages_told = file.missing_pages, file.pages_told

    def from_database(self, connection: Connection) -> None:
        """Take the rows of all tables of a database that reads them."""
        for shape in self._shapes:
            for row in connection.execute(select(shape.table).execution_options(yield_per=_BATCH_ROWS)):
                bound = [_raw(value) for value in row]
                self._keep(shape, bound)
        self._flush_all()

    def _take(self, row: Row) -> None:
        """Find the table that a row is of, if any, and keep it."""
        for shape, values in self._candidates(row):
            if self._keep(shape, values):
                return

    def _candidates(self, row: Row) -> Iterator[tuple[Shape, list[object]]]:
        for shape in self._shapes:
            if shape.has_rowid is not (row.rowid is not None):
                continue
            values: list[object] = list(row.values)
            place = shape.rowid_column
            if place is not None:
                if place >= len(values) or values[place] is not None:
                    continue
                values[place] = row.rowid
            filled = shape.filled(values)
            if filled is not None:
                yield shape, list(filled)

    def _keep(self, shape: Shape, values: list[object]) -> bool:
        if shape.misfit(values) is not None and not self._mended(shape, values):
            return False
        table = shape.table.name
        waiting = self._waiting.setdefault(table, [])
        waiting.append(tuple(values))
        if len(waiting) >= _BATCH_ROWS:
            self._flush(table, waiting)
        return True

    def _mended(self, shape: Shape, values: list[object]) -> bool:
        """Empty the columns of a precious row that cannot be; False where too little would be left."""
        table = shape.table.name
        key, reference = shape.columns[0], shape.columns[1]
        if table not in _PRECIOUS or not key.fits(values[0]) or not reference.fits(values[1]):
            return False
        wrong = [place for place, column in enumerate(shape.columns) if not column.fits(values[place])]
        if len(wrong) > _MENDED_COLUMNS:
            return False
        for place in wrong:
            column = shape.columns[place]
            values[place] = _empty(column.name, column.types, nullable=column.nullable)
            identity = values[0]
            if isinstance(identity, int):
                self.gathered.unreadable.append((table, identity, column.name))
        return True

    def _flush_all(self) -> None:
        for table, waiting in self._waiting.items():
            self._flush(table, waiting)

    def _flush(self, table: str, waiting: list[tuple[object, ...]]) -> None:
        if waiting:
            self._connection.exec_driver_sql(self._inserts[table], waiting)
            self.gathered.rows[table] = self.gathered.rows.get(table, 0) + len(waiting)
            waiting.clear()


def _empty(column: str, types: Sequence[type], *, nullable: bool) -> object:
    if nullable:
        return None
    if int in types:
        return 0
    if str in types:
        return "[]" if column.endswith(("headers", "rules")) else ""
    return b""


def _raw(value: object) -> object:
    """What SQLite is to hold of a value: text that no UTF-8 can hold, as a blob."""
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, str) and not value.isascii():
        data = value.encode("utf-8", "surrogatepass")
        try:
            data.decode()
        except UnicodeDecodeError:
            return data
    return value
