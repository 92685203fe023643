"""Stores of earlier schema versions: opened, they are of this version, and nothing is lost on the way."""

import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from store_builders import PUSH, a_message, a_store, a_writer, begin, query, read
from test_opening import without_rights

from wiretape_store import Refusal, RefusedStoreError, StoreError, StoreReader
from wiretape_store.migrations import steps
from wiretape_store.schema import SCHEMA_VERSION, metadata

DATA = Path(__file__).parents[1] / "data"
GOLDEN = [DATA / "hello.db", *(DATA / f"schema-v{version}.db" for version in range(1, SCHEMA_VERSION + 1))]
V1 = DATA / "schema-v1.db"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store of version 1."""
    return Path(shutil.copy(V1, tmp_path / "t.db"))


def layout(path: Path) -> dict[str, object]:
    """Everything about the tables but the spelling of their statements."""
    names = [row[0] for row in query(path, "select name from sqlite_master where type = 'table' order by 1")]
    indexes = query(path, "select name, tbl_name, type from sqlite_master where type != 'table' order by 1")
    return {"indexes": indexes} | {
        name: [
            query(path, f"pragma {pragma}({name})")
            for pragma in ("table_xinfo", "foreign_key_list", "index_list")
        ]
        for name in names
    }


def told(path: Path) -> list[object]:
    """All that a reader says of a store."""
    with StoreReader(str(path)) as reader:
        return [
            (session, list(reader.messages(session.id)), reader.events(session.id))
            for session in reader.sessions()
        ]


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
@pytest.mark.parametrize("opened", ["for reading", "for writing"])
def test_a_golden_store_opens_and_says_what_it_said(tmp_path: Path, golden: Path, opened: str) -> None:
    path = Path(shutil.copy(golden, tmp_path / "t.db"))
    if opened == "for writing":
        a_writer(path).close()
    sessions = told(path)
    assert sessions == told(Path(shutil.copy(V1, tmp_path / "other.db")))
    assert len(sessions) == 2
    assert query(path, "pragma user_version") == [(SCHEMA_VERSION,)]
    assert query(path, "pragma integrity_check") == [("ok",)]


def test_a_migrated_store_is_laid_out_as_a_new_one(old: Path, tmp_path: Path) -> None:
    a_store(tmp_path / "new.db", [PUSH])
    told(old)
    assert layout(old) == layout(tmp_path / "new.db")
    assert set(layout(old)) - {"indexes"} == set(metadata.tables)
    assert query(old, "select key, length(value) from meta order by key") == [
        ("redaction_key", 32),
        ("store_id", 16),
    ]


def test_the_store_as_it_was_is_kept_beside_it(old: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        told(old)
    backup = old.with_name("t.db.v1-backup")
    assert [record.getMessage() for record in caplog.records] == [
        f"store {old}: migrated from schema version 1 to {SCHEMA_VERSION}; {backup} is the store as it was"
    ]
    assert backup.stat().st_mode & 0o777 == 0o600
    assert query(backup, "pragma user_version") == [(1,)]
    assert layout(backup) == layout(Path(shutil.copy(V1, old.with_name("v1.db"))))
    assert sorted(path.name for path in old.parent.iterdir()) == ["t.db", "t.db.v1-backup", "v1.db"]


def test_an_earlier_copy_is_never_overwritten(old: Path) -> None:
    for name in ("t.db.v1-backup", "t.db.v1-backup-2"):
        old.with_name(name).write_text("mine")
    told(old)
    assert old.with_name("t.db.v1-backup").read_text() == "mine"
    assert old.with_name("t.db.v1-backup-2").read_text() == "mine"
    assert query(old.with_name("t.db.v1-backup-3"), "pragma user_version") == [(1,)]


def test_what_is_only_in_the_log_is_migrated_and_kept_too(old: Path) -> None:
    holder = sqlite3.connect(old)
    holder.execute("update recording set name = 'late'")
    holder.commit()
    with StoreReader(str(old)) as reader:
        assert reader.recording("late").name == "late"
    holder.close()
    assert query(old.with_name("t.db.v1-backup"), "select name from recording") == [("late",)]


def test_a_step_that_fails_leaves_the_store_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = old.read_bytes()
    run = steps.run

    def fail(connection: object, version: int) -> None:
        run(connection, version)  # type: ignore[arg-type]
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(steps, "run", fail)
    with pytest.raises(StoreError) as caught:
        read(old)
    assert str(caught.value) == (
        f"store {old}: migrating it from schema version 1 failed: database or disk is full; make room on its disk"
    )
    assert old.read_bytes() == before
    assert [path.name for path in old.parent.iterdir()] == ["t.db"]
    monkeypatch.undo()
    assert len(told(old)) == 2


KILLED = """
import os, signal, sys
from wiretape_store import StoreReader
from wiretape_store.sqlite import migrating as sqlite_migrating
from wiretape_store.migrations import steps
when, run, back_up = sys.argv[2], steps.run, sqlite_migrating._back_up

def die(): os.kill(os.getpid(), signal.SIGKILL)
def killed_run(*arguments):
    if when == "before the steps": die()
    run(*arguments)
    if when == "after the steps": die()
def killed_back_up(connection, path, version):
    if when == "after the copy": back_up(connection, path, version)
    die()
steps.run = killed_run
if "copy" in when: sqlite_migrating._back_up = killed_back_up
StoreReader(sys.argv[1])
"""


@pytest.mark.parametrize("when", ["before the copy", "after the copy", "before the steps", "after the steps"])
def test_a_migration_that_is_killed_leaves_the_store_old_and_can_be_repeated(old: Path, when: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(old), when], check=False)
    assert done.returncode == -signal.SIGKILL
    assert query(old, "pragma user_version") == [(1,)]
    assert "pinned" not in str(query(old, "pragma table_info(recording)"))
    assert len(told(old)) == 2
    assert query(old, "pragma user_version") == [(SCHEMA_VERSION,)]


def test_two_that_open_an_old_store_at_once_migrate_it_once(old: Path) -> None:
    opening = "import sys; from wiretape_store import StoreReader; StoreReader(sys.argv[1]).close()"
    both = [subprocess.Popen([sys.executable, "-c", opening, str(old)]) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert query(old, "pragma user_version") == [(SCHEMA_VERSION,)]
    assert len(query(old, "select * from meta where key = 'store_id'")) == 1
    assert len(list(old.parent.glob("*backup*"))) == 1


def test_a_recorder_of_version_1_goes_on_writing_to_the_migrated_store(old: Path) -> None:
    recorder = sqlite3.connect(old, isolation_level=None)
    told(old)
    columns = "name, started_at_us, host, pid, born"
    recorder.execute(f"insert into recording ({columns}) values ('old hand', 1, 'h', 1, '')")
    recorder.close()
    with StoreReader(str(old)) as reader:
        found = reader.recording("old hand")
    assert (found.pinned, found.redaction_rules) == (False, ())
    with a_writer(old) as writer:
        writer.add(begin(writer), a_message(0))


def test_an_old_store_that_may_not_be_written_is_refused_with_the_way_out() -> None:
    with without_rights() as path:
        os.seteuid(0)
        shutil.copy(V1, path)
        path.chmod(0o644)
        os.seteuid(65534)
        with pytest.raises(RefusedStoreError) as caught:
            read(path)
    assert caught.value.refusal is Refusal.OLDER
    assert str(caught.value) == (
        f"store {path}: its schema is version 1, this wiretape knows version {SCHEMA_VERSION}, and it cannot be "
        "migrated where it may not be written; copy it to a folder of your own and name the copy with --store"
    )
