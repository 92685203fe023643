"""What a statement of the user may do to a SQLite store: read, and nothing else."""

import sqlite3

_ALLOWED = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_RECURSIVE,
}
_SAFE_PRAGMAS = {
    "application_id",
    "compile_options",
    "database_list",
    "foreign_key_list",
    "freelist_count",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "page_count",
    "page_size",
    "pragma_list",
    "schema_version",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
}
"""Those that only tell something."""
_TELLS_ABOUT = {
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "table_info",
    "table_list",
    "table_xinfo",
}
"""Those whose argument is a name; the argument of another one would be a new value."""
_FORBIDDEN_FUNCTIONS = {"load_extension", "fts3_tokenizer"}
_KEYS = {("meta", "value"), ("recording", "redaction_key")}
"""Columns that read as NULL: with the key, a guess at what a token stands for can be proven."""


def authorize(
    action: int, first: str | None, second: str | None, _database: str | None, _view: str | None
) -> int:
    """Answer SQLite's question whether a part of a statement is allowed (sqlite3_set_authorizer)."""
    if action == sqlite3.SQLITE_READ and (first, second) in _KEYS:
        return sqlite3.SQLITE_IGNORE
    if action == sqlite3.SQLITE_UPDATE and first == "sqlite_master":
        # Asked when a table-valued function such as json_each is met first; query_only guards the table.
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_DENY if second in _FORBIDDEN_FUNCTIONS else sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA:
        safe = first in _SAFE_PRAGMAS and (second is None or first in _TELLS_ABOUT)
        return sqlite3.SQLITE_OK if safe else sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY
