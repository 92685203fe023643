"""
Messages as lines: CSV for spreadsheets, JSON lines for scripts.

Only CSV changes what it holds: a text that a spreadsheet would take for a formula gets an apostrophe
before it, because what an upstream sent must not be run by whoever looks at it.
"""

import base64
import csv
import io
from typing import Any, BinaryIO

from wiretape_store.exports.rows import Row, rows
from wiretape_store.message_objects import json_bytes, message_object, time_text
from wiretape_store.reader import StoreReader

COLUMNS = (
    "recording",
    "session",
    "upstream",
    "seq",
    "at",
    "at_us",
    "from_client",
    "opcode",
    "codec",
    "role",
    "method",
    "answers",
    "stream",
    "wire_bytes",
    "payload",
    "payload_base64",
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""OWASP, CSV injection; the last four are the same signs in full width, which some programs read alike."""
_AT_ONCE_CHARS = 1 << 20


def write_csv(reader: StoreReader, what: str, file: BinaryIO) -> None:
    """
    Write the messages of a recording or a session as CSV (RFC 4180), in UTF-8, with a header line.

    Raises UnknownRecordingError.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for row in rows(reader, what):
        writer.writerow(_cells(row))
        if buffer.tell() > _AT_ONCE_CHARS:
            _flush(buffer, file)
    _flush(buffer, file)


def write_jsonl(reader: StoreReader, what: str, file: BinaryIO) -> None:
    """
    Write the messages of a recording or a session as JSON, one object a line.

    Each is what `wiretape show --json` prints, after the names of its recording, session and upstream.
    Raises UnknownRecordingError.
    """
    file.writelines(json_bytes(_object(row)) + b"\n" for row in rows(reader, what))


def _object(row: Row) -> dict[str, Any]:
    session, message = row
    place: dict[str, Any] = {
        "recording": session.recording,
        "session": session.id,
        "upstream": session.upstream.name,
        "at": time_text(row.at_us),
    }
    return place | message_object(message) | {"wire_bytes": len(message.wire)}


def _cells(row: Row) -> list[str | int | None]:
    session, message = row
    text = row.text
    if text is not None and "\0" in text:
        # No program that reads CSV agrees with another on a NUL.
        text = None
    return [
        _inert(session.recording),
        session.id,
        _inert(session.upstream.name),
        message.seq,
        time_text(row.at_us),
        message.at_us,
        "true" if message.from_client else "false",
        message.opcode.name.lower(),
        message.codec.kind.value,
        message.role.name.lower(),
        _inert(message.method),
        message.answers,
        _inert(message.stream),
        len(message.wire),
        None if text is None else _inert(text),
        None if text is not None else base64.b64encode(message.payload).decode(),
    ]


def _inert(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return "'" + text if text.startswith(_FORMULA_STARTS) else text


def _flush(buffer: io.StringIO, file: BinaryIO) -> None:
    file.write(buffer.getvalue().encode("utf-8", "backslashreplace"))
    buffer.seek(0)
    buffer.truncate()
