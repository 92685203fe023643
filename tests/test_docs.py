"""The documentation is true: its commands run, its links lead somewhere, its tables are the code's."""

import re
from pathlib import Path

import pytest

from documents import blocks, commands, shell
from recorders import free_port
from wiretape.command_docs import commands_markdown

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def test_the_readme_records_looks_and_replays(tmp_path: Path) -> None:
    ports = {"18765": str(free_port()), "8081": str(free_port())}
    with shell(tmp_path, ports) as terminals:
        *background, (_, client) = commands(README, "Record")
        for in_background, text in background:
            assert in_background
            terminals.start(text)
        recorded = terminals.run(client)
        terminals.stop()
        assert '"result": "7998.01000000"' in recorded

        ((_, look),) = commands(README, "Look")
        looked = terminals.run(look)
        assert "price.query" in looked
        assert "the same bytes every time" in looked

        ((_, replay),) = commands(README, "Replay")
        terminals.start(replay)
        assert terminals.run(client) == recorded
        terminals.stop()
        assert '"matched"' in (tmp_path / "journal.jsonl").read_text()


def test_the_readme_tests_with_a_tape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("CI", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(variable, raising=False)
    (_, _, code), (_, _, command) = blocks(README, "Use it in a test")
    (tmp_path / "test_price.py").write_text(code)
    with shell(tmp_path, {}) as terminals:
        recorded, replayed = (terminals.run(line) for line in command.splitlines())
    assert "1 passed" in recorded
    assert "price.tape" in recorded
    assert "1 passed" in replayed
    assert "tapes recorded" not in replayed


def test_make_has_the_targets_that_the_documentation_names() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(
        re.findall(r"(?:`|^)make ([a-z]+)\b", README + (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    )

    assert {"demo", "test", "check", "bench", "clean"} <= targets
    assert {"demo", "test"} <= named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    local = [link for link in links if "://" not in link]

    assert [link for link in local if not (page.parent / link).exists()] == []


def test_every_page_is_reached_from_the_readme() -> None:
    assert [page.name for page in ROOT.glob("docs/*.md") if f"docs/{page.name}" not in README] == []


def test_the_page_of_commands_is_what_the_commands_say() -> None:
    assert (ROOT / "docs" / "commands.md").read_text() == commands_markdown()
