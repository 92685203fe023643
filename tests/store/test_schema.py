from pathlib import Path

import pytest
from sqlalchemy import Column, Table
from store_builders import PUSH, a_store, query

from wiretape_protocols import Role
from wiretape_store import EndKind, EventKind
from wiretape_store.schema import event, message, metadata, session
from wiretape_store.schema_docs import END, START, schema_markdown

PAGE = Path(__file__).parents[2] / "docs" / "store.md"
COLUMNS = [
    pytest.param(column, id=str(column)) for table in metadata.sorted_tables for column in table.columns
]


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_says_what_it_means(column: Column[object]) -> None:
    assert column.comment
    assert column.comment.endswith(".")


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=str)
def test_every_table_says_what_a_row_is(table: Table) -> None:
    assert table.comment
    assert table.comment.endswith(".")


def test_the_page_shows_the_schema_as_it_is() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.partition(START)[2].partition(END)[0] == schema_markdown()


def test_the_query_on_the_page_works(tmp_path: Path) -> None:
    a_store(tmp_path / "t.db", [PUSH, PUSH])
    statement = PAGE.read_text(encoding="utf-8").partition('wiretape.db "')[2].partition('"')[0]
    assert query(tmp_path / "t.db", statement.replace("= 12 and from_client", "= 1")) == [
        ("price.update", 2, 2 * len(PUSH))
    ]


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (message.c.role, [f"{role.value} {role.name.lower()}" for role in Role]),
        (session.c.end_kind, [kind.value for kind in EndKind if kind is not EndKind.OPEN]),
        (event.c.kind, [kind.value for kind in EventKind]),
    ],
    ids=["role", "end_kind", "event kind"],
)
def test_the_comment_of_an_enumeration_names_all_its_values(column: Column[object], words: list[str]) -> None:
    assert all(word in str(column.comment) for word in words)
