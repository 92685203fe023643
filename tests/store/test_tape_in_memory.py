"""A tape read into memory says what a store says that it was imported into."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from store_builders import PUSH, START_US, a_writer, packed
from tape_builders import END, HEADER, SESSION, a_message, a_recording, a_session, exported, stored

from wiretape_protocols import Opcode
from wiretape_store import (
    Event,
    EventKind,
    IncomingMessage,
    Message,
    StoreReader,
    UnknownRecordingError,
    UnknownSessionError,
    import_recording,
)
from wiretape_store.memory_store import MemoryStore
from wiretape_store.tapes import TapeError, read_tape, tape_reader

TAPES = Path(__file__).parent.parent / "data" / "tapes"
VALID = sorted((TAPES / "valid").glob("*.tape"))
REFUSALS: dict[str, dict[str, Any]] = json.loads((TAPES / "invalid" / "refusals.json").read_text())


def imported(tape: Path, store: Path, environment: Mapping[str, str] | None = None) -> str:
    """A store with what is on a tape, packed for good."""
    with a_writer(store) as writer:
        import_recording(writer, read_tape(tape), environment=environment)
    return str(store)


def compared(tape: Path, folder: Path, environment: Mapping[str, str] | None = None) -> list[Message]:
    """All messages of a tape; whatever is read of it must be the same from memory and from a store."""
    memory = tape_reader(tape, environment)
    everything: list[Message] = []
    with StoreReader(imported(tape, folder / "imported.db", environment)) as reader:
        assert memory.recordings() == reader.recordings()
        (recording,) = reader.recordings()
        assert memory.redaction(recording.name) == reader.redaction(recording.name)
        assert memory.sessions() == reader.sessions()
        for session in reader.sessions():
            assert memory.session(session.id) == session
            assert memory.events(session.id) == reader.events(session.id)
            messages = list(memory.messages(session.id))
            assert messages == list(reader.messages(session.id))
            assert [each.wire for each in messages] == [each.wire for each in reader.messages(session.id)]
            everything += messages
    return everything


@pytest.mark.parametrize("tape", VALID, ids=[tape.stem for tape in VALID])
def test_every_valid_tape_is_the_same_from_memory_and_from_a_store(tape: Path, tmp_path: Path) -> None:
    compared(tape, tmp_path)


def test_the_demo_is_the_same_from_memory_and_from_a_store(demo_store: Path, tmp_path: Path) -> None:
    tape = tmp_path / "demo.tape"
    tape.write_bytes(exported(demo_store, "demo"))
    assert len(compared(tape, tmp_path)) > 20


def test_however_a_message_was_packed_it_is_the_same(tmp_path: Path) -> None:
    items: list[IncomingMessage | Event] = [a_message(wire) for wire in packed(PUSH).values()]
    items.append(Event(0, 1, True, EventKind.PING, b"ping"))
    items.append(replace(a_message(b"plain", 5), opcode=Opcode.BINARY, deflated=True))
    store = stored(tmp_path / "a.db", a_recording(a_session(items), a_session([], upstream="feed")))
    tape = tmp_path / "a.tape"
    tape.write_bytes(exported(store))
    assert [each.wire for each in compared(tape, tmp_path)] == [*packed(PUSH).values(), b"plain"]


def test_secrets_become_the_same_tokens(tmp_path: Path) -> None:
    secret = json.dumps({"method": "server.auth", "params": ["alice", "k3y-of-alice", "web"], "id": 1})
    lines = [
        HEADER | {"redaction_rules": ["env:V", "regex:acct-[0-9]+"]},
        SESSION
        | {"request_headers": [["Authorization", "Bearer tok3n-of-alice"]], "target": "/?token=tok3n-77"},
        {"at_us": 1, "from": "client", "text": secret},
        {
            "at_us": 2,
            "from": "client",
            "text": '{"method": "order.query", "params": ["acct-17", "v4lue"], "id": 2}',
        },
        {"at_us": 3, "from": "upstream", "text": '{"error": null, "result": "k3y-of-alice", "id": 2}'},
        {"at_us": 4, "from": "upstream", "redacted": True, "text": "wt-token"},
        END,
    ]
    tape = tmp_path / "a.tape"
    tape.write_text("".join(json.dumps(line) + "\n" for line in lines))
    messages = compared(tape, tmp_path, {"V": "v4lue"})
    text = b"".join(each.payload for each in messages)
    assert not any(each in text for each in (b"k3y-of-alice", b"acct-17", b"v4lue"))
    assert [each.redacted for each in messages] == [True] * 4


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused_is_refused_in_the_same_words(name: str, tmp_path: Path) -> None:
    tape = TAPES / "invalid" / f"{name}.tape"
    with pytest.raises(TapeError) as by_import:
        imported(tape, tmp_path / "a.db")
    with pytest.raises(TapeError) as in_memory:
        tape_reader(tape)
    assert str(in_memory.value) == str(by_import.value)
    with pytest.raises(TapeError) as given:
        tape_reader(tape.read_bytes())
    assert (given.value.line, given.value.what) == (by_import.value.line, by_import.value.what)


def test_a_tape_may_be_given_as_a_path_a_text_or_bytes() -> None:
    path = VALID[0]
    readers = [tape_reader(path), tape_reader(path.read_text()), tape_reader(path.read_bytes())]
    assert [reader.recordings() for reader in readers] == [readers[0].recordings()] * 3
    assert [reader.path for reader in readers] == [str(path), "as it was given", "as it was given"]


def test_a_text_that_is_none_is_refused() -> None:
    with pytest.raises(TapeError, match="tape as it was given: it has half a surrogate pair"):
        tape_reader('{"wiretape": "\ud800"}')


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match=r"none\.tape: cannot be read"):
        tape_reader(tmp_path / "none.tape")


def a_reader() -> MemoryStore:
    lines = [
        HEADER,
        SESSION,
        {"at_us": 1, "from": "upstream", "text": "a"},
        {"at_us": 2, "from": "upstream", "text": "b"},
        END,
    ]
    lines += [SESSION, END, SESSION | {"session": "feed"}, END]
    return tape_reader("".join(json.dumps(line) + "\n" for line in lines))


def test_a_recording_and_its_sessions_are_found_as_in_a_store() -> None:
    with a_reader() as reader:
        every = [session.id for session in reader.sessions()]
        assert every == ["s1", "s2", "s3"]
        assert [(session.upstream.name, session.number) for session in reader.sessions()] == [
            ("hotbit", 0),
            ("hotbit", 1),
            ("feed", 0),
        ]
        for what in ("tuesday", "r1"):
            assert [session.id for session in reader.sessions(what)] == every
            assert reader.redaction(what).key == b""
        assert [session.id for session in reader.sessions("s2")] == ["s2"]
        assert reader.recording("tuesday").started_at_us == START_US


def test_what_is_not_there_is_named() -> None:
    reader = a_reader()
    with pytest.raises(UnknownRecordingError, match="no recording 'friday'; it holds tuesday"):
        reader.sessions("friday")
    for ask in (reader.session, reader.messages, reader.events):
        with pytest.raises(UnknownSessionError):
            ask("s4")


def test_messages_may_be_read_from_a_number_on() -> None:
    reader = a_reader()
    payloads = [[each.payload for each in reader.messages("s1", first)] for first in (-1, 0, 1, 2)]
    assert payloads == [[b"a", b"b"], [b"a", b"b"], [b"b"], []]


def test_an_edited_payload_is_packed_anew() -> None:
    wire = gzip.compress(b'{"price": 1}', 6, mtime=0)
    lines = [
        HEADER,
        SESSION,
        {"at_us": 1, "from": "upstream", "opcode": "binary", "codec": "gzip", "text": '{"price": 1}'},
        END,
    ]
    (message,) = tape_reader("".join(json.dumps(line) + "\n" for line in lines)).messages("s1")
    assert gzip.decompress(message.wire) == gzip.decompress(wire)
