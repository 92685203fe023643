"""
Version 2: a recording knows whether it is pinned, where it came from, and what its tokens were made with.

Columns with defaults are added and nothing else, so a recorder of version 1 that still writes to the
store is not hurt.
"""

import secrets

import sqlalchemy as sa
from alembic.operations import Operations

_STORE_ID_BYTES = 8


def upgrade(op: Operations) -> None:
    """Bring the tables of version 1 to version 2."""
    op.add_column("recording", sa.Column("pinned", sa.Integer, nullable=False, server_default="0"))
    op.add_column("recording", sa.Column("origin", sa.String))
    op.add_column("recording", sa.Column("redaction_key", sa.LargeBinary))
    op.add_column("recording", sa.Column("redaction_rules", sa.String, nullable=False, server_default="[]"))
    meta = sa.table("meta", sa.column("key", sa.String), sa.column("value", sa.LargeBinary))
    store_id = secrets.token_hex(_STORE_ID_BYTES).encode()
    op.get_bind().execute(sa.insert(meta).values(key="store_id", value=store_id))
