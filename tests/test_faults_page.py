"""The page about faults: what it shows is run, and its tables are the code's."""

import re
import shutil
from pathlib import Path

import pytest

from documents import blocks, commands, shell
from wiretape_replay import Fault, FaultError, FaultKind, ReplaySettings, read_faults

PAGE = (Path(__file__).parent.parent / "docs" / "faults.md").read_text()


def rows(title: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ", maxsplit=1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_reconnect_test_passes_and_fails_for_a_client_that_hears_deals_twice(
    tmp_path: Path, demo_store: Path
) -> None:
    shutil.copy(demo_store, tmp_path / "demo.db")
    ((_, _, code),) = blocks(PAGE, "A reconnect test")
    test = tmp_path / "test_deals.py"
    with shell(tmp_path, {}) as terminals:
        test.write_text(code)
        assert "1 passed" in terminals.run("python -m pytest -q -p no:randomly test_deals.py")
        test.write_text(code.replace(" and newest not in heard", ""))
        assert "1 failed" in terminals.run("python -m pytest -q -p no:randomly test_deals.py || true")


def test_the_file_and_the_values_on_the_page_are_understood(tmp_path: Path) -> None:
    ((_, written),) = commands(PAGE, "Giving them")
    with shell(tmp_path, {}) as terminals:
        terminals.run(written)
    read = read_faults((tmp_path / "faults.json").read_bytes(), "faults.json")
    assert [fault.kind for fault in read] == [FaultKind.CLOSE, FaultKind.CORRUPT]

    code = next(text for language, _, text in blocks(PAGE, "Giving them") if language == "python")
    names: dict[str, object] = {}
    exec(code, names)
    settings = names["settings"]
    assert isinstance(settings, ReplaySettings)
    assert settings.faults == (Fault.parse("drop,stream=deals,every=10"),)


def test_the_table_of_kinds_has_every_kind_and_its_own_members() -> None:
    table = {kind.strip("`"): re.findall(r"`(\w+)`", own) for kind, _, own in rows("What can go wrong")}

    assert list(table) == [kind.value for kind in FaultKind]
    common = set(accepted(FaultKind.DROP))
    for kind, members in table.items():
        assert members == [name for name in accepted(FaultKind(kind)) if name not in common]


def test_the_table_of_selectors_is_what_every_fault_of_messages_takes() -> None:
    assert {name.strip("`") for name, _ in rows("Where it strikes")} == set(accepted(FaultKind.DROP))


def accepted(kind: FaultKind) -> list[str]:
    """The members that the errors say a kind takes."""
    with pytest.raises(FaultError) as refused:
        Fault.from_object({"kind": kind.value, "unknown": 1})
    return refused.value.accepted.split(", ")
