"""A disk that is really full, at each moment at which it can be: what is said, and what is kept."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_builders import DEAD, HANDSHAKE, START_US, a_message, a_writer, begin, query, read

from small_disk import fill, small_disk
from wiretape_store import End, EndKind, EventKind, StoreError, StoreReader
from wiretape_store.checking.store_check import StoreCheck
from wiretape_store.salvaging.salvage import repair_store

FULL = r"(database or disk is full|No space left on device); make room on its disk"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as place:
        yield place


def damages(path: Path) -> list[str]:
    return [str(each) for each in StoreCheck(str(path)).findings()]


def test_a_store_is_not_made_on_a_full_disk(disk: Path) -> None:
    ballast = fill(disk)

    with pytest.raises(StoreError, match=FULL):
        a_writer(disk / "t.db")

    assert list(disk.iterdir()) == [ballast]
    ballast.unlink()
    a_writer(disk / "t.db").close()


@pytest.mark.parametrize("left", [0, 20_000, 40_000, 60_000, 90_000])
def test_a_commit_on_a_full_disk_stores_nothing_and_succeeds_when_there_is_room(
    disk: Path, left: int
) -> None:
    path = disk / "t.db"
    writer = a_writer(path)
    session = begin(writer)
    writer.add(session, a_message(0))
    writer.commit()
    ballast = fill(disk, leave_bytes=left)
    for seq in range(1, 40):
        writer.add(session, a_message(seq, os.urandom(9000)))

    with pytest.raises(StoreError, match=FULL):
        writer.commit()
    assert len(read(path)) == 1
    assert damages(path) == []
    ballast.unlink()
    writer.commit()

    assert len(read(path)) == 40
    writer.close()
    assert damages(path) == []


def test_what_was_given_up_on_a_full_disk_is_a_gap(disk: Path) -> None:
    path = disk / "t.db"
    with a_writer(path) as writer:
        session = begin(writer)
        writer.add(session, a_message(0))
        writer.commit()
        ballast = fill(disk)
        for seq in range(1, 20):
            writer.add(session, a_message(seq, os.urandom(20_000)))
        with pytest.raises(StoreError, match=FULL):
            writer.commit()
        assert writer.discard() == 19
        ballast.unlink()
        writer.add(session, a_message(20))
        writer.commit()

    with StoreReader(str(path)) as reader:
        (gap,) = reader.events("s1")
        assert [message.seq for message in reader.messages("s1")] == [0, 20]
    assert (gap.kind, gap.data) == (
        EventKind.GAP,
        b"19 messages passed unrecorded: the store could not be written",
    )
    assert damages(path) == []


def test_settling_on_a_full_disk_changes_nothing_and_is_made_up_for(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wiretape_store.writer.BUSY_MESSAGES", 0)
    path = disk / "t.db"
    writer = a_writer(path)
    session = begin(writer)
    wires = [os.urandom(1000) for _ in range(300)]
    for seq, wire in enumerate(wires):
        writer.add(session, a_message(seq, wire))
    writer.commit()
    ballast = fill(disk)

    assert not writer.settle()

    assert [message.wire for message in read(path)] == wires
    assert query(path, "select max(settled) from chunk") == [(0,)]
    ballast.unlink()
    writer.close()
    with a_writer(path):
        pass
    assert query(path, "select min(settled) from chunk") == [(1,)]
    assert [message.wire for message in read(path)] == wires
    assert damages(path) == []


def test_closing_on_a_full_disk_says_so_and_keeps_what_was_committed(disk: Path) -> None:
    path = disk / "t.db"
    writer = a_writer(path, process=DEAD)
    session = begin(writer)
    writer.add(session, a_message(0))
    writer.commit()
    ballast = fill(disk)
    for seq in range(1, 20):
        writer.add(session, a_message(seq, os.urandom(20_000)))

    with pytest.raises(StoreError, match=FULL):
        writer.close()

    ballast.unlink()
    assert len(read(path)) == 1
    with a_writer(path) as another:
        begin(another, "after")
    with StoreReader(str(path)) as reader:
        assert {each.end.kind for each in reader.sessions("tuesday")} == {EndKind.INTERRUPTED}


def test_a_session_is_not_begun_on_a_full_disk(disk: Path) -> None:
    path = disk / "t.db"
    with a_writer(path) as writer:
        session = begin(writer)
        upstream = 1
        ballast = fill(disk)
        with pytest.raises(StoreError, match=f"beginning a session failed: {FULL}"):  # noqa: PT012 - the how manieth is the disk's matter
            for _ in range(10_000):
                writer.begin_session(upstream, START_US, HANDSHAKE)
        ballast.unlink()
        writer.end_session(session, START_US, End(EndKind.EOF))

    assert damages(path) == []


def test_a_repair_onto_a_full_disk_leaves_nothing_there(disk: Path, tmp_path: Path) -> None:
    source = tmp_path / "t.db"
    with a_writer(source) as writer:
        session = begin(writer)
        for seq in range(100):
            writer.add(session, a_message(seq, os.urandom(60_000)))

    with pytest.raises(StoreError, match=f"new.db: .* failed: .*{FULL}"):
        repair_store(str(source), str(disk / "new.db"))

    assert list(disk.iterdir()) == []
