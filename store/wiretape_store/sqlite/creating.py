"""Making a new store's file, and connecting to one; a file appears under its name only when it is whole."""

import os
import secrets
import sqlite3
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Engine, create_engine, insert
from sqlalchemy.pool import NullPool

from wiretape_store import schema
from wiretape_store.database import REDACTION_KEY_BYTES, STORE_ID_BYTES
from wiretape_store.errors import StoreError
from wiretape_store.sqlite.errors import translated_errors

PAGE_BYTES = 8192
"""A settled chunk is some 10 KiB; with SQLite's 4096 a push takes 80 bytes of file, with this 77."""


def create(path: Path) -> None:
    """Make a new store beside `path` and link it there whole: nobody ever sees half a store."""
    if not path.parent.is_dir():
        raise StoreError(
            str(path), "its folder does not exist", "make the folder, or name another with --store"
        )
    wal = Path(f"{path}-wal")
    if wal.exists():
        # SQLite would replay the old log into the new file.
        what = f"missing, but {wal.name}, the log of its last changes, is still there"
        raise StoreError(str(path), what, "put the store back beside it, or delete it")
    with (
        translated_errors(path, "creating"),
        tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder,
    ):
        draft = Path(folder) / "draft"
        _write_schema(draft)
        with suppress(FileExistsError):  # Another recorder was quicker; its store is as good.
            os.link(draft, path)
        sync(path.parent)


def engine(path: Path, mode: str) -> Engine:
    """Connect with transactions under our control, not guessed from the statements."""
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)

    return create_engine("sqlite://", creator=connect, poolclass=NullPool)


def sync(path: Path) -> None:
    """Have a file or a folder reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_schema(draft: Path) -> None:
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with engine(draft, "rw").connect() as connection:
        connection.exec_driver_sql(f"PRAGMA page_size = {PAGE_BYTES}")
        # To be set before the first table: settling replaces chunks, and the file is to shrink again.
        connection.exec_driver_sql("PRAGMA auto_vacuum = INCREMENTAL")
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        connection.exec_driver_sql("PRAGMA synchronous = OFF")
        connection.exec_driver_sql(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        connection.exec_driver_sql(f"PRAGMA user_version = {schema.SCHEMA_VERSION}")
        connection.exec_driver_sql("BEGIN")
        schema.metadata.create_all(connection)
        key = secrets.token_bytes(REDACTION_KEY_BYTES)
        store_id = secrets.token_hex(STORE_ID_BYTES).encode()
        meta = [{"key": "redaction_key", "value": key}, {"key": "store_id", "value": store_id}]
        connection.execute(insert(schema.meta), meta)
        connection.commit()
    sync(draft)
