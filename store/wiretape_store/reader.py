"""
Reading a store, also while a recorder writes to it. Nothing here changes the store.

Each call sees the store as it is at that moment. `messages` reads chunk by chunk and sees what was
added in between; it holds no more than one chunk and blocks nobody while its caller takes its time.
"""

import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Select, func, select

from wiretape_store import recording_rows
from wiretape_store.errors import UnknownRecordingError, UnknownSessionError
from wiretape_store.locking import announced
from wiretape_store.opening import open_for_reading
from wiretape_store.records import Event, EventKind, Message, Recording, Redaction, Session
from wiretape_store.schema import chunk, event, recording, session, upstream
from wiretape_store.session_rows import is_without_recorder, session_of, upstream_of
from wiretape_store.stretch_reader import StretchReader
from wiretape_store.stretches import Details, Extent, Stretch, Turn

_SESSION_ID = re.compile(r"s[0-9]+")
_DIGITS = 18
_LAST_NUMBER = (1 << 31) - 1
"""Of a session: what a column of PostgreSQL holds."""

_UPSTREAM = (
    upstream.c.id.label("upstream_id"),
    upstream.c.recording_id,
    upstream.c.name,
    upstream.c.protocol,
    upstream.c.url,
    upstream.c.listen,
)
_SESSIONS = (
    select(
        session,
        *_UPSTREAM[2:],
        recording.c.name.label("recording"),
        recording.c.id.label("recording_id"),
        recording.c.ended_at_us.label("recording_ended_at_us"),
        recording.c.host,
        recording.c.pid,
        recording.c.born,
    )
    .join(upstream, upstream.c.id == session.c.upstream_id)
    .join(recording, recording.c.id == upstream.c.recording_id)
    .where(recording_rows.IS_THERE)
    .order_by(session.c.id)
)


