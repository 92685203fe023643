"""
Compacting: packing the messages of ended sessions better, on a store that others use meanwhile.

The work is done outside of transactions; what was worked on is compared again before it is replaced,
and left alone where somebody else has changed it. So a recorder waits for milliseconds, and whoever
ends the process at any moment loses nothing: what is compacted is marked, and the next call goes on
with the rest.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

from sqlalchemy import Connection, delete, func, select, update

from wiretape_protocols import Codec, Prover, decode
from wiretape_store.bulk import insert_rows
from wiretape_store.chunks import COMPACTED_MESSAGES, MAX_BYTES, RAW, ChunkError, Entry, Packer, runs
from wiretape_store.database import Database, Synchronous
from wiretape_store.locking import lock_sessions
from wiretape_store.names import CodecIds
from wiretape_store.opening import open_for_writing
from wiretape_store.reader import StoreReader
from wiretape_store.records import EndKind
from wiretape_store.schema import chunk, message
from wiretape_store.settling import KeepWire
from wiretape_store.upkeep.room import give_back, used_bytes

COMPACTED = 2
_CHUNKS_AT_A_TIME = 16
_ATTEMPTS = 5
"""How often a session is looked at again because somebody else was at it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is, in bytes of packed messages as they were."""

    done_bytes: int
    total_bytes: int
    saved_bytes: int


@dataclass(frozen=True, slots=True)
class DamagedChunk:
    """A chunk that cannot be read; it is left as it is."""

    session: str
    first_seq: int
    messages: int
    what: str


@dataclass(slots=True)
class Compaction:
    """What was done."""

    sessions: int = 0
    """In which something was packed anew."""
    messages: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    used_before: int = 0
    """The whole store, without what was free in it and without its log."""
    used_after: int = 0
    given_up: int = 0
    """Messages whose wire bytes were given up, as `KeepWire.NEVER` says."""
    damaged: list[DamagedChunk] = field(default_factory=list)
    finished: bool = True
    """False where it was stopped, or somebody else kept changing a session."""


@dataclass(slots=True)
class _Source:
    """A chunk as it was read, and what it holds, newly proven where that was possible."""

    first_seq: int
    count: int
    settled: int
    data: bytes
    entries: list[tuple[int | Codec, bytes]]
    given_up: int = 0

    @property
    def size(self) -> int:
        return sum(len(piece) for _, piece in self.entries)


class Compactor:
    """Packs what is stored better; a context manager. It belongs to one thread."""

    def __init__(self, url: str, *, keep_wire: KeepWire = KeepWire.NEEDED) -> None:
        """Open the store at `url`. Raises MissingStoreError."""
        self._url = url
        with StoreReader(url):
            pass  # There is a store: opening it for writing will not make one.
        # What a loss of power takes back of the last steps, the next call does again.
        self._database: Database = open_for_writing(url, Synchronous.NORMAL)
        self._keep_wire = keep_wire
        self._packer = Packer()
        self._prover = Prover()
        self._codec_ids = CodecIds(self._database.connection)
        self._stopped: Callable[[], bool] = lambda: False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def run(
        self,
        what: str | None = None,
        *,
        progress: Callable[[Progress], None] = lambda _: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Compaction:
        """
        Compact the ended sessions of the store, of a recording (name or id), or the one session `s12`.

        `stopped` is asked between steps. Gives free room back in the end, stopped or not. Raises
        UnknownRecordingError.
        """
        self._stopped = stopped
        done = Compaction(used_before=self._used())
        with StoreReader(self._url) as reader:
            ended = [int(s.id[1:]) for s in reader.sessions(what) if s.end.kind is not EndKind.OPEN]
        sizes = self._sizes()
        todo = {session: sizes[session] for session in ended if session in sizes}
        total, passed = sum(todo.values()), 0
        for session, size in todo.items():
            if stopped():
                done.finished = False
                break
            self._compact(session, done, _Meter(progress, passed, total))
            passed += size
            progress(Progress(passed, total, done.bytes_before - done.bytes_after))
        give_back(self._database, stopped)
        done.used_after = self._used()
        return done

    def _used(self) -> int:
        with self._database.transaction("measuring", writes=False) as connection:
            return used_bytes(connection)

    def _sizes(self) -> dict[int, int]:
        """The sessions that have something to compact, and how many bytes."""
        query = select(chunk.c.session_id, func.sum(func.length(chunk.c.data))).group_by(chunk.c.session_id)
        if self._keep_wire is KeepWire.NEEDED:
            query = query.where(chunk.c.settled < COMPACTED)
        with self._database.transaction("looking for what to compact", writes=False) as connection:
            return {session: int(size) for session, size in connection.execute(query)}

    def _compact(self, session: int, done: Compaction, meter: "_Meter") -> None:
        """Compact one session; anew from where it was changed underneath."""
        first_seq, attempts, packed = 0, _ATTEMPTS, done.messages
        again: int | None = None
        while attempts:
            again = self._compact_from(session, first_seq, done, meter)
            if again is None or self._stopped():
                break
            attempts = attempts - 1 if again == first_seq else _ATTEMPTS
            first_seq = again
        done.finished = done.finished and again is None
        done.sessions += done.messages > packed

    def _compact_from(self, session: int, first_seq: int, done: Compaction, meter: "_Meter") -> int | None:
        """Compact a session from a message on; say from which on to do it again, None at its end."""
        for batch in _batches(self._sources(session, first_seq, done)):
            if self._stopped():
                return batch[0].first_seq
            if not self._replace(session, batch, done):
                return batch[0].first_seq
            meter.passed(sum(len(source.data) for source in batch), done)
        return None

    def _sources(self, session: int, first_seq: int, done: Compaction) -> Iterator[_Source | None]:
        """Read what is to be compacted of a session, in order; None stands for a chunk that stays."""
        columns = (chunk.c.first_seq, chunk.c.count, chunk.c.settled, chunk.c.data)
        query = select(*columns).where(chunk.c.session_id == session).order_by(chunk.c.first_seq)
        if self._keep_wire is KeepWire.NEEDED:
            query = query.where(chunk.c.settled < COMPACTED)
        while True:
            with self._database.transaction("reading what to compact", writes=False) as connection:
                page = query.where(chunk.c.first_seq >= first_seq).limit(_CHUNKS_AT_A_TIME)
                rows = connection.execute(page).all()
            if not rows:
                return
            for place, count, settled, data in rows:
                yield self._source(session, place, count, settled, data, done)
                first_seq = place + 1

    def _source(
        self, session: int, first_seq: int, count: int, settled: int, data: bytes, done: Compaction
    ) -> _Source | None:
        found, what = self._unpacked(data, count)
        if what:
            damaged = DamagedChunk(f"s{session}", first_seq, count, what)
            if damaged not in done.damaged:
                done.damaged.append(damaged)
            return None
        if settled == COMPACTED and all(codec for codec, _ in found):
            return None
        source = _Source(first_seq, count, settled, data, [])
        for codec_id, piece in found:
            if codec_id != RAW:
                source.entries.append((codec_id, piece))
                continue
            decoded = decode(piece)
            codec = self._prover.prove(piece, decoded)
            if codec.exact or self._keep_wire is KeepWire.NEVER:
                source.given_up += not codec.exact
                source.entries.append((codec, decoded.payload))
            else:
                source.entries.append((RAW, piece))
        return source

    def _unpacked(self, data: bytes, count: int) -> tuple[list[Entry], str]:
        """What a chunk holds, or what is wrong with it."""
        try:
            found = self._packer.unpack(data)
        except ChunkError as exc:
            return [], str(exc)
        return found, "" if len(found) == count else f"it holds {len(found)} messages, not {count}"

    def _replace(self, session: int, batch: list[_Source], done: Compaction) -> bool:
        """Pack a batch and put it in place; False where it is no longer what was read."""
        codecs = {codec for source in batch for codec, _ in source.entries if isinstance(codec, Codec)}
        rows = self._packed(session, batch, self._ids(codecs))
        before = sum(len(source.data) for source in batch)
        after = sum(len(row[4]) for row in rows)
        # What a damaged neighbour or a gap cuts short may be packed as well as it can be already.
        better = after < before or bool(codecs)
        where = (chunk.c.session_id == session) & chunk.c.first_seq.between(
            batch[0].first_seq, batch[-1].first_seq
        )
        with self._database.transaction("compacting", writes=True) as connection:
            lock_sessions(connection, [session])
            if not (self._is_unchanged(connection, session, batch) and self._are_known(connection, codecs)):
                return False
            if better:
                connection.execute(delete(chunk).where(where))
                insert_rows(connection, chunk, rows)
            else:
                connection.execute(update(chunk).where(where).values(settled=COMPACTED))
        done.messages += sum(source.count for source in batch)
        done.bytes_before += before
        done.bytes_after += after if better else before
        done.given_up += sum(source.given_up for source in batch)
        return True

    def _packed(
        self, session: int, batch: list[_Source], ids: dict[Codec, int]
    ) -> list[tuple[int, int, int, int, bytes]]:
        kinds = self._kinds(session, batch[0].first_seq, batch[-1].first_seq + batch[-1].count)
        entries = [
            (ids[codec] if isinstance(codec, Codec) else codec, piece)
            for source in batch
            for codec, piece in source.entries
        ]
        rows = []
        for first_seq, run in runs(enumerate(entries, batch[0].first_seq), COMPACTED_MESSAGES):
            its_kinds = [kinds.get(seq) for seq in range(first_seq, first_seq + len(run))]
            data = self._packer.pack_grouped(run, its_kinds)
            rows.append((session, first_seq, len(run), COMPACTED, data))
        return rows

    def _kinds(self, session: int, first_seq: int, stop_seq: int) -> dict[int, tuple[int | None, ...]]:
        """What each message is: those of one kind look alike."""
        columns = (message.c.seq, message.c.from_client, message.c.method_id, message.c.stream_id)
        its = (message.c.session_id == session) & message.c.seq.between(first_seq, stop_seq - 1)
        with self._database.transaction("reading what to compact", writes=False) as connection:
            return {seq: tuple(kind) for seq, *kind in connection.execute(select(*columns).where(its))}

    def _ids(self, codecs: set[Codec]) -> dict[Codec, int]:
        """Number the codecs that were found anew."""
        if not codecs <= self._codec_ids.keys():
            try:
                with self._database.transaction("numbering codecs", writes=True):
                    return {codec: self._codec_ids[codec] for codec in codecs}
            except BaseException:
                self._codec_ids.clear()
                raise
        return {codec: self._codec_ids[codec] for codec in codecs}

    def _are_known(self, connection: Connection, codecs: set[Codec]) -> bool:
        """Whether nobody has removed the codecs since they were numbered; nothing referred to them yet."""
        known = {codec: self._codec_ids[codec] for codec in codecs}
        self._codec_ids.clear()
        return all(self._codec_ids[codec] == known[codec] for codec in codecs)

    @staticmethod
    def _is_unchanged(connection: Connection, session: int, batch: list[_Source]) -> bool:
        columns = (chunk.c.first_seq, chunk.c.count, chunk.c.settled, chunk.c.data)
        covered = chunk.c.first_seq.between(batch[0].first_seq, batch[-1].first_seq)
        query = select(*columns).where(chunk.c.session_id == session, covered).order_by(chunk.c.first_seq)
        expected = [(source.first_seq, source.count, source.settled, source.data) for source in batch]
        return [tuple(row) for row in connection.execute(query)] == expected


@dataclass(slots=True)
class _Meter:
    """Tells how far it is while a session is worked on."""

    tell: Callable[[Progress], None]
    done_bytes: int
    total_bytes: int

    def passed(self, size: int, done: Compaction) -> None:
        self.done_bytes += size
        self.tell(Progress(self.done_bytes, self.total_bytes, done.bytes_before - done.bytes_after))


def _batches(sources: Iterator[_Source | None]) -> Iterator[list[_Source]]:
    """Put together neighbours that fit into one compacted chunk."""
    batch: list[_Source] = []
    count = size = 0
    for source in sources:
        fits = (
            source is not None
            and batch
            and source.first_seq == batch[-1].first_seq + batch[-1].count
            and count + source.count <= COMPACTED_MESSAGES
            and size + source.size <= MAX_BYTES
        )
        if batch and not fits:
            yield batch
            batch, count, size = [], 0, 0
        if source is not None:
            batch.append(source)
            count, size = count + source.count, size + source.size
    if batch:
        yield batch
