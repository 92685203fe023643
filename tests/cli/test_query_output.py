import csv
import io
import json
from collections.abc import Iterator, Sequence

import click
import pytest

from wiretape import query_output
from wiretape_store.queries.query import Cell, Result


def result(columns: str, *rows: Sequence[Cell]) -> Result:
    return Result(tuple(columns.split()), iter([tuple(row) for row in rows]))


def lines(columns: str, *rows: Sequence[Cell], width: int | None = None) -> list[str]:
    return "".join(query_output.table(result(columns, *rows), width)).splitlines()


def test_a_table_puts_numbers_on_the_right_and_shows_null() -> None:
    assert lines("name count", ["a", 1], ["bcdef", None], [None, 100]) == [
        "name   count",
        "a          1",
        "bcdef   NULL",
        "NULL     100",
    ]


def test_a_table_without_rows_is_its_headings() -> None:
    assert lines("a b") == ["a  b"]


def test_a_table_is_clipped_to_the_terminal_where_it_is_widest() -> None:
    shown = lines("id payload", [7, "x" * 100], [8, "short"], width=20)

    assert shown == ["id  payload", " 7  " + "x" * 15 + "…", " 8  short"]


def test_a_table_has_a_narrowest_column() -> None:
    assert lines("a b", ["x" * 9, "y" * 9], width=1)[1] == "x" * 7 + "…  " + "y" * 7 + "…"


def test_what_moves_a_cursor_does_not_reach_the_terminal() -> None:
    assert lines("a\x1b[2J", ["\x1b[31m\nred"]) == ["a\\x1b[2J", "\\x1b[31m\\nred"]


def test_a_table_shows_the_beginning_of_a_blob() -> None:
    assert lines("b", [b"\xff\x00"], [bytes(40)])[1:] == ["(2 bytes) ff00", f"(40 bytes) {'00' * 32}…"]


def test_a_table_is_printed_before_its_last_row_is_known() -> None:
    taken: list[int] = []

    def rows() -> Iterator[tuple[int]]:
        for n in range(query_output.MEASURED_ROWS * 3):
            taken.append(n)
            yield (n,)

    pieces = query_output.table(Result(("n",), rows()), None)
    next(pieces)

    assert len(taken) == query_output.MEASURED_ROWS
    assert sum(1 for _ in pieces) == query_output.MEASURED_ROWS * 3


ROWS: list[Sequence[Cell]] = [
    [None, "", "plain", 1.5, 2**62],
    ['say "hi"', "a,b", "two\r\nlines", -1, " padded "],
    [b"\xff", b"", "é", 0.1, 0],
]


def test_csv_reads_back_as_it_was() -> None:
    text = "".join(query_output.csv(result("a b c d e", *ROWS)))

    read = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert read == [
        ["a", "b", "c", "d", "e"],
        ["", "", "plain", "1.5", str(2**62)],
        ['say "hi"', "a,b", "two\r\nlines", "-1", " padded "],
        ["/w==", "", "é", "0.1", "0"],
    ]
    assert text.count("\r\n") == 5


def test_csv_tells_null_from_an_empty_text() -> None:
    assert list(query_output.csv(result("a b", [None, ""])))[1] == ',""\r\n'


def test_json_is_an_array_of_objects() -> None:
    text = "".join(query_output.json_array(result("a b c d e", *ROWS)))

    assert json.loads(text)[0] == {"a": None, "b": "", "c": "plain", "d": 1.5, "e": 2**62}
    assert json.loads(text)[2] == {"a_base64": "/w==", "b_base64": "", "c": "é", "d": 0.1, "e": 0}
    assert str(2**62) in text


def test_json_of_no_rows_is_an_empty_array() -> None:
    assert json.loads("".join(query_output.json_array(result("a")))) == []


def test_json_has_no_word_for_infinity() -> None:
    text = "".join(query_output.json_array(result("a b", [float("inf"), float("-inf")])))

    assert json.loads(text, parse_constant=pytest.fail) == [{"a": "inf", "b": "-inf"}]


def test_json_refuses_two_columns_of_one_name() -> None:
    with pytest.raises(click.UsageError, match="two columns are called 'a'"):
        next(query_output.json_array(result("a a", [1, 2])))
