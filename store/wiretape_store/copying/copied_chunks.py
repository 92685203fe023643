"""Copying the messages of one session from store to store, some chunks at a time, each time durably."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, bindparam, func, select
from sqlalchemy.exc import NoResultFound

from wiretape_store.bulk import insert_rows
from wiretape_store.chunks import ChunkError, Entry, Packer
from wiretape_store.copying.copied_ids import CopiedCodecIds, CopiedNameIds
from wiretape_store.copying.presence import hold_target, messages_of_source
from wiretape_store.database import Database
from wiretape_store.errors import Refusal, RefusedStoreError
from wiretape_store.names import NameIds, Names, Renewal
from wiretape_store.schema import chunk, message

BATCH_BYTES = 4 * 1024 * 1024
"""Of chunks in one transaction, one chunk at least: so much is done again after a kill."""
_CHUNKS_AT_A_TIME = 64
_SETTLED, _COMPACTED = 1, 2
_SAVING = "'wiretape check --repair' saves the rest into a new store, which can be copied"

_COPIED = select(
    func.coalesce(func.max(chunk.c.first_seq + chunk.c.count), 0), func.coalesce(func.sum(chunk.c.count), 0)
)
"""Where to go on, and how many messages are there."""
_SEQ = bindparam("seq", type_=BigInteger)
_COVERING = (
    select(func.coalesce(func.max(chunk.c.first_seq), 0))
    .where(chunk.c.session_id == bindparam("session"), chunk.c.first_seq <= _SEQ)
    .scalar_subquery()
)
_NEXT = (
    select(chunk.c.first_seq, func.length(chunk.c.data).label("size"))
    .where(
        chunk.c.session_id == bindparam("session"),
        chunk.c.first_seq >= _COVERING,
        chunk.c.first_seq + chunk.c.count > _SEQ,
    )
    .order_by(chunk.c.first_seq)
    .limit(_CHUNKS_AT_A_TIME)
)
_CHUNKS = (
    select(chunk)
    .where(
        chunk.c.session_id == bindparam("session"),
        chunk.c.first_seq.between(bindparam("first"), bindparam("last")),
    )
    .order_by(chunk.c.first_seq)
)
_MESSAGES = (
    select(message)
    .where(
        message.c.session_id == bindparam("session"),
        message.c.seq.between(bindparam("first"), bindparam("last")),
    )
    .order_by(message.c.seq)
)


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is still to be copied of one chunk."""

    first_seq: int
    settled: int
    data: bytes | None
    """As it is stored; None where only a part of it is wanted."""
    entries: list[Entry]


