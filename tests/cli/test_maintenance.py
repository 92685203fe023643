"""`wiretape stats`, `compact`, `prune`, `pin` and `unpin`, as a user runs them."""

import json
import os
import pty
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from wiretape.main import run
from wiretape_store import KeepWire, StoreReader, settling
from wiretape_store.upkeep.pruning import Pruner, PruneRules, Pruning


@pytest.fixture
def store(tmp_path: Path, demo_store: Path) -> str:
    """A copy of the demo's store."""
    return str(shutil.copy(demo_store, tmp_path / "demo.db"))


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run(list(arguments))
    out, err = capsys.readouterr()
    return status, out, err


def test_stats_prints_a_table_of_recordings_and_upstreams(
    capsys: pytest.CaptureFixture[str], store: str
) -> None:
    status, out, err = call(capsys, "stats", "--store", store)
    lines = out.splitlines()
    assert (status, err) == (0, "")
    assert lines[0].split() == [
        "recording", "upstream", "sessions", "messages", "wire", "payload", "stored", "ratio", "kept", "hot", "note",
    ]  # fmt: skip
    assert [line.split()[:2] for line in lines[2:4]] == [["demo", "hotbit"], ["demo", "ontology"]]
    assert lines[4].startswith("(all)")
    assert lines[-1].startswith(f"{store}: ")
    assert " on disk; " in lines[-1]


def test_stats_as_json_counts_what_sessions_counts(capsys: pytest.CaptureFixture[str], store: str) -> None:
    _, out, _ = call(capsys, "stats", "--store", store, "--json")
    found = json.loads(out)
    with StoreReader(store) as reader:
        sessions = reader.sessions()
    total = found["total"]
    assert total["sessions"] == len(sessions)
    assert total["messages"] == sum(s.messages_from_client + s.messages_from_upstream for s in sessions)
    assert total["wire_bytes"] == sum(session.wire_bytes for session in sessions)
    room = found["room"]
    assert room["on_disk_bytes"] == Path(store).stat().st_size
    assert total["stored_bytes"] == pytest.approx(room["on_disk_bytes"] - room["fixed_bytes"], abs=1)
    (recording,) = found["recordings"]
    assert (recording["name"], recording["pinned"], recording["live"]) == ("demo", False, False)
    assert [upstream["name"] for upstream in recording["upstreams"]] == ["hotbit", "ontology"]
    assert sum(codec["messages"] for codec in total["codecs"]) == total["messages"]


def test_stats_of_one_session(capsys: pytest.CaptureFixture[str], store: str) -> None:
    _, out, _ = call(capsys, "stats", "s1", "--store", store, "--json")
    assert json.loads(out)["total"]["sessions"] == 1


def test_stats_of_a_store_without_recordings(capsys: pytest.CaptureFixture[str], store: str) -> None:
    assert call(capsys, "prune", "--recording", "demo", "--store", store)[0] == 0
    status, out, err = call(capsys, "stats", "--store", store)
    assert (status, err) == (0, f"no recordings in {store} yet\n")
    assert out.startswith(f"{store}: ")


def test_compact_says_what_it_saved_and_keeps_every_byte(
    capsys: pytest.CaptureFixture[str], store: str
) -> None:
    before = [call(capsys, "show", f"s{n}", "--raw", "--store", store)[1] for n in range(1, 5)]
    status, out, err = call(capsys, "compact", "--store", store)
    assert (status, err) == (0, "")
    assert out.startswith("compacted 4 sessions, ")
    assert [call(capsys, "show", f"s{n}", "--raw", "--store", store)[1] for n in range(1, 5)] == before
    _, out, _ = call(capsys, "compact", "--store", store, "--json")
    again = json.loads(out)
    assert (again["finished"], again["sessions"], again["damaged"]) == (True, 0, [])
    assert call(capsys, "verify", "demo", "--store", store)[0] == 0


