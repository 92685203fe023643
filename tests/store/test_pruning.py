import random
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from store_builders import (
    DEAD,
    HANDSHAKE,
    HOTBIT,
    PUSH,
    START_US,
    Clock,
    a_message,
    a_writer,
    begin,
    packed,
    query,
    read,
)

from wiretape_store import (
    End,
    EndKind,
    Event,
    EventKind,
    MissingStoreError,
    RecordingExistsError,
    StoreError,
    StoreReader,
    UnknownRecordingError,
    UnknownSessionError,
)
from wiretape_store.checking.store_check import StoreCheck
from wiretape_store.copying import copied_chunks
from wiretape_store.copying.copy import Progress, RecordingCopier
from wiretape_store.upkeep.prunable import Prunable, UnprunableError, pin
from wiretape_store.upkeep.pruning import Pruner, PruneRules, Pruning

HOUR_US = 3600 * 1_000_000
NOW_US = START_US + 100 * HOUR_US
PAGES = 4 * 8192
TABLES = ("recording", "upstream", "session", "message", "chunk", "event")


def recordings(store: str, *names: str, messages: int = 30, sessions: int = 2) -> None:
    """Recordings that ended one hour after the other."""
    clock = Clock()
    for name in names:
        clock.now_us += HOUR_US
        with a_writer(store, clock) as writer:
            upstream = writer.begin_recording(name, [HOTBIT]).upstreams[0]
            for _ in range(sessions):
                session = writer.begin_session(upstream.id, clock.now_us, HANDSHAKE)
                for seq in range(messages):
                    writer.add(session, a_message(seq, b"%s %d" % (name.encode(), seq)))
                writer.add_event(session, Event(0, 5, True, EventKind.PING, b""))
                writer.end_session(session, clock.now_us, End(EndKind.EOF))


def prune(store: str, *names: str, older_than_us: int | None = None, max_bytes: int | None = None) -> Pruning:
    with Pruner(store, now_us=NOW_US) as pruner:
        return pruner.run(PruneRules(older_than_us, max_bytes, names))


def names(store: str) -> list[str]:
    with StoreReader(store) as reader:
        return [recording.name for recording in reader.recordings()]


def counts(store: str) -> list[int]:
    return [int(query(store, f"select count(*) from {table}")[0][0]) for table in TABLES]


def test_a_recording_is_removed_by_name_or_id_with_all_that_belongs_to_it(store: str) -> None:
    recordings(store, "one", "two", "three", "four")
    done = prune(store, "two", "r1")
    assert [(one.name, one.sessions, one.messages) for one in done.removed] == [
        ("one", 2, 60),
        ("two", 2, 60),
    ]
    assert names(store) == ["three", "four"]
    assert counts(store) == [2, 2, 4, 120, 4, 4]
    assert [message.payload for message in read(store, "s5")] == [b"three %d" % seq for seq in range(30)]


def test_recordings_go_by_the_age_of_their_end(store: str) -> None:
    recordings(store, "one", "two", "three")
    assert [one.name for one in prune(store, older_than_us=98 * HOUR_US).removed] == ["one"]
    assert names(store) == ["two", "three"]


def test_a_recording_without_an_end_is_as_old_as_its_last_sign_of_life(store: str) -> None:
    dead = a_writer(store, process=DEAD)
    dead.add(begin(dead), a_message(7))
    dead.commit()
    dead.abandon()
    recordings(store, "later")
    assert prune(store, older_than_us=NOW_US - START_US - 70).removed == []
    assert [one.name for one in prune(store, older_than_us=NOW_US - START_US - 71).removed] == ["tuesday"]


