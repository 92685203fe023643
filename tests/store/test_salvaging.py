"""What a repair saves of a damaged store: everything that is still there, and nothing that never was."""

import hashlib
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest
from store_builders import (
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

from wiretape_store import (
    EndKind,
    Event,
    EventKind,
    MissingStoreError,
    Refusal,
    RefusedStoreError,
    StoreError,
    StoreReader,
)
from wiretape_store.checking.findings import Severity
from wiretape_store.checking.store_check import StoreCheck
from wiretape_store.salvaging.salvage import Saved, repair_store
from wiretape_store.salvaging.sqlite_log import log_path

PAGE = 8192
TABLES = ("meta", "recording", "upstream", "session", "name", "codec", "message", "chunk", "event")
MESSAGES = 300
"""In each of the four sessions of `sample`."""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of two sessions each, in pages enough to lose some. Not to be written to."""
    path = tmp_path_factory.mktemp("sample") / "t.db"
    rng = random.Random(5)
    with a_writer(path) as writer:
        for number in range(2):
            recording = writer.begin_recording(f"take {number}", [HOTBIT, ONTOLOGY])
            for upstream in recording.upstreams:
                session = writer.begin_session(upstream.id, START_US, HANDSHAKE)
                for seq in range(MESSAGES):
                    text = b'{"method": "m", "params": ["%s"]}' % rng.randbytes(40).hex().encode()
                    wire = rng.choice(list(packed(text).values()))
                    writer.add(session, a_message(seq, wire, from_client=seq % 9 == 0))
                    if seq % 100 == 50:
                        writer.add_event(session, Event(seq, seq * 10, True, EventKind.PING, b"p"))
    return path


def everything(path: Path) -> dict[str, list[tuple[object, ...]]]:
    return {table: query(path, f"select * from {table} order by 1, 2") for table in TABLES}


def payloads(path: Path) -> dict[tuple[str, int], bytes]:
    """Every message of a store, by its session and number."""
    with StoreReader(str(path)) as reader:
        return {
            (session.id, message.seq): message.payload
            for session in reader.sessions()
            for message in reader.messages(session.id)
        }


def repaired(path: Path) -> Saved:
    """Repair into `new.db` beside it; the damaged file stays as it is, and the new one is whole."""
    new = path.with_name("new.db")
    before = path.read_bytes()
    saved = repair_store(str(path), str(new))
    assert path.read_bytes() == before
    assert saved.remaining == []
    check = StoreCheck(str(new), deep=True)
    assert [str(each) for each in check.findings() if each.severity is Severity.DAMAGE] == []
    return saved


def test_a_whole_store_is_repaired_to_itself(sample: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.db"

    saved = repair_store(str(sample), str(new))

    assert everything(new) == everything(sample)
    assert (saved.recordings, len(saved.sessions), saved.kept, saved.lost) == (2, 4, 4 * MESSAGES, 0)
    assert saved.losses == []
    assert [file.name for file in tmp_path.iterdir()] == ["new.db"]
    assert new.stat().st_mode & 0o777 == 0o600


def test_the_demo_is_repaired_to_itself(demo_store: Path, tmp_path: Path) -> None:
    repair_store(str(demo_store), str(tmp_path / "new.db"))

    assert everything(tmp_path / "new.db") == everything(demo_store)


def scribbled(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randrange(1, 4)):
        page = rng.randrange(len(data) // PAGE)
        data[page * PAGE : (page + 1) * PAGE] = rng.randbytes(PAGE)


def a_third_scribbled(data: bytearray, rng: random.Random) -> None:
    for page in rng.sample(range(len(data) // PAGE), len(data) // PAGE // 3):
        data[page * PAGE : (page + 1) * PAGE] = rng.randbytes(PAGE)


def spattered(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randrange(1, 20)):
        place, length = rng.randrange(len(data) - 100), rng.randrange(1, 100)
        data[place : place + length] = rng.randbytes(length)


def bits_flipped(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randrange(1, 300)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(20 * PAGE, len(data)) :]


def zeroed(data: bytearray, rng: random.Random) -> None:
    page = rng.randrange(len(data) // PAGE)
    data[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)


def headless(data: bytearray, rng: random.Random) -> None:
    data[:PAGE] = rng.randbytes(PAGE)


DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    scribbled,
    a_third_scribbled,
    spattered,
    bits_flipped,
    cut,
    zeroed,
    headless,
)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("harm", DAMAGES, ids=lambda harm: harm.__name__)
def test_whatever_is_damaged_is_told_and_the_rest_is_saved(
    sample: Path, tmp_path: Path, harm: Callable[[bytearray, random.Random], None], seed: int
) -> None:
    path = tmp_path / "t.db"
    data = bytearray(sample.read_bytes())
    harm(data, random.Random(seed * 1000 + crc32(harm.__name__.encode())))
    path.write_bytes(data)

    try:
        damages = [str(each) for each in StoreCheck(str(path)).findings()]
    except StoreError as error:
        damages = [str(error)]  # Its header says no more that it is a store.
    saved = repaired(path)

    original, after = payloads(sample), payloads(tmp_path / "new.db")
    assert path.read_bytes() == data
    assert damages != [] or saved.kept == len(original)
    # Bytes have checksums: what is saved is right, and under its own number.
    assert after.items() <= original.items()
    assert saved.kept == len(after)
    if harm in {scribbled, zeroed, headless}:
        assert saved.kept > len(original) * 0.6


def test_a_lost_first_page_costs_nothing(sample: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    data = sample.read_bytes()
    path.write_bytes(bytes(PAGE) + data[PAGE:])

    saved = repaired(path)

    assert everything(tmp_path / "new.db") == everything(sample)
    assert saved.lost == 0


@pytest.mark.parametrize(("pages", "is_nothing"), [(20, True), (30, False)])
def test_a_file_that_is_cut_off_is_said_to_be(
    sample: Path, tmp_path: Path, pages: int, is_nothing: bool
) -> None:
    path = tmp_path / "t.db"
    data = sample.read_bytes()
    path.write_bytes(data[: pages * PAGE])

    saved = repaired(path)

    of = len(data) // PAGE
    assert f"the file is cut off: {of - pages} of {of} pages are missing" in saved.losses
    assert (saved.lost, saved.nothing_saved) == (None, is_nothing)


def test_a_damaged_chunk_costs_its_own_messages_and_leaves_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    a_store(path, [b"%d" % number for number in range(700)])
    query(path, "update chunk set data = zeroblob(50) where first_seq = 256")

    saved = repaired(path)

    assert saved.sessions[0].losses == ["256 messages are lost: messages 256 to 511"]
    with StoreReader(str(tmp_path / "new.db")) as reader:
        seqs = [message.seq for message in reader.messages("s1")]
        (gap,) = reader.events("s1")
        session = reader.session("s1")
    assert seqs == [*range(256), *range(512, 700)]
    assert (gap.kind, gap.after_seq, gap.at_us) == (EventKind.GAP, 255, 2550)
    assert gap.data == b"256 messages are lost (messages 256 to 511): the store was damaged"
    assert session.messages_from_upstream == 444


LOSSES: dict[str, tuple[str, int, str]] = {
    "the last chunk": (
        "delete from chunk where first_seq = 512",
        512,
        "188 messages are lost: from message 512 on",
    ),
    "the last rows": (
        "delete from message where seq > 600",
        601,
        "99 messages are lost: from message 601 on",
    ),
    "rows and chunks at the end": (
        "delete from message where seq > 511; delete from chunk where first_seq = 512",
        512,
        "188 messages are lost: from message 512 on",
    ),
    "one row": ("delete from message where seq = 5", 699, "1 message is lost: message 5"),
    "the first chunk": (
        "delete from chunk where first_seq = 0",
        444,
        "256 messages are lost: messages 0 to 255",
    ),
    "a chunk's count": ("update chunk set count = 7 where first_seq = 0", 700, ""),
    "a length": (
        "update message set wire_bytes = 9999 where seq = 9",
        700,
        "the length of 1 messages was wrong",
    ),
    "method names": ("delete from name", 700, "700 messages lost the name of their method"),
    "a time": ("update message set at_us = 1 where seq = 300", 700, ""),
    "a call": ("update message set answers = 650 where seq = 3", 700, "1 answers lost the message"),
    "the end": ("update session set end_kind = 'bang'", 700, ""),
}


@pytest.mark.parametrize(("statements", "kept", "sentence"), LOSSES.values(), ids=LOSSES)
def test_each_loss_is_told(tmp_path: Path, statements: str, kept: int, sentence: str) -> None:
    path = tmp_path / "t.db"
    a_store(path, [b"%d" % number for number in range(700)])
    for statement in statements.split("; "):
        query(path, statement)

    saved = repaired(path)

    assert saved.kept == kept
    assert saved.lost == 700 - kept
    assert any(sentence in loss for loss in [*saved.sessions[0].losses, *([""] if not sentence else [])])


@pytest.mark.parametrize("table", ["session", "upstream", "recording"])
def test_messages_are_saved_when_what_they_belong_to_is_lost(
    sample: Path, tmp_path: Path, table: str
) -> None:
    path = tmp_path / "t.db"
    path.write_bytes(sample.read_bytes())
    query(path, f"delete from {table}")

    saved = repaired(path)

    assert payloads(tmp_path / "new.db") == payloads(sample)
    assert saved.losses != []
    with StoreReader(str(tmp_path / "new.db")) as reader:
        assert len(reader.sessions()) == 4
        assert reader.recordings()[0].name == ("repaired-r1" if table == "recording" else "take 0")


def test_rows_of_a_session_of_which_nothing_else_is_left_are_counted(sample: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    path.write_bytes(sample.read_bytes())
    query(path, "delete from session where id = 2")
    query(path, "delete from chunk where session_id = 2")

    saved = repaired(path)

    assert [each.id for each in saved.sessions] == ["s1", "s3", "s4"]
    assert saved.losses == [
        "300 messages of sessions of which nothing else is left",
        "3 events of sessions of which nothing else is left",
    ]


def test_a_lost_codec_is_guessed_and_never_called_exact(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    text = b" ".join(b"%d" % (number * number) for number in range(200))
    wires = [packed(b'{"n": %d, "t": "%s"}' % (number, text))["zlib-1"] for number in range(600)]
    a_store(path, wires)
    query(path, "delete from codec")

    saved = repaired(path)

    assert any("codecs were lost and are guessed" in loss for loss in saved.losses)
    with StoreReader(str(tmp_path / "new.db")) as reader:
        messages = list(reader.messages("s1"))
    assert [message.wire for message in messages] == wires
    assert not any(message.codec.exact for message in messages)


def test_a_lost_redaction_key_is_unknown_afterwards(sample: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    path.write_bytes(sample.read_bytes())
    query(path, "delete from meta")

    saved = repaired(path)

    assert any("redaction key" in loss for loss in saved.losses)
    assert query(tmp_path / "new.db", "select distinct redaction_key from recording") == [(b"",)]


def test_an_open_session_is_interrupted_in_the_new_store(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with a_writer(path) as writer:
        session = begin(writer)
        writer.add(session, a_message(0))
        writer.commit()

        repair_store(str(path), str(tmp_path / "new.db"))

    with StoreReader(str(tmp_path / "new.db")) as reader:
        assert reader.session("s1").end.kind is EndKind.INTERRUPTED
        assert [message.wire for message in reader.messages("s1")] == [PUSH]


def a_log(tmp_path: Path, commits: int) -> tuple[Path, bytearray]:
    """A store whose commits are all in its log, and that log."""
    path, copy = tmp_path / "live.db", tmp_path / "t.db"
    writer = a_writer(path)
    session = begin(writer)
    for seq in range(commits):
        writer.add(session, a_message(seq, hashlib.sha512(b"%d" % seq).digest() * 60))
        writer.commit()
    copy.write_bytes(path.read_bytes())
    log = bytearray(log_path(path).read_bytes())
    writer.close()
    return copy, log


def test_commits_in_the_log_are_saved(tmp_path: Path) -> None:
    path, log = a_log(tmp_path, 30)
    log_path(path).write_bytes(log)

    assert repaired(path).kept == 30
    assert log_path(path).read_bytes() == log


@pytest.mark.parametrize("seed", range(5))
def test_a_log_that_is_cut_costs_the_commits_behind_the_cut(tmp_path: Path, seed: int) -> None:
    path, log = a_log(tmp_path, 30)
    length = random.Random(seed).randrange(len(log) // 3, len(log))
    log_path(path).write_bytes(log[:length])

    kept = repaired(path).kept

    connection = sqlite3.connect(path)
    assert connection.execute("select count(*) from message").fetchone() == (kept,)
    connection.close()
    assert 0 < kept < 30


@pytest.mark.parametrize("seed", range(5))
def test_a_log_that_is_damaged_in_the_middle_costs_little_of_what_lies_behind(
    tmp_path: Path, seed: int
) -> None:
    path, log = a_log(tmp_path, 30)
    frame = random.Random(seed).randrange(8, len(log) // (PAGE + 24) - 8)
    start = 32 + frame * (PAGE + 24) + 24
    log[start : start + 500] = random.Random(seed).randbytes(500)
    log_path(path).write_bytes(log)

    saved = repaired(path)

    connection = sqlite3.connect(path)
    (by_sqlite,) = connection.execute("select count(*) from message").fetchone()
    connection.close()
    assert saved.kept > by_sqlite
    assert saved.kept >= 29


def test_a_store_of_an_older_version_is_saved_into_one_of_this(tmp_path: Path) -> None:
    golden = Path(__file__).parent.parent / "data" / "hello.db"

    saved = repair_store(str(golden), str(tmp_path / "new.db"))

    assert saved.kept == query(golden, "select count(*) from message")[0][0]
    assert saved.remaining == []


def test_what_is_no_store_of_ours_is_refused(tmp_path: Path) -> None:
    other, text, newer = tmp_path / "other.db", tmp_path / "text.db", tmp_path / "newer.db"
    query(other, "create table diary (day)")
    text.write_text("Dear diary, " * 2000)
    a_store(newer, [PUSH])
    query(newer, "pragma user_version = 77")
    reasons = {}

    for path in (other, text, newer):
        with pytest.raises(RefusedStoreError) as caught:
            repair_store(str(path), str(tmp_path / "new.db"))
        reasons[path.stem] = caught.value.refusal

    assert reasons == {"other": Refusal.FOREIGN, "text": Refusal.DAMAGED, "newer": Refusal.NEWER}
    assert not (tmp_path / "new.db").exists()


def test_nothing_is_overwritten(sample: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.db"
    taken.write_text("mine")

    with pytest.raises(StoreError, match="there is a file already; name another"):
        repair_store(str(sample), str(taken))
    with pytest.raises(StoreError, match="its folder does not exist"):
        repair_store(str(sample), str(tmp_path / "no" / "new.db"))
    with pytest.raises(MissingStoreError):
        repair_store(str(tmp_path / "missing.db"), str(tmp_path / "new.db"))

    assert taken.read_text() == "mine"
    assert [file.name for file in tmp_path.iterdir()] == ["taken.db"]


def test_a_store_on_postgresql_is_checked_and_saved_into_a_file(postgres_url: str, tmp_path: Path) -> None:
    a_store(postgres_url, [b'{"n": %d, "t": "\\ud800"}' % number for number in range(700)])
    whole = list(StoreCheck(postgres_url, deep=True).findings())
    query(postgres_url, r"update chunk set data = '\x00' where first_seq = 256")
    damaged = [str(each) for each in StoreCheck(postgres_url).findings()]

    saved = repair_store(postgres_url, str(tmp_path / "new.db"))

    assert whole == []
    assert damaged[0].startswith("session s1, messages 256 to 511: their chunk cannot be unpacked")
    assert len(damaged) == 1
    assert (saved.kept, saved.lost, saved.remaining) == (444, 256, [])
    with StoreReader(str(tmp_path / "new.db")) as reader:
        assert reader.message("s1", 699).payload == b'{"n": 699, "t": "\\ud800"}'
        assert reader.session("s1").upstream.url == HOTBIT.url
