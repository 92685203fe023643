"""When tapes are recorded, and from what, as the command line, the ini file and CI have it."""

from types import SimpleNamespace
from typing import Any

import pytest

from wiretape.pytest_plugin.errors import PluginError
from wiretape.pytest_plugin.options import RecordMode, header, record_mode
from wiretape.pytest_plugin.upstreams import LiveWorld

IGNORED = "wiretape: --wiretape-record=all is ignored because CI is set (--wiretape-record-in-ci allows it)"
RECORDS = "wiretape: records tapes (all)"


@pytest.mark.parametrize(
    ("asked", "in_ci", "variable", "mode", "line"),
    [
        pytest.param("none", False, None, RecordMode.NONE, None, id="by-default"),
        pytest.param("all", False, None, RecordMode.ALL, RECORDS, id="asked-for"),
        pytest.param("none", False, "true", RecordMode.NONE, None, id="by-default-in-ci"),
        pytest.param("all", False, "true", RecordMode.NONE, IGNORED, id="asked-for-in-ci"),
        pytest.param("all", False, "1", RecordMode.NONE, IGNORED, id="in-another-ci"),
        pytest.param("all", True, "true", RecordMode.ALL, RECORDS, id="allowed-in-ci"),
        pytest.param("all", False, "False", RecordMode.ALL, RECORDS, id="ci-denied"),
        pytest.param("all", False, "", RecordMode.ALL, RECORDS, id="ci-empty"),
    ],
)
def test_ci_records_nothing_unless_told_otherwise(
    asked: str,
    in_ci: bool,
    variable: str | None,
    mode: RecordMode,
    line: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {"--wiretape-record": asked, "--wiretape-record-in-ci": in_ci}
    config: Any = SimpleNamespace(getoption=options.__getitem__)
    monkeypatch.delenv("CI", raising=False)
    if variable is not None:
        monkeypatch.setenv("CI", variable)

    assert record_mode(config) is mode
    assert header(config) == line


def test_live_upstreams_are_lines_of_the_ini_file() -> None:
    world = LiveWorld.of_lines(["hotbit = wss://ws.hotbit.io/?a=b", "node:ontology=ws://10.0.0.5:20335"])

    assert world.targets() == {
        "hotbit": "wss://ws.hotbit.io/?a=b",
        "node:ontology": "ws://10.0.0.5:20335",
    }
    world.step("hotbit")  # they move on by themselves


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        pytest.param(
            [], "there is nothing to record from: name the upstreams in the ini option wiret", id="none"
        ),
        pytest.param(
            ["ws://somewhere"], "a line is NAME = URL or NAME:PROTOCOL = URL, not 'ws://s", id="no-name"
        ),
        pytest.param(
            ["hotbit ="], "a line is NAME = URL or NAME:PROTOCOL = URL, not 'hotbit ='", id="no-url"
        ),
    ],
)
def test_a_line_that_names_no_upstream_is_refused(lines: list[str], says: str) -> None:
    with pytest.raises(PluginError, match=says):
        LiveWorld.of_lines(lines)
