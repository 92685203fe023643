"""What the distribution promises: its dependencies are used, bounded, and locked without addresses."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
LOCKED = {
    re.split("[=<>]", line)[0].lower().replace("_", "-")
    for line in LOCK.splitlines()
    if line and not line.startswith("#")
}
DECLARED = PROJECT["dependencies"] + [
    line for name, lines in PROJECT["optional-dependencies"].items() if name != "all" for line in lines
]


def name_of(requirement: str) -> str:
    return re.split(r"[\[=<>; ]", requirement)[0].lower().replace("_", "-")


@pytest.mark.parametrize("requirement", DECLARED)
def test_every_dependency_has_a_lower_bound_and_is_locked(requirement: str) -> None:
    assert ">=" in requirement
    assert name_of(requirement) in LOCKED


def test_the_lock_names_versions_and_no_addresses() -> None:
    lines = [line for line in LOCK.splitlines() if line and not line.startswith("#")]

    assert lines
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []


def test_what_replay_needs_comes_without_extras() -> None:
    names = {name_of(requirement) for requirement in PROJECT["dependencies"]}

    assert names == {
        "alembic", "click", "sqlalchemy", "starlette", "uvicorn", "websockets", "zstandard",
    }  # fmt: skip
    assert PROJECT["optional-dependencies"]["record"] == ["mitmproxy>=12.2"]


def test_the_python_of_the_project_is_allowed() -> None:
    wanted = (ROOT / ".python-version").read_text().strip()

    assert PROJECT["requires-python"] == ">=3.12"
    assert tuple(map(int, wanted.split("."))) >= (3, 12)
