"""Finding and running the steps; the transaction around them, and the version's mark, are the caller's."""

from importlib import import_module
from typing import Any, cast

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from wiretape_store.schema import SCHEMA_VERSION

OLDEST = 1
"""The first version that there is a step from."""


def is_known(version: int) -> bool:
    """Tell whether there are steps from a version to this build's."""
    return OLDEST <= version < SCHEMA_VERSION


def run(connection: Connection, version: int) -> None:
    """Run every step from `version` on, in the transaction that `connection` is in."""
    operations = Operations(MigrationContext.configure(connection))
    for step in range(version, SCHEMA_VERSION):
        module = cast("Any", import_module(f"wiretape_store.migrations.v{step}_to_v{step + 1}"))
        module.upgrade(operations)
