"""
Checking a whole store: the file, the facts about it, and session by session what was recorded.

Each session is seen at one moment, so a recorder may write meanwhile. Nothing is changed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Select, select

from wiretape_store.checking import structure_check
from wiretape_store.checking.findings import Finding, Severity, damage, limited
from wiretape_store.checking.session_check import VALUE_ERRORS, SessionCheck
from wiretape_store.chunks import Packer
from wiretape_store.database import Database
from wiretape_store.errors import Refusal, RefusedStoreError, StoreError
from wiretape_store.names import Codecs
from wiretape_store.opening import open_for_reading, path_of
from wiretape_store.recording_rows import BEING_PRUNED
from wiretape_store.schema import recording, session, upstream

_SESSION: Select[Any] = (
    select(
        session,
        recording.c.ended_at_us.label("recording_ended_at_us"),
        recording.c.pinned,
        recording.c.host,
        recording.c.pid,
        recording.c.born,
    )
    .outerjoin(upstream, upstream.c.id == session.c.upstream_id)
    .outerjoin(recording, recording.c.id == upstream.c.recording_id)
)


@dataclass(slots=True)
class Checked:
    """How much has been looked at so far."""

    sessions: int = 0
    sessions_in_all: int = 0
    messages: int = 0
    payload_bytes: int = 0
    damages: int = 0
    notes: int = 0


class StoreCheck:
    """One check of one store."""

    def __init__(self, url: str, *, deep: bool = False) -> None:
        """With `deep`, every message that was packed is packed anew, not one of each chunk."""
        self._url = url
        self._deep = deep
        self.checked = Checked()

    def findings(self, on_progress: Callable[[Checked], None] = lambda _: None) -> Iterator[Finding]:
        """
        Check everything, and yield what is found as it is found.

        `on_progress` is called now and then. Raises StoreError for what is no store that this
        wiretape can read; damage is found, not raised.
        """
        path = file_of(self._url)
        if path is not None:
            found = list(structure_check.log_findings(path))
            if found:
                # To open it would be to lose what lies behind the damage.
                yield from map(self._counted, found)
                return
        try:
            database = open_for_reading(self._url)
        except RefusedStoreError as exc:
            if exc.refusal is not Refusal.DAMAGED:
                raise
            yield self._counted(damage(f"it cannot be opened: {exc.what}"))
            return
        with _closing(database):
            for finding in self._all(database, on_progress):
                yield self._counted(finding)

    def _counted(self, finding: Finding) -> Finding:
        if finding.severity is Severity.DAMAGE:
            self.checked.damages += 1
        else:
            self.checked.notes += 1
        return finding

    def _all(self, database: Database, on_progress: Callable[[Checked], None]) -> Iterator[Finding]:
        yield from structure_check.file_findings(database)
        yield from structure_check.fact_findings(database)
        packer = Packer()
        try:
            numbers = self._numbers(database)
        except StoreError as exc:
            yield damage(f"its sessions cannot be listed ({exc.what})")
            return
        self.checked.sessions_in_all = len(numbers)
        for number in numbers:
            self.checked.sessions += 1
            yield from limited(self._session(database, packer, number, on_progress), f"s{number}")
            on_progress(self.checked)

    def _numbers(self, database: Database) -> list[int]:
        with database.transaction("listing the sessions", writes=False) as connection:
            seen = _SESSION.with_only_columns(session.c.id, maintain_column_froms=True)
            seen = seen.where(recording.c.pinned.is_distinct_from(BEING_PRUNED))
            found = connection.scalars(seen.order_by(session.c.id)).all()
        return [number for number in found if isinstance(number, int)]

    def _session(
        self, database: Database, packer: Packer, number: int, on_progress: Callable[[Checked], None]
    ) -> Iterator[Finding]:
        before = self.checked.messages, self.checked.payload_bytes
        try:
            with database.transaction("checking a session", writes=False) as connection:
                row = connection.execute(_SESSION.where(session.c.id == number)).one_or_none()
                if row is None or row.pinned == BEING_PRUNED:
                    # Deleted since the sessions were listed, or half of it, or all but its number.
                    self.checked.sessions -= 1
                    return
                check = SessionCheck(connection, row, packer, Codecs(connection))
                for finding in check.findings(deep=self._deep):
                    yield finding
                    on_progress(self.checked)
                self.checked.messages = before[0] + check.messages
                self.checked.payload_bytes = before[1] + check.payload_bytes
        except StoreError as exc:
            yield damage(f"it cannot be read to its end ({exc.what})", f"s{number}")
        except VALUE_ERRORS as exc:
            yield damage(f"it holds a value that cannot be ({exc})", f"s{number}")


def file_of(url: str) -> Path | None:
    """The file of a store in SQLite; None for any other store."""
    try:
        return path_of(url)
    except StoreError:
        return None


@contextmanager
def _closing(database: Database) -> Iterator[None]:
    try:
        yield
    finally:
        database.close()
