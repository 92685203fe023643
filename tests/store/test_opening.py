import os
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from store_builders import PUSH, a_message, a_store, a_writer, begin, query, read

from wiretape_store import MissingStoreError, Refusal, RefusedStoreError, StoreError, StoreReader
from wiretape_store.opening import path_of

NOBODY = 65534


def text_file(path: Path) -> None:
    path.write_text("Dear diary, " * 100)


def empty_file(path: Path) -> None:
    path.touch()


def folder(path: Path) -> None:
    path.mkdir()


def other_database(path: Path) -> None:
    query(path, "create table diary (day)")


def newer(path: Path) -> None:
    a_store(path, [PUSH])
    query(path, "pragma user_version = 7")


def older(path: Path) -> None:
    a_store(path, [PUSH])
    query(path, "pragma user_version = 0")


def truncated(path: Path) -> None:
    a_store(path, [PUSH] * 300)
    os.truncate(path, 8192)


def headless(path: Path) -> None:
    a_store(path, [PUSH] * 300)
    with path.open("r+b") as file:
        file.write(bytes(8192))


def long_text_file(path: Path) -> None:
    path.write_text("\n" + "Dear diary, " * 50_000)


def scribbled(path: Path) -> None:
    a_store(path, [PUSH])
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)


def without_a_table(path: Path) -> None:
    a_store(path, [PUSH])
    query(path, "drop table event")


REFUSED: dict[str, tuple[Callable[[Path], None], Refusal, str]] = {
    "text": (text_file, Refusal.FOREIGN, "not a SQLite database; wiretape did not make it"),
    "long text": (long_text_file, Refusal.FOREIGN, "not a SQLite database; wiretape did not make it"),
    "headless": (
        headless,
        Refusal.DAMAGED,
        (
            "its first page is no SQLite database's, but it may be a damaged store; restore a copy of it, or "
            "save what is left with 'wiretape check --repair NEWSTORE'"
        ),
    ),
    "empty": (empty_file, Refusal.FOREIGN, "an empty file, not a store; delete it"),
    "folder": (folder, Refusal.FOREIGN, "a folder, not a file; wiretape did not make it"),
    "other database": (other_database, Refusal.FOREIGN, "a SQLite database, but not a wiretape store; "),
    "newer": (
        newer,
        Refusal.NEWER,
        "its schema is version 7, this wiretape knows version 2; open it with a newer",
    ),
    "older": (
        older,
        Refusal.OLDER,
        "its schema is version 0, this wiretape knows version 2; open it with the",
    ),
    "truncated": (truncated, Refusal.DAMAGED, "damaged (database disk image is malformed); restore a copy"),
    "scribbled": (scribbled, Refusal.DAMAGED, "damaged (database disk image is malformed); restore a copy"),
    "without a table": (without_a_table, Refusal.DAMAGED, "damaged: it has no table event; restore a copy"),
}


