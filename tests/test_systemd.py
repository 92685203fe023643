"""The units are what systemd understands, and run the commands that there are."""

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from wiretape.main import wiretape

SYSTEMD = Path(__file__).parent.parent / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))


def test_systemd_finds_nothing_to_say_about_the_units() -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")

    done = subprocess.run(
        [analyze, "verify", *map(str, UNITS)], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_runs_a_command_that_exists_as_a_user_of_its_own(unit: Path) -> None:
    settings = dict(
        line.split("=", 1)
        for line in unit.read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )
    command = settings["ExecStart"].split()

    assert command[:2] == ["/usr/bin/env", "wiretape"]
    assert CliRunner().invoke(wiretape, [command[2], "--help"]).exit_code == 0
    assert (settings["Type"], settings["User"], settings["StateDirectory"]) == (
        "notify",
        "wiretape",
        "wiretape",
    )


def test_there_is_a_unit_for_each_daemon() -> None:
    assert [unit.name for unit in UNITS] == ["wiretape-record@.service", "wiretape-replay.service"]
