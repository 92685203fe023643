"""
Opening a store, in whichever kind of database it is.

The kinds have modules of their own: `sqlite` and `postgres`.
"""

from pathlib import Path
from types import ModuleType

from sqlalchemy.engine import URL

from wiretape_store.database import Database
from wiretape_store.errors import StoreError
from wiretape_store.sqlite import file as sqlite_file
from wiretape_store.urls import location, shown

__all__ = ["Database", "open_for_reading", "open_for_writing", "path_of", "shown"]


def open_for_writing(url: str | Path, synchronous: str) -> Database:
    """Open the store at a path or a URL, creating it where there is none. The caller closes it."""
    where = location(url)
    if isinstance(where, Path):
        return sqlite_file.open_for_writing(where, synchronous)
    database: Database = _postgres(where).open_for_writing(where, synchronous)
    return database


def open_for_reading(url: str | Path) -> Database:
    """Open the store at a path or a URL so that no statement can change it. The caller closes it."""
    where = location(url)
    if isinstance(where, Path):
        return sqlite_file.open_for_reading(where)
    database: Database = _postgres(where).open_for_reading(where)
    return database


def path_of(url: str) -> Path:
    """Read a path, or the path in a URL of SQLite. Raises StoreError for other databases."""
    where = location(url)
    if isinstance(where, Path):
        return where
    raise StoreError(shown(url), "not a file", "this needs a store in SQLite: give a path or sqlite:///PATH")


def _postgres(url: URL) -> ModuleType:
    """Import what knows PostgreSQL: psycopg is an extra, and takes long to import."""
    try:
        from wiretape_store.postgres import database
    except ImportError as exc:
        what = "stores in PostgreSQL need psycopg"
        raise StoreError(shown(url), what, "pip install 'wiretape[postgres]'") from exc
    return database
