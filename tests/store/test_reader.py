from pathlib import Path

import pytest
from store_builders import (
    DEAD,
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
    read,
)

from wiretape_protocols import decode, deflater_fingerprint
from wiretape_store import (
    End,
    EndKind,
    RecorderProcess,
    RefusedStoreError,
    StoreReader,
    UnknownRecordingError,
    UnknownSessionError,
    shown,
)


def test_a_recording_is_found_by_its_name_before_its_id(store: str) -> None:
    with a_writer(store) as writer:
        for name in ("one", "r1", "three"):
            writer.begin_recording(name, [HOTBIT, ONTOLOGY])
    with StoreReader(store) as reader:
        assert [reader.recording(what).id for what in ("one", "r1", "r3", "three")] == [
            "r1",
            "r2",
            "r3",
            "r3",
        ]
        assert [upstream.name for upstream in reader.recording("one").upstreams] == ["hotbit", "ontology"]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        pytest.param(0, "it holds no recordings yet", id="none"),
        pytest.param(2, "it holds n1, n0", id="some"),
        pytest.param(12, "it holds n11, n10, n9, n8, n7, n6, n5, n4, n3, n2 and 2 more", id="many"),
    ],
)
@pytest.mark.parametrize("method", ["recording", "sessions"])
def test_an_unknown_recording_is_refused_with_those_that_exist(
    store: str, names: int, sentence: str, method: str
) -> None:
    with a_writer(store) as writer:
        for number in range(names):
            writer.begin_recording(f"n{number}", [])
    with StoreReader(store) as reader, pytest.raises(UnknownRecordingError) as caught:
        getattr(reader, method)("friday")
    assert str(caught.value) == f"store {shown(store)}: no recording 'friday'; {sentence}"


def test_sessions_are_those_of_the_store_or_of_a_recording_or_one(store: str) -> None:
    with a_writer(store) as writer:
        begin(writer, "one")
        begin(writer, "two")
    with StoreReader(store) as reader:
        found = {
            what: [session.id for session in reader.sessions(what)] for what in (None, "one", "r2", "s2")
        }
    assert found == {None: ["s1", "s2"], "one": ["s1"], "r2": ["s2"], "s2": ["s2"]}


@pytest.mark.parametrize("asked", ["s2", "1", "s", "s-1", "s1x", "", "s" + "9" * 30, "s²"])
def test_an_unknown_session_is_refused_by_every_method(store: str, asked: str) -> None:
    a_store(store, [PUSH])
    with StoreReader(store) as reader:
        for method in (reader.session, reader.messages, reader.events):
            with pytest.raises(UnknownSessionError, match="no session"):
                method(asked)


@pytest.mark.parametrize("seq", [-1, 3, 10**6])
def test_an_unknown_message_is_refused(store: str, seq: int) -> None:
    a_store(store, [PUSH] * 3)
    with (
        StoreReader(store) as reader,
        pytest.raises(UnknownSessionError, match=f"session s1 has no message {seq}; 'wiretape sessions'"),
    ):
        reader.message("s1", seq)


def test_any_message_is_found_alone_and_as_the_first_of_the_rest(store: str) -> None:
    wires = [b"%d" % seq for seq in range(600)]
    a_store(store, wires)
    with StoreReader(store) as reader:
        for seq in (0, 1, 255, 256, 257, 511, 512, 599):
            assert reader.message("s1", seq).wire == wires[seq]
            assert [message.wire for message in reader.messages("s1", seq)] == wires[seq:]
        assert list(reader.messages("s1", 600)) == []


@pytest.mark.parametrize("state", ["hot", "settled"])
def test_payloads_are_those_of_the_messages_however_they_are_stored(store: str, state: str) -> None:
    wires = [*packed(PUSH).values(), b"x" * 300_000, *(b"%d" % seq for seq in range(6000))]
    writer = a_writer(store)
    session = begin(writer)
    for seq, wire in enumerate(wires):
        writer.add(session, a_message(seq + (seq > 700), wire))
    writer.commit()
    writer.abandon() if state == "hot" else writer.close()
    with StoreReader(store) as reader:
        payloads = [message.payload for message in reader.messages("s1")]
        assert list(reader.payloads("s1")) == payloads == [decode(wire).payload for wire in wires]
        for first_seq in (255, 256, 700, 701, 702, 5000, 6010, 7000):
            later = [message.payload for message in reader.messages("s1", first_seq)]
            assert list(reader.payloads("s1", first_seq)) == later
        with pytest.raises(UnknownSessionError):
            reader.payloads("s2")


