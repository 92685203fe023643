"""Making a store's tables in a PostgreSQL database, checking those that are there, and migrating old ones."""

import secrets

from sqlalchemy import Connection, insert, inspect, select, update

from wiretape_store import schema
from wiretape_store.database import REDACTION_KEY_BYTES, STORE_ID_BYTES
from wiretape_store.errors import MissingStoreError, Refusal, RefusedStoreError
from wiretape_store.locking import lock_creating
from wiretape_store.postgres.errors import foreign

_OUR_MARK = {"key", "value"}
_VERSION_KEY = "schema_version"


def create_or_check(connection: Connection, path: str) -> None:
    """In a transaction that writes: create the store where there is nothing, migrate it where it is old."""
    lock_creating(connection)
    try:
        version = check(connection, path)
    except MissingStoreError:
        _create(connection)
        return
    if version == schema.SCHEMA_VERSION:
        return
    from wiretape_store.migrations import steps

    if not steps.is_known(version):
        advice = "open it with the wiretape that made it; there is no migration from that version"
        raise RefusedStoreError(path, Refusal.OLDER, _known(version), advice)
    steps.run(connection, version)
    marked = update(schema.meta).where(schema.meta.c.key == _VERSION_KEY)
    connection.execute(marked, {"value": str(schema.SCHEMA_VERSION).encode()})


def check(connection: Connection, path: str) -> int:
    """
    Tell the version of the store in the current schema, which is this build's or an older one.

    Raises MissingStoreError where there are no tables, RefusedStoreError for other tables.
    """
    tables = set(inspect(connection).get_table_names())
    if not tables:
        raise MissingStoreError(path)
    version = _version(connection) if "meta" in tables else None
    if version is None:
        raise foreign(path, f"its schema holds tables, but not those of a wiretape store ({min(tables)})")
    if version > schema.SCHEMA_VERSION:
        raise RefusedStoreError(path, Refusal.NEWER, _known(version), "open it with a newer wiretape")
    missing = sorted(schema.metadata.tables.keys() - tables)
    if missing:
        what = f"damaged: it has no table {missing[0]}"
        raise RefusedStoreError(path, Refusal.DAMAGED, what, "restore its database from a copy")
    return version


def _version(connection: Connection) -> int | None:
    """Read the mark; None where the table `meta` is somebody else's."""
    columns = {column["name"] for column in inspect(connection).get_columns("meta")}
    if columns != _OUR_MARK:
        return None
    found = connection.scalar(select(schema.meta.c.value).where(schema.meta.c.key == _VERSION_KEY))
    return int(found) if isinstance(found, bytes) and found.isdigit() else None


def _create(connection: Connection) -> None:
    # Said here and not with the tables: there it would load this dialect whenever SQLite is used.
    for index in (index for table in schema.metadata.tables.values() for index in table.indexes):
        index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
    schema.metadata.create_all(connection)
    # Chunks are compressed already.
    connection.exec_driver_sql("ALTER TABLE chunk ALTER COLUMN data SET STORAGE EXTERNAL")
    # A B-tree takes nothing longer than 2704 bytes, and names are as long as peers make them.
    connection.exec_driver_sql("ALTER TABLE name DROP CONSTRAINT name_text_key")
    connection.exec_driver_sql(
        "ALTER TABLE name ADD CONSTRAINT name_text_key EXCLUDE USING hash (text WITH =)"
    )
    # So are codecs, which hold a gzip header; the second index is the one that looking up uses.
    connection.exec_driver_sql("ALTER TABLE codec DROP CONSTRAINT codec_text_deflater_key")
    connection.exec_driver_sql(
        "ALTER TABLE codec ADD CONSTRAINT codec_text_deflater_key"
        r" EXCLUDE USING hash ((deflater || E'\n' || text) WITH =)"
    )
    connection.exec_driver_sql("CREATE INDEX codec_text ON codec USING hash (text)")
    # Looked up once a row, these make writing six times as slow. What they say holds without them: a
    # message goes in with its chunk, whose session is looked up, and names are never deleted.
    for column in ("session_id", "method_id", "stream_id"):
        connection.exec_driver_sql(f"ALTER TABLE message DROP CONSTRAINT message_{column}_fkey")
    rows = {
        "redaction_key": secrets.token_bytes(REDACTION_KEY_BYTES),
        "store_id": secrets.token_hex(STORE_ID_BYTES).encode(),
        _VERSION_KEY: str(schema.SCHEMA_VERSION).encode(),
    }
    connection.execute(insert(schema.meta), [{"key": key, "value": value} for key, value in rows.items()])


def _known(version: int) -> str:
    return f"its schema is version {version}, this wiretape knows version {schema.SCHEMA_VERSION}"
