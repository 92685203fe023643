import random
import sqlite3
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Connection
from store_builders import DEAD, PUSH, START_US, Clock, a_message, a_writer, begin, packed, query, read

from wiretape_store import End, EndKind, KeepWire, Refusal, RefusedStoreError, StoreError, StoreWriter
from wiretape_store import writer as writer_module
from wiretape_store.settling import _Backlog
from wiretape_store.upkeep.room import STEP_PAGES

CHUNKS = "select first_seq, count, settled from chunk order by first_seq"


def test_a_quiet_session_is_settled_256_messages_at_a_time(store: str) -> None:
    with a_writer(store) as writer:
        session = begin(writer)
        for seq in range(258):
            writer.add(session, a_message(seq))
            writer.commit()
        assert query(store, CHUNKS) == [(0, 256, 1), (256, 1, 0), (257, 1, 0)]
        writer.end_session(session, START_US, End(EndKind.EOF))
        writer.commit()
        assert query(store, CHUNKS) == [(0, 256, 1), (256, 2, 1)]


def test_a_busy_writer_leaves_settling_for_a_pause(store: str) -> None:
    with a_writer(store) as writer:
        session = begin(writer)
        for seq in range(1100):
            writer.add(session, a_message(seq))
        writer.commit()
        assert query(store, "select count(*) from chunk where settled = 1") == [(0,)]
        assert writer.settle()
        assert query(store, "select sum(count) from chunk where settled = 1") == [(1024,)]
        assert not writer.settle()


def test_a_full_backlog_is_settled_even_by_a_busy_writer(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "BACKLOG_BYTES", 100 * len(PUSH))
    with a_writer(store) as writer:
        session = begin(writer)
        for seq in range(4000):
            writer.add(session, a_message(seq))
        writer.commit()
        assert query(store, "select sum(count) from chunk where settled = 0") == [(4000 % 256,)]


def test_large_messages_have_chunks_of_their_own(store: str) -> None:
    large = random.Random(1).randbytes(300_000)
    wires = [PUSH, large, PUSH, PUSH]
    with a_writer(store) as writer:
        session = begin(writer)
        for seq, wire in enumerate(wires):
            writer.add(session, a_message(seq, wire))
    assert query(store, CHUNKS) == [(0, 1, 1), (1, 1, 1), (2, 2, 1)]
    assert [message.wire for message in read(store)] == wires


def test_a_settled_message_is_proven_where_it_can_be(store: str) -> None:
    wires = packed(PUSH)
    with a_writer(store) as writer:
        session = begin(writer)
        for seq, wire in enumerate(wires.values()):
            writer.add(session, a_message(seq, wire))
        writer.commit()
        hot = [message.codec.exact for message in read(store)]
    settled = [message.codec.exact for message in read(store)]
    opaque = {"text", "two-gzip-members", "gzip-cut-short"}
    unprovable = {"gzip-of-stored-blocks", "gzip-of-two-blocks"}
    assert hot == [kind in opaque for kind in wires]
    assert settled == [kind not in unprovable for kind in wires]


def test_what_a_dead_recorder_left_hot_is_settled_by_the_next(store: str) -> None:
    dead = a_writer(store, process=DEAD)
    session = begin(dead)
    for seq in range(3):
        dead.add(session, a_message(seq, packed(PUSH)["gzip"]))
        dead.commit()
    dead.abandon()
    assert len(query(store, CHUNKS)) == 3
    with a_writer(store) as writer:
        assert writer.settle()
        assert query(store, CHUNKS) == [(0, 3, 1)]
    assert [message.codec.exact for message in read(store)] == [True] * 3


def test_what_a_dead_recorder_left_hot_keeps_its_wire_bytes_under_any_other(store: str) -> None:
    wire = packed(PUSH)["gzip-of-two-blocks"]
    dead = a_writer(store, process=DEAD)
    dead.add(begin(dead), a_message(0, wire))
    dead.commit()
    dead.abandon()
    with StoreWriter(store, clock_us=Clock(), keep_wire=KeepWire.NEVER) as writer:
        writer.add(begin(writer, "later"), a_message(0, wire))
    assert query(store, CHUNKS) == [(0, 1, 1)] * 2
    assert [read(store, session)[0].wire == wire for session in ("s1", "s2")] == [True, False]


