"""
Reading what replay needs of a session without reading all of it: see `stretches`.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import BigInteger, Connection, Integer, Row, bindparam, func, select
from sqlalchemy.exc import NoResultFound

from wiretape_protocols import CodecError, Opcode, Role
from wiretape_store.chunks import RAW, Entry
from wiretape_store.errors import RefusedStoreError
from wiretape_store.message_reader import MessageReader
from wiretape_store.records import Message
from wiretape_store.schema import chunk, message
from wiretape_store.schema import session as session_table
from wiretape_store.stretches import Details, Extent, Kind, Stretch, Turn

MAX_MESSAGES = 4096
"""Of a stretch. Asking costs as much as some hundred messages, and other connections wait meanwhile."""
MAX_PACKED_BYTES = 256 * 1024
"""Of its chunks; a single one may have more."""
MAX_CHUNKS = 64
"""Of a stretch. Each has at most 256 KiB, unpacked, or one message."""

_FROM_CLIENT, _DEFLATED = 4, 8
"""Added to the opcode: one column is read quicker than three."""
_ROLES = {role.value: role for role in Role}
_KINDS = {
    opcode.value + from_client * _FROM_CLIENT + deflated * _DEFLATED: Kind(
        bool(from_client), opcode, bool(deflated)
    )
    for opcode in (Opcode.TEXT, Opcode.BINARY)
    for from_client in (0, 1)
    for deflated in (0, 1)
}

_OF_SESSION = message.c.session_id == bindparam("session")
_SEQ, _STOP = bindparam("seq", type_=BigInteger), bindparam("stop", type_=BigInteger)
_FLAGS = message.c.opcode + message.c.from_client * _FROM_CLIENT + message.c.deflated * _DEFLATED
_IN_RANGE = (_OF_SESSION, message.c.seq >= _SEQ, message.c.seq < _STOP)
_KIND_RANGE = select(func.count(), func.min(_FLAGS), func.max(_FLAGS)).where(*_IN_RANGE)
_OTHER_KINDS = select(message.c.seq, _FLAGS).where(*_IN_RANGE, bindparam("least", type_=Integer) != _FLAGS)
_DETAILS = (
    select(message.c.at_us, message.c.method_id, message.c.stream_id)
    .where(*_IN_RANGE)
    .order_by(message.c.seq)
)
_TURNS = select(*message.c).where(*_IN_RANGE, message.c.role != Role.PUSH.value).order_by(message.c.seq)
_OF_CHUNKS = chunk.c.session_id == bindparam("session")
_COVERING = (
    select(func.coalesce(func.max(chunk.c.first_seq), 0))
    .where(_OF_CHUNKS, chunk.c.first_seq <= _SEQ)
    .scalar_subquery()
)
_HEADS = (
    select(chunk.c.first_seq, chunk.c.count, func.length(chunk.c.data))
    .where(_OF_CHUNKS, chunk.c.first_seq >= _COVERING, chunk.c.first_seq + chunk.c.count > _SEQ)
    .order_by(chunk.c.first_seq)
    .limit(MAX_CHUNKS)
)
_DATA = (
    select(chunk.c.first_seq, chunk.c.count, chunk.c.data)
    .where(_OF_CHUNKS, chunk.c.first_seq >= _SEQ, chunk.c.first_seq < _STOP)
    .order_by(chunk.c.first_seq)
)
_SPANS = (
    select(chunk.c.first_seq, chunk.c.count)
    .where(_OF_CHUNKS, chunk.c.first_seq < _STOP)
    .order_by(chunk.c.first_seq)
)
_LAST = select(func.coalesce(func.max(message.c.seq), -1)).where(_OF_SESSION)
_COUNTED = select(
    session_table.c.messages_from_client + session_table.c.messages_from_upstream,
    session_table.c.pushes,
    session_table.c.exchanges,
).where(session_table.c.id == bindparam("session"))


class StretchReader(MessageReader):
    """Reads messages, and stretches and outlines of sessions, through one connection."""

    def extent(self, session: int) -> Extent:
        """Say how far a session goes now; the counts are those of its row."""
        with self._database.transaction("reading a session", writes=False) as connection:
            wanted = {"session": session}
            messages, pushes, exchanges = connection.execute(_COUNTED, wanted).one()
            stop_seq = connection.execute(_LAST, wanted).scalar_one() + 1
            return Extent(stop_seq, messages, messages - pushes, exchanges)

    def spans(self, session: int, stop_seq: int) -> Iterator[tuple[int, int]]:
        """Yield the runs of messages that are there, as (first, the one after the last), up to `stop_seq`."""
        with self._database.transaction("reading a session", writes=False) as connection:
            rows = connection.execute(_SPANS, {"session": session, "stop": stop_seq}).all()
        first = stop = 0
        for start, count in rows:
            if start > stop:
                if stop > first:
                    yield first, stop
                first = start
            stop = start + count
        if stop > first:
            yield first, min(stop, stop_seq)

    def stretch(self, session: int, seq: int) -> Stretch:
        """
        Read some messages around `seq`, which must be there: whole chunks, from the one that holds it on.

        A damaged chunk ends a stretch before it, and raises RefusedStoreError where it comes first.
        """
        with self._database.transaction("reading messages", writes=False) as connection:
            first_seq, entries = self._chunks_from(connection, session, seq)
            wanted = {"session": session, "seq": first_seq, "stop": first_seq + len(entries)}
            count, least, greatest = connection.execute(_KIND_RANGE, wanted).one()
            if count != len(entries):
                self._check_end(connection, session)
                what = f"{len(entries) - count} of its messages have no row"
                raise self._damaged(session, first_seq, what)
            try:
                kinds = [_KINDS[least]] * count
                if least != greatest:
                    for each, flags in connection.execute(_OTHER_KINDS, {**wanted, "least": least}):
                        kinds[each - first_seq] = _KINDS[flags]
                codecs = {each: self._codecs[each] for each in {each for each, _ in entries} - {RAW}}
            except (NoResultFound, CodecError, KeyError) as exc:
                what = f"a codec or an opcode of it cannot be read ({exc})"
                raise self._damaged(session, first_seq, what) from exc
        return Stretch(first_seq, kinds, [(codecs.get(codec_id), data) for codec_id, data in entries])

    def details(self, session: int, first_seq: int, stop_seq: int) -> Details:
        """Read what a stretch leaves out."""
        with self._database.transaction("reading messages", writes=False) as connection:
            wanted = {"session": session, "seq": first_seq, "stop": stop_seq}
            rows = connection.execute(_DETAILS, wanted).all()
            if len(rows) != stop_seq - first_seq:
                self._check_end(connection, session)
                what = f"{stop_seq - first_seq - len(rows)} of its messages have no row"
                raise self._damaged(session, first_seq, what)
            times_us, methods, streams = zip(*rows, strict=True)
            pairs = list(zip(methods, streams, strict=True))
            try:
                names = {pair: (self._names[pair[0]], self._names[pair[1]]) for pair in set(pairs)}
            except NoResultFound as exc:
                raise self._damaged(session, first_seq, f"a name of it cannot be read ({exc})") from exc
        return Details(times_us, [names[pair] for pair in pairs])

    def turns(self, session: int, seq: int, stop_seq: int) -> list[Message | Turn]:
        """Read what is no push, in order, from `seq` up to `stop_seq`: client messages whole, others in outline."""
        with self._database.transaction("reading client messages", writes=False) as connection:
            rows = connection.execute(_TURNS, {"session": session, "seq": seq, "stop": stop_seq}).all()
            if not rows:
                self._check_end(connection, session)
            return list(self._turns(connection, session, rows))

    def _turns(
        self, connection: Connection, session: int, rows: "Sequence[Row[*tuple[int, ...]]]"
    ) -> Iterator[Message | Turn]:
        first_seq, entries = 0, list[Entry]()
        for row in rows:
            seq = row.seq
            if not row.from_client:
                yield Turn(seq, _ROLES[row.role], row.answers)
                continue
            if not first_seq <= seq < first_seq + len(entries):
                found = self._chunk(connection, session, seq)
                if found is None or found[0] > seq:
                    self._check_end(connection, session)
                    raise self._damaged(session, seq, "it is not there")
                first_seq, entries = found
            try:
                yield self._message(row, entries[seq - first_seq])
            except (NoResultFound, CodecError) as exc:
                raise self._damaged(session, seq, f"a codec or a name of it cannot be read ({exc})") from exc

    def _chunks_from(self, connection: Connection, session: int, seq: int) -> tuple[int, list[Entry]]:
        """Unpack the chunk that holds a message, and as many behind it as a stretch takes."""
        heads = connection.execute(_HEADS, {"session": session, "seq": seq}).all()
        if not heads or heads[0][0] > seq:
            self._check_end(connection, session)
            raise self._damaged(session, seq, "it is not there")
        first_seq, size = heads[0][0], 0
        stop = first_seq
        for start, count, length in heads:
            size += length
            is_beyond = start + count - first_seq > MAX_MESSAGES or size > MAX_PACKED_BYTES
            if start != stop or (is_beyond and stop > first_seq):
                break
            stop = start + count
        entries: list[Entry] = []
        for start, count, data in connection.execute(
            _DATA, {"session": session, "seq": first_seq, "stop": stop}
        ):
            try:
                entries += self._unpacked(session, start, count, data)
            except RefusedStoreError:
                if not entries:
                    raise
                break
        return first_seq, entries
