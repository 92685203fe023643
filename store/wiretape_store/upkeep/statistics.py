"""
What a store holds and what room it takes: by recording and upstream, by codec, and as a whole.

What is told about payloads is read from the heads of all chunks; rows are counted by what their
sessions say of them, so that ten million messages take seconds.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.exc import NoResultFound

from wiretape_protocols import CodecError
from wiretape_store.chunks import RAW, ChunkError, Packer
from wiretape_store.names import Codecs
from wiretape_store.opening import open_for_reading
from wiretape_store.reader import StoreReader
from wiretape_store.records import EndKind, Recording, Session
from wiretape_store.schema import chunk
from wiretape_store.upkeep.room import Room, room_of

HOT, SETTLED, COMPACTED = 0, 1, 2
NOT_SETTLED = "not settled"
"""In place of a codec: how it is packed has not been looked at yet."""
KEPT = "kept"
"""In place of a codec: packing the payload anew would not give its bytes."""
UNREADABLE = "unreadable"
"""In place of a codec: the chunk is damaged, or its codec."""
REPACKED = ", repacked"
"""After a codec: what is read is packed anew, not as it was on the wire (redacted, or given up)."""
_STREAMED = {"stream_results": True}


@dataclass(slots=True)
class Amount:
    """So many messages, of so many bytes together."""

    messages: int = 0
    size_bytes: int = 0

    def add(self, messages: int, size_bytes: int) -> None:
        """Add more of them."""
        self.messages += messages
        self.size_bytes += size_bytes


@dataclass(slots=True)
class Holding:
    """What some sessions hold together."""

    sessions: int = 0
    messages: int = 0
    wire_bytes: int = 0
    chunk_bytes: int = 0
    """Their messages' bytes, packed."""
    hot: Amount = field(default_factory=Amount)
    """Not settled yet; bytes as they were on the wire where they are packed there."""
    kept_wire: Amount = field(default_factory=Amount)
    """Settled as they were on the wire, because packing them anew would not give the same bytes."""
    compacted: Amount = field(default_factory=Amount)
    """Packed better; bytes of payload, or of wire where that is kept."""
    damaged_chunks: int = 0
    codecs: dict[str, Amount] = field(default_factory=lambda: defaultdict(Amount))
    """Payload bytes by codec, such as `gzip`, and by the three words above."""

    @property
    def payload_bytes(self) -> int:
        """Unpacked; of what is hot or kept as it was on the wire, the bytes as they are stored."""
        return sum(amount.size_bytes for amount in self.codecs.values())

    def stored_bytes(self, row_bytes: float) -> int:
        """What it takes in the store beyond its fixed room, with so many bytes for each message's row and so on."""
        return self.chunk_bytes + round(self.messages * row_bytes)

    def include(self, other: "Holding") -> None:
        """Add what others hold."""
        self.sessions += other.sessions
        self.messages += other.messages
        self.wire_bytes += other.wire_bytes
        self.chunk_bytes += other.chunk_bytes
        self.damaged_chunks += other.damaged_chunks
        for mine, its in (
            (self.hot, other.hot),
            (self.kept_wire, other.kept_wire),
            (self.compacted, other.compacted),
        ):
            mine.add(its.messages, its.size_bytes)
        for codec, amount in other.codecs.items():
            self.codecs[codec].add(amount.messages, amount.size_bytes)


@dataclass(frozen=True, slots=True)
class RecordingHolding:
    """What a recording holds, all of it or the sessions that were asked for."""

    recording: Recording
    live: bool
    """One of its sessions is still being recorded."""
    holding: Holding
    upstreams: dict[str, Holding]


@dataclass(frozen=True, slots=True)
class Statistics:
    """What was asked for, and the room of the store as a whole."""

    recordings: tuple[RecordingHolding, ...]
    total: Holding
    room: Room
    row_bytes: float
    """What a message takes besides its part of a chunk and the fixed room, on average over the store."""


