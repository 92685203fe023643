"""Where a store is: reading what `--store` names, and writing it so that it may be printed."""

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from wiretape_store.errors import StoreError

_ADVICE = "give a path, sqlite:///PATH or postgresql://USER@HOST/DATABASE"
_SECRET = ("password", "sslpassword")


def location(url: str | Path) -> Path | URL:
    """Read a path, the path in a URL of SQLite, or a URL of PostgreSQL. Raises StoreError for others."""
    if isinstance(url, Path) or "://" not in url:
        return Path(url)
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as exc:
        raise StoreError(shown(url), "not a URL that SQLAlchemy can read", _ADVICE) from exc
    if parsed.get_backend_name() == "postgresql":
        return parsed
    if parsed.get_backend_name() != "sqlite":
        raise StoreError(shown(url), "stores are kept in SQLite or PostgreSQL", _ADVICE)
    if not parsed.database or parsed.database == ":memory:":
        raise StoreError(shown(url), "a store needs a file to outlive its process", "give sqlite:///PATH")
    return Path(parsed.database)


def shown(url: str | URL) -> str:
    """Write a store's path or URL without its secrets."""
    if isinstance(url, str):
        if "://" not in url:
            return url
        scheme = url.partition("://")[0]
        try:
            url = make_url(url)
        except (ArgumentError, ValueError):
            return f"{scheme}://..."
    return url.difference_update_query(_SECRET).render_as_string(hide_password=True)
