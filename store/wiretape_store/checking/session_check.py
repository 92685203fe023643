"""
Checking one session: every message has its row and its bytes, and all that is said of it is so.

Reads window by window and holds no more than one chunk. Belongs inside one transaction, so that what
a recorder adds meanwhile does not look like damage.
"""

from collections.abc import Generator, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select
from sqlalchemy.exc import DBAPIError, NoResultFound

from wiretape_protocols import Codec, CodecError, Role, decode, encode
from wiretape_store.checking.findings import Finding, damage, note
from wiretape_store.checking.row_shapes import is_headers, shape_of
from wiretape_store.chunks import RAW, ChunkError, Entry, Packer
from wiretape_store.names import Codecs
from wiretape_store.records import EventKind
from wiretape_store.schema import chunk, event, message, name, session
from wiretape_store.session_rows import is_without_recorder

CHUNKS_AT_A_TIME = 8
EVENTS_AT_A_TIME = 1000
VALUE_ERRORS = (ValueError, TypeError, OverflowError)
"""What reading a value raises that is not of its column's type, such as a text that is no text."""
MAX_COUNT = 1 << 20
"""No chunk holds so many messages; a count above it is not believed."""

_MESSAGE = shape_of(message)
_CHUNK = shape_of(chunk)
_EVENT = shape_of(event)
_SESSION = shape_of(session)
_COUNTERS = ("messages_from_client", "messages_from_upstream", "exchanges", "pushes", "wire_bytes")