def statistics(
    url: str, what: str | None = None, *, progress: Callable[[int, int], None] = lambda *_: None
) -> Statistics:
    """
    Count what a store, a recording (name or id) or a session holds.

    `progress` gets the messages counted so far, and all. Raises MissingStoreError,
    UnknownRecordingError.
    """
    with StoreReader(url) as reader:
        sessions = reader.sessions(what)
        recordings = reader.recordings()
    every = what is None
    found = _holdings(url, sessions, progress, every=every)
    by_recording: dict[str, list[Session]] = defaultdict(list)
    for session in sessions:
        by_recording[session.recording].append(session)
    total = Holding()
    held = []
    for recording in recordings:
        its = by_recording.get(recording.name, [])
        if not its and not every:
            continue
        upstreams: dict[str, Holding] = defaultdict(Holding)
        whole = Holding()
        for session in its:
            upstreams[session.upstream.name].include(found.sessions[session.id])
            whole.include(found.sessions[session.id])
        total.include(whole)
        live = any(session.end.kind is EndKind.OPEN for session in its)
        held.append(RecordingHolding(recording, live, whole, dict(upstreams)))
    return Statistics(tuple(held), total, found.room, found.row_bytes)


@dataclass(frozen=True, slots=True)
class _Found:
    sessions: dict[str, Holding]
    room: Room
    row_bytes: float


def _holdings(
    url: str, sessions: list[Session], progress: Callable[[int, int], None], *, every: bool
) -> _Found:
    """Read the chunks of the sessions, and the sizes of the tables."""
    holdings = {int(session.id[1:]): _counted(session) for session in sessions}
    total, counted = sum(holding.messages for holding in holdings.values()), 0
    columns = (chunk.c.session_id, chunk.c.count, chunk.c.settled, chunk.c.data)
    query = select(*columns).order_by(chunk.c.session_id, chunk.c.first_seq)
    database = open_for_reading(url)
    try:
        counter = _Counter(Codecs(database.connection))
        with database.transaction("measuring", writes=False) as connection:
            # Those of what is being pruned as well: they take room too.
            whole = select(func.sum(chunk.c.count), func.sum(func.length(chunk.c.data)))
            messages, packed = (int(number or 0) for number in connection.execute(whole).one())
            room = room_of(database, connection, packed)
            for its in [query] if every else [query.where(chunk.c.session_id == one) for one in holdings]:
                for session, count, settled, data in connection.execute(its, execution_options=_STREAMED):
                    if session in holdings:  # It may have begun since the sessions were listed.
                        counter.add(holdings[session], count, settled, data)
                        counted += count
                        progress(counted, total)
    finally:
        database.close()
    besides = room.chunks + room.rows + room.other - packed
    row_bytes = besides / messages if messages else 0.0
    return _Found({f"s{number}": holding for number, holding in holdings.items()}, room, row_bytes)


def _counted(session: Session) -> Holding:
    """What the session itself says of its messages."""
    return Holding(1, session.messages_from_client + session.messages_from_upstream, session.wire_bytes)


class _Counter:
    """Counts chunks by what stands in their heads."""

    def __init__(self, codecs: Codecs) -> None:
        self._packer = Packer()
        self._codecs = codecs

    def add(self, holding: Holding, count: int, settled: int, data: bytes) -> None:
        """Add a chunk to what a session holds."""
        holding.chunk_bytes += len(data)
        try:
            shares = self._packer.shares(data)
        except ChunkError:
            holding.damaged_chunks += 1
            holding.codecs[UNREADABLE].add(count, 0)
            return
        for codec_id, messages, size_bytes in shares:
            if settled == HOT:
                holding.hot.add(messages, size_bytes)
            elif codec_id == RAW:
                holding.kept_wire.add(messages, size_bytes)
            if settled == COMPACTED:
                holding.compacted.add(messages, size_bytes)
            holding.codecs[self._name(codec_id, settled)].add(messages, size_bytes)

    def _name(self, codec_id: int, settled: int) -> str:
        if codec_id == RAW:
            return NOT_SETTLED if settled == HOT else KEPT
        try:
            codec = self._codecs[codec_id]
        except (NoResultFound, CodecError):
            return UNREADABLE
        return codec.kind.value if codec.exact else f"{codec.kind.value}{REPACKED}"
