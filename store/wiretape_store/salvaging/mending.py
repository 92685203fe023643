"""
Making one session of a gathered store whole again: what remains of it fits together, and what is lost
is a gap that says so.

Messages keep their numbers. Runs inside the transaction of its caller.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from wiretape_protocols import CodecError, Role, encode
from wiretape_store.checking.findings import span_text
from wiretape_store.checking.session_check import MAX_COUNT
from wiretape_store.chunks import MAX_MESSAGES, RAW, ChunkError, Entry, Packer, runs
from wiretape_store.records import EndKind, EventKind
from wiretape_store.salvaging.codec_guesses import CodecGuesses
from wiretape_store.salvaging.time_mending import mend_times
from wiretape_store.schema import chunk, event, message, name, session

_BELIEVABLE = 1 << 32
"""A session of more messages is no session, but a number that was damaged."""


@dataclass(slots=True)
class SavedSession:
    """What became of one session."""

    id: str
    kept: int = 0
    """How many of its messages are in the new store."""
    lost: int = 0
    """How many are known to be lost; what nothing speaks of any more is not counted."""
    losses: list[str] = field(default_factory=list)
    """What is lost, one sentence each."""


@dataclass(slots=True)
class _Event:
    after_seq: int
    at_us: int
    from_client: int
    kind: str
    data: bytes


class SessionMender:
    """Mends one session."""

    def __init__(self, connection: Connection, packer: Packer, codecs: CodecGuesses, number: int) -> None:
        """Mend session `number`, whose row is there."""
        self._connection = connection
        self._packer = packer
        self._codecs = codecs
        self._number = number
        self._of_session = message.c.session_id == number
        self.saved = SavedSession(f"s{number}")
        self._kept: list[tuple[int, int]] = []
        """Runs of messages that are whole: first, and the one after the last."""
        self._suspect: list[tuple[int, int]] = []
        """Messages of which a part is there: those certainly are lost."""

    def mend(self, *, counted: int | None) -> SavedSession:
        """Mend everything; `counted` is how many messages its row speaks of, None where that is unknown."""
        for first_seq, count, settled in self._chunk_heads():
            self._mend_chunk(first_seq, count, settled)
        self._drop_rows_without_bytes()
        self._mend_names()
        mend_times(self._connection, self._number)
        gaps = self._gaps(counted)
        events = self._events(gaps)
        self._mend_answers(has_gaps=any(each.kind == EventKind.GAP.value for each in events))
        self._mend_row(events)
        return self.saved

    def _chunk_heads(self) -> list[tuple[int, int, int]]:
        query = select(chunk.c.first_seq, chunk.c.count, chunk.c.settled)
        query = query.where(chunk.c.session_id == self._number).order_by(chunk.c.first_seq)
        return [tuple(row) for row in self._connection.execute(query)]

    def _mend_chunk(self, first_seq: int, count: int, settled: int) -> None:
        is_it = (chunk.c.session_id == self._number) & (chunk.c.first_seq == first_seq)
        data = self._connection.execute(select(chunk.c.data).where(is_it)).scalar_one()
        try:
            entries = self._packer.unpack(data)
        except ChunkError:
            entries = []
        if not entries:
            self._connection.execute(delete(chunk).where(is_it))
            self._suspect.append((first_seq, first_seq + (count if count <= MAX_COUNT else 1)))
            return
        next_seq = self._kept[-1][1] if self._kept else 0
        stop = first_seq + len(entries)
        rows = self._rows(first_seq, stop)
        kept = [
            (seq, entry) for seq, entry in enumerate(entries, first_seq) if seq in rows and seq >= next_seq
        ]
        lengths = self._wrong_lengths(kept, rows)
        if len(lengths) * 2 > len(kept) and len(kept) > 1:
            kept, lengths = [], {}  # These bytes belong to other messages.
        self._set_lengths(lengths)
        if len(kept) < len(entries):
            self._suspect.append((max(first_seq, next_seq), stop))
        if len(kept) < len(entries) or count != len(entries):
            self._connection.execute(delete(chunk).where(is_it))
            self._insert_chunks(kept, settled)
        for first, run in runs_of(seq for seq, _ in kept):
            self._keep(first, run)

    def _rows(self, first_seq: int, stop: int) -> dict[int, tuple[int, int]]:
        """Find the rows of some messages: seq to length on the wire and whether redacted."""
        query = select(message.c.seq, message.c.wire_bytes, message.c.redacted)
        query = query.where(self._of_session, message.c.seq >= first_seq, message.c.seq < stop)
        return {seq: (size, redacted) for seq, size, redacted in self._connection.execute(query)}

    def _wrong_lengths(
        self, kept: list[tuple[int, Entry]], rows: dict[int, tuple[int, int]]
    ) -> dict[int, int]:
        """Say which rows tell another length than their bytes, which have a checksum, and the right one."""
        self._codecs.learn([(entry, *rows[seq]) for seq, entry in kept])
        wrong = {}
        for seq, (codec_id, data) in kept:
            stored, redacted = rows[seq]
            if redacted:
                continue
            if codec_id == RAW:
                length = len(data)
            else:
                codec = self._codecs[codec_id]
                if not codec.exact:
                    continue
                try:
                    length = len(encode(data, codec))
                except CodecError:
                    continue
            if length != stored:
                wrong[seq] = length
        return wrong

    def _set_lengths(self, lengths: dict[int, int]) -> None:
        for seq, length in lengths.items():
            row = update(message).where(self._of_session, message.c.seq == seq)
            self._connection.execute(row.values(wire_bytes=length))
        if lengths:
            self.saved.losses.append(
                f"the length of {len(lengths)} messages was wrong, and is what their bytes say"
            )

    def _insert_chunks(self, kept: list[tuple[int, Entry]], settled: int) -> None:
        for first, entries in runs(kept):
            data = self._packer.pack(entries, settled=settled > 0)
            row = {
                "session_id": self._number,
                "first_seq": first,
                "count": len(entries),
                "settled": settled,
                "data": data,
            }
            # A chunk that was misplaced may stand where this one begins; it is looked at later.
            self._connection.execute(insert(chunk).prefix_with("OR REPLACE"), row)

    def _keep(self, first: int, stop: int) -> None:
        self.saved.kept += stop - first
        if self._kept and self._kept[-1][1] == first:
            first = self._kept.pop()[0]
        self._kept.append((first, stop))

    def _drop_rows_without_bytes(self) -> None:
        position = 0
        for first, stop in [*self._kept, (_BELIEVABLE << 16, 0)]:
            hole = self._of_session & (message.c.seq >= position) & (message.c.seq < first)
            counted = select(func.count(), func.min(message.c.seq), func.max(message.c.seq)).where(hole)
            count, least, greatest = self._connection.execute(counted).one()
            if count:
                self._connection.execute(delete(message).where(hole))
                # Where they lie apart, some number between was damaged; count them, do not span them.
                span = greatest + 1 if greatest - least < 2 * count + MAX_MESSAGES else least + count
                self._suspect.append((least, span))
            position = stop

    def _mend_names(self) -> None:
        known = select(name.c.id)
        for column, word in (("method_id", "method"), ("stream_id", "stream")):
            lost = message.c[column].is_not(None) & message.c[column].not_in(known)
            done = self._connection.execute(
                update(message).where(self._of_session, lost).values({column: None})
            )
            if done.rowcount:
                self.saved.losses.append(f"{done.rowcount} messages lost the name of their {word}")

    def _gaps(self, counted: int | None) -> list[_Event]:
        """Make the gaps that are to stand in the new store, in order."""
        already = select(event.c.after_seq).where(
            event.c.session_id == self._number, event.c.kind == EventKind.GAP.value
        )
        told = list(self._connection.scalars(already))
        gaps, position = [], 0
        for first, stop in self._kept:
            is_told = any(position - 1 <= gap < first for gap in told)
            is_damaged = any(begin < first and end > position for begin, end in self._suspect)
            if first > position and (is_damaged or not is_told):
                gaps.append(self._gap(first - position, position, span_text(position, first - 1)))
            position = stop
        behind = sum(stop - first for first, stop in union_of(self._suspect, position))
        if counted is not None and counted < _BELIEVABLE:
            behind = max(behind, counted - self.saved.kept - self.saved.lost)
        if behind > 0:
            gaps.append(self._gap(behind, position, f"from message {position} on"))
        return gaps

    def _gap(self, count: int, position: int, where: str) -> _Event:
        messages = "message is" if count == 1 else "messages are"
        self.saved.lost += count
        self.saved.losses.append(f"{count} {messages} lost: {where}")
        before = select(message.c.at_us).where(self._of_session, message.c.seq == position - 1)
        text = f"{count} {messages} lost ({where}): the store was damaged"
        return _Event(
            position - 1, self._connection.scalar(before) or 0, 0, EventKind.GAP.value, text.encode()
        )

    def _events(self, gaps: list[_Event]) -> list[_Event]:
        """Put the gaps among the events that are left, and number all anew."""
        rows = self._connection.execute(
            select(event).where(event.c.session_id == self._number).order_by(event.c.ordinal)
        ).all()
        missing = rows[-1].ordinal + 1 - len(rows) if rows else 0
        if 0 < missing < _BELIEVABLE:
            self.saved.losses.append(f"{missing} of its events (pings, closes and the like) are lost")
        old = [_Event(row.after_seq, row.at_us, row.from_client, row.kind, row.data) for row in rows]
        last_seq = self._kept[-1][1] - 1 if self._kept else -1
        greatest = max([last_seq, *(each.after_seq for each in old if each.kind == EventKind.GAP.value)])
        for each in old:
            each.after_seq = min(each.after_seq, max(greatest, -1))
        if gaps and gaps[-1].after_seq == last_seq:
            # The gap at the end stands behind all that is left.
            gaps[-1].after_seq = max([last_seq, *(each.after_seq for each in old)])
            end: list[_Event] = [gaps.pop()]
        else:
            end = []
        merged = [*sorted([*gaps, *old], key=lambda each: each.after_seq), *end]
        at_us = 0
        for each in merged:
            each.at_us = at_us = max(at_us, each.at_us)
        if gaps or end or missing or merged != old:
            self._replace_events(merged)
        return merged

    def _replace_events(self, events: list[_Event]) -> None:
        self._connection.execute(delete(event).where(event.c.session_id == self._number))
        rows = [
            {
                "session_id": self._number,
                "ordinal": ordinal,
                "after_seq": each.after_seq,
                "at_us": each.at_us,
                "from_client": each.from_client,
                "kind": each.kind,
                "data": each.data,
            }
            for ordinal, each in enumerate(events)
        ]
        if rows:
            self._connection.execute(insert(event), rows)

    def _mend_answers(self, *, has_gaps: bool) -> None:
        """Forget what a message answers where that cannot be; a call in a gap may have been answered."""
        called = message.alias("called")
        same = (called.c.session_id == self._number) & (called.c.seq == message.c.answers)
        is_call = select(called.c.seq).where(same, called.c.from_client == 1).exists()
        is_other = select(called.c.seq).where(same, called.c.from_client == 0).exists()
        wrong = (message.c.answers >= message.c.seq) | (is_other if has_gaps else ~is_call)
        done = self._connection.execute(
            update(message)
            .where(self._of_session, message.c.answers.is_not(None), wrong)
            .values(answers=None)
        )
        if done.rowcount:
            self.saved.losses.append(f"{done.rowcount} answers lost the message that they answer")

    def _mend_row(self, events: list[_Event]) -> None:
        """Count anew, and end what is open: whoever recorded it does not write to the new store."""
        c = message.c
        is_answer = (c.role == Role.ANSWER.value) & c.answers.is_not(None)
        count = select(
            func.coalesce(func.sum(c.from_client), 0),
            func.count(),
            func.count().filter(is_answer),
            func.count().filter(c.role == Role.PUSH.value),
            func.coalesce(func.sum(c.wire_bytes), 0),
            func.coalesce(func.max(c.at_us), 0),
        ).where(self._of_session)
        from_client, count_all, exchanges, pushes, wire_bytes, at_us = self._connection.execute(count).one()
        last_at_us = max([at_us, *(each.at_us for each in events)])
        values: dict[str, Any] = {
            "messages_from_client": from_client,
            "messages_from_upstream": count_all - from_client,
            "exchanges": exchanges,
            "pushes": pushes,
            "wire_bytes": wire_bytes,
            "last_at_us": last_at_us,
        }
        is_it = session.c.id == self._number
        self._connection.execute(update(session).where(is_it).values(values))
        self._connection.execute(
            update(session)
            .where(is_it, session.c.end_kind.is_(None))
            .values(
                end_kind=EndKind.INTERRUPTED.value, ended_at_us=session.c.started_at_us + session.c.last_at_us
            )
        )


def runs_of(seqs: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Cut ascending numbers into runs without gaps: first, and the one after the last."""
    first = stop = -1
    for seq in seqs:
        if seq != stop:
            if stop > first:
                yield first, stop
            first = seq
        stop = seq + 1
    if stop > first:
        yield first, stop


def union_of(spans: Iterable[tuple[int, int]], beginning: int) -> Iterator[tuple[int, int]]:
    """Join spans that overlap, leaving out what lies before `beginning`."""
    for first, stop in sorted(spans):
        begin = max(first, beginning)
        if stop > begin:
            yield begin, stop
            beginning = stop