def test_compact_names_what_is_damaged_and_exits_with_1(
    capsys: pytest.CaptureFixture[str], store: str
) -> None:
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("update chunk set data = x'00' where session_id = 2 and first_seq = 0")
        connection.commit()
    status, out, err = call(capsys, "compact", "--store", store)
    assert status == 1
    assert err.startswith("wiretape: session s2, messages 0 to ")
    assert err.count("\n") == 1
    assert "damaged, left as it is (" in err
    assert out.startswith("compacted 3 sessions, ")
    _, out, _ = call(capsys, "compact", "--store", store, "--json")
    assert json.loads(out)["damaged"][0]["session"] == "s2"


def test_compact_can_give_up_wire_bytes(capsys: pytest.CaptureFixture[str], store: str) -> None:
    status, out, _ = call(capsys, "compact", "--keep-wire", "never", "--store", store, "--json")
    assert (status, json.loads(out)["wire_given_up"]) == (0, 0)


def test_a_pinned_recording_is_kept_until_it_is_unpinned(
    capsys: pytest.CaptureFixture[str], store: str
) -> None:
    assert call(capsys, "pin", "demo", "--store", store) == (0, "pinned demo\n", "")
    assert "pinned" in call(capsys, "stats", "--store", store)[1]
    assert call(capsys, "prune", "--older-than", "0s", "--store", store)[1].startswith("removed nothing\n")
    status, _, err = call(capsys, "prune", "--recording", "demo", "--store", store)
    assert status == 1
    assert (
        err
        == f"wiretape: store {store}: recording 'demo' stays: it is pinned; wiretape unpin demo lets it go\n"
    )
    assert call(capsys, "unpin", "r1", "--store", store) == (0, "unpinned demo\n", "")
    status, out, _ = call(capsys, "prune", "--recording", "demo", "--store", store)
    assert status == 0
    assert out.startswith("removed r1 demo: 4 sessions, ")
    assert call(capsys, "sessions", "--store", store)[1] == ""


def test_nothing_is_pinned_where_one_name_is_unknown(capsys: pytest.CaptureFixture[str], store: str) -> None:
    status, out, err = call(capsys, "pin", "demo", "nope", "--store", store)
    assert (status, out) == (1, "")
    assert err == f"wiretape: store {store}: no recording 'nope'; it holds demo\n"
    assert (
        json.loads(call(capsys, "stats", "--store", store, "--json")[1])["recordings"][0]["pinned"] is False
    )


def test_a_dry_run_removes_nothing(capsys: pytest.CaptureFixture[str], store: str) -> None:
    status, out, _ = call(capsys, "prune", "--older-than", "0s", "--dry-run", "--store", store)
    assert status == 0
    assert out.startswith("would remove r1 demo: 4 sessions, ")
    _, out, _ = call(capsys, "prune", "--max-size", "0", "--dry-run", "--store", store, "--json")
    planned = json.loads(out)
    assert (planned["dry_run"], [one["name"] for one in planned["removed"]]) == (True, ["demo"])
    assert len(json.loads(call(capsys, "sessions", "--store", store, "--json")[1])) == 4


def test_a_store_that_stays_too_large_is_a_failure(capsys: pytest.CaptureFixture[str], store: str) -> None:
    call(capsys, "pin", "demo", "--store", store)
    status, out, err = call(capsys, "prune", "--max-size", "1kB", "--store", store)
    assert status == 1
    assert err.endswith(" are left: the others are pinned or still being recorded\n")
    assert call(capsys, "prune", "--max-size", "1kB", "--dry-run", "--store", store)[0] == 1
    status, out, _ = call(capsys, "prune", "--max-size", "1GB", "--store", store, "--json")
    assert (status, json.loads(out)["removed"]) == (0, [])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["prune"], "--older-than, --max-size or --recording", id="nothing said"),
        pytest.param(["prune", "--older-than", "30"], "'30' is no age: write a number and s, m, h, d or w", id="age"),
        pytest.param(["prune", "--max-size", "2XB"], "'2XB' is no size: write a number and B, kB", id="size"),
        pytest.param(["compact", "--keep-wire", "perhaps"], "'needed', 'never'", id="keep-wire"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], store: str, arguments: list[str], sentence: str
) -> None:
    status, _, err = call(capsys, *arguments, "--store", store)
    assert status == 2
    assert sentence in err


