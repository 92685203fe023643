"""
Putting messages together from their rows and their chunks: one chunk in memory at a time.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import BigInteger, Connection, Row, bindparam, func, select
from sqlalchemy.exc import NoResultFound

from wiretape_protocols import CodecError, CodecKind, Opcode, Role, decode
from wiretape_store.chunks import RAW, ChunkError, Entry, Packer
from wiretape_store.database import Database
from wiretape_store.errors import Refusal, RefusedStoreError, StoreError
from wiretape_store.names import Codecs, Names
from wiretape_store.recording_rows import IS_THERE
from wiretape_store.records import Message
from wiretape_store.schema import chunk, message, recording, upstream
from wiretape_store.schema import session as session_table

_OPCODES = {opcode.value: opcode for opcode in Opcode}
_ROLES = {role.value: role for role in Role}

_COVERING = (
    select(func.coalesce(func.max(chunk.c.first_seq), 0))
    .where(
        chunk.c.session_id == bindparam("session"), chunk.c.first_seq <= bindparam("seq", type_=BigInteger)
    )
    .scalar_subquery()
)
_CHUNKS_AT_A_TIME = 16
"""A settled chunk is some 10 KiB, and one of a single long message as long as that message."""

_NEXT_CHUNKS = (
    select(chunk.c.first_seq, chunk.c.count, chunk.c.data)
    .where(
        chunk.c.session_id == bindparam("session"),
        chunk.c.first_seq >= _COVERING,
        chunk.c.first_seq + chunk.c.count > bindparam("seq", type_=BigInteger),
    )
    .order_by(chunk.c.first_seq)
    .limit(_CHUNKS_AT_A_TIME)
)
_NEXT_CHUNK = _NEXT_CHUNKS.limit(1)
_MESSAGES = (
    select(*message.c)
    .where(
        message.c.session_id == bindparam("session"),
        message.c.seq >= bindparam("first", type_=BigInteger),
        message.c.seq < bindparam("stop", type_=BigInteger),
    )
    .order_by(message.c.seq)
)

_IS_THERE = (
    select(session_table.c.id)
    .join(upstream, upstream.c.id == session_table.c.upstream_id)
    .join(recording, recording.c.id == upstream.c.recording_id)
    .where(session_table.c.id == bindparam("session"), IS_THERE)
)


class MessageReader:
    """Reads messages through one connection."""

    def __init__(self, database: Database) -> None:
        """Read from `database`, which stays its owner's to close."""
        self._database = database
        self._packer = Packer()
        self._names = Names(database.connection)
        self._codecs = Codecs(database.connection)

    def read(self, session: int, first_seq: int) -> Iterator[Message]:
        """Yield the messages of a session in order, from `first_seq` on."""
        seq = max(first_seq, 0)
        while True:
            with self._database.transaction("reading messages", writes=False) as connection:
                found = self._chunk(connection, session, seq)
                if found is None:
                    self._check_end(connection, session)
                    return
                start, entries = found
                entries = entries[max(seq - start, 0) :]
                seq = max(seq, start)
                messages = self._messages(connection, session, seq, entries)
            yield from messages
            seq += len(messages)

    def payloads(self, session: int, first_seq: int) -> Iterator[bytes]:
        """Yield the decoded payloads of a session in order, from `first_seq` on, several chunks at a time."""
        seq = max(first_seq, 0)
        while True:
            with self._database.transaction("reading payloads", writes=False) as connection:
                rows = connection.execute(_NEXT_CHUNKS, {"session": session, "seq": seq}).all()
                if not rows:
                    self._check_end(connection, session)
                    return
            for first, count, data in rows:
                entries = self._unpacked(session, first, count, data)
                for codec_id, piece in entries[max(seq - first, 0) :] if seq > first else entries:
                    yield piece if codec_id else decode(piece).payload
                seq = first + count

    def read_one(self, session: int, seq: int) -> Message | None:
        """Read one message; None when the session has no such number."""
        with self._database.transaction("reading a message", writes=False) as connection:
            found = self._chunk(connection, session, seq)
            if found is None or not found[0] <= seq:
                return None
            start, entries = found
            return self._messages(connection, session, seq, entries[seq - start : seq - start + 1])[0]

    def _chunk(self, connection: Connection, session: int, seq: int) -> tuple[int, list[Entry]] | None:
        """Find the chunk that holds a message, or the next one after it."""
        row = connection.execute(_NEXT_CHUNK, {"session": session, "seq": seq}).one_or_none()
        if row is None:
            return None
        first_seq, count, data = row
        return first_seq, self._unpacked(session, first_seq, count, data)

    def _unpacked(self, session: int, first_seq: int, count: int, data: bytes) -> list[Entry]:
        try:
            entries = self._packer.unpack(data)
        except ChunkError as exc:
            raise self._damaged(session, first_seq, str(exc)) from exc
        if len(entries) != count:
            raise self._damaged(session, first_seq, f"it holds {len(entries)} messages, not {count}")
        return entries

    def _messages(
        self, connection: Connection, session: int, seq: int, entries: Sequence[Entry]
    ) -> list[Message]:
        """Join the entries of consecutive messages, the first of which is `seq`, to their rows."""
        wanted = {"session": session, "first": seq, "stop": seq + len(entries)}
        rows = connection.execute(_MESSAGES, wanted).all()
        if len(rows) != len(entries):
            raise self._damaged(session, seq, f"{len(entries) - len(rows)} of its messages have no row")
        try:
            return [self._message(row, entry) for row, entry in zip(rows, entries, strict=True)]
        except (NoResultFound, CodecError) as exc:
            raise self._damaged(session, seq, f"a codec or a name of it cannot be read ({exc})") from exc

    def _message(self, row: "Row[*tuple[int, ...]]", entry: Entry) -> Message:
        (_, seq, at_us, from_client, opcode, role, method, answers, stream, _, deflated, redacted) = row
        codec_id, data = entry
        kept_wire = None
        if codec_id == RAW:
            payload, codec, _ = decode(data)
            if codec.kind is not CodecKind.IDENTITY:
                kept_wire = data
        else:
            payload, codec = data, self._codecs[codec_id]
        return Message(
            seq,
            from_client == 1,
            _OPCODES[opcode],
            at_us,
            payload,
            codec,
            _ROLES[role],
            self._names[method],
            answers,
            self._names[stream],
            deflated == 1,
            redacted == 1,
            kept_wire,
        )

    def _check_end(self, connection: Connection, session: int) -> None:
        """What ends because it is being removed must not pass for the end of the session."""
        if connection.execute(_IS_THERE, {"session": session}).one_or_none() is None:
            what = f"session s{session} was pruned while it was read"
            raise StoreError(self._database.path, what, "'wiretape sessions' lists what there is")

    def _damaged(self, session: int, seq: int, what: str) -> RefusedStoreError:
        path = str(self._database.path)
        where = f"the chunk of session s{session} at message {seq} is damaged: {what}"
        return RefusedStoreError(path, Refusal.DAMAGED, where, "its other messages can still be read")
