"""How the rows of a query are written: a table for people, CSV and JSON for programs; row by row."""

import base64
import json
import math
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

import click

from wiretape.text import printable
from wiretape_store.queries.query import Cell, Result

MEASURED_ROWS = 1000
"""The widths of a table's columns are those of so many rows; a longer cell further down stands out."""
_NARROWEST = 8
_BLOB_BYTES = 32


def table(result: Result, width: int | None) -> Iterator[str]:
    """Columns under headings, clipped to `width` characters where it is given."""
    rows = iter(result.rows)
    measured = list(islice(rows, MEASURED_ROWS))
    headings = [printable(name) for name in result.columns]
    cells = [[_shown(cell) for cell in row] for row in measured]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    right = [_is_numeric(column) for column in zip(*measured, strict=True)] or [False] * len(headings)
    if width is not None:
        widths = _narrowed(widths, width)
    for line in chain([headings], cells, ([_shown(cell) for cell in row] for row in rows)):
        fitted = line if width is None else map(_clipped, line, widths)
        placed = zip(fitted, widths, right, strict=True)
        padded = [cell.rjust(wide) if at_right else cell.ljust(wide) for cell, wide, at_right in placed]
        yield "  ".join(padded).rstrip() + "\n"


def csv(result: Result) -> Iterator[str]:
    """RFC 4180 with a header; NULL is nothing, an empty text is two quotes, a blob is base64."""
    for row in chain([result.columns], result.rows):
        yield ",".join(map(_csv_field, row)) + "\r\n"


def json_array(result: Result) -> Iterator[str]:
    """
    An array of objects, one a line; a blob in the column x is base64 under the name `x_base64`.

    Raises UsageError when two columns have the same name.
    """
    names = result.columns
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise click.UsageError(f"two columns are called {twice!r}: tell them apart with AS")
    before = "[\n"
    for row in result.rows:
        yield before + _json_object(names, row)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _shown(cell: Cell) -> str:
    if cell is None:
        return "NULL"
    if isinstance(cell, bytes):
        more = "…" if len(cell) > _BLOB_BYTES else ""
        return f"({len(cell)} bytes) {cell[:_BLOB_BYTES].hex()}{more}"
    return printable(cell) if isinstance(cell, str) else str(cell)


def _is_numeric(column: Sequence[Cell]) -> bool:
    return all(cell is None or isinstance(cell, int | float) for cell in column)


def _narrowed(widths: list[int], width: int) -> list[int]:
    """Take from the widest columns until a line fits, or nothing can be taken any more."""
    widths = list(widths)
    while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths


def _clipped(cell: str, width: int) -> str:
    return cell if len(cell) <= width else cell[: width - 1] + "…"


def _csv_field(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bytes):
        return base64.b64encode(cell).decode() or '""'
    text = str(cell)
    if text and not any(char in ',"\r\n' for char in text) and text.strip() == text:
        return text
    return '"' + text.replace('"', '""') + '"'


def _json_object(names: Sequence[str], row: Sequence[Cell]) -> str:
    what: dict[str, Any] = {}
    for name, cell in zip(names, row, strict=True):
        if isinstance(cell, bytes):
            what[f"{name}_base64"] = base64.b64encode(cell).decode()
        elif isinstance(cell, float) and not math.isfinite(cell):
            what[name] = str(cell)  # JSON has no word for it.
        else:
            what[name] = cell
    return json.dumps(what, ensure_ascii=False)
