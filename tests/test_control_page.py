"""The examples of docs/control.md, each run as its reader would."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from documents import Shell, blocks, commands, shell
from recorders import free_port
from wiretape_replay.control.schemas import SCHEMAS

PAGE = (Path(__file__).parent.parent / "docs" / "control.md").read_text()
BEGINNING = PAGE.split("\n## ", maxsplit=1)[0]


@pytest.fixture
def terminals(tmp_path: Path, demo_store: Path) -> Iterator[Shell]:
    """A shell in a folder with `demo.db`, beside the daemon of the page's beginning."""
    shutil.copy(demo_store, tmp_path / "demo.db")
    port = str(free_port())
    with shell(tmp_path, {"9001": port}) as opened:
        ((_, start),) = commands(f"\n## Start\n{BEGINNING}", "Start")
        opened.start(start)
        yield opened


def test_curl_begins_steps_pushes_waits_and_ends(terminals: Shell) -> None:
    begin, steer = (text for _, text in commands(PAGE, "curl"))
    assert terminals.run(begin).startswith("ws://127.0.0.1:")

    subscribed, stepped, pushed, ended, *heard, unused = terminals.run(steer).splitlines()
    assert subscribed == '{"method": "deals.subscribe", "params": ["ETHBTC"], "id": 1}'
    assert (stepped, pushed) == ('{"pushed":1,"owed":0}', '{"connections":1}')
    assert ended == "the client closed with code 1000"
    assert heard == [
        '{"error": null, "result": {"status": "success"}, "id": 1}',
        '{"method": "deals.update", "params": ["ETHBTC", [{"id": 4898, "time": 15',
        '{"method": "deals.update", "params": []}',
    ]
    assert json.loads(unused) == ['s2 message 6: {"method": "server.time", "params": [], "id": 1}']


def node_with_websocket() -> list[str] | None:
    """The command for a node that has a WebSocket built in; None where there is none."""
    node = shutil.which("node")
    for flags in ([], ["--experimental-websocket"]):
        if node is not None:
            look = [node, *flags, "-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"]
            if subprocess.run(look, capture_output=True, timeout=60, check=False).returncode == 0:
                return [node, *flags]
    return None


def test_javascript_tests_against_a_run_of_its_own(terminals: Shell) -> None:
    node = node_with_websocket()
    if node is None:
        pytest.skip("no node with a WebSocket: install nodejs 20 or newer")
    (code,) = (text for language, _, text in blocks(PAGE, "JavaScript") if language == "js")
    ((_, test),) = commands(PAGE, "JavaScript")
    (terminals.folder / "deals.test.mjs").write_text(code.replace("9001", terminals.replaced["9001"]))

    printed = terminals.run(test.replace("node", " ".join(node), 1))

    assert "pass 1" in printed
    assert "fail 0" in printed


def test_python_has_a_client(terminals: Shell) -> None:
    ((_, program),) = commands(PAGE, "Python")

    assert terminals.run(program).splitlines() == [
        "1 Stepped(pushed=1, owed=0)",
        '{"error": null, "result": {"status": "success"}, "id": 1}',
        '{"method": "deals.update", "params": ["ETHBTC", [{"id": 4898, "time": 15',
        """('s2 message 6: {"method": "server.time", "params": [], "id": 1}',)""",
    ]


def test_the_go_example_asks_for_what_the_others_ask_for() -> None:
    """Go need not be installed; what its example sends is the same as in the examples that are run."""
    (code,) = (text for language, _, text in blocks(PAGE, "Go") if language == "go")

    assert '"recording": "s2"' in code
    assert code.count("{") == code.count("}")
    assert "4898, 4900" in code


def test_every_setting_is_on_the_page() -> None:
    section = PAGE.split("\n## Runs\n")[1].split("\n## ")[0]

    assert [name for name in SCHEMAS["Settings"]["properties"] if f"| `{name}` |" not in section] == []
