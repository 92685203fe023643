"""
Saving what can be saved of a damaged store into a new one; the damaged one is only read.

Rows are gathered, stand-ins are put where something that others refer to is lost, each session is
mended, and the result is checked before it appears under its name.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from wiretape_store import schema
from wiretape_store.checking.findings import Severity
from wiretape_store.checking.row_shapes import is_headers, is_rules
from wiretape_store.checking.store_check import StoreCheck, file_of
from wiretape_store.chunks import Packer
from wiretape_store.database import REDACTION_KEY_BYTES, Database, Synchronous
from wiretape_store.errors import MissingStoreError, Refusal, RefusedStoreError, StoreError
from wiretape_store.opening import open_for_reading, open_for_writing, path_of
from wiretape_store.recording_rows import IS_THERE
from wiretape_store.salvaging.codec_guesses import CodecGuesses
from wiretape_store.salvaging.gathering import Gathered, Gatherer
from wiretape_store.salvaging.mending import SavedSession, SessionMender
from wiretape_store.salvaging.sqlite_log import log_path
from wiretape_store.salvaging.sqlite_pages import PageFile
from wiretape_store.salvaging.stand_ins import being_pruned, drop_strays, session_numbers, stand_in
from wiretape_store.schema import meta, recording, session, upstream
from wiretape_store.sqlite import creating as sqlite_creating
from wiretape_store.sqlite.errors import foreign, translated_errors
from wiretape_store.upkeep.room import give_back
from wiretape_store.urls import shown

Progress = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and how much there is."""
_PAGES, _SESSIONS = "reading pages", "mending sessions"


@dataclass(slots=True)
class Saved:
    """What a repair has saved and lost."""

    path: str
    """Where the new store is."""
    recordings: int = 0
    sessions: list[SavedSession] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    """What is lost of the store as a whole, one sentence each."""
    remaining: list[str] = field(default_factory=list)
    """What is still wrong with the new store: nothing, unless there is a mistake in here."""

    is_cut_off: bool = False
    """Pages are missing at the end of the file: nothing may be left that speaks of their messages."""
    had_messages: bool = False
    """There were messages, or may have been where the file is cut off."""

    @property
    def nothing_saved(self) -> bool:
        """Whether no message is left of a store that had some."""
        return self.had_messages and not self.kept

    @property
    def kept(self) -> int:
        """How many messages the new store has."""
        return sum(each.kept for each in self.sessions)

    @property
    def lost(self) -> int | None:
        """How many messages are known to be lost; None where nobody can know, of a file that is cut off."""
        return None if self.is_cut_off else sum(each.lost for each in self.sessions)


def repair_store(url: str, target: str, on_progress: Progress = lambda *_: None) -> Saved:
    """
    Save what can be saved of the store at `url` into a new store at `target`, a path.

    The new store appears under its name when it is whole. Raises StoreError where `target` is taken or
    cannot be made, and RefusedStoreError where nothing of a store was found.
    """
    new = path_of(target)
    if new.exists() or log_path(new).exists():
        raise StoreError(str(new), "there is a file already", "name another for the repaired store")
    if not new.absolute().parent.is_dir():
        raise StoreError(str(new), "its folder does not exist", "make the folder, or name another")
    with (
        translated_errors(new, "repairing"),
        tempfile.TemporaryDirectory(prefix=f".{new.name}-", dir=new.absolute().parent) as folder,
    ):
        draft = Path(folder) / "draft"
        with _named(new, draft):
            saved = _fill(url, draft, on_progress)
        check = StoreCheck(str(draft))
        saved.remaining = [str(each) for each in check.findings() if each.severity is Severity.DAMAGE]
        sqlite_creating.sync(draft)
        try:
            os.link(draft, new)
        except FileExistsError as exc:
            raise StoreError(str(new), "there is a file now", "name another for the repaired store") from exc
        sqlite_creating.sync(new.absolute().parent)
    saved.path = str(new)
    return saved


@contextmanager
def _named(new: Path, draft: Path) -> Iterator[None]:
    """Name the store that was asked for in what goes wrong with its draft."""
    try:
        yield
    except StoreError as exc:
        if exc.path != str(draft):
            raise
        raise StoreError(str(new), exc.what, exc.advice) from exc


def _fill(url: str, draft: Path, on_progress: Progress) -> Saved:
    database = open_for_writing(draft, Synchronous.OFF)
    try:
        database.connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        # What is gathered goes straight into the file: a log would double it.
        database.connection.exec_driver_sql("PRAGMA journal_mode = TRUNCATE")
        database.connection.rollback()
        with database.transaction("gathering", writes=True) as connection:
            fresh = {row.key: row.value for row in connection.execute(select(meta))}
            connection.execute(delete(meta))
            gathered = _gather(url, connection, on_progress)
        if not gathered.rows.keys() & {"recording", "session", "message", "chunk"}:
            what = "nothing of a store can be found in it"
            raise RefusedStoreError(shown(url), Refusal.DAMAGED, what, "restore a copy of it")
        saved = _mend(database, gathered, fresh, on_progress)
        database.connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        database.connection.rollback()
        give_back(database, lambda: False)
    finally:
        database.close()
    return saved


def _gather(url: str, connection: Connection, on_progress: Progress) -> Gathered:
    gatherer = Gatherer(connection)
    path = file_of(url)
    if path is None:
        source = open_for_reading(url)
        try:
            with source.transaction("reading", writes=False) as reading:
                gatherer.from_database(reading)
        finally:
            source.close()
        return gatherer.gathered
    _check_source(path)
    with ExitStack() as stack:
        stack.enter_context(_held_still(path))
        with translated_errors(path, "reading"):
            file = stack.enter_context(PageFile(path))
        _check_kind(path, file)
        gatherer.from_pages(file, lambda done, of: on_progress(_PAGES, done, of))
    return gatherer.gathered


