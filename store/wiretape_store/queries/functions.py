"""
The functions that queries of a SQLite store may use: payload(), json() and regexp.

What a function raises never gets through SQLite; it is kept in `failure` for whoever ran the query.
"""

import math
import re
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from wiretape_protocols import decode
from wiretape_store.chunks import RAW, ChunkError, Entry, Packer
from wiretape_store.errors import Refusal, RefusedStoreError
from wiretape_store.queries.errors import QueryError
from wiretape_store.queries.json_pointer import MISSING, Missing, Number, Pointer, Value
from wiretape_store.recorder_process import RecorderProcess

FUNCTIONS = {
    "payload(message)": (
        "The decoded payload of a message such as `s1/34`: text, or a blob where it is not UTF-8. "
        "NULL for NULL and for a message that is not there."
    ),
    "json(message, pointer)": (
        "The value at a JSON pointer (RFC 6901) such as `/params/0` in a message's payload. "
        "Strings are text, true and false are 1 and 0, null is NULL, objects and arrays are their exact text. "
        "Numbers are INTEGER or REAL where those hold all their digits, otherwise text as it is spelled: an integer "
        "beyond 64 bits, a price of 20 digits. NULL where there is no such value."
    ),
    "text REGEXP pattern": (
        "1 if Python's `re.search` finds the pattern in the text; also as `regexp(pattern, text)`. NULL for NULL."
    ),
}
"""What each does, for the documentation."""

CACHE_BYTES = 32 * 1024 * 1024
"""So many unpacked bytes are kept, and one chunk at least."""

_CHUNK = (
    "select first_seq, count, data from chunk where session_id = ? and first_seq <= ? "
    "order by first_seq desc limit 1"
)
_HANDLE = re.compile(r"s([0-9]{1,18})/([0-9]{1,18})")
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_ZERO = re.compile(r"-?[0.]+(?:[eE].*)?")
_SHORT_DIGITS = 15
"""A number of so many characters is the same after a float (IEEE 754 binary64)."""


class Functions:
    """The functions of one connection; scanning messages in order unpacks each chunk once."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        """Make the functions known to `connection`, which reads the store at `path`."""
        self.failure: BaseException | None = None
        """What the last function to fail raised."""
        self._connection = connection
        self._path = path
        self._packer = Packer()
        self._chunks: OrderedDict[tuple[int, int], list[Entry]] = OrderedDict()
        self._kept_bytes = 0
        self._session, self._first = -1, 0
        """Where the chunk of the last message begins, and its entries."""
        self._entries: list[Entry] = []
        for name, count, function in (
            ("payload", 1, self._payload),
            ("json", 2, self._json),
            ("regexp", 2, _regexp),
            ("recorder_lives", 3, _recorder_lives),
        ):
            connection.create_function(name, count, self._kept(function), deterministic=True)

    def _kept(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except BaseException as exc:
                self.failure = exc
                raise

        return guarded

    def _payload(self, message: Any) -> str | bytes | None:
        payload = self._bytes_of("payload", message)
        if payload is None:
            return None
        try:
            return payload.decode()
        except UnicodeDecodeError:
            return payload

    def _json(self, message: Any, pointer: Any) -> str | bytes | float | None:
        if not isinstance(pointer, str):
            raise QueryError(
                f"json() was given the pointer {pointer!r}", "write it as text, like '/params/0'"
            )
        where = _pointer(pointer)
        payload = self._bytes_of("json", message)
        return None if payload is None else sql_value(where.value(payload))

    def _bytes_of(self, function: str, message: Any) -> bytes | None:
        """Find a message's payload; None where there is none."""
        if message is None:
            return None
        handle = _HANDLE.fullmatch(message) if isinstance(message, str) else None
        if handle is None:
            what = f"{function}() was given {message!r:.60}, which is no message"
            raise QueryError(what, "give it the column message, or text such as 's1/34'")
        session, seq = int(handle[1]), int(handle[2])
        if session != self._session or not 0 <= seq - self._first < len(self._entries):
            self._move_to(session, seq)
            if not 0 <= seq - self._first < len(self._entries):
                return None
        codec_id, data = self._entries[seq - self._first]
        return decode(data).payload if codec_id == RAW else data

    def _move_to(self, session: int, seq: int) -> None:
        """Make the chunk that covers a message, or would, the one of the last message."""
        for (kept_session, first), entries in self._chunks.items():
            if kept_session == session and first <= seq < first + len(entries):
                self._session, self._first, self._entries = session, first, entries
                self._chunks.move_to_end((session, first))
                return
        row = self._connection.execute(_CHUNK, (session, seq)).fetchone()
        if row is None:
            self._session, self._entries = -1, []
            return
        first, count, data = row
        self._session, self._first = session, first
        self._entries = self._unpacked(session, first, count, data)
        self._keep((session, first), self._entries)

    def _unpacked(self, session: int, first: int, count: int, data: bytes) -> list[Entry]:
        try:
            entries = self._packer.unpack(data)
        except ChunkError as exc:
            raise self._damaged(session, first, str(exc)) from exc
        if len(entries) != count:
            raise self._damaged(session, first, f"it holds {len(entries)} messages, not {count}")
        return entries

    def _keep(self, key: tuple[int, int], entries: list[Entry]) -> None:
        self._chunks[key] = entries
        self._kept_bytes += sum(len(data) for _, data in entries)
        while self._kept_bytes > CACHE_BYTES and len(self._chunks) > 1:
            _, dropped = self._chunks.popitem(last=False)
            self._kept_bytes -= sum(len(data) for _, data in dropped)

    def _damaged(self, session: int, seq: int, what: str) -> RefusedStoreError:
        where = f"the chunk of session s{session} at message {seq} is damaged: {what}"
        advice = "leave its messages out of the query, or see 'wiretape check'"
        return RefusedStoreError(self._path, Refusal.DAMAGED, where, advice)