class SessionCheck:
    """Checks one session; `messages` and `payload_bytes` say afterwards how much that was."""

    def __init__(self, connection: Connection, row: "Row[Any]", packer: Packer, codecs: Codecs) -> None:
        """Check the session of `row`, which is joined to its recording, through `connection`."""
        self._connection = connection
        self._row = row
        self._number: int = row.id
        self._id = f"s{row.id}"
        self._packer = packer
        self._codecs = codecs
        self.messages = 0
        self.payload_bytes = 0
        self._counted = dict.fromkeys(_COUNTERS, 0)
        self._last_at_us = 0
        self._unsettled = 0
        self._is_complete = True
        """Whether all rows could be read: only then the counters can be compared."""
        self._gaps: list[int] = []

    def findings(self, *, deep: bool) -> Iterator[Finding]:
        """Check everything; with `deep` every packed message is packed anew, else one of each chunk."""
        misfit = _SESSION.misfit([getattr(self._row, column.name) for column in _SESSION.columns])
        if misfit is not None:
            yield self._damage(f"its {misfit} cannot be")
            return
        yield from self._headers()
        self._gaps = self._read_gaps()
        last_seq = yield from self._messages(deep=deep)
        yield from self._references()
        yield from self._events(last_seq)
        yield from self._counters()
        if is_without_recorder(self._row):
            yield note("its recorder ended before it did; the next one will write that down", self._id)
        if self._unsettled and self._row.end_kind is not None:
            yield note(
                f"{self._unsettled} chunks of it are not settled yet; the next recorder will", self._id
            )

    def _headers(self) -> Iterator[Finding]:
        for column in ("request_headers", "response_headers"):
            if not is_headers(getattr(self._row, column)):
                yield self._damage(f"its {column.replace('_', ' ')} cannot be read")

    def _read_gaps(self) -> list[int]:
        query = select(event.c.after_seq).where(event.c.session_id == self._number)
        query = query.where(event.c.kind == EventKind.GAP.value)
        found = self._connection.execute(query).scalars()
        return [after_seq for after_seq in found if isinstance(after_seq, int)]

    def _messages(self, *, deep: bool) -> Generator[Finding, None, int]:
        """Check rows and bytes side by side; returns the last message's seq."""
        next_seq = 0
        for first_seq, count, settled, data in self._chunks():
            misfit = _CHUNK.misfit((self._number, first_seq, count, settled, data))
            if misfit is not None or not 0 < count <= MAX_COUNT:
                yield self._damage(
                    f"the chunk at message {first_seq} has a {misfit or 'count'} that cannot be"
                )
                self._is_complete = False
                continue
            self._unsettled += settled == 0
            if first_seq < next_seq:
                yield self._damage(
                    "two chunks hold their bytes", first_seq, min(next_seq, first_seq + count) - 1
                )
            elif first_seq > next_seq:
                yield from self._hole(next_seq, first_seq)
            yield from self._chunk(first_seq, count, data, deep=deep)
            next_seq = max(next_seq, first_seq + count)
        yield from self._hole(next_seq, None)
        return next_seq - 1

    def _chunks(self) -> Iterator[tuple[int, int, int, bytes]]:
        columns = (chunk.c.first_seq, chunk.c.count, chunk.c.settled, chunk.c.data)
        query = select(*columns).where(chunk.c.session_id == self._number).order_by(chunk.c.first_seq)
        after = -1
        while True:
            rows = self._connection.execute(
                query.where(chunk.c.first_seq > after).limit(CHUNKS_AT_A_TIME)
            ).all()
            yield from (tuple(row) for row in rows)
            if not rows or not isinstance(rows[-1][0], int) or rows[-1][0] <= after:
                return
            after = rows[-1][0]

    def _hole(self, first_seq: int, stop_seq: int | None) -> Iterator[Finding]:
        """Between two chunks: no message row may lie there, and a gap must say why."""
        query = select(func.count(), func.min(message.c.seq), func.max(message.c.seq))
        query = query.where(message.c.session_id == self._number, message.c.seq >= first_seq)
        if stop_seq is not None:
            query = query.where(message.c.seq < stop_seq)
        count, first, last = self._connection.execute(query).one()
        if count:
            self._is_complete = False
            yield self._damage(
                "their bytes are missing" if count > 1 else "its bytes are missing", first, last
            )
        elif stop_seq is not None and not any(first_seq - 1 <= gap < stop_seq for gap in self._gaps):
            yield self._damage("missing, and no gap says so", first_seq, stop_seq - 1)

    def _chunk(self, first_seq: int, count: int, data: bytes, *, deep: bool) -> Iterator[Finding]:
        try:
            rows = self._rows(first_seq, count)
        except DBAPIError as exc:
            self._is_complete = False
            yield self._damage(f"their rows cannot be read ({exc.orig})", first_seq, first_seq + count - 1)
            return
        yield from self._count(rows)
        last_seq = first_seq + count - 1
        try:
            entries = self._packer.unpack(data)
        except ChunkError as exc:
            yield self._damage(f"their chunk cannot be unpacked ({exc})", first_seq, last_seq)
            return
        if len(entries) != count:
            yield self._damage(f"their chunk holds {len(entries)} messages, not {count}", first_seq, last_seq)
            return
        if len(rows) != count:
            present = {row.seq for row in rows}
            missing = [seq for seq in range(first_seq, last_seq + 1) if seq not in present]
            self._is_complete = False
            yield self._damage(f"{count - len(rows)} rows are missing", missing[0], missing[-1])
            return
        for place, (row, entry) in enumerate(zip(rows, entries, strict=True)):
            yield from self._entry(row, entry, packs=deep or place == 0)

    def _rows(self, first_seq: int, count: int) -> "Sequence[Row[Any]]":
        query = select(*message.c).where(message.c.session_id == self._number)
        query = query.where(message.c.seq >= first_seq, message.c.seq < first_seq + count)
        return self._connection.execute(query.order_by(message.c.seq)).all()

    def _count(self, rows: "Sequence[Row[Any]]") -> Iterator[Finding]:
        """Add the rows to the counters, and look at each by itself."""
        counted = self._counted
        for row in rows:
            misfit = _MESSAGE.misfit(row)
            if misfit is not None:
                self._is_complete = False
                yield self._damage(f"its {misfit} cannot be", row.seq if isinstance(row.seq, int) else None)
                continue
            self.messages += 1
            counted["messages_from_client" if row.from_client else "messages_from_upstream"] += 1
            counted["exchanges"] += row.role == Role.ANSWER.value and row.answers is not None
            counted["pushes"] += row.role == Role.PUSH.value
            counted["wire_bytes"] += row.wire_bytes
            if row.at_us < self._last_at_us:
                yield self._damage(
                    f"its time, {row.at_us} us, is before the time of a message before it", row.seq
                )
            self._last_at_us = max(self._last_at_us, row.at_us)

    def _entry(self, row: "Row[Any]", entry: Entry, *, packs: bool) -> Iterator[Finding]:
        """Compare a message's bytes with what its row says of them."""
        codec_id, data = entry
        codec: Codec | None = None
        self.payload_bytes += len(data)
        if codec_id == RAW:
            decode(data)
            length = len(data)
        else:
            try:
                codec = self._codecs[codec_id]
                length = len(encode(data, codec)) if packs and codec.exact else -1
            except NoResultFound:
                yield self._damage(f"its codec, number {codec_id}, is not in the store", row.seq)
                return
            except CodecError as exc:
                yield self._damage(f"it cannot be packed again: {exc}", row.seq)
                return
        if length not in {-1, row.wire_bytes} and not row.redacted:
            yield self._damage(f"it had {row.wire_bytes} bytes on the wire and has {length} now", row.seq)

    def _references(self) -> Iterator[Finding]:
        """Names that are there, and answers to earlier messages of the client or to lost ones."""
        for column, word in ((message.c.method_id, "method"), (message.c.stream_id, "stream")):
            lost = select(func.count(), func.min(message.c.seq), func.max(message.c.seq))
            lost = lost.select_from(message.outerjoin(name, name.c.id == column))
            lost = lost.where(message.c.session_id == self._number, column.is_not(None), name.c.id.is_(None))
            count, first, last = self._connection.execute(lost).one()
            if count:
                yield self._damage(
                    f"the name of the {word} of {count} of them is not in the store", first, last
                )
        called = message.alias("called")
        same = (called.c.session_id == message.c.session_id) & (called.c.seq == message.c.answers)
        wrong = select(message.c.seq, message.c.answers, called.c.seq)
        wrong = wrong.select_from(message.outerjoin(called, same))
        wrong = wrong.where(message.c.session_id == self._number, message.c.answers.is_not(None))
        wrong = wrong.where(
            called.c.seq.is_(None) | (called.c.from_client != 1) | (message.c.answers >= message.c.seq)
        )
        for seq, answers, found in self._connection.execute(
            wrong.order_by(message.c.seq).limit(EVENTS_AT_A_TIME)
        ):
            if found is None and isinstance(answers, int) and answers < seq and self._gaps:
                continue
            yield self._damage(f"it answers message {answers}, which is no earlier one of the client", seq)

    def _events(self, last_seq: int) -> Iterator[Finding]:
        greatest = max([last_seq, *self._gaps])
        query = select(event).where(event.c.session_id == self._number).order_by(event.c.ordinal)
        ordinal, after_seq, at_us = 0, -1, 0
        while rows := self._connection.execute(
            query.where(event.c.ordinal >= ordinal).limit(EVENTS_AT_A_TIME)
        ).all():
            for row in rows:
                misfit = _EVENT.misfit(row)
                if misfit is not None:
                    yield self._damage(f"its event {row.ordinal} has a {misfit} that cannot be")
                    ordinal = row.ordinal + 1 if isinstance(row.ordinal, int) else ordinal + 1
                    continue
                if row.ordinal != ordinal:
                    yield self._damage(f"its events {ordinal} to {row.ordinal - 1} are missing")
                if not after_seq <= row.after_seq <= greatest:
                    yield self._damage(
                        f"its event {row.ordinal} follows message {row.after_seq}, which cannot be"
                    )
                if row.at_us < at_us:
                    yield self._damage(
                        f"its event {row.ordinal} has a time before that of the event before it"
                    )
                ordinal, after_seq, at_us = row.ordinal + 1, row.after_seq, max(at_us, row.at_us)
        self._last_at_us = max(self._last_at_us, at_us)

    def _counters(self) -> Iterator[Finding]:
        if not self._is_complete:
            return
        for counter, counted in [*self._counted.items(), ("last_at_us", self._last_at_us)]:
            stored = getattr(self._row, counter)
            if stored != counted:
                yield self._damage(f"its {counter} is {stored}, and what is there makes {counted}")

    def _damage(self, what: str, first_seq: int | None = None, last_seq: int | None = None) -> Finding:
        return damage(what, self._id, first_seq, last_seq)
