import random
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from store_builders import (
    DEAD,
    PUSH,
    START_US,
    a_message,
    a_store,
    a_writer,
    begin,
    packed,
    query,
    read,
    stored_blocks,
)

from wiretape_store import End, EndKind, KeepWire, MissingStoreError, StoreReader, UnknownRecordingError
from wiretape_store.upkeep.compacting import Compaction, Compactor, Progress

CHUNKS = "select first_seq, count, settled from chunk order by session_id, first_seq"


def compact(store: str, what: str | None = None, keep_wire: KeepWire = KeepWire.NEEDED) -> Compaction:
    with Compactor(store, keep_wire=keep_wire) as compactor:
        return compactor.run(what)


def every_packing(rounds: int) -> list[bytes]:
    return [wire for number in range(rounds) for wire in packed(PUSH + b"%d" % number).values()]


def pushes(number: int) -> list[bytes]:
    randomness = random.Random(1)
    return [PUSH.replace(b"10234.5", b"%.8f" % randomness.uniform(10_000, 10_500)) for _ in range(number)]


def test_every_message_is_the_same_after_compacting_whatever_packed_it(store: str) -> None:
    wires = every_packing(150)
    a_store(store, wires)
    before = read(store)
    done = compact(store)
    assert read(store) == before
    assert [message.wire for message in before] == wires
    assert done.finished
    assert done.messages == len(wires)
    assert query(store, "select min(settled), max(settled), sum(count) from chunk") == [(2, 2, len(wires))]


def test_each_message_of_a_compacted_session_can_be_read_by_its_number(store: str) -> None:
    wires = every_packing(110)
    a_store(store, wires)
    compact(store)
    with StoreReader(store) as reader:
        for seq in (0, 1, 1023, 1024, len(wires) - 1):
            assert reader.message("s1", seq).wire == wires[seq]
        assert [message.wire for message in reader.messages("s1", 1020)] == wires[1020:]
        assert list(reader.payloads("s1")) == [message.payload for message in reader.messages("s1")]


def test_compacting_puts_chunks_together_and_saves_room(store: str) -> None:
    a_store(store, pushes(3000))
    done = compact(store)
    assert query(store, CHUNKS) == [(0, 1024, 2), (1024, 1024, 2), (2048, 952, 2)]
    assert done.bytes_after < 0.9 * done.bytes_before
    assert (done.sessions, done.messages, done.damaged) == (1, 3000, [])


