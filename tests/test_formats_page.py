"""The page about other formats is true: its commands run, and its samples are what the code writes."""

import json
import shutil
from pathlib import Path

import pytest

from documents import blocks, commands, shell
from wiretape.formats import FORMATS
from wiretape_store.exports.tables import COLUMNS

PAGE = (Path(__file__).parent.parent / "docs" / "formats.md").read_text()


@pytest.mark.parametrize(
    ("section", "printed"),
    [
        ("HAR", '"result": "pong"'),
        ("mitmproxy's flow files", "WebSocket text message"),
        ("JSON lines", "price.update"),
        ("Parquet", "method: dictionary"),
    ],
)
def test_the_commands_of_a_section_run(section: str, printed: str, tmp_path: Path, demo_store: Path) -> None:
    texts = [text for _, text in commands(PAGE, section)]
    if shutil.which("jq") is None and any("jq " in text for text in texts):
        pytest.skip("jq is not installed")
    shutil.copy(demo_store, tmp_path / "demo.db")

    with shell(tmp_path, {}) as terminal:
        said = "".join(map(terminal.run, texts))

    assert printed in said


def test_the_table_lists_every_format() -> None:
    rows = [line.split("|")[1:5] for line in PAGE.splitlines() if line.startswith("|")]
    listed = [[cell.strip() for cell in row] for row in rows[2 : 2 + len(FORMATS)]]

    assert listed == [
        [
            each.name,
            " ".join(f"`{suffix}`" for suffix in each.suffixes),
            "yes" if each.writer else "-",
            "yes" if each.reader else "-",
        ]
        for each in FORMATS
    ]


def test_the_columns_are_those_of_the_csv() -> None:
    assert f"`{', '.join(COLUMNS)}`" in PAGE


def test_the_message_that_is_shown_is_json_as_the_har_has_it() -> None:
    sample = next(text for language, _, text in blocks(PAGE, "HAR") if language == "json")

    assert json.loads(sample)["_wiretape"].keys() == {"codec", "text"}