def test_a_damaged_hot_chunk_does_not_stop_the_next_recorder(tmp_path: Path) -> None:
    dead = a_writer(tmp_path / "t.db", process=DEAD)
    dead.add(begin(dead), a_message(0))
    dead.commit()
    dead.abandon()
    query(tmp_path / "t.db", "update chunk set data = x'00'")
    with a_writer(tmp_path / "t.db") as writer:
        begin(writer, "later")
    assert query(tmp_path / "t.db", CHUNKS) == [(0, 1, 0)]


def test_a_closed_store_holds_no_free_pages(tmp_path: Path) -> None:
    store = tmp_path / "t.db"
    with a_writer(store) as writer:
        session = begin(writer)
        for seq in range(3000):
            writer.add(session, a_message(seq, random.Random(seq).randbytes(100)))
        writer.commit()
    assert query(store, "pragma freelist_count") == [(0,)]


def test_closing_gives_free_pages_back_in_steps(tmp_path: Path) -> None:
    store = tmp_path / "t.db"
    writer = a_writer(store)
    query(store, "create table ballast as select zeroblob(8000000)")
    query(store, "drop table ballast")
    connection = writer._database.connection.connection.dbapi_connection
    statements: list[str] = []
    cast("sqlite3.Connection", connection).set_trace_callback(statements.append)
    writer.close()
    steps = [each for each in statements if "incremental_vacuum" in each]
    assert len(steps) > 2
    assert set(steps) == {f"PRAGMA incremental_vacuum({STEP_PAGES})"}
    assert query(store, "pragma freelist_count") == [(0,)]


def test_what_is_stored_is_no_failure_where_free_pages_cannot_be_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wiretape_store.sqlite.file.BUSY_TIMEOUT_MS", 1)
    store = tmp_path / "t.db"
    writer = a_writer(store)
    query(store, "create table ballast as select zeroblob(1000000)")
    query(store, "drop table ballast")
    holder = sqlite3.connect(store, isolation_level=None)
    holder.execute("begin immediate")
    writer.close()
    holder.execute("rollback")
    holder.close()
    assert query(store, "pragma freelist_count") != [(0,)]


def test_a_damaged_store_is_told_when_free_pages_are_given_back(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RefusedStoreError(store, Refusal.DAMAGED, "damaged", "restore a copy of it")

    monkeypatch.setattr(writer_module, "give_back", refuse)
    writer = a_writer(store)
    with pytest.raises(RefusedStoreError, match="damaged; restore a copy"):
        writer.close()


def test_a_session_that_cannot_be_settled_does_not_keep_others_waiting(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_writer(store) as writer:
        with monkeypatch.context() as failing:
            failing.setattr(writer._settler, "step", lambda: False)
            for name in ("one", "two"):
                session = begin(writer, name)
                writer.add(session, a_message(0))
                writer.end_session(session, START_US, End(EndKind.EOF))
                writer.commit()
        replace = writer._settler._replace
        trouble = StoreError(store, "settling messages failed: too long", "look at its server's log")

        def fail(connection: Connection, session_id: int, backlog: _Backlog) -> None:
            if session_id == 1:
                raise trouble
            replace(connection, session_id, backlog)

        monkeypatch.setattr(writer._settler, "_replace", fail)
        assert [writer.settle() for _ in range(3)] == [False, True, False]
        assert query(store, "select session_id, settled from chunk order by 1") == [(1, 0), (2, 1)]
        monkeypatch.undo()
    assert query(store, "select min(settled) from chunk") == [(1,)]


def test_two_writers_settle_the_same_session_without_harm(store: str) -> None:
    one = a_writer(store)
    session = begin(one)
    for seq in range(1500):
        one.add(session, a_message(seq, packed(b"%d" % seq)["gzip"]))
    one.end_session(session, START_US, End(EndKind.EOF))
    one.commit()
    with a_writer(store) as two:
        assert two.settle()
        one.close()
    assert [message.payload for message in read(store)] == [b"%d" % seq for seq in range(1500)]
    assert query(store, "select sum(count), min(settled) from chunk") == [(1500, 1)]
