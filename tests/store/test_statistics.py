import random
from pathlib import Path

import pytest
from store_builders import (
    DEAD,
    HANDSHAKE,
    HOTBIT,
    ONTOLOGY,
    PUSH,
    START_US,
    a_message,
    a_store,
    a_writer,
    begin,
    packed,
    query,
)

from wiretape_protocols import decode
from wiretape_store import KeepWire, MissingStoreError, StoreWriter, UnknownRecordingError
from wiretape_store.upkeep.compacting import Compactor
from wiretape_store.upkeep.prunable import pin
from wiretape_store.upkeep.pruning import Pruner, PruneRules
from wiretape_store.upkeep.statistics import KEPT, NOT_SETTLED, UNREADABLE, Amount, statistics

UNPROVABLE = ("gzip-of-stored-blocks", "gzip-of-two-blocks")


def test_messages_and_bytes_are_counted_by_recording_and_upstream(store: str) -> None:
    with a_writer(store) as writer:
        recording = writer.begin_recording("both", [HOTBIT, ONTOLOGY])
        for number, upstream in enumerate(recording.upstreams):
            session = writer.begin_session(upstream.id, START_US, HANDSHAKE)
            for seq in range(10 + number):
                writer.add(session, a_message(seq, packed(PUSH)["gzip"]))
        writer.add(begin(writer, "other"), a_message(0))
    found = statistics(store)
    both, other = found.recordings
    wire = len(packed(PUSH)["gzip"])
    assert (both.holding.sessions, both.holding.messages, both.holding.wire_bytes) == (2, 21, 21 * wire)
    assert both.holding.payload_bytes == 21 * len(PUSH)
    assert {name: holding.messages for name, holding in both.upstreams.items()} == {
        "hotbit": 10,
        "ontology": 11,
    }
    assert other.holding.messages == 1
    assert (found.total.messages, found.total.sessions) == (22, 3)
    assert found.total.wire_bytes == 21 * wire + len(PUSH)
    assert found.total.codecs == {"gzip": Amount(21, 21 * len(PUSH)), "identity": Amount(1, len(PUSH))}


def test_what_is_kept_as_wire_bytes_is_told_apart(store: str) -> None:
    wires = packed(PUSH)
    a_store(store, list(wires.values()))
    holding = statistics(store).total
    kept = Amount(2, sum(len(wires[kind]) for kind in UNPROVABLE))
    assert (holding.kept_wire, holding.codecs[KEPT]) == (kept, kept)
    assert holding.hot == Amount()
    with Compactor(store) as compactor:
        compactor.run()
    holding = statistics(store).total
    assert holding.kept_wire == kept
    assert holding.compacted.messages == len(wires)


def test_what_is_not_settled_is_told_apart(store: str) -> None:
    dead = a_writer(store, process=DEAD)
    session = begin(dead)
    wire = packed(PUSH)["gzip"]
    for seq in range(3):
        dead.add(session, a_message(seq, wire if seq else PUSH))
    dead.commit()
    dead.abandon()
    holding = statistics(store).total
    assert holding.hot == Amount(3, 2 * len(wire) + len(PUSH))
    assert holding.kept_wire == Amount()
    assert holding.codecs == {NOT_SETTLED: Amount(2, 2 * len(wire)), "identity": Amount(1, len(PUSH))}


def test_what_gave_up_its_wire_bytes_is_counted_as_repacked(tmp_path: Path) -> None:
    wires = packed(PUSH)
    path = str(tmp_path / "t.db")
    with StoreWriter(path, clock_us=lambda: START_US, keep_wire=KeepWire.NEVER) as writer:
        session = begin(writer)
        for seq, wire in enumerate(wires.values()):
            writer.add(session, a_message(seq, wire))
    holding = statistics(path).total
    assert holding.kept_wire == Amount()
    assert holding.codecs["gzip, repacked"] == Amount(2, 2 * len(PUSH))
    assert holding.wire_bytes == sum(map(len, wires.values()))