@pytest.mark.parametrize("command", [["stats"], ["compact"], ["prune", "--older-than", "1d"], ["pin", "x"], ["unpin", "x"]])  # fmt: skip
def test_a_missing_store_is_one_sentence_and_is_not_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]
) -> None:
    path = tmp_path / "none.db"
    status, out, err = call(capsys, *command, "--store", str(path))
    assert (status, out) == (1, "")
    assert err == f"wiretape: no store at {path}: record something first or name one with --store\n"
    assert not path.exists()


@pytest.mark.parametrize("command", [["stats", "x"], ["compact", "x"], ["prune", "--recording", "x"], ["pin", "x"]])  # fmt: skip
def test_an_unknown_recording_is_one_sentence(
    capsys: pytest.CaptureFixture[str], store: str, command: list[str]
) -> None:
    status, _, err = call(capsys, *command, "--store", store)
    assert status == 1
    assert err == f"wiretape: store {store}: no recording 'x'; it holds demo\n"


@pytest.mark.parametrize(
    ("written", "microseconds"),
    [("90s", 90), ("5m", 300), ("1.5h", 5400), ("30d", 30 * 86_400), ("2w", 14 * 86_400), (" 1 D ", 86_400)],
)
def test_ages_are_read_with_their_unit(
    store: str, monkeypatch: pytest.MonkeyPatch, written: str, microseconds: int
) -> None:
    asked = _asked(monkeypatch)
    run(["prune", "--dry-run", "--older-than", written, "--store", store])
    assert asked[0].older_than_us == microseconds * 1_000_000


@pytest.mark.parametrize(
    ("written", "size"),
    [("10", 10), ("10B", 10), ("2kB", 2000), ("1.5MB", 1_500_000), ("2GB", 2 * 10**9), ("1GiB", 2**30)],
)
def test_sizes_are_read_with_their_unit(
    store: str, monkeypatch: pytest.MonkeyPatch, written: str, size: int
) -> None:
    asked = _asked(monkeypatch)
    run(["prune", "--dry-run", "--max-size", written, "--store", store])
    assert asked[0].max_bytes == size


def _asked(monkeypatch: pytest.MonkeyPatch) -> list[PruneRules]:
    """What the command asks of a pruner."""
    asked: list[PruneRules] = []

    def plan(_: Pruner, rules: PruneRules) -> Pruning:
        asked.append(rules)
        return Pruning()

    monkeypatch.setattr(Pruner, "plan", plan)
    return asked


def test_the_choices_of_keep_wire_are_those_of_the_store() -> None:
    from wiretape.commands import compact, record

    for command in (compact.command, record.command):
        (option,) = [each for each in command.params if each.name == "keep_wire"]
        assert list(option.type.choices) == list(KeepWire)  # type: ignore[attr-defined]
        assert option.default == settling.KeepWire.NEEDED


STOPPED_AT_ONCE = """
import os, signal, sys
from wiretape.main import run
from wiretape_store.upkeep.{module} import {owner}
real = {owner}.run
def run_and_signal(self, *arguments, **more):
    os.kill(os.getpid(), signal.{number})
    return real(self, *arguments, **more)
{owner}.run = run_and_signal
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    ("module", "owner", "arguments"),
    [("compacting", "Compactor", ["compact"]), ("pruning", "Pruner", ["prune", "--recording", "demo"])],
    ids=["compact", "prune"],
)
def test_a_signal_stops_between_steps_and_says_so(
    store: str, module: str, owner: str, arguments: list[str], number: str
) -> None:
    program = STOPPED_AT_ONCE.format(module=module, owner=owner, number=number)
    command = [sys.executable, "-c", program, *arguments, "--store", store]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("wiretape: stopped before the end; ")
    assert done.stderr.count("\n") == 1
    assert len(done.stdout.splitlines()) in (1, 2)
    with StoreReader(store) as reader:
        assert len(reader.sessions("demo")) == 4


def test_progress_is_shown_on_a_terminal_only(store: str) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "wiretape", "compact", "--store", store]
    done = subprocess.run(command, stderr=theirs, stdout=subprocess.PIPE, check=False)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "compacted " in shown
    assert ", saved " in shown
    assert b"saved" not in done.stdout


def test_the_handlers_of_signals_are_put_back(capsys: pytest.CaptureFixture[str], store: str) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    call(capsys, "compact", "--store", store)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
