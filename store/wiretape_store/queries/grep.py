"""
Finding messages by who sent them, when, what for, and by what is in their payloads.

The rows say which messages are worth unpacking; each chunk is unpacked once. Found are numbers of
messages; the messages themselves are read for those who want them.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, select

from wiretape_protocols import decode
from wiretape_store.chunks import RAW, ChunkError, Packer
from wiretape_store.errors import Refusal, RefusedStoreError, StoreError
from wiretape_store.queries.payload_matching import Matcher
from wiretape_store.reader import StoreReader
from wiretape_store.records import Message, Session
from wiretape_store.schema import chunk, message, name

_CHUNKS_AT_A_TIME = 64
"""So many are searched in one transaction; of messages of 200 bytes that is 0.01 s."""
_READ_SINGLY = 8
"""Fewer messages than this of one stretch are quicker read one by one than with all between them."""
_STRETCH_MESSAGES = 256

_HEADS = (
    select(chunk.c.first_seq, chunk.c.count)
    .where(chunk.c.session_id == bindparam("session"), chunk.c.first_seq >= bindparam("seq"))
    .order_by(chunk.c.first_seq)
    .limit(_CHUNKS_AT_A_TIME)
)
_COVERING = select(func.max(chunk.c.first_seq)).where(
    chunk.c.session_id == bindparam("session"), chunk.c.first_seq <= bindparam("seq")
)
_DATA = (
    select(chunk.c.first_seq, chunk.c.count, chunk.c.data)
    .where(
        chunk.c.session_id == bindparam("session"),
        chunk.c.first_seq.between(bindparam("first"), bindparam("last")),
    )
    .order_by(chunk.c.first_seq)
)


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, as a user says it: microseconds since 1970, or since the start of each session."""

    at_us: int
    since_start: bool = False

    def within(self, session: Session) -> int:
        """The same in microseconds since the start of `session`."""
        return self.at_us if self.since_start else self.at_us - session.started_at_us


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for; what is None does not matter."""

    matcher: Matcher | None = None
    """Of the decoded payload."""
    upstream: str | None = None
    method: str | None = None
    """A glob, as `fnmatch` reads it; a message without a method does not match."""
    stream: str | None = None
    """A glob, as for `method`."""
    from_client: bool | None = None
    since: Moment | None = None
    until: Moment | None = None
    """The first moment that is too late."""


class StoreSearcher(StoreReader):
    """Reads a store, and finds messages in it."""

    def __init__(self, url: str) -> None:
        """Open the store at `url`, a path or a URL of SQLAlchemy. Raises MissingStoreError."""
        super().__init__(url)
        self._packer = Packer()
        self.damage: list[StoreError] = []
        """One for each chunk that could not be searched; the search goes on behind it."""

    def search(self, wanted: Search, what: str | None = None) -> Iterator[tuple[Session, list[int]]]:
        """
        Find messages in the store, a recording or a session: some of a session's at a time, in order.

        Yields empty lists too, so that the caller can say how far it is. Raises UnknownRecordingError.
        """
        for session in self.sessions(what):
            if wanted.upstream in {None, session.upstream.name}:
                yield from ((session, found) for found in self._search_session(session, wanted))

    def messages_at(self, session: Session, seqs: Sequence[int]) -> Iterator[Message]:
        """Read messages of a session by their numbers, which ascend; those that are gone are left out."""
        for _, stretch in groupby(seqs, lambda seq: seq // _STRETCH_MESSAGES):
            group = list(stretch)
            if len(group) < _READ_SINGLY:
                number = self._number(session.id)
                yield from (found for seq in group if (found := self._messages.read_one(number, seq)))
            else:
                yield from self._messages_between(session, group)

    def _messages_between(self, session: Session, seqs: Sequence[int]) -> Iterator[Message]:
        wanted = set(seqs)
        for found in self._messages.read(self._number(session.id), seqs[0]):
            if found.seq in wanted:
                yield found
            if found.seq >= seqs[-1]:
                return

    def _search_session(self, session: Session, wanted: Search) -> Iterator[list[int]]:
        number = self._number(session.id)
        condition = self._condition(session, wanted)
        seq = 0
        while True:
            with self._reading() as connection:
                # Chunks may have been put together since the last look, across where it ended.
                covering = connection.scalar(_COVERING, {"session": number, "seq": seq})
                rows = connection.execute(_HEADS, {"session": number, "seq": covering or 0})
                heads = [(first, count) for first, count in rows if first + count > seq]
                if not heads:
                    return
                chosen = self._chosen(connection, number, seq, heads, condition)
                if wanted.matcher is None and chosen is not None:
                    found = chosen
                else:
                    found = self._found(connection, number, seq, heads, chosen, wanted.matcher)
            yield found
            seq = heads[-1][0] + heads[-1][1]

    def _condition(self, session: Session, wanted: Search) -> ColumnElement[bool] | None:
        """What the rows of the messages must meet; None where every row does."""
        conditions: list[ColumnElement[bool]] = []
        if wanted.from_client is not None:
            conditions.append(message.c.from_client == int(wanted.from_client))
        if wanted.since is not None:
            conditions.append(message.c.at_us >= wanted.since.within(session))
        if wanted.until is not None:
            conditions.append(message.c.at_us < wanted.until.within(session))
        for column, glob in ((message.c.method_id, wanted.method), (message.c.stream_id, wanted.stream)):
            if glob is not None:
                # Spelled out, because there may be more than a statement can have parameters.
                conditions.append(
                    column.in_(bindparam(None, self._names(glob), expanding=True, literal_execute=True))
                )
        return and_(*conditions) if conditions else None

    def _names(self, glob: str) -> list[int]:
        """The ids of the names that a glob matches."""
        with self._reading() as connection:
            rows = connection.execute(select(name.c.id, name.c.text))
            return [number for number, text in rows if fnmatchcase(text, glob)]

    def _chosen(
        self,
        connection: Connection,
        session: int,
        seq: int,
        heads: Sequence[tuple[int, int]],
        condition: ColumnElement[bool] | None,
    ) -> list[int] | None:
        """The messages from `seq` on in some chunks that meet the condition; None for all of them."""
        if condition is None:
            return None
        place = (message.c.session_id == session) & message.c.seq.between(seq, sum(heads[-1]) - 1)
        return list(connection.scalars(select(message.c.seq).where(place, condition).order_by(message.c.seq)))

    def _found(
        self,
        connection: Connection,
        session: int,
        seq: int,
        heads: Sequence[tuple[int, int]],
        chosen: list[int] | None,
        matcher: Matcher | None,
    ) -> list[int]:
        """The messages from `seq` on that match, of those that are chosen."""
        if chosen is not None:
            heads = [(first, count) for first, count in heads if _between(chosen, first, first + count)]
        if not heads:
            return []
        needed = {first for first, _ in heads}
        place = {"session": session, "first": heads[0][0], "last": heads[-1][0]}
        found: list[int] = []
        for first, count, data in connection.execute(_DATA, place):
            if first in needed:
                picked = (
                    range(max(first, seq), first + count)
                    if chosen is None
                    else _between(chosen, first, first + count)
                )
                found += self._matching(session, first, count, data, picked, matcher)
        return found

    def _matching(
        self,
        session: int,
        first: int,
        count: int,
        data: bytes,
        picked: Sequence[int],
        matcher: Matcher | None,
    ) -> Iterable[int]:
        """Those of a chunk's picked messages that match; a chunk that cannot be read is noted."""
        if matcher is None:
            return picked
        try:
            entries = self._packer.unpack(data)
        except ChunkError as exc:
            self._note_damage(session, first, str(exc))
            return ()
        if len(entries) != count:
            self._note_damage(session, first, f"it holds {len(entries)} messages, not {count}")
            return ()
        if len(picked) != count:
            entries = [entries[seq - first] for seq in picked]
        return [
            seq
            for seq, (codec_id, piece) in zip(picked, entries, strict=True)
            if matcher(decode(piece).payload if codec_id == RAW else piece)
        ]

    def _note_damage(self, session: int, seq: int, what: str) -> None:
        where = f"the chunk of session s{session} at message {seq} is damaged: {what}"
        advice = "its messages were not searched; see 'wiretape check'"
        self.damage.append(RefusedStoreError(self.path, Refusal.DAMAGED, where, advice))


def _between(seqs: Sequence[int], first: int, stop: int) -> Sequence[int]:
    """Those of some ascending numbers from `first` to before `stop`."""
    return seqs[bisect_left(seqs, first) : bisect_left(seqs, stop)]