class StoreReader:
    """Reads one store, in one thread at a time; a context manager."""

    redaction_key: bytes
    """Made with the store: equal secrets become equal tokens in all of its recordings."""

    def __init__(self, url: str) -> None:
        """Open the store at `url`, a path or a URL of SQLAlchemy. Raises MissingStoreError."""
        self._url = url
        self._database = open_for_reading(url)
        self._messages = StretchReader(self._database)
        try:
            with self._reading() as connection:
                self.redaction_key = recording_rows.redaction_key(connection)
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the store; iterators of it end with an error."""
        self._database.close()

    @property
    def path(self) -> str:
        """Where the store is."""
        return str(self._database.path)

    def another(self) -> Self:
        """Open the same store once more, for another thread. The caller closes it."""
        return type(self)(self._url)

    def recordings(self) -> list[Recording]:
        """All recordings, oldest first."""
        with self._reading() as connection:
            upstreams = connection.execute(select(*_UPSTREAM).order_by(upstream.c.id)).all()
            return [
                Recording(
                    id=f"r{row.id}",
                    name=row.name,
                    started_at_us=row.started_at_us,
                    ended_at_us=row.ended_at_us,
                    upstreams=tuple(upstream_of(each) for each in upstreams if each.recording_id == row.id),
                    pinned=row.pinned == 1,
                    redaction_rules=tuple(json.loads(row.redaction_rules)),
                )
                for row in connection.execute(
                    select(recording).where(recording_rows.IS_THERE).order_by(recording.c.id)
                )
            ]

    def recording(self, what: str) -> Recording:
        """Find a recording by its name, or else by its id `r3`. Raises UnknownRecordingError."""
        recordings = self.recordings()
        for found in recordings:
            if found.name == what:
                return found
        for found in recordings:
            if found.id == what:
                return found
        raise UnknownRecordingError(self.path, what, [each.name for each in reversed(recordings)])

    def redaction(self, what: str) -> Redaction:
        """How secrets were replaced in a recording (name or id) or a session. Raises UnknownRecordingError."""
        sessions = self.sessions(what)
        found = self.recording(sessions[0].recording if sessions else what)
        its_key = select(recording.c.redaction_key).where(recording.c.id == int(found.id[1:]))
        with self._reading() as connection:
            key: bytes | None = connection.execute(its_key).scalar_one()
        return Redaction(self.redaction_key if key is None else bytes(key), found.redaction_rules)

    def sessions(self, what: str | None = None) -> list[Session]:
        """
        The sessions of the store, of a recording (name or id), or the one session `s12`.

        In the order in which they began. Raises UnknownRecordingError and UnknownSessionError.
        """
        if what is None:
            return self._sessions(_SESSIONS)
        try:
            wanted = int(self.recording(what).id[1:])
        except UnknownRecordingError:
            if _SESSION_ID.fullmatch(what):
                return [self.session(what)]
            raise
        return self._sessions(_SESSIONS.where(recording.c.id == wanted))

    def session(self, session_id: str) -> Session:
        """Find a session by its id `s12`. Raises UnknownSessionError."""
        found = self._sessions(_SESSIONS.where(session.c.id == self._number(session_id)))
        if not found:
            raise UnknownSessionError(self.path, session_id)
        return found[0]

    def messages(self, session_id: str, first_seq: int = 0) -> Iterator[Message]:
        """The messages of a session in order, from `first_seq` on. Raises UnknownSessionError."""
        self.session(session_id)
        return self._messages.read(self._number(session_id), first_seq)

    def payloads(self, session_id: str, first_seq: int = 0) -> Iterator[bytes]:
        """
        The decoded payloads of a session in order, several times as quickly as `messages`.

        Raises UnknownSessionError.
        """
        self.session(session_id)
        return self._messages.payloads(self._number(session_id), first_seq)

    def message(self, session_id: str, seq: int) -> Message:
        """One message of a session. Raises UnknownSessionError when the session has no such number."""
        found = self._messages.read_one(self._number(session_id), seq)
        if found is None:
            raise UnknownSessionError(self.path, session_id, seq)
        return found

    def extent(self, session_id: str) -> Extent:
        """How far a session goes now. Raises UnknownSessionError."""
        self.session(session_id)
        return self._messages.extent(self._number(session_id))

    def spans(self, session_id: str, stop_seq: int) -> Iterator[tuple[int, int]]:
        """
        The runs of messages that are there up to `stop_seq`, as (first, the one after the last).

        More than one only where messages were lost.
        """
        return self._messages.spans(self._number(session_id), stop_seq)

    def stretch(self, session_id: str, seq: int) -> Stretch:
        """
        Some consecutive messages, the one numbered `seq` among them: some thousands, or one that is long.

        Raises StoreError where it is not there, or where the session is not there any more.
        """
        return self._messages.stretch(self._number(session_id), seq)

    def details(self, session_id: str, first_seq: int, stop_seq: int) -> Details:
        """
        What a stretch from `first_seq` up to `stop_seq` leaves out.

        Raises StoreError where not all of it is there, or the session is not there any more.
        """
        return self._messages.details(self._number(session_id), first_seq, stop_seq)

    def turns(self, session_id: str, seq: int, stop_seq: int) -> list[Message | Turn]:
        """
        What is no push, in order, from `seq` up to `stop_seq`: client messages, and what answers which.

        Raises StoreError where the session is not there any more.
        """
        return self._messages.turns(self._number(session_id), seq, stop_seq)

    def events(self, session_id: str) -> list[Event]:
        """What else happened in a session, in order. Raises UnknownSessionError."""
        self.session(session_id)
        number = self._number(session_id)
        with self._reading() as connection:
            rows = connection.execute(
                select(event).where(event.c.session_id == number).order_by(event.c.ordinal)
            )
            return [
                Event(row.after_seq, row.at_us, bool(row.from_client), EventKind(row.kind), row.data)
                for row in rows
            ]

    def stored_bytes(self, session_id: str) -> int:
        """
        How many bytes the messages of a session are packed into; rows and indexes are not counted.

        Raises UnknownSessionError.
        """
        self.session(session_id)
        packed = select(func.coalesce(func.sum(func.length(chunk.c.data)), 0))
        with self._reading() as connection:
            return int(
                connection.execute(packed.where(chunk.c.session_id == self._number(session_id))).scalar_one()
            )

    def _sessions(self, query: Select[Any]) -> list[Session]:
        with self._reading() as connection:
            rows = connection.execute(query).all()
            alive = announced(connection)
        if any(is_without_recorder(row, alive) for row in rows):
            # The recorder may have ended them properly after we read and before it was gone.
            with self._reading() as connection:
                rows = connection.execute(query).all()
                # Who has begun, or come back, since we asked is not dead either.
                alive = None if alive is None else alive | (announced(connection) or set())
        return [session_of(row, alive) for row in rows]

    def _number(self, session_id: str) -> int:
        number = session_id.removeprefix("s")
        if number == session_id or not (number.isascii() and number.isdigit()):
            raise UnknownSessionError(self.path, session_id)
        if len(number) > _DIGITS or int(number) > _LAST_NUMBER:
            raise UnknownSessionError(self.path, session_id)
        return int(number)

    def _reading(self) -> AbstractContextManager[Connection]:
        return self._database.transaction("reading", writes=False)