class ChunkCopier:
    """Copies sessions' chunks and message rows between two databases; names and codecs get new numbers."""

    def __init__(self, source: Database, target: Database) -> None:
        self._source = source
        self._target = target
        self._packer = Packer()
        self._target_names = NameIds(target.connection)
        self._names = CopiedNameIds(Names(source.connection), self._target_names)
        self._codecs = CopiedCodecIds(source.connection, target.connection)
        self._renewal = Renewal(target.connection, self._target_names, self._names, self._codecs)

    def copy(self, session: int, target_session: int) -> Iterator[int]:
        """
        Copy what the target does not have yet of a session; yields how many messages each step copied.

        Raises StoreError where a prune has taken either of both, and where not all messages are there.
        """
        with self._target.transaction("looking what is copied", writes=False) as connection:
            query = _COPIED.where(chunk.c.session_id == target_session)
            seq, copied = (int(value) for value in connection.execute(query).one())
        while True:
            with self._source.transaction("reading what to copy", writes=False) as connection:
                pieces = self._read(connection, session, seq)
                if not pieces:
                    self._check_end(connection, session, copied)
                    return
                rows = self._rows(connection, session, pieces)
                self._write(target_session, pieces, rows)
            seq = pieces[-1].first_seq + len(pieces[-1].entries)
            copied += len(rows)
            yield len(rows)

    def _check_end(self, connection: Connection, session: int, copied: int) -> None:
        """What ends because it is being removed, or is damaged, must not pass for the end of the session."""
        messages = messages_of_source(connection, self._source.path, session)
        if copied != messages:
            what = f"session s{session} is damaged: it counts {messages} messages, and holds {copied}"
            raise RefusedStoreError(self._source.path, Refusal.DAMAGED, what, _SAVING)

    def _read(self, connection: Connection, session: int, seq: int) -> list[_Piece]:
        """Read the next chunks; the first may have begun before `seq`, if it was packed anew meanwhile."""
        found = connection.execute(_NEXT, {"session": session, "seq": seq}).all()
        if not found:
            return []
        last, size = found[0].first_seq, 0
        for row in found:
            size += row.size
            if size > BATCH_BYTES:
                break
            last = row.first_seq
        wanted = {"session": session, "first": found[0].first_seq, "last": last}
        return [self._piece(row, seq) for row in connection.execute(_CHUNKS, wanted)]

    def _piece(self, row: "Row[*tuple[Any, ...]]", seq: int) -> _Piece:
        session, first_seq, count, settled, data = row
        try:
            entries = self._packer.unpack(data)
        except ChunkError as exc:
            raise self._damaged(session, first_seq, str(exc)) from exc
        if len(entries) != count:
            raise self._damaged(session, first_seq, f"it holds {len(entries)} messages, not {count}")
        if first_seq >= seq:
            return _Piece(first_seq, settled, data, entries)
        return _Piece(seq, min(settled, _SETTLED), None, entries[seq - first_seq :])

    def _rows(
        self, connection: Connection, session: int, pieces: list[_Piece]
    ) -> "list[Row[*tuple[Any, ...]]]":
        first, end = pieces[0].first_seq, pieces[-1].first_seq + len(pieces[-1].entries)
        wanted = {"session": session, "first": first, "last": end - 1}
        rows = list(connection.execute(_MESSAGES, wanted).all())
        missing = sum(len(piece.entries) for piece in pieces) - len(rows)
        if missing:
            raise self._damaged(session, first, f"{missing} of its messages have no row")
        return rows

    def _write(self, session: int, pieces: list[_Piece], rows: "list[Row[*tuple[Any, ...]]]") -> None:
        try:
            with self._target.transaction("copying messages", writes=True) as connection:
                self._renewal.renew()
                hold_target(connection, self._target.path, session)
                chunks, taken = [], 0
                for piece in pieces:
                    its_rows = rows[taken : taken + len(piece.entries)]
                    taken += len(piece.entries)
                    data = self._data(session, piece, its_rows)
                    chunks.append((session, piece.first_seq, len(piece.entries), piece.settled, data))
                insert_rows(connection, message, [self._message(session, row) for row in rows])
                insert_rows(connection, chunk, chunks)
        except BaseException:
            self._target_names.clear()
            self._names.clear()
            self._codecs.clear()
            raise

    def _data(self, session: int, piece: _Piece, rows: "list[Row[*tuple[Any, ...]]]") -> bytes:
        """Pack a chunk with the target's codec ids; its own bytes will do where those are the same."""
        try:
            ids = {codec: self._codecs[codec] for codec in {codec for codec, _ in piece.entries}}
        except NoResultFound as exc:
            raise self._damaged(session, piece.first_seq, "a codec of it is not in the store") from exc
        if piece.data is not None and all(codec == its for codec, its in ids.items()):
            return piece.data
        entries = [(ids[codec], data) for codec, data in piece.entries]
        if piece.settled == _COMPACTED:
            kinds = [(row.from_client, row.role, row.method_id, row.stream_id) for row in rows]
            return self._packer.pack_grouped(entries, kinds)
        return self._packer.pack(entries, settled=piece.settled == _SETTLED)

    def _message(self, session: int, row: "Row[*tuple[Any, ...]]") -> tuple[int | None, ...]:
        (_, seq, at_us, from_client, opcode, role, method, answers, stream, *rest) = row
        names = self._names
        return (session, seq, at_us, from_client, opcode, role, names[method], answers, names[stream], *rest)

    def _damaged(self, session: int, seq: int, what: str) -> RefusedStoreError:
        where = f"the chunk of session s{session} at message {seq} is damaged: {what}"
        return RefusedStoreError(self._source.path, Refusal.DAMAGED, where, _SAVING)
