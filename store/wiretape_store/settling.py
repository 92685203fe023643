"""
Settling: turning the small chunks of single commits into large ones that are packed for good.

Proving that a payload packs to its wire bytes again costs more than everything else that is done
for a message, so it is not done while messages wait. What is not settled yet is stored all the
same, and a recorder that died leaves its unsettled chunks to the next one.
"""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, bindparam, delete, func, literal_column, select

from wiretape_protocols import Prover, decode
from wiretape_store.bulk import insert_rows
from wiretape_store.chunks import MAX_BYTES, MAX_MESSAGES, RAW, ChunkError, Entry, Packer, runs
from wiretape_store.database import Database
from wiretape_store.locking import lock_sessions
from wiretape_store.names import CodecIds, Renewal
from wiretape_store.schema import chunk, session

STEP_MESSAGES = 1024
STEP_BYTES = 1024 * 1024
"""One step takes about this much: some 15 ms of work, so that new messages never wait long."""

_HOT = chunk.c.settled == literal_column("0")
"""As the index on hot chunks says it: with a parameter there, a database cannot know that it will do."""


class KeepWire(StrEnum):
    """What becomes of a packed message whose bytes packing its payload anew does not give."""

    NEEDED = "needed"
    """Its bytes are kept as they were on the wire."""
    NEVER = "never"
    """Its payload is kept and they are given up: other bytes come back, which unpack to the same."""


@dataclass(slots=True)
class _Backlog:
    """What of one session is stored, but not settled."""

    messages: int = 0
    size: int = 0
    ended: bool = False
    """Nothing will be added, so the last, small chunk is settled too."""
    keep_wire: KeepWire = KeepWire.NEEDED
    """What its own recorder was told; of one that is gone nobody knows, so all is kept."""

    def is_due(self) -> bool:
        return self.messages >= MAX_MESSAGES or self.size > MAX_BYTES or (self.ended and self.messages > 0)


class Settler:
    """Keeps count of what is not settled yet, and settles it step by step."""

    def __init__(
        self,
        database: Database,
        packer: Packer,
        codec_ids: CodecIds,
        renewal: Renewal,
        keep_wire: KeepWire = KeepWire.NEEDED,
    ) -> None:
        """Work on `database`; the codec ids and their renewal are shared with the writer."""
        self._database = database
        self._packer = packer
        self._codec_ids = codec_ids
        self._renewal = renewal
        self._keep_wire = keep_wire
        self._prover = Prover()
        self._backlogs: dict[int, _Backlog] = {}
        self._due: dict[int, None] = {}
        """Ids of the sessions with enough to settle, in the order in which they came to it."""

    @property
    def backlog_bytes(self) -> int:
        """How much is not settled yet."""
        return sum(backlog.size for backlog in self._backlogs.values())

    def take_over(self, connection: Connection) -> None:
        """Add what recorders that are gone have left unsettled."""
        left = (
            select(chunk.c.session_id, func.sum(chunk.c.count), func.sum(func.length(chunk.c.data)))
            .join(session, session.c.id == chunk.c.session_id)
            .where(_HOT, session.c.end_kind.is_not(None))
            .group_by(chunk.c.session_id)
            .order_by(chunk.c.session_id)
        )
        for session_id, messages, size in connection.execute(left):
            self._backlogs[session_id] = _Backlog()
            self.note(session_id, messages, size, ended=True)

    def note(self, session_id: int, messages: int, size: int, *, ended: bool) -> None:
        """Say what a commit has added to a session."""
        backlog = self._backlogs.setdefault(session_id, _Backlog(keep_wire=self._keep_wire))
        backlog.messages += messages
        backlog.size += size
        backlog.ended = backlog.ended or ended
        self._sort(session_id, backlog)

    def step(self) -> bool:
        """Settle some messages of one session; False when no session has enough to be worth it."""
        for session_id in self._due:
            self._settle(session_id, self._backlogs[session_id])
            return True
        return False

    def _settle(self, session_id: int, backlog: _Backlog) -> None:
        try:
            with self._database.transaction("settling messages", writes=True) as connection:
                self._replace(connection, session_id, backlog)
        except BaseException as exc:
            self._codec_ids.clear()
            if not isinstance(exc, ChunkError):
                self._due[session_id] = self._due.pop(session_id)  # It must not keep others waiting.
                raise
            # The damage stays for the reader to report; nothing is gained by trying again.
            self.forget(session_id)
            return
        self._sort(session_id, backlog)

    def _replace(self, connection: Connection, session_id: int, backlog: _Backlog) -> None:
        """Replace hot chunks by settled ones, and take them off the backlog."""
        self._renewal.renew()
        lock_sessions(connection, [session_id])  # Another writer may be at the same, once it has ended.
        hot, is_all = self._read(connection, session_id)
        chunks = list(runs((seq, self._proven(entry, backlog.keep_wire)) for seq, entry in hot))
        left = _Backlog()
        rows = []
        for first_seq, entries in chunks:
            size = sum(len(data) for _, data in entries)
            # Each but the last is full, or before a gap. Once the session has ended, so is the last one.
            is_full = first_seq != chunks[-1][0] or len(entries) == MAX_MESSAGES or size > MAX_BYTES
            settled = is_full or (is_all and backlog.ended)
            if not settled:
                left = _Backlog(len(entries), size)
            data = self._packer.pack(entries, settled=settled)
            rows.append((session_id, first_seq, len(entries), int(settled), data))
        if rows:
            covered = chunk.c.first_seq.between(hot[0][0], hot[-1][0])
            is_hot = (chunk.c.session_id == session_id) & (_HOT)
            connection.execute(delete(chunk).where(is_hot, covered))
            insert_rows(connection, chunk, rows)
        # What has been read is what counts: another writer may have settled some of an ended session.
        more = _Backlog() if is_all else backlog
        taken = sum(len(data) for _, (_, data) in hot)
        backlog.messages = left.messages + max(0, more.messages - len(hot))
        backlog.size = left.size + max(0, more.size - taken)

    def _read(self, connection: Connection, session_id: int) -> tuple[list[tuple[int, Entry]], bool]:
        """Read hot messages, enough for one step; say whether those were all."""
        columns = (chunk.c.first_seq, chunk.c.data)
        hot = select(*columns).where(chunk.c.session_id == bindparam("id"), _HOT)
        messages: list[tuple[int, Entry]] = []
        size = 0
        with connection.execute(hot.order_by(chunk.c.first_seq), {"id": session_id}) as result:
            for first_seq, data in result:
                entries = self._packer.unpack(data)
                messages += enumerate(entries, first_seq)
                size += sum(len(piece) for _, piece in entries)
                if len(messages) >= STEP_MESSAGES or size >= STEP_BYTES:
                    return messages, False
        return messages, True

    def _proven(self, entry: Entry, keep_wire: KeepWire) -> Entry:
        codec_id, wire = entry
        if codec_id != RAW:
            return entry
        decoded = decode(wire)
        codec = self._prover.prove(wire, decoded)
        if codec.exact or keep_wire is KeepWire.NEVER:
            return self._codec_ids[codec], decoded.payload
        return entry

    def _sort(self, session_id: int, backlog: _Backlog) -> None:
        if backlog.is_due():
            self._due[session_id] = None
            return
        self._due.pop(session_id, None)
        if backlog.ended:
            self.forget(session_id)

    def forget(self, session_id: int) -> None:
        """Leave a session alone: it is settled, damaged or deleted."""
        self._due.pop(session_id, None)
        self._backlogs.pop(session_id, None)
