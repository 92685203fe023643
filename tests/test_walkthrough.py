"""The walk through the store in docs/walkthrough.md, each command run as its reader would."""

import json
import shutil
from pathlib import Path

import pytest

from documents import Shell, blocks, commands, shell
from recorders import free_port
from wiretape_store import StoreReader

PAGE = (Path(__file__).parent.parent / "docs" / "walkthrough.md").read_text()
POSTGRES = "postgresql://localhost/wiretape"


def run(terminals: Shell, title: str) -> list[str]:
    """Run a section's blocks in order; what those printed that ended."""
    printed = []
    for in_background, text in commands(PAGE, title):
        if in_background:
            terminals.start(text)
        else:
            printed.append(terminals.run(text))
    return printed


@pytest.fixture
def folder(tmp_path: Path, demo_store: Path) -> Path:
    """A folder in which `make demo` has left its store."""
    shutil.copy(demo_store, tmp_path / "demo.db")
    return tmp_path


def test_a_price_that_was_changed_by_hand_is_replayed(folder: Path) -> None:
    with shell(folder, {"8081": str(free_port())}) as terminals:
        exported, imported, asked = run(terminals, "Change a price")
        assert exported.splitlines()[0].endswith('{"method": "price.query", "params": ["BTCUSDT"], "id": 2}}')
        assert '"result": "7998.01000000"' in exported
        assert imported == "edited\n"
        assert asked == '{"error": null, "result": "9999.99000000", "id": 1}\n'


def test_other_programs_show_the_recording(folder: Path) -> None:
    with shell(folder, {}) as terminals:
        (shown,) = run(terminals, "Look at it elsewhere")
    assert shown.count("WebSocket text message") + shown.count("WebSocket binary message") == 256
    har = json.loads((folder / "demo.har").read_text())
    messages = [message for entry in har["log"]["entries"] for message in entry["_webSocketMessages"]]
    with StoreReader(str(folder / "demo.db")) as reader:
        sessions = reader.sessions("demo")
        assert len(har["log"]["entries"]) == len(sessions)
        assert len(messages) == sum(
            session.messages_from_client + session.messages_from_upstream for session in sessions
        )
    assert '{"method": "server.ping", "params": [], "id": 0}' in [message["data"] for message in messages]


def test_the_longest_calls_are_one_statement_away(folder: Path) -> None:
    with shell(folder, {}) as terminals:
        (printed,) = run(terminals, "Which calls took longest?")
    headings, *rows = printed.splitlines()
    assert headings.split() == ["session", "method", "took_ms"]
    times = [float(row.split()[-1]) for row in rows]
    assert len(times) == 5
    assert times == sorted(times, reverse=True)
    assert times[0] > 0


def test_a_transaction_is_found_by_its_hash(folder: Path) -> None:
    with shell(folder, {}) as terminals:
        (printed,) = run(terminals, "Where is that transaction?")
    assert "gettransaction" in printed
    assert all("72845a132e00e123" in line for line in printed.splitlines())


def test_a_killed_recorder_has_stored_what_the_client_saw(folder: Path) -> None:
    ports = {"18765": str(free_port()), "8082": str(free_port())}
    with shell(folder, ports) as terminals:
        (printed,) = run(terminals, "Kill the recorder")
        terminals.stop(killed=(1,))
    assert "no damage" in printed
    assert "interrupted" in printed
    with StoreReader(str(folder / "killed.db")) as reader:
        (session,) = reader.sessions("killed")
        # The proxy alone was killed: its writer has stored all that was handed over.
        assert session.messages_from_upstream >= 500


def test_a_recording_moves_to_postgresql_and_is_replayed_from_there(folder: Path, postgres_url: str) -> None:
    with shell(folder, {POSTGRES: postgres_url, "8083": str(free_port())}) as terminals:
        copied, verified = (
            terminals.run(line) for line in commands(PAGE, "Move to PostgreSQL")[0][1].splitlines()
        )
        assert "demo" in copied
        assert "the same bytes every time" in verified
        terminals.start(commands(PAGE, "Move to PostgreSQL")[1][1])
        ((_, _, client),) = [block for block in blocks(PAGE, "Change a price") if "python" in block[2]]
        assert '"result": "7998.01000000"' in terminals.run(
            client.replace("8081", terminals.replaced["8083"])
        )
