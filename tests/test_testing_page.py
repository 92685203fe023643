"""The way of docs/testing.md, gone as its reader would go it."""

import re
import tomllib
from pathlib import Path

import pytest

from documents import Shell, blocks, shell
from recorders import free_port

PAGE = (Path(__file__).parent.parent / "docs" / "testing.md").read_text()
TITLES = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)


def read(terminals: Shell, title: str) -> list[str]:
    """Write a section's files and run its commands, in order; what each command printed."""
    printed = []
    for language, words, text in blocks(PAGE, title):
        if language == "sh" and "background" in words:
            terminals.start(text)
        elif language == "sh":
            if "stopped" in words:
                terminals.stop()
            printed.append(terminals.run(text))
        elif name := words.strip():
            place = terminals.folder / name
            place.parent.mkdir(exist_ok=True)
            place.write_text(text.replace("18765", terminals.replaced["18765"]))
    return printed


def passed(*printed: str) -> list[int]:
    """How many tests have passed in each run of pytest; 0 where anything else happened to one."""
    ends = re.findall(r"^=+ (.*) in \d[^ ]*s.* =+$", "".join(printed), re.MULTILINE)
    return [int(end.removesuffix(" passed")) if re.fullmatch(r"\d+ passed", end) else 0 for end in ends]


def test_the_page_leads_from_nothing_to_green_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    # The page does not install it, and it asks for a setting of its own.
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:asyncio")
    monkeypatch.setenv("COLUMNS", "150")
    with shell(tmp_path, {"18765": str(free_port())}) as terminals:
        said = {title: read(terminals, title) for title in TITLES}

    assert said["Install"][0].startswith("@pytest.mark.wiretape(tape, ")
    (recorded,) = said["Record"]
    assert passed(recorded) == [1]
    assert "tapes/latest.tape" in recorded
    assert '"wiretape": "tape"' in said["Look at the tape"][0]
    assert '"price.query"' in said["Look at the tape"][0]
    assert passed(*said["Replay"]) == [1]
    failed, mended = said["When it fails"]
    ((_, _, report),) = [block for block in blocks(PAGE, "When it fails") if block[0] == "text"]
    assert report in failed
    assert passed(mended) == [1]
    assert passed(*said["Step"]) == [2, 2]
    assert passed(*said["Reconnects and faults"]) == [3, 3, 1]
    assert passed(*said["In parallel, in any order"]) == [4]
    assert passed(*said["In CI"]) == [4]
    assert "tapes recorded" not in said["In CI"][0]
    assert passed(*said["Update tapes"]) == [4]
    assert "tapes/dropped.tape" in said["Update tapes"][0]
    assert passed(*said["Your own upstreams"]) == [1, 1]
    assert "tapes recorded" not in said["Your own upstreams"][1]


def test_the_extra_that_the_page_installs_is_there() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]

    assert "wiretape[record]" in PAGE
    assert "record" in project["optional-dependencies"]
