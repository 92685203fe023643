"""What a check says of each kind of damage, and that it says nothing where there is none."""

import gzip
import os
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
    a_store,
    a_writer,
    begin,
    packed,
    query,
)

from wiretape_protocols import Opcode, Role, decode
from wiretape_store import End, EndKind, Event, EventKind, NewMessage, Refusal, RefusedStoreError
from wiretape_store.checking.findings import SHOWN_OF_A_SESSION, Severity
from wiretape_store.checking.store_check import StoreCheck
from wiretape_store.salvaging.salvage import repair_store
from wiretape_store.salvaging.sqlite_log import log_path
from wiretape_store.upkeep.pruning import Pruner, PruneRules

WIRES = list(packed(PUSH).values()) * 40


def damages(path: Path, *, deep: bool = False) -> list[str]:
    return [
        str(each) for each in StoreCheck(str(path), deep=deep).findings() if each.severity is Severity.DAMAGE
    ]


def notes(path: Path) -> list[str]:
    return [str(each) for each in StoreCheck(str(path)).findings() if each.severity is Severity.NOTE]


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A store of one session of calls, answers and pushes, with events and a gap."""
    path = tmp_path / "t.db"
    with a_writer(path) as writer:
        session = begin(writer)
        for seq, wire in enumerate(WIRES):
            writer.add(session, a_message(seq, wire, from_client=seq % 5 == 0))
        answer = a_message(len(WIRES), b'{"id": 1}')
        answer.role, answer.answers = Role.ANSWER, 5
        writer.add(session, answer)
        writer.add_event(session, Event(len(WIRES), 9000, True, EventKind.PING, b""))
        writer.add_event(session, Event(len(WIRES) + 3, 9000, False, EventKind.GAP, b"3 messages"))
        writer.add(session, a_message(len(WIRES) + 4, PUSH))
        writer.end_session(session, START_US + 10_000, End(EndKind.EOF, True))
    return path


@pytest.mark.parametrize("deep", [False, True])
def test_a_whole_store_has_no_damage(whole: Path, demo_store: Path, deep: bool) -> None:
    check = StoreCheck(str(whole), deep=deep)

    assert list(check.findings()) == []
    assert (check.checked.sessions, check.checked.messages) == (1, len(WIRES) + 2)
    assert damages(demo_store, deep=deep) == []


GZIP = b"(select id from codec where text like 'gzip%exact' limit 1)"
DAMAGE: dict[str, tuple[str, str]] = {
    "chunk": (
        "update chunk set data = zeroblob(90) where first_seq = 256",
        "session s1, messages 256 to 400: their chunk cannot be unpacked",
    ),
    "chunk's count": (
        "update chunk set count = count - 1 where first_seq = 0",
        "session s1, messages 0 to 254: their chunk holds 256 messages, not 255",
    ),
    "chunk gone": (
        "delete from chunk where first_seq = 256",
        "session s1, messages 256 to 400: their bytes are missing",
    ),
    "chunk twice": (
        "insert into chunk select session_id, 255, 1, settled, data from chunk where first_seq = 404",
        "session s1, message 255: two chunks hold their bytes",
    ),
    "row gone": ("delete from message where seq = 300", "session s1, message 300: 1 rows are missing"),
    "rows and chunk gone": (
        "delete from chunk where first_seq = 0; delete from message where seq < 256",
        "session s1, messages 0 to 255: missing, and no gap says so",
    ),
    "gap gone": (
        "update event set kind = 'pong' where kind = 'gap'",
        "session s1, messages 401 to 403: missing, and no gap says so",
    ),
    "role": ("update message set role = 77 where seq = 7", "session s1, message 7: its role cannot be"),
    "type": ("update message set at_us = 'noon' where seq = 7", "session s1, message 7: its at_us cannot be"),
    "time": (
        "update message set at_us = 1 where seq = 7",
        "session s1, message 7: its time, 1 us, is before the time of a message before it",
    ),
    "length": (
        "update message set wire_bytes = 3 where seq = 0",
        "session s1, message 0: it had 3 bytes on the wire and has 72 now",
    ),
    "name": (
        "update message set method_id = 99 where seq in (3, 4)",
        "session s1, messages 3 to 4: the name of the method of 2 of them is not in the store",
    ),
    "answered push": (
        "update message set answers = 6 where seq = 400",
        "session s1, message 400: it answers message 6, which is no earlier one of the client",
    ),
    "answer before call": (
        "update message set answers = 395 where seq = 8",
        "session s1, message 8: it answers message 395, which is no earlier one of the client",
    ),
    "codec": (
        "delete from codec where text like 'zlib exact'",
        "its codec, number ",
    ),
    "codec's text": ("update codec set text = 'rot13' where id = 1", "store: codec 1 cannot be read"),
    "counter": (
        "update session set pushes = pushes + 1",
        "session s1: its pushes is 322, and what is there makes 321",
    ),
    "headers": ("update session set request_headers = '{'", "session s1: its request headers cannot be read"),
    "end": ("update session set end_kind = 'bang'", "session s1: its end_kind cannot be"),
    "upstream": ("delete from upstream", "store: 1 rows of session refer to a upstream that is not there"),
    "session": ("delete from session", "rows of message refer to a session that is not there"),
    "event's place": (
        "update event set after_seq = 5000 where kind = 'ping'",
        "session s1: its event 0 follows message 5000, which cannot be",
    ),
    "event gone": ("delete from event where ordinal = 0", "session s1: its events 0 to 0 are missing"),
    "event's kind": (
        "update event set kind = 'sneeze' where ordinal = 0",
        "session s1: its event 0 has a kind",
    ),
    "key": ("delete from meta where key = 'redaction_key'", "store: its redaction key is missing"),
    "rules": (
        "update recording set redaction_rules = '[1]'",
        "store: the redaction rules of recording 'tuesday' cannot be read",
    ),
}


@pytest.mark.parametrize(("statements", "sentence"), DAMAGE.values(), ids=DAMAGE)
def test_each_kind_of_damage_is_told_with_its_place(whole: Path, statements: str, sentence: str) -> None:
    for statement in statements.split("; "):
        query(whole, statement)
    before = whole.read_bytes()

    found = damages(whole)

    assert [each for each in found if sentence in each] != [], found
    assert whole.read_bytes() == before


def test_what_was_pruned_is_not_counted(whole: Path) -> None:
    with Pruner(str(whole), now_us=2 * START_US) as pruner:
        pruner.run(PruneRules(older_than_us=0))
    check = StoreCheck(str(whole))
    assert list(check.findings()) == []
    assert (check.checked.sessions, check.checked.messages) == (0, 0)
    saved = repair_store(str(whole), str(whole.with_name("new.db")))
    assert (saved.recordings, saved.sessions, saved.nothing_saved) == (0, [], False)


def test_a_length_that_only_packing_tells_is_found_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    a_store(path, [gzip.compress(b'{"n": %d}' % number, mtime=0) for number in range(20)])
    query(path, "update message set wire_bytes = wire_bytes + 1 where seq = 7")
    query(path, "update session set wire_bytes = wire_bytes + 1")

    assert damages(path) == []
    assert damages(path, deep=True) == ["session s1, message 7: it had 29 bytes on the wire and has 28 now"]


def test_a_session_with_much_damage_is_told_in_few_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    a_store(path, [PUSH] * 500)
    query(path, "update message set role = 77")

    found = damages(path)

    assert len(found) == SHOWN_OF_A_SESSION + 1
    assert found[-1] == "session s1: 480 more findings of this kind"


def test_what_is_unfinished_is_told_and_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    writer = a_writer(path, process=DEAD)
    session = begin(writer)
    writer.add(session, a_message(0))
    writer.commit()
    writer.add(session, a_message(1))
    writer.commit()
    ended = writer.begin_session(1, START_US, HANDSHAKE)
    writer.add(ended, a_message(0))
    writer.end_session(ended, START_US, End(EndKind.EOF))
    writer._settler.step = lambda: False  # type: ignore[method-assign]
    writer.commit()
    writer.abandon()

    assert damages(path) == []
    assert notes(path) == [
        "session s1: its recorder ended before it did; the next one will write that down",
        "session s2: 1 chunks of it are not settled yet; the next recorder will",
    ]


def test_a_recorder_that_writes_meanwhile_raises_no_alarm(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    clock = Clock()
    with a_writer(path, clock) as writer:
        upstream = writer.begin_recording("live", [HOTBIT]).upstreams[0].id
        sessions = [writer.begin_session(upstream, START_US, HANDSHAKE) for _ in range(4)]
        seqs = dict.fromkeys(sessions, 0)

        def record(count: int) -> None:
            for session in sessions:
                for _ in range(count):
                    writer.add(session, a_message(seqs[session], WIRES[seqs[session] % len(WIRES)]))
                    seqs[session] += 1
            writer.commit()
            while writer.settle():
                pass

        record(300)
        for round_number in range(4):
            check = StoreCheck(str(path), deep=round_number == 0)
            # Between any two sessions, much is written and settled.
            found = [str(each) for each in check.findings(lambda _: record(90))]
            assert found == []
            assert check.checked.messages >= sum(seqs.values()) - 4 * 4 * 90


def test_discarded_messages_are_a_gap_and_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with a_writer(path) as writer:
        session = begin(writer)
        call = decode(b"call")
        writer.add(session, a_message(0))
        writer.commit()
        writer.add(session, NewMessage(1, True, Opcode.TEXT, 20, b"call", call, Role.CALL, "m"))
        assert writer.discard() == 1
        answer = a_message(2)
        answer.role, answer.answers = Role.ANSWER, 1
        writer.add(session, answer)
        writer.commit()
        writer.add(session, a_message(3))
        writer.discard()

    assert damages(path) == []


def test_a_log_that_is_damaged_in_the_middle_is_told_and_left_alone(tmp_path: Path) -> None:
    path, copy = tmp_path / "t.db", tmp_path / "copy.db"
    writer = a_writer(path)
    session = begin(writer)
    for seq in range(20):
        writer.add(session, a_message(seq, os.urandom(3000)))
        writer.commit()
    copy.write_bytes(path.read_bytes())
    log = bytearray(log_path(path).read_bytes())
    writer.close()
    log[32 + 10 * (24 + 8192) + 5000] ^= 1
    log_path(copy).write_bytes(log)

    (found,) = damages(copy)

    assert found.startswith("store: its log is damaged at frame 11, and ")
    assert found.endswith("commits behind that would be lost on opening it; save them with --repair")
    assert log_path(copy).read_bytes() == log


@pytest.mark.parametrize("refusal", [Refusal.NEWER, Refusal.FOREIGN])
def test_a_store_of_somebody_else_is_no_damage_but_refused(tmp_path: Path, refusal: Refusal) -> None:
    path = tmp_path / "t.db"
    a_store(path, [PUSH])
    query(path, "pragma user_version = 77" if refusal is Refusal.NEWER else "pragma application_id = 5")

    with pytest.raises(RefusedStoreError) as caught:
        damages(path)

    assert caught.value.refusal is refusal


def test_a_store_without_a_table_is_damaged(whole: Path) -> None:
    query(whole, "drop table event")

    assert damages(whole) == ["store: it cannot be opened: damaged: it has no table event"]
