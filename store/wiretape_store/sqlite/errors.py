"""What SQLite's errors mean to the user: sentences about the file, and what helps."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from wiretape_store.errors import Refusal, RefusedStoreError, StoreError
from wiretape_store.salvaging.sqlite_pages import may_be_database

_TAPE = re.compile(rb'\s*\{\s*"wiretape"\s*:\s*"tape"')  # docs/tape.md, the first line
_LOOKED_AT_BYTES = 4096


@contextmanager
def translated_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn the database's errors into a StoreError that says what was being done and what helps."""
    try:
        yield
    except DBAPIError as exc:
        raise _translated(path, doing, exc.orig) from exc
    except (sqlite3.Error, OSError) as exc:
        raise _translated(path, doing, exc) from exc
    except UnicodeDecodeError as exc:
        # Also of SQLite's own message, which quotes what it could not read.
        raise damaged(path, "damaged (a text in it cannot be read)") from exc


def foreign(path: Path, what: str) -> RefusedStoreError:
    """A file that wiretape did not make."""
    advice = "wiretape did not make it and leaves it alone; name another file with --store"
    return RefusedStoreError(str(path), Refusal.FOREIGN, what, advice)


def damaged(path: Path, what: str) -> RefusedStoreError:
    """A file that was a store."""
    advice = "restore a copy of it, or save what is left with 'wiretape check --repair NEWSTORE'"
    return RefusedStoreError(str(path), Refusal.DAMAGED, what, advice)


def _not_a_database(path: Path) -> RefusedStoreError:
    """Tell a store that has lost its first page, or a tape, from what never was one."""
    with suppress(OSError):
        if _is_tape(path):
            advice = f"import it first ('wiretape import {path}')"
            return RefusedStoreError(str(path), Refusal.FOREIGN, "it is a tape, not a store", advice)
        if may_be_database(path):
            return damaged(path, "its first page is no SQLite database's, but it may be a damaged store")
    return foreign(path, "not a SQLite database")


def _is_tape(path: Path) -> bool:
    with path.open("rb") as file:
        return _TAPE.match(file.read(_LOOKED_AT_BYTES)) is not None


def _translated(path: Path, doing: str, cause: BaseException | None) -> StoreError:
    code = getattr(cause, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None  # https://sqlite.org/rescode.html
    if primary == sqlite3.SQLITE_NOTADB:
        return _not_a_database(path)
    if primary == sqlite3.SQLITE_CORRUPT:
        return damaged(path, f"damaged ({cause})")
    advice = {
        sqlite3.SQLITE_FULL: "make room on its disk",
        sqlite3.SQLITE_BUSY: "another process holds it; end that one or try again",
        sqlite3.SQLITE_READONLY: "allow this user to write it and its folder, or name another with --store",
        sqlite3.SQLITE_CANTOPEN: "allow this user to open it and its folder, or name another with --store",
    }.get(primary or 0, "look at its disk and its permissions, or name another with --store")
    return StoreError(str(path), f"{doing} failed: {cause}", advice)
