"""The schema as Markdown, for the page in docs/ that people read before they write SQL."""

from collections.abc import Iterator

from sqlalchemy import Column, Table
from sqlalchemy.dialects import sqlite

from wiretape_store.schema import APPLICATION_ID, SCHEMA_VERSION, metadata

START = "<!-- schema: made by `python -m wiretape_store.schema_docs` -->\n"
END = "<!-- end of schema -->\n"
"""The page's text between the two is `schema_markdown()`."""


def schema_markdown() -> str:
    """Describe every table and column, in the order of creation."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield ""
    yield f"Schema version {SCHEMA_VERSION} (`user_version`), application id {APPLICATION_ID:#x} (`application_id`)."
    yield ""
    for table in metadata.tables.values():
        yield f"### `{table.name}`"
        yield ""
        yield str(table.comment)
        yield ""
        yield "| column | type | meaning |"
        yield "|---|---|---|"
        for column in table.columns:
            yield f"| `{column.name}` | {_type(column)} | {column.comment} |"
        yield ""
        yield from _indexes(table)


def _type(column: Column[object]) -> str:
    parts = [column.type.compile(dialect=sqlite.dialect())]
    if column.primary_key:
        parts.append("key")
    elif column.nullable:
        parts.append("or NULL")
    parts += [f"→ `{key.target_fullname}`" for key in column.foreign_keys]
    return " ".join(parts)


def _indexes(table: Table) -> Iterator[str]:
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        columns = ", ".join(f"`{column.name}`" for column in index.columns)
        yield f"Index `{index.name}` on {columns} where {index.dialect_options['sqlite']['where']}."
        yield ""


if __name__ == "__main__":
    print(START + schema_markdown() + END, end="")  # noqa: T201
