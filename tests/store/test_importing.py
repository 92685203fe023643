"""An import is whole or not there, whatever becomes of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from store_builders import DEAD, HANDSHAKE, HOTBIT, PUSH, START_US, a_writer, query, read

from wiretape_protocols import Opcode
from wiretape_store import (
    End,
    EndKind,
    IncomingMessage,
    IncomingRecording,
    IncomingSession,
    StoreReader,
    import_recording,
)
from wiretape_store.checking.store_check import StoreCheck
from wiretape_store.upkeep.pruning import Pruner, PruneRules


class KilledError(BaseException):
    pass


def a_session() -> IncomingSession:
    messages = [IncomingMessage(from_client=False, opcode=Opcode.TEXT, at_us=1, wire=PUSH)] * 300
    return IncomingSession("hotbit", START_US, HANDSHAKE, messages, START_US + 10, End(EndKind.EOF))


def names(store: str) -> list[str]:
    with StoreReader(store) as reader:
        assert len(reader.sessions()) == sum(len(reader.sessions(each.id)) for each in reader.recordings())
        return [each.name for each in reader.recordings()]


def begin_and_die(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Import a session of two, as a process that is gone."""
    writer = a_writer(Path(store), process=DEAD)

    def sessions() -> Iterator[IncomingSession]:
        yield a_session()
        writer.commit()
        assert names(store) == []
        raise KilledError

    monkeypatch.setattr(writer, "drop_recording", lambda _: writer.abandon())
    with pytest.raises(KilledError):
        import_recording(writer, IncomingRecording("theirs", START_US, START_US + 10, (HOTBIT,), sessions()))


def test_an_import_that_was_killed_is_not_there_and_leaves_its_name_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = str(tmp_path / "a.db")
    begin_and_die(store, monkeypatch)

    assert names(store) == []
    assert list(StoreCheck(store).findings()) == []
    with a_writer(Path(store)) as writer:
        again = IncomingRecording("theirs", START_US, START_US + 10, (HOTBIT,), [a_session()])
        recording = import_recording(writer, again)
    assert names(store) == ["theirs"]
    with StoreReader(store) as reader:
        (session,) = reader.sessions(recording.id)
    assert [message.payload for message in read(Path(store), session.id)] == [PUSH] * 300
    assert list(StoreCheck(store).findings()) == []


def test_what_a_killed_import_has_left_goes_with_the_next_prune(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = str(tmp_path / "a.db")
    begin_and_die(store, monkeypatch)
    a_writer(Path(store)).close()
    assert query(Path(store), "select count(*) from message") == [(300,)]

    with Pruner(store, now_us=START_US) as pruner:
        pruner.run(PruneRules(older_than_us=10**15))

    assert query(Path(store), "select count(*) from message") == [(0,)]