def test_compacting_gives_room_back_to_the_file_system(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    a_store(path, pushes(20_000))
    before = path.stat().st_size
    done = compact(str(path))
    assert path.stat().st_size == done.used_after < done.used_before == before
    assert query(path, "pragma freelist_count") == [(0,)]
    assert query(path, "pragma integrity_check") == [("ok",)]


def test_compacting_again_does_nothing(store: str) -> None:
    a_store(store, pushes(300))
    compact(store)
    before = query(store, "select data from chunk")
    done = compact(store)
    assert (done.sessions, done.messages, done.bytes_before) == (0, 0, 0)
    assert query(store, "select data from chunk") == before


def test_what_a_dead_recorder_left_hot_is_settled_and_compacted(store: str) -> None:
    wires = every_packing(30)
    dead = a_writer(store, process=DEAD)
    session = begin(dead)
    for seq, wire in enumerate(wires):
        dead.add(session, a_message(seq, wire))
        if seq % 7 == 0:
            dead.commit()
    dead.commit()
    dead.abandon()
    compact(store)
    messages = read(store)
    assert query(store, CHUNKS) == [(0, len(wires), 2)]
    assert [message.wire for message in messages] == wires
    assert sum(message.kept_wire is not None for message in messages) == 60  # Two of ten cannot be proven.


def test_an_open_session_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with a_writer(path) as writer:
        session = begin(writer)
        for seq, wire in enumerate(pushes(300)):
            writer.add(session, a_message(seq, wire))
        writer.commit()
        before = query(path, CHUNKS)
        assert compact(str(path)).messages == 0
        assert query(path, CHUNKS) == before


def test_only_what_is_named_is_compacted(store: str) -> None:
    with a_writer(store) as writer:
        for name in ("monday", "tuesday"):
            writer.add(begin(writer, name), a_message(0))
    assert compact(store, "tuesday").sessions == 1
    assert query(store, "select session_id, settled from chunk order by 1") == [(1, 1), (2, 2)]
    assert compact(store, "s1").sessions == 1
    with pytest.raises(UnknownRecordingError):
        compact(store, "wednesday")


def test_messages_with_gaps_between_them_stay_where_they_are(store: str) -> None:
    numbers = [seq for seq in range(700) if seq % 100 != 99]
    with a_writer(store) as writer:
        session = begin(writer)
        for seq in numbers:
            writer.add(session, a_message(seq, b"%d" % seq))
    compact(store)
    assert [(m.seq, m.payload) for m in read(store)] == [(seq, b"%d" % seq) for seq in numbers]


def test_messages_longer_than_a_chunk_stay_readable(store: str) -> None:
    large = random.Random(1).randbytes(300_000)
    wires = [PUSH, large, PUSH, stored_blocks(b"x" * 2_000_000), PUSH]
    a_store(store, wires)
    compact(store)
    assert [message.wire for message in read(store)] == wires


def test_what_does_not_become_smaller_stays_as_it_is_and_counts_as_compacted(store: str) -> None:
    a_store(store, [random.Random(1).randbytes(100_000)])
    before = query(store, "select data from chunk")
    done = compact(store)
    assert done.bytes_after == done.bytes_before
    assert query(store, "select data, settled from chunk") == [(before[0][0], 2)]


def test_a_damaged_chunk_is_named_and_left_and_the_others_are_compacted(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    a_store(path, pushes(1000))
    query(path, "update chunk set data = x'00' where first_seq = 256")
    for _ in range(2):
        done = compact(str(path))
        assert done.finished
        assert [(one.session, one.first_seq, one.messages) for one in done.damaged] == [("s1", 256, 256)]
    assert query(path, CHUNKS) == [(0, 256, 2), (256, 256, 1), (512, 488, 2)]


def test_a_chunk_that_holds_fewer_messages_than_it_says_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    a_store(path, pushes(3))
    query(path, "update chunk set count = 4")
    assert [one.what for one in compact(str(path)).damaged] == ["it holds 3 messages, not 4"]


def test_wire_bytes_that_cannot_be_made_again_are_given_up_when_told_so(store: str) -> None:
    a_store(store, every_packing(20))
    before = read(store)
    compact(store)  # They are kept in what is compacted already, too.
    done = compact(store, keep_wire=KeepWire.NEVER)
    after = read(store)
    assert done.given_up == 40
    assert [message.payload for message in after] == [message.payload for message in before]
    assert all(message.kept_wire is None for message in after)
    for old, new in zip(before, after, strict=True):
        assert new.wire == old.wire or not new.codec.exact
    assert sum(old.wire != new.wire for old, new in zip(before, after, strict=True)) == 40
    again = compact(store, keep_wire=KeepWire.NEVER)
    assert (again.messages, again.given_up) == (0, 0)


def test_progress_goes_up_to_the_total(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    a_store(path, pushes(3000))
    told: list[Progress] = []
    with Compactor(str(path)) as compactor:
        compactor.run(progress=told.append)
    assert [at.done_bytes for at in told] == sorted(at.done_bytes for at in told)
    assert told[-1].done_bytes == told[-1].total_bytes > 0
    assert told[-1].saved_bytes > 0


def test_it_can_be_stopped_after_each_step_and_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    wires = pushes(2000) + every_packing(150)
    a_store(path, wires)
    stops = 0
    for allowed in count(1):
        asked = 0

        def stopped(allowed: int = allowed) -> bool:
            nonlocal asked
            asked += 1
            return asked > allowed

        with Compactor(str(path)) as compactor:
            done = compactor.run(stopped=stopped)
        assert [message.wire for message in read(path)] == wires
        if done.finished:
            break
        stops += 1
    assert stops >= 2
    assert query(path, "select min(settled), sum(count) from chunk") == [(2, len(wires))]


COMPACTOR = """
import sys
from wiretape_store.upkeep.compacting import Compactor
with Compactor(sys.argv[1]) as compactor:
    compactor.run(progress=lambda at: print(at.done_bytes, flush=True))
"""


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_a_killed_compaction_loses_nothing(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "t.db"
    wires = pushes(6000) + every_packing(10)
    a_store(path, wires)
    with subprocess.Popen([sys.executable, "-c", COMPACTOR, str(path)], stdout=subprocess.PIPE) as compactor:
        assert compactor.stdout is not None
        for _ in range(lines):
            assert compactor.stdout.readline()
        compactor.kill()
    assert [message.wire for message in read(path)] == wires
    assert query(path, "pragma integrity_check") == [("ok",)]
    assert compact(str(path)).finished
    assert [message.wire for message in read(path)] == wires


def test_a_session_that_its_recorder_settles_meanwhile_is_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.db"
    wires = every_packing(120)
    with a_writer(path) as writer:
        session = begin(writer)
        for seq, wire in enumerate(wires):
            writer.add(session, a_message(seq, wire))
        writer.end_session(session, START_US, End(EndKind.EOF))
        writer.commit()
        replace = Compactor._replace
        with Compactor(str(path)) as compactor:

            def settle_first(*arguments: object) -> bool:
                writer.settle()
                return replace(compactor, *arguments)  # type: ignore[arg-type]

            monkeypatch.setattr(compactor, "_replace", settle_first)
            done = compactor.run()
        assert done.finished
    assert [message.wire for message in read(path)] == wires
    assert query(path, "select min(settled), sum(count) from chunk") == [(2, len(wires))]


def test_a_session_that_is_pruned_meanwhile_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.db"
    a_store(path, pushes(600))
    replace = Compactor._replace
    with Compactor(str(path)) as compactor:

        def delete_first(*arguments: object) -> bool:
            query(path, "delete from chunk")
            return replace(compactor, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(compactor, "_replace", delete_first)
        done = compactor.run()
    assert done.finished
    assert query(path, "select count(*) from chunk") == [(0,)]


def test_a_session_that_never_holds_still_is_given_up_and_said_to_be_unfinished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.db"
    a_store(path, pushes(600))
    with Compactor(str(path)) as compactor:
        monkeypatch.setattr(compactor, "_replace", lambda *_: False)
        done = compactor.run()
    assert not done.finished
    assert len(read(path)) == 600


def test_there_is_nothing_to_compact_where_there_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(MissingStoreError):
        compact(str(tmp_path / "t.db"))
    assert not (tmp_path / "t.db").exists()
