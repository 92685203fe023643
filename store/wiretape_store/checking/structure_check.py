"""
Checking a store apart from its sessions: the file's own structure, the log beside it, and the facts
and names that sessions share.

What only SQLite knows is in `file_findings` and `log_findings`; a PostgreSQL server sees to itself.
"""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, select

from wiretape_protocols import Codec, CodecError
from wiretape_store.checking.findings import Finding, damage
from wiretape_store.checking.row_shapes import is_rules, shape_of
from wiretape_store.checking.session_check import VALUE_ERRORS
from wiretape_store.database import REDACTION_KEY_BYTES, Database
from wiretape_store.errors import StoreError
from wiretape_store.salvaging.sqlite_log import read_log
from wiretape_store.schema import codec, meta, name, recording, upstream

ROWS_AT_A_TIME = 1000
_COMPLAINTS = 20
"""So many sentences of SQLite's own check are shown."""
_BY_SESSION = {("message", "name")}
"""References that are looked at session by session."""


def log_findings(path: Path) -> Iterator[Finding]:
    """
    Check the log beside a store in SQLite, before SQLite sees it.

    SQLite takes a damaged log for one that ends there, and the next to close the store deletes it:
    what later commits stored would be gone without a word.
    """
    log = read_log(path)
    if log is None or not log.commits_behind_damage:
        return
    # A recorder may have been in the middle of writing that frame; then it is whole by now.
    again = read_log(path)
    if again is not None and again.first_bad_frame == log.first_bad_frame:
        yield damage(
            f"its log is damaged at frame {log.first_bad_frame}, and {log.commits_behind_damage} commits behind "
            "that would be lost on opening it; save them with --repair"
        )


def file_findings(database: Database) -> Iterator[Finding]:
    """Have SQLite check its file: pages, indexes, and what refers to what."""
    if database.connection.dialect.name != "sqlite":
        return
    try:
        with database.transaction("checking the file", writes=False) as connection:
            asked = connection.exec_driver_sql(f"PRAGMA integrity_check({_COMPLAINTS})")
            complaints = [str(row[0]) for row in asked]
    except StoreError as exc:
        complaints = [exc.what]
    for complaint in complaints:
        if complaint != "ok":
            yield damage(f"its file is damaged: {' '.join(complaint.split())}")
    try:
        with database.transaction("checking references", writes=False) as connection:
            lost = list(_lost_references(connection))
    except StoreError as exc:
        yield damage(f"what refers to what cannot be checked ({exc.what})")
        return
    for (table, parent), count in lost:
        yield damage(f"{count} rows of {table} refer to a {parent} that is not there")


def _lost_references(connection: Connection) -> Iterator[tuple[tuple[str, str], int]]:
    counts: dict[tuple[str, str], int] = {}
    for table, _, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        counts[table, parent] = counts.get((table, parent), 0) + 1
    return iter((pair, count) for pair, count in sorted(counts.items()) if pair not in _BY_SESSION)


def fact_findings(database: Database) -> Iterator[Finding]:
    """Check what the store knows as a whole: its key, recordings, upstreams, names and codecs."""
    for check in (_meta, _recordings, _rows_fit, _codecs):
        try:
            with database.transaction("checking facts", writes=False) as connection:
                found = list(check(connection))
        except StoreError as exc:
            found = [damage(f"what it knows as a whole cannot be read ({exc.what})")]
        except VALUE_ERRORS as exc:
            found = [damage(f"what it knows as a whole holds a value that cannot be ({exc})")]
        yield from found


def _meta(connection: Connection) -> Iterator[Finding]:
    facts = {row.key: row.value for row in connection.execute(select(meta))}
    key = facts.get("redaction_key")
    if not isinstance(key, bytes) or len(key) != REDACTION_KEY_BYTES:
        yield damage("its redaction key is missing: live secrets will not match recorded ones")
    if not facts.get("store_id"):
        yield damage("its store_id is missing: copies of its recordings cannot be told apart")


def _recordings(connection: Connection) -> Iterator[Finding]:
    shape = shape_of(recording)
    for row in connection.execute(select(recording).order_by(recording.c.id)):
        misfit = shape.misfit(row)
        if misfit is not None:
            yield damage(f"the {misfit} of recording r{row.id} cannot be")
            continue
        if not is_rules(row.redaction_rules):
            yield damage(f"the redaction rules of recording {row.name!r} cannot be read")


def _rows_fit(connection: Connection) -> Iterator[Finding]:
    for table in (upstream, name):
        shape = shape_of(table)
        for row in connection.execute(select(table).execution_options(yield_per=ROWS_AT_A_TIME)):
            misfit = shape.misfit(row)
            if misfit is not None:
                yield damage(f"the {misfit} of {table.name} {row.id} cannot be")


def _codecs(connection: Connection) -> Iterator[Finding]:
    for row in connection.execute(select(codec).order_by(codec.c.id)):
        try:
            Codec.parse(row.text)
        except (CodecError, TypeError, AttributeError):
            yield damage(f"codec {row.id} cannot be read")
