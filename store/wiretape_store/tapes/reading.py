"""
Reading a tape, line by line: the whole of it is never in memory, and no line longer than the limit.

A tape is read twice: first for how its sessions end, which a store wants to know beforehand, then
for everything.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NoReturn

from wiretape_protocols import deflater_fingerprint
from wiretape_store.importing import IncomingMessage, IncomingRecording, IncomingSession, message_fault
from wiretape_store.records import End, EndKind, Event
from wiretape_store.tapes.errors import LineError, TapeError
from wiretape_store.tapes.parsing import (
    Header,
    Line,
    SessionEnd,
    SessionStart,
    parse_header,
    parse_line,
)

LINE_BYTES = 512 * 1024 * 1024
"""No line is longer; the recorder's longest message, 256 MiB, fits as base64."""
_LATEST_US = 253_402_300_799_999_999
# What stands for the end of a session that has none: it is refused before anybody sees this.
_NO_END = SessionEnd(0, End(EndKind.INTERRUPTED))


Tape = Path | str | bytes
"""A file, or what is in one."""


def read_tape(tape: Tape) -> IncomingRecording:
    """
    Read a tape, given by its path or as a text, for `import_recording`.

    Raises TapeError where the file or its first line cannot be read; the iterators of sessions and
    of their items raise it for the lines they come to.
    """
    with _opened(tape) as file:
        header = _Reader(tape_name(tape), file).header()
    note = _note(header)
    return IncomingRecording(
        name=header.recording,
        started_at_us=header.started_at_us,
        ended_at_us=header.ended_at_us,
        upstreams=header.upstreams,
        sessions=_sessions(tape),
        redaction_rules=header.redaction_rules,
        redaction_key=b"",
        notes=(note,) if note else (),
    )


def _note(header: Header) -> str:
    if header.zlib in ("", deflater_fingerprint()):
        return ""
    return (
        "its packed messages were made with another zlib: their payloads are right,"
        " their packed bytes may differ from the recorded ones"
    )


def _sessions(tape: Tape) -> Iterator[IncomingSession]:
    name = tape_name(tape)
    with _opened(tape) as file:
        ends = list(_ends(_Reader(name, file)))
    with _opened(tape) as file:
        reader = _Reader(name, file)
        names = {upstream.name for upstream in reader.header().upstreams}
        numbers = iter(ends)
        while (start := reader.next_line()) is not None:
            if not isinstance(start, SessionStart):
                reader.refuse("it belongs to no session; a session line comes first")
            if start.upstream not in names:
                reader.refuse(f"no upstream {start.upstream!r} in the first line's 'upstreams'")
            ending = next(numbers, _NO_END)
            ended_at_us = min(start.started_at_us + ending.at_us, _LATEST_US)
            items = _items(reader, start)
            yield IncomingSession(
                start.upstream, start.started_at_us, start.handshake, items, ended_at_us, ending.end
            )
            for _ in items:  # What the caller has left is checked all the same.
                pass


def _items(reader: "_Reader", start: SessionStart) -> Iterator[IncomingMessage | Event]:
    """Yield a session's lines up to its end."""
    latest_us, seq = 0, -1
    begun_at = reader.number
    fault = message_fault(start.handshake)
    while True:
        line = reader.next_line()
        if line is None or isinstance(line, SessionStart):
            reader.refuse(f"the session that begins in line {begun_at} has no end line before this")
        if line.at_us < latest_us:
            reader.refuse(f"member 'at_us' goes back, from {latest_us} to {line.at_us}")
        latest_us = line.at_us
        if isinstance(line, SessionEnd):
            return
        if isinstance(line, IncomingMessage):
            if fault is not None:
                reader.refuse(fault)
            seq += 1
            yield line
        else:
            yield replace(line, after_seq=seq)


def _ends(reader: "_Reader") -> Iterator[SessionEnd]:
    """Find the end lines, the nth of the nth session. Whatever is wrong is left to the second reading."""
    reader.next_text()
    while (text := reader.next_text()) is not None:
        if b'"end"' in text:
            try:
                line = parse_line(text)
            except LineError:
                return
            if isinstance(line, SessionEnd):
                yield line


class _Reader:
    """The lines of an open tape, and the number of the one that was read last."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self.number = 0
        self._name = name
        self._file = file

    def header(self) -> Header:
        """Read the first line."""
        text = self.next_text()
        if text is None:
            raise TapeError(self._name, None, "it is empty, not a tape")
        try:
            return parse_header(text)
        except LineError as exc:
            raise TapeError(self._name, self.number, str(exc)) from exc

    def next_line(self) -> Line | None:
        """Read the next line; None after the last."""
        text = self.next_text()
        if text is None:
            return None
        try:
            return parse_line(text)
        except LineError as exc:
            raise TapeError(self._name, self.number, str(exc)) from exc

    def next_text(self) -> bytes | None:
        """Take the next line that is not blank, without what ends it; None after the last."""
        while True:
            text = self._file.readline(LINE_BYTES + 1)
            self.number += 1
            if len(text) > LINE_BYTES:
                self.refuse(f"it is longer than {LINE_BYTES} bytes, which no message needs")
            if not text:
                return None
            if text.strip():
                return text.rstrip(b"\r\n")

    def refuse(self, what: str) -> NoReturn:
        """Refuse the line that was read last; after the last one, the end of the file."""
        raise TapeError(self._name, self.number, what)


def tape_name(tape: Tape) -> str:
    """What errors call a tape."""
    return str(tape) if isinstance(tape, Path) else "as it was given"


@contextmanager
def _opened(tape: Tape) -> Iterator[BinaryIO]:
    """Open a tape; whatever fails with the file is a TapeError."""
    if isinstance(tape, str):
        try:
            tape = tape.encode()
        except UnicodeEncodeError as exc:
            what = "it has half a surrogate pair, which is no text"
            raise TapeError(tape_name(tape), None, what) from exc
    try:
        with io.BytesIO(tape) if isinstance(tape, bytes) else tape.open("rb") as file:
            yield file
    except OSError as exc:
        raise TapeError(tape_name(tape), None, f"cannot be read ({exc.strerror})") from exc