def sql_value(value: Value | Missing) -> str | bytes | float | None:
    """A JSON value as SQL has it; nothing of it is lost but the difference of 1 and true."""
    if value is MISSING or value is None:
        return None
    if isinstance(value, Number):
        return sql_number(str(value))
    if not isinstance(value, str):
        return int(value is True)
    try:
        value.encode()
    except UnicodeEncodeError:  # A lone surrogate, which no text in a database can hold.
        return value.encode("utf-8", "surrogatepass")
    return value


def sql_number(text: str) -> str | float:
    """A number as an integer or a float where that keeps all its digits, otherwise its spelling."""
    if _INTEGER.fullmatch(text):
        whole = int(text)
        return whole if -(2**63) <= whole < 2**63 else text
    if text.lstrip("-").isdigit():
        return text
    real = float(text)
    if real == 0 or math.isinf(real):
        return real if _ZERO.fullmatch(text) else text
    if len(text) <= _SHORT_DIGITS and "e" not in text.lower():
        return real
    # repr() gives the shortest digits that lead to the same float; what is more than those is lost.
    return real if Decimal(repr(real)) == Decimal(text) else text


@lru_cache(maxsize=256)
def _pointer(text: str) -> Pointer:
    return Pointer(text)


@lru_cache(maxsize=256)
def _compiled[Text: (str, bytes)](pattern: Text) -> re.Pattern[Text]:
    try:
        return re.compile(pattern)
    except (re.error, ValueError, RecursionError, OverflowError) as exc:
        raise QueryError(
            f"{pattern!r} is not a regular expression ({exc})", "see Python's re for how to write it"
        ) from exc


def _regexp(pattern: Any, text: Any) -> int | None:
    if pattern is None or text is None:
        return None
    if not isinstance(pattern, str):
        raise QueryError(f"REGEXP was given the pattern {pattern!r:.60}", "write it as text")
    if isinstance(text, bytes):
        return int(_compiled(pattern.encode()).search(text) is not None)
    return int(_compiled(pattern).search(str(text)) is not None)


@lru_cache(maxsize=256)
def _recorder_lives(host: Any, pid: Any, born: Any) -> int:
    if (
        not isinstance(host, str)
        or not isinstance(pid, int)
        or not isinstance(born, str)
        or pid.bit_length() > 31
    ):
        what = f"recorder_lives() was given {host!r:.60}, {pid!r:.60} and {born!r:.60}, which is no process"
        raise QueryError(what, "ask the view sessions for end_kind")
    return int(RecorderProcess(host, pid, born).may_be_alive())