def test_every_byte_of_a_file_is_accounted_for(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    a_store(path, [random.Random(seq).randbytes(500) for seq in range(3000)])
    found = statistics(str(path))
    room = found.room
    assert (
        room.on_disk == path.stat().st_size == room.chunks + room.rows + room.other + room.fixed + room.free
    )
    stored = found.total.stored_bytes(found.row_bytes)
    assert stored == pytest.approx(room.on_disk - room.fixed - room.free, abs=1)
    assert room.rows > 3000 * 10
    assert room.chunks > 3000 * 500


def test_the_log_and_the_free_pages_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with a_writer(path) as writer:
        session = begin(writer)
        for seq in range(1000):
            writer.add(session, a_message(seq, random.Random(seq).randbytes(500)))
        writer.commit()
        room = statistics(str(path)).room
        assert room.log == path.with_name("t.db-wal").stat().st_size > 500_000
        assert room.on_disk == path.stat().st_size + room.log
        query(path, "delete from chunk")
        assert statistics(str(path)).room.free > 500_000


def test_statistics_are_told_without_dbstat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.db"
    a_store(path, [PUSH] * 1000)
    monkeypatch.setattr("wiretape_store.upkeep.room._DBSTAT", "SELECT name, pgsize FROM no_such_table")
    room = statistics(str(path)).room
    assert room.on_disk == room.chunks + room.rows + room.other + room.fixed + room.free


def test_what_an_empty_store_takes_is_not_charged_to_a_recording(tmp_path: Path) -> None:
    empty, path = tmp_path / "empty.db", tmp_path / "t.db"
    a_writer(empty).close()
    a_store(path, [PUSH])
    nothing, found = statistics(str(empty)).room, statistics(str(path))
    assert nothing.fixed == nothing.on_disk == empty.stat().st_size
    stored = found.total.stored_bytes(found.row_bytes)
    assert 0 < stored < 2 * len(PUSH)
    assert stored + found.room.fixed == found.room.on_disk


def test_only_what_is_named_is_counted(store: str) -> None:
    for name in ("monday", "tuesday"):
        with a_writer(store) as writer:
            writer.add(begin(writer, name), a_message(0))
    assert [one.recording.name for one in statistics(store, "tuesday").recordings] == ["tuesday"]
    assert statistics(store, "s1").total.messages == 1
    with pytest.raises(UnknownRecordingError):
        statistics(store, "wednesday")


def test_pinned_and_running_recordings_are_marked(store: str) -> None:
    with a_writer(store) as writer:
        begin(writer, "running")
        pin(store, "running", pinned=True)
        (one,) = statistics(store).recordings
        assert (one.live, one.recording.pinned, one.holding.messages) == (True, True, 0)


def test_a_damaged_chunk_is_counted_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    a_store(path, [PUSH] * 300)
    query(path, "update chunk set data = x'00' where first_seq = 0")
    holding = statistics(str(path)).total
    assert holding.damaged_chunks == 1
    assert holding.codecs[UNREADABLE] == Amount(256, 0)
    assert holding.codecs["identity"].messages == 44


def test_a_codec_that_cannot_be_read_is_no_reason_to_fail(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    a_store(path, [PUSH])
    query(path, "delete from codec")
    assert statistics(str(path)).total.codecs == {UNREADABLE: Amount(1, len(PUSH))}


def test_a_pruned_recording_is_not_counted(store: str) -> None:
    a_store(store, [PUSH] * 10)
    with Pruner(store, now_us=2 * START_US) as pruner:
        pruner.run(PruneRules(older_than_us=0))
    found = statistics(store)
    assert found.recordings == ()
    assert found.row_bytes == 0.0


def test_progress_goes_up_to_all_messages(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    a_store(path, [PUSH] * 1000)
    told: list[tuple[int, int]] = []
    statistics(str(path), progress=lambda done, of: told.append((done, of)))
    assert told == [(256, 1000), (512, 1000), (768, 1000), (1000, 1000)]


def test_statistics_need_a_store(tmp_path: Path) -> None:
    with pytest.raises(MissingStoreError):
        statistics(str(tmp_path / "t.db"))


@pytest.mark.parametrize("keep", list(KeepWire))
def test_a_recorder_keeps_wire_bytes_as_it_is_told(store: str, keep: KeepWire) -> None:
    from wiretape_store import StoreReader

    wires = packed(PUSH)
    with StoreWriter(store, clock_us=lambda: START_US, keep_wire=keep) as writer:
        session = begin(writer)
        for seq, wire in enumerate(wires.values()):
            writer.add(session, a_message(seq, wire))
    with StoreReader(store) as reader:
        messages = dict(zip(wires, reader.messages("s1"), strict=True))
    for kind, message in messages.items():
        assert message.payload == decode(wires[kind]).payload
        given_up = kind in UNPROVABLE and keep is KeepWire.NEVER
        assert (message.wire == wires[kind]) is not given_up
        assert message.codec.exact is (kind not in UNPROVABLE)
