"""docs/pytest.md is true: its example records and replays, its tables are the code's, its text is what is said."""

import inspect
import re
from pathlib import Path

import pytest
from projects import Project

from wiretape.control_client import Difference, Entry, Findings, Verdict
from wiretape.pytest_plugin import Wiretape, marker, options
from wiretape.pytest_plugin.findings import Outcome, told
from wiretape.pytest_plugin.upstreams import Upstreams

PAGE = (Path(__file__).parents[3] / "docs" / "pytest.md").read_text()


def block(language: str, after: str = "") -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE[PAGE.index(after) :], re.DOTALL)
    assert found is not None
    return found.group(1)


def first_cells(heading: str) -> list[str]:
    """The first cells of the table below a heading, its own heading and line left out."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in section.splitlines() if line.startswith("| ")]
    return rows[2:] if set(rows[1]) <= {"-"} else [row for row in rows if not set(row) <= {"-"}][1:]


def public(of: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(of) if not name.startswith("_")}


def test_the_example_records_and_replays(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("test_height.py", block("python"))

    recorded = project.run("--wiretape-record=once")
    replayed = project.run()

    assert recorded.counts() == replayed.counts() == {"passed": 1}, recorded.text + replayed.text
    assert (tmp_path / "tapes" / "height.tape").is_file()


def test_every_option_of_the_mark_is_there() -> None:
    named = {cell.strip("`") for cell in first_cells("The mark")}

    assert named == set(marker.ACCEPTED)
    assert all(name in marker.DESCRIPTION for name in named)


def test_every_member_of_the_fixture_is_there() -> None:
    cells = first_cells("The fixture")
    named = {name for cell in cells for name in re.findall(r"`([a-z_]+)", cell)}

    assert named == public(Wiretape) | {"recording"}


def test_every_member_of_the_simulated_upstreams_is_there() -> None:
    named = {name for cell in first_cells("Simulated upstreams") for name in re.findall(r"`([a-z_]+)", cell)}

    # The last two are for the plugin itself.
    assert named == public(Upstreams) - {"targets", "close"}


def test_every_way_to_record_is_there() -> None:
    assert [cell.split()[0].strip("`") for cell in first_cells("Recording")] == [
        mode.value for mode in options.RecordMode
    ]
    assert {
        "--wiretape-record=",
        "--wiretape-record-in-ci",
        options.UPSTREAMS_INI,
        options.RECORD_OPTIONS_INI,
    } <= set(re.findall(r"[-a-z_]+=?", PAGE))


def test_the_text_of_a_failure_is_what_is_said() -> None:
    excerpt = '{{"method": "price.query", "params": ["{}"], "id": {}}}'
    asked = Entry(1, "opened", "hotbit", 1, "s1")
    missed = Entry(
        2,
        "missed",
        "hotbit",
        1,
        "s1",
        seq=4,
        method="price.query",
        payload=excerpt.format("ETHBTC", 7),
        nearest=excerpt.format("BTCUSDT", 1),
        differs=(Difference("/params/0", '"BTCUSDT"', '"ETHBTC"'),),
        why="different",
    )
    unused = (f"s1 message 4: {excerpt.format('BTCUSDT', 1)}", "s2, connection 2 to hotbit, was not opened")
    verdict = Verdict(False, Findings(1, ("s1: odd",)), Findings(2, unused), Findings(0, ()), Findings(0, ()))
    command = "pytest tests/test_prices.py::test_latest --wiretape-record=all"

    text = told(Outcome("tapes/prices.tape", verdict, [asked, missed], command))

    assert text + "\n" == block("text", "## How a test fails")


@pytest.mark.parametrize(
    ("miss", "first_line", "last_line"),
    [
        pytest.param(
            None, "wiretape: what was sent is not in a.tape", "not in the tape:", id="not-in-the-journal"
        ),
        pytest.param(
            Entry(
                1,
                "missed",
                "a",
                1,
                payload="x",
                nearest="y",
                detail="nearest is message 0: odd",
                why="different",
            ),
            "wiretape: a message is not in a.tape",
            "  nearest is message 0: odd",
            id="no-members",
        ),
        pytest.param(
            Entry(
                1,
                "missed",
                "a",
                1,
                payload="x",
                nearest="y",
                differs=(Difference("", "y", "x"),),
                why="different",
            ),
            "wiretape: a message differs from a.tape in all of it",
            "    + (all of it): x  (sent)",
            id="as-a-whole",
        ),
        pytest.param(
            Entry(
                1,
                "missed",
                "a",
                method="b.c",
                payload='{"m": "b.c"}',
                nearest='{"m": "d"}',
                differs=(Difference("/m", '"d"', None),),
            ),
            "wiretape: b.c is not in a.tape",
            "    + /m: (is not there)  (sent)",
            id="another-method",
        ),
        pytest.param(
            Entry(1, "missed", "a", 1, payload="x", why="nothing left"),
            "wiretape: a message is not in a.tape",
            "  nothing is left in the tape to answer it",
            id="nothing-left",
        ),
    ],
)
def test_a_miss_is_told_whatever_is_known_of_it(miss: Entry | None, first_line: str, last_line: str) -> None:
    none = Findings(0, ())
    verdict = Verdict(False, Findings(1, ("odd",)), none, none, none)

    lines = told(Outcome("a.tape", verdict, [miss] if miss else [], "pytest")).splitlines()

    assert lines[0] == first_line
    assert last_line in lines


def test_what_was_left_out_of_a_text_is_counted() -> None:
    named = tuple(f"s1 message {number}: {{}}" for number in range(100))
    none = Findings(0, ())
    verdict = Verdict(False, none, Findings(130, named), none, none)

    lines = told(Outcome("a.tape", verdict, [], "pytest")).splitlines()

    assert lines[0] == "wiretape: not sent, but in a.tape: {} (and 129 more)"
    assert lines[2:4] == ["  s1, message 0: {}", "  s1, message 1: {}"]
    assert lines[22] == "  and 110 more"


@pytest.mark.parametrize("option", ["--help", "--markers", "--fixtures"])
def test_pytest_tells_of_the_plugin(tmp_path: Path, option: str) -> None:
    said = Project(tmp_path).run(option, "-v").text

    named = {
        "--help": [
            "--wiretape-record={none,once,missing,all}",
            "--wiretape-record-in-ci",
            "wiretape_upstreams (linelist)",
        ],
        "--markers": ["@pytest.mark.wiretape(tape, *, pace, order, strict, "],
        "--fixtures": ["wiretape -- ", "Stand-ins for the upstreams of the tape", "wiretape_upstreams -- "],
    }
    assert [text for text in named[option] if text not in said] == []
