"""
Bringing a store's file to this build's schema version: a copy of it is kept, then all steps or none.

Whoever is told of it is told by `logging`, as a warning: where the copy is.
"""

import logging
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import cast

from sqlalchemy import Connection

from wiretape_store.errors import Refusal, RefusedStoreError
from wiretape_store.migrations import steps
from wiretape_store.schema import SCHEMA_VERSION
from wiretape_store.sqlite.creating import sync
from wiretape_store.sqlite.errors import translated_errors

_log = logging.getLogger(__name__)


def migrate(connection: Connection, path: Path, version: int, *, may_write: bool) -> None:
    """
    Bring the store that `connection` is open on from `version` to this build's.

    Raises RefusedStoreError for a version without a step, and for a file that may not be written. On
    any error, and when it is killed, the store is as it was.
    """
    known = f"its schema is version {version}, this wiretape knows version {SCHEMA_VERSION}"
    if not steps.is_known(version):
        advice = "open it with the wiretape that made it; there is no migration from that version"
        raise RefusedStoreError(str(path), Refusal.OLDER, known, advice)
    if not may_write:
        what = f"{known}, and it cannot be migrated where it may not be written"
        advice = "copy it to a folder of your own and name the copy with --store"
        raise RefusedStoreError(str(path), Refusal.OLDER, what, advice)
    with translated_errors(path, f"migrating it from schema version {version}"):
        backup = _back_up(connection, path, version)
        try:
            migrated = _run_steps(connection, version)
        except BaseException:
            backup.unlink()  # The store itself is what it was.
            raise
    if not migrated:
        backup.unlink()  # Another process was quicker, and has its own.
        return
    text = "store %s: migrated from schema version %d to %d; %s is the store as it was"
    _log.warning(text, path, version, SCHEMA_VERSION, backup)


def _run_steps(connection: Connection, version: int) -> bool:
    """Run them in one transaction; False when the version is another one by now."""
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        if connection.exec_driver_sql("PRAGMA user_version").scalar_one() != version:
            connection.rollback()
            return False
        steps.run(connection, version)
        connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.commit()
    except BaseException:
        connection.rollback()
        connection.connection.rollback()
        raise
    return True


def _back_up(connection: Connection, path: Path, version: int) -> Path:
    """Copy the store beside itself, whole and durable before it has a name of its own."""
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        draft = Path(folder) / "backup"
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        target = sqlite3.connect(draft)
        try:
            cast("sqlite3.Connection", connection.connection.dbapi_connection).backup(target)
        finally:
            target.close()
        sync(draft)
        for name in _names(path, version):
            try:
                os.link(draft, name)
            except FileExistsError:
                continue
            sync(path.parent)
            return name
    raise AssertionError


def _names(path: Path, version: int) -> Iterator[Path]:
    for number in count(1):
        suffix = f".v{version}-backup" + ("" if number == 1 else f"-{number}")
        yield path.with_name(path.name + suffix)
