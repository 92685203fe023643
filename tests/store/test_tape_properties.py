"""Whatever was recorded comes back from a tape, and whatever is done to a tape gets a sentence."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from store_builders import PUSH, START_US, a_writer, packed
from tape_builders import a_message, a_recording, a_session, exported, stored

from wiretape_protocols import Codec, CodecKind, Decoded, Opcode, WiretapeError, encode
from wiretape_store import (
    End,
    EndKind,
    Event,
    EventKind,
    Handshake,
    IncomingMessage,
    IncomingRecording,
    IncomingSession,
    StoreReader,
    StoreWriter,
    import_recording,
)
from wiretape_store.importing import target_fault
from wiretape_store.tapes import TapeError, read_tape

AUTH = b'{"method": "server.auth", "params": ["hunter2hunter2", "web"], "id": 9}'
PAYLOADS = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=40).map(str.encode),
    st.sampled_from(
        [
            PUSH,
            AUTH,
            b'{"a": 123456789012345678901234567890, "b": 1.0000000000000001e0, "a":[1 ,2]}',
            b'{"a": NaN}',
            b'{"a": 1}\n',
            b'\t{"a": 1}',
            b'{"a":\r\n1}',
            '{"a": "\u2028\x7f"}'.encode(),
            '["\u202e", "\U0001f600"]'.encode(),
            b'{"a": "\\ud800"}',
            b'["\xff"]',
            b"[" * 200 + b"]" * 200,
            b'{"json": {"json": 1}, "end": "closed"}',
            b"",
            b"5",
            b'"text"',
        ]
    ),
)
# Neighbouring halves of a pair are one character to JSON, which keeps header fields in a store.
TEXTS = st.text(max_size=12)
NAMES = st.text("abcXYZ-_0189!é", min_size=1, max_size=8)
VALUES = TEXTS.filter(lambda text: not any(char in text for char in "\r\n\0"))
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=3).map(tuple)
TIMES = st.integers(0, 50)


@st.composite
def wires(draw: st.DrawFn) -> tuple[bytes, Decoded | None]:
    """A message as it was on the wire: proven, to be proven, or beyond proof."""
    payload = draw(PAYLOADS)
    codec = draw(st.from_type(Codec))
    how = draw(st.sampled_from(["codec", *packed(b"")]))
    if how == "codec":
        return encode(payload, codec), Decoded(payload, replace(codec, exact=True))
    return packed(payload)[how], None


@st.composite
def items(draw: st.DrawFn) -> list[IncomingMessage | Event]:
    """What happens in a session, at times that do not go back."""
    made: list[IncomingMessage | Event] = []
    at_us = 0
    for is_message in draw(st.lists(st.booleans(), max_size=6)):
        at_us += draw(TIMES)
        from_client = draw(st.booleans())
        if is_message:
            wire, decoded = draw(wires())
            opcode = draw(st.sampled_from([Opcode.TEXT, Opcode.BINARY]))
            made.append(IncomingMessage(from_client, opcode, at_us, wire, decoded, draw(st.booleans())))
        else:
            data = draw(st.binary(max_size=10))
            made.append(Event(-1, at_us, from_client, draw(st.sampled_from(EventKind)), data))
    return made


ENDS = st.builds(
    End,
    st.sampled_from([kind for kind in EndKind if kind is not EndKind.OPEN]),
    st.none() | st.booleans(),
    st.none() | st.integers(0, 0xFFFF),
    st.none() | TEXTS,
)
RULES = st.sampled_from(
    ["member:server.auth:/params/1", "header:X-Account", "regex:acct-[0-9]+", "env:NOT_SET"]
)
TARGETS = TEXTS.filter(lambda text: target_fault(text) is None)
HANDSHAKES = st.builds(
    Handshake,
    TARGETS,
    HEADERS,
    st.none() | st.integers(100, 999),
    HEADERS,
    st.binary(max_size=20),
)


@st.composite
def recordings(draw: st.DrawFn) -> IncomingRecording:
    """A recording of some sessions with either upstream."""
    sessions = []
    for happened in draw(st.lists(items(), max_size=3)):
        ended_at_us = START_US + (happened[-1].at_us if happened else 0) + draw(TIMES)
        upstream = draw(st.sampled_from(["hotbit", "feed"]))
        handshake = draw(HANDSHAKES)
        if any(isinstance(item, IncomingMessage) for item in happened):
            handshake = replace(handshake, status=101)
        sessions.append(IncomingSession(upstream, START_US, handshake, happened, ended_at_us, draw(ENDS)))
    return a_recording(*sessions, rules=tuple(draw(st.lists(RULES, max_size=2))))


def told(store: Path) -> list[Any]:
    """All that a store says of its one recording, but for what only its own numbers and sizes are."""
    with StoreReader(str(store)) as reader:
        (recording,) = reader.recordings()
        upstreams = [replace(upstream, id=0) for upstream in recording.upstreams]
        facts: list[Any] = [replace(recording, id="", upstreams=tuple(upstreams))]
        for session in reader.sessions():
            upstream = replace(session.upstream, id=0)
            facts.append(replace(session, upstream=upstream, wire_bytes=0))
            facts += [
                (replace(message, kept_wire=None), message.wire) for message in reader.messages(session.id)
            ]
            facts += reader.events(session.id)
        return facts


@contextmanager
def a_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@given(recordings())
@settings(max_examples=60)
def test_what_was_recorded_comes_back_from_a_tape(incoming: IncomingRecording) -> None:
    with a_folder() as folder:
        first = stored(folder / "first.db", incoming)
        tape = folder / "a.tape"
        tape.write_bytes(exported(first))

        second = stored(folder / "second.db", read_tape(tape))

        assert told(second) == told(first)
        assert exported(second) == tape.read_bytes()


def _some_tape() -> bytes:
    wire = packed(PUSH)
    happened: list[IncomingMessage | Event] = [
        a_message(PUSH, 1, from_client=True),
        a_message(wire["gzip"], 2),
        Event(-1, 2, True, EventKind.PING, b"\xff"),
        a_message(wire["gzip-of-stored-blocks"], 3),
        a_message(AUTH, 4, from_client=True),
        a_message(b"\xff\x00", 5),
        Event(-1, 6, True, EventKind.CLOSE, b"\x03\xe8bye"),
    ]
    with a_folder() as folder:
        sessions = (a_session(happened), a_session(happened[:1], upstream="feed"))
        return exported(stored(folder / "a.db", a_recording(*sessions)))


TAPE = _some_tape()
PLACES = st.integers(0, len(TAPE))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A tape to which something was done."""
    tape = TAPE
    for _ in range(draw(st.integers(1, 3))):
        match draw(st.sampled_from(["byte", "cut", "double", "insert", "lines", "number"])):
            case "byte":
                at = draw(PLACES)
                tape = tape[:at] + draw(st.binary(min_size=1, max_size=1)) + tape[at + 1 :]
            case "cut":
                start, stop = sorted((draw(PLACES), draw(PLACES)))
                tape = tape[:start] + tape[stop:]
            case "double":
                start, stop = sorted((draw(PLACES), draw(PLACES)))
                tape = tape[:stop] + tape[start:]
            case "insert":
                at = draw(PLACES)
                given_text = st.sampled_from(
                    [b"[" * 100_000, b"null", b'"', b"9" * 5000, b"NaN", b"\n", b"\\ud800"]
                )
                tape = tape[:at] + draw(given_text) + tape[at:]
            case "lines":
                tape = b"".join(draw(st.permutations(tape.splitlines(keepends=True))))
            case "number":
                tape = tape.replace(
                    draw(st.sampled_from([b"1", b"true", b"5", b'"/"', b"1000"])), b"-70000", 1
                )
    return tape


