import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from store_builders import DEAD, START_US, a_message, a_store, a_writer, begin, query, read

from wiretape_store import (
    End,
    EndKind,
    Event,
    EventKind,
    StoreError,
    StoreReader,
    StoreWriter,
)
from wiretape_store.checking.store_check import StoreCheck
from wiretape_store.sqlite import creating


class Trouble:
    """Decides which statement of all connections fails; 0 is the next one, None fails none."""

    countdown: int | None = None

    def strike(self) -> None:
        if self.countdown is None:
            return
        self.countdown -= 1
        if self.countdown < 0:
            self.countdown = None
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error


def troubled(trouble: Trouble) -> type[sqlite3.Connection]:
    class Cursor(sqlite3.Cursor):
        def execute(self, *arguments: Any) -> "Cursor":
            trouble.strike()
            super().execute(*arguments)
            return self

        def executemany(self, *arguments: Any) -> "Cursor":
            trouble.strike()
            super().executemany(*arguments)
            return self

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def commit(self) -> None:
            trouble.strike()
            super().commit()

    return Connection


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch) -> Trouble:
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect
    trouble = Trouble()
    factory = troubled(trouble)
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: connect(*args, factory=factory, **more))
    return trouble


def add_a_bit_of_all(writer: StoreWriter, session: int, seq: int) -> None:
    writer.add(session, a_message(seq, b"%d" % seq))
    writer.add(session, a_message(seq + 1, b'{"s": 1}', from_client=True, redacted=b"{}"))
    writer.add_event(session, Event(seq, 5, True, EventKind.PING, b""))


def everything(path: Path) -> list[list[tuple[object, ...]]]:
    return [
        query(path, f"select * from {table}")
        for table in ("session", "message", "chunk", "event", "name", "codec")
    ]


def test_a_commit_of_which_any_statement_fails_stores_nothing_and_can_be_repeated(
    tmp_path: Path, trouble: Trouble
) -> None:
    failures = 0
    while True:
        path = tmp_path / f"{failures}.db"
        writer = a_writer(path)
        session = begin(writer)
        add_a_bit_of_all(writer, session, 0)
        writer.commit()
        before = everything(path)
        add_a_bit_of_all(writer, session, 2)
        writer.end_session(session, START_US, End(EndKind.EOF))
        trouble.countdown = failures
        complaint = ""
        try:
            writer.commit()
        except StoreError as error:
            complaint = str(error)
        assert complaint.endswith("database or disk is full; make room on its disk" if complaint else "")
        assert "storing messages" not in complaint or everything(path) == before
        if trouble.countdown is not None:
            trouble.countdown = None
            writer.close()
            break
        failures += 1
        writer.close()
        assert [message.seq for message in read(path)] == [0, 1, 2, 3]
        with StoreReader(str(path)) as reader:
            assert len(reader.events("s1")) == 2
            assert reader.session("s1").messages_from_client == 2
            assert reader.session("s1").end.kind is EndKind.EOF
    assert failures > 10


def test_a_store_whose_opening_fails_is_let_go(tmp_path: Path, trouble: Trouble) -> None:
    path = tmp_path / "t.db"
    dead = a_writer(path, process=DEAD)
    dead.add(begin(dead), a_message(0))
    dead.commit()
    dead.abandon()
    failures = 0
    while trouble.countdown is None:
        trouble.countdown = failures
        try:
            a_writer(path).close()
        except StoreError:
            failures += 1
        else:
            break
    trouble.countdown = None
    assert failures > 5
    assert [message.wire for message in read(path)] == [a_message(0).wire]


def test_a_full_disk_is_said_to_be_full_and_recording_goes_on_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with a_writer(path) as writer:
        session = begin(writer)
        pages = query(path, "pragma page_count")[0][0]
        writer._database.connection.exec_driver_sql(f"pragma max_page_count = {pages}")
        for seq in range(2000):
            writer.add(session, a_message(seq))
        for _ in range(2):
            with pytest.raises(StoreError) as caught:
                writer.commit()
            assert str(caught.value).startswith(f"store {path}: storing messages failed: ")
            assert str(caught.value).endswith("database or disk is full; make room on its disk")
            assert query(path, "select count(*) from message") == [(0,)]
        assert writer.next_commit_at_us is not None
        writer._database.connection.exec_driver_sql("pragma max_page_count = 100000")
        writer.commit()
    assert len(read(path)) == 2000


def test_a_store_that_another_process_holds_is_said_to_be_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wiretape_store.sqlite.file.BUSY_TIMEOUT_MS", 1)
    path = tmp_path / "t.db"
    with a_writer(path) as writer:
        session = begin(writer)
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("begin immediate")
        writer.add(session, a_message(0))
        with pytest.raises(StoreError, match="database is locked; another process holds it"):
            writer.commit()
        holder.execute("rollback")
        holder.close()
    assert len(read(path)) == 1


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_a_store_that_loses_its_name_is_not_written_on_in_secret(tmp_path: Path, how: str) -> None:
    path = tmp_path / "t.db"
    writer = a_writer(path)
    session = begin(writer)
    writer.add(session, a_message(0))
    writer.commit()
    if how == "deleted":
        path.unlink()
    else:
        path.rename(tmp_path / "elsewhere.db")
    writer.add(session, a_message(1))
    with pytest.raises(StoreError, match=r"t\.db: storing messages failed: it was moved or deleted"):
        writer.commit()
    writer.abandon()