def test_the_oldest_go_until_the_store_fits(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    clock = Clock()
    for name in ("old", "middle", "new"):
        clock.now_us += HOUR_US
        with a_writer(path, clock) as writer:
            session = begin(writer, name)
            for seq in range(200):
                writer.add(session, a_message(seq, random.Random(seq).randbytes(2000)))
    size = path.stat().st_size
    assert prune(str(path), max_bytes=size).removed == []
    done = prune(str(path), max_bytes=size - 500_000)
    assert [one.name for one in done.removed] == ["old", "middle"]
    assert done.fits
    assert path.stat().st_size == done.bytes_after <= size - 500_000
    assert query(path, "pragma freelist_count") == [(0,)]
    assert query(path, "pragma integrity_check") == [("ok",)]
    assert len(read(path, "s3")) == 200


def test_a_store_that_cannot_be_made_to_fit_is_said_not_to(store: str) -> None:
    recordings(store, "one", "two")
    pin(store, "two", pinned=True)
    done = prune(store, max_bytes=1)
    assert [one.name for one in done.removed] == ["one"]
    assert not done.fits
    assert names(store) == ["two"]


def test_a_plan_says_what_would_go_and_changes_nothing(store: str) -> None:
    recordings(store, "one", "two", "three", messages=600)
    before = counts(store)
    with Pruner(store, now_us=NOW_US) as pruner:
        planned = pruner.plan(PruneRules(older_than_us=98 * HOUR_US, recordings=("three",)))
        everything = pruner.plan(PruneRules(max_bytes=1))
    assert [one.name for one in planned.removed] == ["one", "three"]
    assert [one.name for one in everything.removed] == ["one", "two", "three"]
    assert planned.bytes_after < planned.bytes_before
    assert counts(store) == before


@pytest.mark.parametrize("messages", [1, 30, 300, 3000, 20_000])
def test_a_plan_comes_close_to_what_is_freed(tmp_path: Path, messages: int) -> None:
    store = str(tmp_path / "t.db")
    recordings(store, "one", "two", messages=messages)
    with Pruner(store, now_us=NOW_US) as pruner:
        planned = pruner.plan(PruneRules(recordings=("one",)))
        done = pruner.run(PruneRules(recordings=("one",)))
    assert planned.removed[0].stored_bytes == pytest.approx(done.removed[0].stored_bytes, rel=0.1, abs=PAGES)


def test_a_pinned_recording_stays_and_naming_it_says_why(store: str) -> None:
    recordings(store, "one", "two")
    assert pin(store, "r1", pinned=True) == ["one"]
    assert [one.name for one in prune(store, older_than_us=0).removed] == ["two"]
    with pytest.raises(UnprunableError, match="'one' stays: it is pinned; wiretape unpin one lets it go"):
        prune(store, "one")
    with StoreReader(store) as reader:
        assert reader.recording("one").pinned
    pin(store, "one", pinned=False)
    assert [one.name for one in prune(store, "one").removed] == ["one"]


def test_an_unknown_recording_is_neither_pruned_nor_pinned(store: str) -> None:
    recordings(store, "one")
    with pytest.raises(UnknownRecordingError, match="no recording 'two'; it holds one"):
        prune(store, "one", "two")
    with pytest.raises(UnknownRecordingError):
        pin(store, "one", "two", pinned=True)
    assert names(store) == ["one"]
    with StoreReader(store) as reader:
        assert not reader.recording("one").pinned


def test_a_recording_that_still_runs_stays(store: str) -> None:
    with a_writer(store) as writer:
        session = begin(writer, "running")
        writer.add(session, a_message(0))
        writer.commit()
        assert prune(store, older_than_us=0).removed == []
        with pytest.raises(UnprunableError, match="still being recorded; end its recorder first"):
            prune(store, "running")
        writer.add(session, a_message(1))
    assert len(read(store)) == 2


def test_a_recording_that_came_alive_after_the_plan_stays(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copied_chunks, "BATCH_BYTES", 1)

    def interrupt(_: Progress) -> None:
        raise InterruptedError

    source = str(tmp_path / "source.db")
    recordings(source, "resumed", messages=600, sessions=1)
    recordings(store, "old")
    with RecordingCopier(source, store) as interrupted, pytest.raises(InterruptedError):
        interrupted.copy("resumed", None, interrupt)
    query(store, f"update recording set pid = {DEAD.pid}, born = '{DEAD.born}' where name = 'resumed'")
    went = []
    with RecordingCopier(source, store) as copier:

        def resume(_: Pruning, one: Prunable) -> None:
            went.append(one.name)
            with pytest.raises(InterruptedError):
                copier.copy("resumed", None, interrupt)

        with Pruner(store, now_us=NOW_US) as pruner:
            done = pruner.run(PruneRules(recordings=("old", "resumed")), progress=resume)
        assert went == [one.name for one in done.removed] == ["old"]
        copied = copier.copy("resumed")
    assert names(store) == ["resumed"]
    assert [message.payload for message in read(store, "s3")] == [b"resumed %d" % seq for seq in range(600)]
    assert copied.messages == 600


def test_the_name_of_a_pruned_recording_is_free(store: str) -> None:
    recordings(store, "one")
    prune(store, "one")
    recordings(store, "one")
    assert names(store) == ["one"]
    with pytest.raises(RecordingExistsError):
        recordings(store, "one")


def test_no_number_is_given_out_twice(store: str) -> None:
    recordings(store, "one", "two")
    prune(store, "one", "two")
    recordings(store, "three")
    with StoreReader(store) as reader:
        assert [recording.id for recording in reader.recordings()] == ["r3"]
        assert [session.id for session in reader.sessions()] == ["s5", "s6"]
        for gone in ("s1", "s4"):
            with pytest.raises(UnknownSessionError):
                reader.session(gone)
    assert counts(store)[:3] == [2, 2, 3]  # Those with the newest numbers had stayed, empty.
    prune(store, "three")
    assert counts(store) == [1, 1, 1, 0, 0, 0]


def test_names_and_codecs_that_nothing_refers_to_go_too_but_for_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    wires = packed(PUSH)
    for name, wire in (("first", "gzip"), ("second", "zlib-1"), ("third", "gzip-9-with-time")):
        with a_writer(path) as writer:
            session = begin(writer, name)
            message = a_message(0, wires[wire])
            message.method, message.stream = f"{name}.update", name
            writer.add(session, message)
    prune(str(path), "first", "third")
    left = query(path, "select text from name order by id")
    assert left == [("second.update",), ("second",), ("third",)]
    assert [str(text).partition(" ")[0] for (text,) in query(path, "select text from codec order by id")] == [
        "zlib",
        "gzip",
    ]
    kept = read(path, "s2")[0]
    assert (kept.method, kept.stream, kept.wire) == ("second.update", "second", wires["zlib-1"])


def test_codecs_stay_where_a_damaged_chunk_may_refer_to_them(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    for name, wire in (("first", "gzip"), ("second", "zlib-1")):
        with a_writer(path) as writer:
            writer.add(begin(writer, name), a_message(0, packed(PUSH)[wire]))
    query(path, "update chunk set data = x'00' where session_id = 2")
    prune(str(path), "first")
    assert query(path, "select count(*) from codec") == [(2,)]


def test_a_writer_that_remembers_a_name_which_is_gone_stores_it_anew(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    writer = a_writer(path)
    for name in ("first", "second"):
        recording = writer.begin_recording(name, [HOTBIT])
        session = writer.begin_session(recording.upstreams[0].id, START_US, HANDSHAKE)
        for seq in range(2):
            message = a_message(seq, packed(b"%d" % seq)["gzip" if name == "first" else "zlib"])
            message.method, message.stream = f"{name}.update", name
            writer.add(session, message)
        writer.end_session(session, START_US, End(EndKind.EOF))
        writer.commit()
        while writer.settle():
            pass
        writer.end_recording(recording.id)
    prune(str(path), "first")
    assert ("first",) not in query(path, "select text from name")
    session = begin(writer, "third")
    message = a_message(0, packed(PUSH)["gzip"])
    message.method, message.stream = "first.update", "first"
    writer.add(session, message)
    writer.close()
    stored = read(path, "s3")[0]
    assert (stored.method, stored.stream, stored.wire) == ("first.update", "first", packed(PUSH)["gzip"])
    assert query(path, "pragma foreign_key_check") == []


def test_a_reader_in_the_middle_of_a_pruned_session_is_told(store: str) -> None:
    recordings(store, "one", "two", messages=2000, sessions=1)
    with StoreReader(store) as reader:
        for messages in (reader.messages("s1"), reader.payloads("s1")):
            next(iter(messages))
        half_read = reader.messages("s1")
        payloads = reader.payloads("s1")
        assert [next(half_read).seq for _ in range(100)] == list(range(100))
        next(payloads)
        prune(store, "one")
        for rest in (half_read, payloads):
            with pytest.raises(StoreError, match="session s1 was pruned while it was read"):
                list(rest)
        with pytest.raises(UnknownSessionError):
            reader.messages("s1")


def test_an_interrupted_prune_is_out_of_sight_at_every_step_and_finished_by_the_next(tmp_path: Path) -> None:
    interrupted = 0
    for allowed in count(1):
        store = str(tmp_path / f"{allowed}.db")
        recordings(store, "one", "two", messages=1500)
        asked = 0

        def stopped(allowed: int = allowed) -> bool:
            nonlocal asked
            asked += 1
            return asked > allowed

        with Pruner(store, now_us=NOW_US, step_s=0) as pruner:
            done = pruner.run(PruneRules(recordings=("one",)), stopped=stopped)
        if done.finished:
            break
        if done.removed:
            interrupted += 1
            assert names(store) == ["two"]
            recordings(store, "one", messages=1)
        assert [message.payload for message in read(store, "s3")] == [b"two %d" % seq for seq in range(1500)]
        assert query(store, "pragma foreign_key_check") == []
        assert [str(finding) for finding in StoreCheck(store).findings()] == []
        prune(store, older_than_us=1000 * HOUR_US)
        assert query(store, "select count(*) from recording where pinned < 0") == [(0,)]
        if done.removed:
            assert counts(store) == [2, 2, 4, 3002, 12 + 2, 4]
    assert interrupted > 4


def test_a_statement_that_fails_in_the_middle_leaves_what_the_next_prune_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.db"
    recordings(str(path), "one", "two", messages=1500)
    with Pruner(str(path), now_us=NOW_US, step_s=0) as pruner:
        transaction = pruner._database.transaction
        calls = 0

        def failing(doing: str, *, writes: bool) -> object:
            nonlocal calls
            calls += writes
            if calls == 3:
                raise StoreError(str(path), f"{doing} failed", "try again")
            return transaction(doing, writes=writes)

        monkeypatch.setattr(pruner._database, "transaction", failing)
        with pytest.raises(StoreError, match="pruning failed"):
            pruner.run(PruneRules(recordings=("one",)))
    assert names(str(path)) == ["two"]
    prune(str(path), older_than_us=1000 * HOUR_US)
    assert counts(str(path))[:4] == [1, 1, 2, 3000]


PRUNER = """
import sys
from wiretape_store.upkeep.pruning import Pruner, PruneRules
def stopped():
    print("step", flush=True)
    return False
with Pruner(sys.argv[1], now_us=0, step_s=0) as pruner:
    pruner.run(PruneRules(recordings=("one",)), stopped=stopped)
"""


@pytest.mark.parametrize("lines", [2, 4, 7])
def test_a_killed_prune_leaves_a_whole_store(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "t.db"
    recordings(str(path), "one", "two", messages=4000)
    with subprocess.Popen([sys.executable, "-c", PRUNER, str(path)], stdout=subprocess.PIPE) as pruner:
        assert pruner.stdout is not None
        for _ in range(lines):
            assert pruner.stdout.readline()
        pruner.kill()
    assert query(path, "pragma integrity_check") == [("ok",)]
    assert query(path, "pragma foreign_key_check") == []
    prune(str(path), older_than_us=1000 * HOUR_US)
    assert names(str(path))[-1] == "two"
    assert [message.payload for message in read(path, "s3")] == [b"two %d" % seq for seq in range(4000)]
    assert query(path, "select count(*) from recording where pinned < 0") == [(0,)]


def test_messages_whose_bytes_are_lost_and_thousands_of_events_go_too(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with a_writer(path) as writer:
        session = begin(writer, "one")
        for seq in range(2500):
            writer.add(session, a_message(seq))
            writer.add_event(session, Event(seq, seq, True, EventKind.PING, b""))
    recordings(str(path), "two")
    query(path, "delete from chunk where session_id = 1")
    prune(str(path), "one")
    assert counts(str(path)) == [1, 1, 2, 60, 2, 2]


def test_there_is_nothing_to_prune_where_there_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(MissingStoreError):
        prune(str(tmp_path / "t.db"), older_than_us=0)
    assert not (tmp_path / "t.db").exists()