def refusal(writer: StoreWriter, tape: Path, name: str) -> WiretapeError | None:
    """What importing a tape says; None when it is imported."""
    try:
        import_recording(writer, read_tape(tape), name)
    except WiretapeError as exc:
        return exc
    return None


@given(st.lists(mutated(), min_size=20, max_size=20))
@settings(max_examples=15)
def test_a_damaged_tape_is_imported_or_refused_with_its_line(tapes: list[bytes]) -> None:
    with a_folder() as folder, a_writer(folder / "a.db") as writer:
        kept = 0
        for number, text in enumerate(tapes):
            tape = folder / "a.tape"
            tape.write_bytes(text)
            error = refusal(writer, tape, f"recording {number}")
            if error is None:
                kept += 1
                continue
            assert isinstance(error, TapeError)
            assert error.line is not None or text.strip() == b""
            assert str(tape) in str(error)
            assert "\n" not in str(error)
        with StoreReader(str(folder / "a.db")) as reader:
            assert len(reader.recordings()) == kept


def test_the_tape_that_is_damaged_above_is_whole() -> None:
    with a_folder() as folder:
        tape = folder / "a.tape"
        tape.write_bytes(TAPE)

        assert len(told(stored(folder / "a.db", read_tape(tape)))) == 1 + 2 + 6 + 2
        assert b"hunter2" not in TAPE
        assert any(codec.value.encode() in TAPE for codec in (CodecKind.GZIP,))
