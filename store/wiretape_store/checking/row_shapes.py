"""
What a row of each table may look like: the types of its columns and the values that mean something.

SQLite stores any type anywhere and has no checksums: after damage a number may stand where a text
should, and a role may be 77. Pure.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Integer, LargeBinary, Table
from sqlalchemy.types import TypeDecorator

from wiretape_protocols import Opcode, Role
from wiretape_store import schema
from wiretape_store.recording_rows import BEING_IMPORTED, BEING_PRUNED
from wiretape_store.records import EndKind, EventKind

_BOOLEAN = frozenset((0, 1))
_VALUES: dict[tuple[str, str], frozenset[Any]] = {
    ("message", "from_client"): _BOOLEAN,
    ("message", "opcode"): frozenset(opcode.value for opcode in Opcode),
    ("message", "role"): frozenset(role.value for role in Role),
    ("message", "deflated"): _BOOLEAN,
    ("message", "redacted"): _BOOLEAN,
    ("event", "from_client"): _BOOLEAN,
    ("event", "kind"): frozenset(kind.value for kind in EventKind),
    ("session", "end_kind"): frozenset(kind.value for kind in EndKind) - {EndKind.OPEN.value},
    ("session", "end_from_client"): _BOOLEAN,
    ("recording", "pinned"): _BOOLEAN | {BEING_PRUNED, BEING_IMPORTED},
}
_LEAST = {("event", "after_seq"): -1}
"""Every other number is at least 0."""
_MAX = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Column:
    """One column, as far as a value can fit it."""

    name: str
    types: tuple[type, ...]
    nullable: bool
    values: frozenset[Any] | None
    least: int
    default: Any
    """Of a row that was written before the column was added."""
    required: bool

    def fits(self, value: object) -> bool:
        """Whether this value may stand here."""
        if value is None:
            return self.nullable
        if not isinstance(value, self.types) or (isinstance(value, bytes) and not self._is_text(value)):
            return False
        if self.values is not None:
            return value in self.values
        return not isinstance(value, int) or self.least <= value <= _MAX

    def _is_text(self, value: bytes) -> bool:
        """Whether bytes in a column for text are one that UTF-8 cannot hold."""
        if str not in self.types:
            return True
        try:
            value.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Shape:
    """The columns of one table, in their order."""

    table: Table
    columns: tuple[Column, ...]
    rowid_column: int | None
    """The column that SQLite keeps as the row's own number, and not in the row."""
    has_rowid: bool

    def misfit(self, values: Sequence[object]) -> str | None:
        """Name the first column whose value cannot be; None where all can."""
        for column, value in zip(self.columns, values, strict=True):
            if not column.fits(value):
                return column.name
        return None

    def filled(self, values: Sequence[object]) -> tuple[object, ...] | None:
        """Add what a row of an older schema lacks; None where it has too few or too many values."""
        missing = len(self.columns) - len(values)
        if missing < 0 or any(column.required for column in self.columns[len(values) :]):
            return None
        return (*values, *(column.default for column in self.columns[len(values) :]))


@cache
def shape_of(table: Table) -> Shape:
    """Read the shape off a table's definition."""
    columns = tuple(_column(table, column) for column in table.columns)
    keys = [column for column in table.columns if column.primary_key]
    alias = len(keys) == 1 and isinstance(keys[0].type, Integer)
    return Shape(
        table,
        columns,
        list(table.columns).index(keys[0]) if alias else None,
        table.dialect_options["sqlite"]["with_rowid"] is not False,
    )


def is_headers(text: str) -> bool:
    """Whether a text is JSON of header fields: an array of [name, value]."""
    try:
        return all(isinstance(key, str) and isinstance(value, str) for key, value in json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return False


def is_rules(text: str) -> bool:
    """Whether a text is JSON of redaction rules: an array of strings."""
    try:
        rules = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return False
    return isinstance(rules, list) and all(isinstance(rule, str) for rule in rules)


def shapes() -> tuple[Shape, ...]:
    """Every table's shape, a table after those that it refers to."""
    return tuple(shape_of(table) for table in schema.metadata.sorted_tables)


def _column(table: Table, column: Any) -> Column:
    place = (table.name, column.name)
    kind = column.type
    if isinstance(kind, Integer):
        types: tuple[type, ...] = (int,)
    elif isinstance(kind, LargeBinary):
        types = (bytes,)
    else:
        # AnyText keeps as a blob what is no UTF-8.
        types = (str, bytes) if isinstance(kind, TypeDecorator) else (str,)
    default: Any = None
    if column.server_default is not None:
        text = str(column.server_default.arg)
        default = int(text) if types == (int,) else text
    required = not column.nullable and column.server_default is None
    return Column(
        column.name, types, column.nullable, _VALUES.get(place), _LEAST.get(place, 0), default, required
    )
