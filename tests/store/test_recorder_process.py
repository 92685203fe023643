import os
import platform
import subprocess
import sys
from dataclasses import replace

import pytest

from wiretape_store import RecorderProcess


def test_the_process_that_asks_lives() -> None:
    assert RecorderProcess.current().may_be_alive()


def test_a_process_that_has_ended_does_not_live() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pid = child.pid
    assert not RecorderProcess(platform.node(), pid, "").may_be_alive()


def test_a_process_that_nobody_has_waited_for_yet_does_not_live() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not RecorderProcess(platform.node(), child.pid, "a boot 1").may_be_alive()


@pytest.mark.parametrize(
    ("process", "alive"),
    [
        pytest.param(
            replace(RecorderProcess.current(), born="another boot 1"), False, id="number used again"
        ),
        pytest.param(replace(RecorderProcess.current(), born=""), True, id="birth unknown"),
        pytest.param(RecorderProcess("elsewhere", 2**22 + 1, ""), True, id="another machine"),
    ],
)
def test_a_process_is_told_from_others_of_its_number(process: RecorderProcess, alive: bool) -> None:
    assert process.may_be_alive() is alive


def test_a_process_of_another_user_lives() -> None:
    assert RecorderProcess(platform.node(), 1, "").may_be_alive()