def _check_source(path: Path) -> None:
    if not path.exists():
        raise MissingStoreError(str(path))
    if not path.is_file():
        raise foreign(path, "a folder, not a file" if path.is_dir() else "not a regular file")


def _check_kind(path: Path, file: PageFile) -> None:
    """Refuse what says of itself that it is somebody else's, or newer than this build."""
    header = file.header
    if header is None or header.application_id != schema.APPLICATION_ID:
        if header is not None and header.application_id == 0 and header.version == 0:
            raise foreign(path, "a SQLite database, but not a wiretape store")
        return
    if schema.SCHEMA_VERSION < header.version < 1000:
        known = f"its schema is version {header.version}, this wiretape knows version {schema.SCHEMA_VERSION}"
        raise RefusedStoreError(str(path), Refusal.NEWER, known, "repair it with a newer wiretape")


@contextmanager
def _held_still(path: Path) -> Iterator[None]:
    """Where somebody may be writing, read at one moment: the log is not begun anew meanwhile."""
    connection: Connection | None = None
    try:
        if Path(f"{path}-shm").exists():
            # What SQLite makes of a damaged file is no matter: then nobody writes to it.
            with suppress(DBAPIError, UnicodeDecodeError):
                connection = sqlite_creating.engine(path, "ro").connect()
                connection.exec_driver_sql("BEGIN")
                connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar()
        yield
    finally:
        if connection is not None:
            with suppress(DBAPIError):
                connection.close()


def _mend(database: Database, gathered: Gathered, fresh: dict[str, Any], on_progress: Progress) -> Saved:
    saved = Saved("")
    for table, number, column in gathered.unreadable:
        saved.losses.append(f"the {column} of {table} {number} could not be read, and is empty now")
    if gathered.bad_pages:
        saved.losses.append(f"{gathered.bad_pages} pages of the file could not be read, or not whole")
    if gathered.missing_pages:
        saved.is_cut_off = True
        saved.losses.append(
            f"the file is cut off: {gathered.missing_pages} of {gathered.pages_told} pages are missing"
        )
    with database.transaction("mending", writes=True) as connection:
        _mend_meta(connection, fresh, saved)
        _mend_json(connection, saved)
        counted = _counted(connection)
        saved.losses += drop_strays(connection)
        numbers, hidden = session_numbers(connection), being_pruned(connection)
        saved.losses += stand_in(connection, numbers)
        codecs = CodecGuesses(connection)
        packer = Packer()
        for done, number in enumerate(numbers):
            on_progress(_SESSIONS, done, len(numbers))
            mender = SessionMender(connection, packer, codecs, number)
            mended = mender.mend(counted=counted.get(number))
            if number not in hidden:
                saved.sessions.append(mended)
        had_rows = not gathered.rows.keys().isdisjoint(("message", "chunk"))
        had_lost = any(each.lost for each in saved.sessions)
        saved.had_messages = saved.is_cut_off or had_lost or (had_rows and not hidden)
        if codecs.guessed:
            saved.losses.append(
                f"{codecs.guessed} codecs were lost and are guessed: payloads are right, the wire's bytes may not be"
            )
        _end_recordings(connection)
        saved.recordings = connection.scalar(select(func.count()).where(IS_THERE)) or 0
    return saved


def _mend_meta(connection: Connection, fresh: dict[str, Any], saved: Saved) -> None:
    """See that the facts are there; a lost key makes every token one that nobody can make again."""
    facts = {row.key: row.value for row in connection.execute(select(meta))}
    if len(facts.get("redaction_key", b"")) != REDACTION_KEY_BYTES:
        facts["redaction_key"] = fresh["redaction_key"]
        connection.execute(
            update(recording).where(recording.c.redaction_key.is_(None)).values(redaction_key=b"")
        )
        saved.losses.append(
            "its redaction key: secrets of clients will match recorded ones by their order only"
        )
    facts["store_id"] = facts.get("store_id") or fresh["store_id"]
    connection.execute(delete(meta))
    connection.execute(insert(meta), [{"key": key, "value": value} for key, value in facts.items()])


def _mend_json(connection: Connection, saved: Saved) -> None:
    """Empty the JSON that cannot be read: headers, and rules of redaction."""
    columns = (session.c.id, session.c.request_headers, session.c.response_headers)
    for number, *headers in connection.execute(select(*columns)).all():
        for column, text in zip(("request_headers", "response_headers"), headers, strict=True):
            if not is_headers(text):
                connection.execute(update(session).where(session.c.id == number).values({column: "[]"}))
                saved.losses.append(f"the {column.replace('_', ' ')} of session s{number}")
    for number, rules in connection.execute(select(recording.c.id, recording.c.redaction_rules)).all():
        if not is_rules(rules):
            connection.execute(update(recording).where(recording.c.id == number).values(redaction_rules="[]"))
            saved.losses.append(f"the redaction rules of recording r{number}")


def _counted(connection: Connection) -> dict[int, int]:
    both = (session.c.messages_from_client + session.c.messages_from_upstream).label("both")
    return {row.id: row.both for row in connection.execute(select(session.c.id, both))}


def _end_recordings(connection: Connection) -> None:
    """End what was open: nobody writes to the new store."""
    last = select(func.max(session.c.ended_at_us)).join(upstream, upstream.c.id == session.c.upstream_id)
    last = last.where(upstream.c.recording_id == recording.c.id)
    ended = func.coalesce(last.scalar_subquery(), recording.c.started_at_us)
    connection.execute(update(recording).where(recording.c.ended_at_us.is_(None)).values(ended_at_us=ended))