def test_closing_of_which_any_statement_fails_never_loses_anything_in_silence(
    tmp_path: Path, trouble: Trouble
) -> None:
    failures = 0
    while trouble.countdown is None:
        path = tmp_path / f"{failures}.db"
        writer = a_writer(path)
        session = begin(writer)
        add_a_bit_of_all(writer, session, 0)
        writer.commit()
        add_a_bit_of_all(writer, session, 2)
        trouble.countdown = failures
        failed = False
        try:
            writer.close()
        except StoreError:
            failed = True
        if trouble.countdown is not None:
            break
        with StoreReader(str(path)) as reader:
            seqs = [message.seq for message in reader.messages("s1")]
        assert seqs in ([0, 1], [0, 1, 2, 3])
        assert failed or seqs == [0, 1, 2, 3]
        failures += 1
    trouble.countdown = None
    assert failures > 10


def test_a_store_whose_making_fails_is_not_there(tmp_path: Path, trouble: Trouble) -> None:
    failures = 0
    complaints: set[str] = set()
    left: set[Path] = set()
    while True:
        trouble.countdown = failures
        try:
            creating.create(tmp_path / "t.db")
        except StoreError as error:
            complaints.add(error.advice)
            left.update(tmp_path.iterdir())
            failures += 1
        else:
            break
    trouble.countdown = None
    assert failures > 10
    assert (complaints, left) == ({"make room on its disk"}, set())
    assert StoreReader(str(tmp_path / "t.db")).recordings() == []


def test_a_store_that_is_replaced_is_not_written_to(tmp_path: Path) -> None:
    path, other = tmp_path / "t.db", tmp_path / "other.db"
    a_store(other, [b"theirs"])
    theirs = other.read_bytes()
    writer = a_writer(path)
    session = begin(writer)
    writer.add(session, a_message(0))
    writer.commit()
    other.replace(path)
    writer.add(session, a_message(1))

    with pytest.raises(StoreError, match=r"t\.db: storing messages failed: it was moved or deleted"):
        writer.commit()

    writer.abandon()
    assert path.read_bytes() == theirs


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_reader_goes_on_with_the_store_that_it_opened(tmp_path: Path, how: str) -> None:
    path, other = tmp_path / "t.db", tmp_path / "other.db"
    a_store(path, [b"%d" % number for number in range(600)])
    a_store(other, [b"other"])

    with StoreReader(str(path)) as reader:
        messages = reader.messages("s1")
        first = next(messages)
        if how == "deleted":
            path.unlink()
        else:
            other.replace(path)
        rest = list(messages)

    assert [message.wire for message in [first, *rest]] == [b"%d" % number for number in range(600)]
    if how == "replaced":
        assert [message.wire for message in read(path)] == [b"other"]


def test_a_store_that_another_process_holds_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with a_writer(path) as writer:
        session = begin(writer)
        holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        holder.execute("begin immediate")
        writer.add(session, a_message(0))
        release = threading.Timer(0.05, holder.execute, ["rollback"])
        release.start()
        writer.commit()
        release.join()
        holder.close()

    assert len(read(path)) == 1


def crashed(tmp_path: Path, commits: int) -> Path:
    """A store as a killed recorder left it: all of its commits are in its log."""
    path, copy = tmp_path / "live.db", tmp_path / "t.db"
    writer = a_writer(path, process=DEAD)
    session = begin(writer)
    for seq in range(commits):
        writer.add(session, a_message(seq, b"%d" % seq * 500))
        writer.commit()
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{copy}{end}")
    writer.abandon()
    return copy


def test_a_log_that_was_deleted_takes_its_commits_along_and_no_more(tmp_path: Path) -> None:
    path = crashed(tmp_path, 20)
    Path(f"{path}-wal").unlink()

    with a_writer(path) as writer:
        begin(writer, "after")

    assert list(StoreCheck(str(path)).findings()) == []
    with StoreReader(str(path)) as reader:
        assert [recording.name for recording in reader.recordings()] == ["after"]


@pytest.mark.parametrize("tenths", range(10))
def test_of_a_log_that_was_cut_the_commits_before_the_cut_are_there(tmp_path: Path, tenths: int) -> None:
    path = crashed(tmp_path, 20)
    log = Path(f"{path}-wal")
    os.truncate(log, log.stat().st_size * tenths // 10)

    with a_writer(path) as writer:
        begin(writer, "after")

    assert list(StoreCheck(str(path)).findings()) == []
    with StoreReader(str(path)) as reader:
        for session in reader.sessions("tuesday") if len(reader.recordings()) == 2 else []:
            seqs = [message.seq for message in reader.messages(session.id)]
            assert seqs == list(range(len(seqs)))
            assert len(seqs) <= 2 * tenths + 2


def test_a_store_in_a_read_only_folder_can_be_checked(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = Path(name) / "t.db"
        a_store(path, [b"x"])
        path.chmod(0o444)
        path.parent.chmod(0o555)
        os.seteuid(65534)
        try:
            assert list(StoreCheck(str(path)).findings()) == []
        finally:
            os.seteuid(0)