def test_a_reader_follows_a_writer_through_commits_and_settling(store: str) -> None:
    with a_writer(store) as writer:
        session = begin(writer)
        with StoreReader(store) as reader:
            writer.add(session, a_message(0, b"0"))
            writer.commit()
            following = reader.messages("s1")
            for seq in range(1, 1500):
                assert next(following).wire == b"%d" % (seq - 1)
                writer.add(session, a_message(seq, b"%d" % seq))
                writer.commit()
            assert next(following).wire == b"1499"
            assert list(following) == []
            assert reader.session("s1").end == End(EndKind.OPEN)
    assert query(store, "select count(*) from chunk") == [(6,)]


def test_a_paused_reader_does_not_hold_back_the_log(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    a_store(path, [PUSH] * 300)
    with StoreReader(str(path)) as reader:
        following = reader.messages("s1")
        next(following)
        query(path, "update session set wire_bytes = 1")
        assert query(path, "pragma wal_checkpoint(truncate)") == [(0, 0, 0)]
        assert len(list(following)) == 299


@pytest.mark.parametrize("how", ["the process is gone", "the recording has ended"])
def test_an_open_session_that_nobody_records_reads_as_interrupted(store: str, how: str) -> None:
    gone = how == "the process is gone"
    writer = a_writer(store, process=DEAD if gone else None)
    session = begin(writer)
    writer.add(session, a_message(7))
    if gone:
        writer.commit()
    else:
        writer.end_recording("r1")
    writer.abandon()
    with StoreReader(store) as reader:
        found = reader.session("s1")
    assert (found.end, found.ended_at_us) == (End(EndKind.INTERRUPTED), START_US + 70)


def test_a_session_is_open_while_its_recorder_lives(store: str) -> None:
    with a_writer(store) as writer:
        begin(writer)
        with StoreReader(store) as reader:
            assert (reader.session("s1").end, reader.session("s1").ended_at_us) == (End(EndKind.OPEN), None)


DAMAGE = {
    "a flipped byte": "update chunk set data = cast(substr(data, 1, 30) || x'ff' || substr(data, 32) as blob) where first_seq = 256",
    "an empty chunk": "update chunk set data = x'' where first_seq = 256",
    "another count": "update chunk set count = 255 where first_seq = 256",
    "a missing row": "delete from message where seq = 300",
    "a missing codec": "delete from codec",
    "a codec that is none": "update codec set text = 'rot13'",
}


@pytest.mark.parametrize("statement", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_chunk_is_named_and_not_passed_over(tmp_path: Path, statement: str) -> None:
    a_store(tmp_path / "t.db", [PUSH] * 600)
    query(tmp_path / "t.db", statement)
    with StoreReader(str(tmp_path / "t.db")) as reader, pytest.raises(RefusedStoreError) as caught:
        list(reader.messages("s1", 256))
    assert "the chunk of session s1 at message 256 is damaged: " in str(caught.value)


def test_damage_costs_its_own_chunk_only(tmp_path: Path) -> None:
    a_store(tmp_path / "t.db", [PUSH] * 600)
    query(tmp_path / "t.db", DAMAGE["a flipped byte"])
    with StoreReader(str(tmp_path / "t.db")) as reader:
        assert reader.message("s1", 255).wire == PUSH
        assert len(list(reader.messages("s1", 512))) == 88


def test_what_another_zlib_proved_is_not_called_exact(store: str) -> None:
    a_store(store, [packed(PUSH)["gzip"], PUSH])
    assert query(store, "select deflater from codec order by deflater") == [
        ("",),
        (deflater_fingerprint(),),
    ]
    assert [message.codec.exact for message in read(store)] == [True, True]
    query(store, "update codec set deflater = 'another' where deflater != ''")
    messages = read(store)
    assert [message.codec.exact for message in messages] == [False, True]
    assert [message.payload for message in messages] == [PUSH, PUSH]


def test_the_stored_bytes_of_a_session_are_those_of_its_chunks(store: str) -> None:
    a_store(store, [PUSH] * 600)
    with a_writer(store) as writer:
        begin(writer, "silent")
    with StoreReader(store) as reader:
        sizes = [reader.stored_bytes(session.id) for session in reader.sessions()]
    assert sizes == [query(store, "select sum(length(data)) from chunk")[0][0], 0]
    assert 0 < sizes[0] < 600 * len(PUSH)


def test_a_session_that_ends_properly_while_it_is_read_is_not_called_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = a_writer(tmp_path / "t.db")
    session = begin(writer)
    alive = iter([False])

    def ends_in_between(_: RecorderProcess) -> bool:
        writer.end_session(session, START_US, End(EndKind.EOF))
        writer.close()
        return next(alive)

    with StoreReader(str(tmp_path / "t.db")) as reader:
        monkeypatch.setattr(RecorderProcess, "may_be_alive", ends_in_between)
        assert reader.session("s1").end == End(EndKind.EOF)