@pytest.mark.parametrize("opened", ["for reading", "for writing"])
@pytest.mark.parametrize(("make", "refusal", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_is_no_store_of_ours_is_refused_by_name_and_left_alone(
    tmp_path: Path, make: Callable[[Path], None], refusal: Refusal, sentence: str, opened: str
) -> None:
    path = tmp_path / "a store.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(RefusedStoreError) as caught:
        StoreReader(str(path)) if opened == "for reading" else a_writer(path)
    assert caught.value.refusal is refusal
    assert str(caught.value).startswith(f"store {path}: {sentence}")
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_missing_store_is_said_to_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "wiretape.db"
    with pytest.raises(MissingStoreError) as caught:
        StoreReader(str(path))
    assert str(caught.value) == f"no store at {path}: record something first or name one with --store"
    assert not path.exists()


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("wiretape.db", "wiretape.db"),
        ("/var/lib/x.db", "/var/lib/x.db"),
        ("sqlite:///wiretape.db", "wiretape.db"),
        ("sqlite:////var/lib/x y.db", "/var/lib/x y.db"),
        ("sqlite+pysqlite:///x.db", "x.db"),
    ],
)
def test_a_store_is_named_by_a_path_or_a_url(url: str, path: str) -> None:
    assert path_of(url) == Path(path)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (
            "mysql://me:hunter2@db/x?password=hunter2",
            "store mysql://me:***@db/x: stores are kept in SQLite or PostgreSQL; give a path",
        ),
        (
            "postgresql://me:hunter2@db/x",
            "store postgresql://me:***@db/x: not a file; this needs a store in SQLite",
        ),
        ("postgresql://me:hunter2@db:port/x", "store postgresql://...: not a URL"),
        ("sqlite://", "store sqlite://: a store needs a file"),
        ("sqlite:///:memory:", "store sqlite:///"),
        ("://", "store ://...: not a URL"),
    ],
)
def test_a_url_that_names_no_file_is_refused_without_its_password(url: str, sentence: str) -> None:
    with pytest.raises(StoreError) as caught:
        path_of(url)
    assert str(caught.value).startswith(sentence)
    assert ": " in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_only_its_owner_may_read_a_store(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with a_writer(path) as writer:
        writer.add(begin(writer), a_message(0))
        writer.commit()
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == {"t.db": 0o600, "t.db-wal": 0o600, "t.db-shm": 0o600}


def test_nothing_but_the_store_is_left_behind(tmp_path: Path) -> None:
    a_store(tmp_path / "t.db", [PUSH])
    read(tmp_path / "t.db")
    assert [file.name for file in tmp_path.iterdir()] == ["t.db"]


def test_a_store_that_another_made_first_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.db"
    link = os.link

    def lose_the_race(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        a_store(path, [PUSH])
        link(source, target)

    monkeypatch.setattr(os, "link", lose_the_race)
    with a_writer(path) as writer:
        begin(writer, "mine")
    with StoreReader(str(path)) as reader:
        assert [recording.name for recording in reader.recordings()] == ["tuesday", "mine"]


def test_the_log_of_a_deleted_store_is_not_replayed_into_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "t.db-wal").write_bytes(b"old")
    with pytest.raises(
        StoreError, match=r"t\.db-wal, the log of its last changes, is still there; put the store"
    ):
        a_writer(tmp_path / "t.db")
    assert not (tmp_path / "t.db").exists()


def test_a_store_in_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="its folder does not exist; make the folder"):
        a_writer(tmp_path / "no" / "t.db")


@contextmanager
def without_rights() -> Iterator[Path]:
    """A folder with a store of ours, seen as a user who may read it and no more."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = Path(name) / "t.db"
        a_store(path, [PUSH])
        path.chmod(0o644)
        path.parent.chmod(0o755)
        os.seteuid(NOBODY)
        try:
            yield path
        finally:
            os.seteuid(0)


def test_a_store_is_read_without_the_right_to_write() -> None:
    with without_rights() as path:
        assert [message.wire for message in read(path)] == [PUSH]


def test_a_store_that_may_not_be_written_is_no_store_to_record_to() -> None:
    with (
        without_rights() as path,
        pytest.raises(StoreError, match="readonly database; allow this user to write it"),
    ):
        a_writer(path)


def test_a_store_is_not_made_where_nobody_may_write() -> None:
    with (
        without_rights() as path,
        pytest.raises(StoreError, match=r"creating failed: .*Permission denied.*--store"),
    ):
        a_writer(path.with_name("new.db"))


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    a_store(tmp_path / "t.db", [PUSH])
    with StoreReader(str(tmp_path / "t.db")) as reader, suppress(sqlite3.OperationalError):
        connection = reader._database.connection.connection.dbapi_connection
        assert isinstance(connection, sqlite3.Connection)
        connection.execute("delete from message")
    assert len(read(tmp_path / "t.db")) == 1
