"""`wiretape check`: its words, its JSON and its exit statuses."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from wiretape.main import run

GOLDEN = Path(__file__).parent.parent / "data" / "hello.db"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "hello.db"
    shutil.copy(GOLDEN, path)
    return path


def harm(path: Path) -> None:
    """Make the first message of a session unreadable."""
    connection = sqlite3.connect(path)
    connection.execute("update chunk set data = zeroblob(40) where session_id = 1")
    connection.commit()
    connection.close()


def test_a_whole_store_is_fine(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--store", str(store), "--deep"]) == 0
    assert capsys.readouterr().out == f"{store}: 2 sessions, 12 messages: no damage\n"


def test_damage_is_told_in_one_line_each(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    harm(store)

    assert run(["check", "--store", str(store)]) == 1

    first, verdict = capsys.readouterr().out.splitlines()
    assert first.startswith("session s1, messages 0 to 6: their chunk cannot be unpacked (")
    assert verdict == f"{store}: 2 sessions, 12 messages: 1 finding of damage"


def test_scripts_read_json(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    harm(store)

    assert run(["check", "--store", str(store), "--json"]) == 1

    said = json.loads(capsys.readouterr().out)
    (finding,) = said["findings"]
    assert (said["ok"], said["sessions"], said["messages"]) == (False, 2, 12)
    assert (finding["session"], finding["first_seq"], finding["last_seq"]) == ("s1", 0, 6)
    assert finding["severity"] == "damage"


def test_a_repair_says_what_it_saved_and_what_is_lost(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harm(store)
    new = store.with_name("new.db")

    assert run(["check", "--store", str(store), "--repair", str(new)]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "session s1: 0 messages saved; 7 messages are lost: from message 0 on",
        "session s2: 5 messages saved",
        f"{new}: 1 recording, 2 sessions, 5 messages saved; 7 messages known to be lost",
    ]
    assert run(["check", "--store", str(new)]) == 0


def test_a_repair_that_saves_no_message_fails(
    demo_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut, new = tmp_path / "cut.db", tmp_path / "new.db"
    cut.write_bytes(demo_store.read_bytes()[: 12 * 8192])

    assert run(["check", "--store", str(cut), "--repair", str(new), "--json"]) == 1

    out, err = capsys.readouterr()
    said = json.loads(out)
    assert (said["ok"], said["messages"], said["messages_lost"]) == (False, 0, None)
    assert said["losses"][0].startswith("the file is cut off: ")
    assert err == "wiretape: no message could be saved; restore a copy of the store\n"
    new.unlink()
    run(["check", "--store", str(cut), "--repair", str(new)])
    assert " 0 messages saved; how many messages are lost is unknown\n" in capsys.readouterr().out


def test_a_repair_in_json(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = store.with_name("new.db")

    assert run(["check", "--store", str(store), "--repair", str(new), "--json"]) == 0

    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], said["messages"], said["messages_lost"]) == (True, 12, 0)
    assert [session["id"] for session in said["sessions"]] == ["s1", "s2"]


@pytest.mark.parametrize("repair", [[], ["--repair", "new.db"]], ids=["check", "repair"])
def test_a_missing_store_is_one_sentence(
    tmp_path: Path, repair: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", "--store", str(tmp_path / "no.db"), *repair]) == 1

    assert capsys.readouterr().err == (
        f"wiretape: no store at {tmp_path / 'no.db'}: record something first or name one with --store\n"
    )


def test_a_repaired_recording_replays(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = store.with_name("new.db")
    run(["check", "--store", str(store), "--repair", str(new)])

    assert run(["verify", "hello", "--store", str(new)]) == 0
