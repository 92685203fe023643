"""What PostgreSQL's errors mean to the user: sentences about the store, and what helps."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError

from wiretape_store.errors import Refusal, RefusedStoreError, StoreError

_GONE = "see whether its server runs and can be reached, then try again"
_ADVICE = {
    "08": _GONE,
    "28": "check the user and the password in the URL, PGPASSWORD or ~/.pgpass",
    "3D": "make the database with createdb, or name another with --store",
    "3F": "make the schema, or name another with --store",
    "42501": "give this user the rights to its schema and tables, or name another user in the URL",
    "53100": "make room on its server's disk",
    "53300": "end some of its clients, or raise max_connections",
    "55P03": "another process holds it; end that one or try again",
    "40": "another process was quicker; try again",
    "25006": "name its primary server, this one takes no changes",
    "57P": _GONE,
}
"""By SQLSTATE or how it begins, the longest first (appendix A of PostgreSQL's manual)."""
_SAYINGS = {
    "password authentication failed": "28",
    "no password supplied": "28",
    "no pg_hba.conf entry": "28",
    "role ": "28",
    "database ": "3D",
    "too many clients": "53300",
    "remaining connection slots": "53300",
}
"""What the server says when it refuses a connection; libpq does not tell its SQLSTATE."""


@contextmanager
def translated_errors(path: str, doing: str) -> Iterator[None]:
    """Turn the database's errors into a StoreError that says what was being done and what helps."""
    try:
        yield
    except DBAPIError as exc:
        raise translated(path, doing, exc.orig) from exc
    except psycopg.Error as exc:
        raise translated(path, doing, exc) from exc


def translated(path: str, doing: str, cause: BaseException | None) -> StoreError:
    """Make the StoreError for one error of psycopg's."""
    what = " ".join(str(cause).split()) or "the connection was lost"
    state = getattr(cause, "sqlstate", None) or ""
    if isinstance(cause, psycopg.OperationalError) and not state:
        heard = (
            told
            for words, told in _SAYINGS.items()
            if f"FATAL: {words}" in what or f"FATAL: sorry, {words}" in what
        )
        state = next(heard, "08")
    if state in {"XX001", "XX002"}:
        advice = "restore its database from a copy"
        return RefusedStoreError(path, Refusal.DAMAGED, f"damaged ({what})", advice)
    matching = (_ADVICE[state[:length]] for length in (5, 3, 2) if state[:length] in _ADVICE)
    return StoreError(path, f"{doing} failed: {what}", next(matching, "look at its server's log"))


def foreign(path: str, what: str) -> RefusedStoreError:
    """A schema that holds something else."""
    advice = "make a database for the store alone, and name it with --store"
    return RefusedStoreError(path, Refusal.FOREIGN, what, advice)
