"""The tables of the documentation are those of the code."""

from pathlib import Path

import pytest

from wiretape_protocols.method_table import fill_page, method_table
from wiretape_protocols.ontology_errors import ERROR_CODES
from wiretape_protocols.registry import BUILT_IN, protocol_named

PAGE = Path(__file__).parents[2] / "docs" / "protocols.md"


def test_the_page_shows_what_the_code_does() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == fill_page(page), "docs/protocols.md is old; the docstring of method_table writes it anew"


@pytest.mark.parametrize("name", [*(protocol.name for protocol in BUILT_IN), "ontology-errors"])
def test_the_page_has_every_table(name: str) -> None:
    assert f"<!-- table: {name} -->\n| " in PAGE.read_text(encoding="utf-8")


def test_a_table_has_a_line_for_each_method_and_says_what_matters() -> None:
    lines = method_table(protocol_named("hotbit")).splitlines()
    assert len(lines) == 2 + len(protocol_named("hotbit").methods())
    assert "| `server.auth` | auth | params |  | params[0], params[1] | no | yes |" in lines
    assert "| `depths.unsubscribe` | unsubscribe | method only | depth |  | no | no |" in lines


def test_the_page_is_filled_between_its_markers_only() -> None:
    page = "before\n<!-- table: opaque -->\nold\n<!-- end of table -->\nafter\n"
    filled = fill_page(page)
    assert filled.startswith("before\n<!-- table: opaque -->\n| method or push |")
    assert filled.endswith("|\n<!-- end of table -->\nafter\n")
    assert "old" not in filled
    assert fill_page(filled) == filled


def test_every_error_code_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [code.code for code in ERROR_CODES if f"\n| {code.code} |" not in page] == []


def test_an_unknown_marker_is_an_error() -> None:
    with pytest.raises(KeyError):
        fill_page("<!-- table: nosuch -->\n<!-- end of table -->")
