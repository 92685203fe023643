"""What a store asks of its database, whichever it is: transactions, and being closed."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from enum import StrEnum

from sqlalchemy import Connection

REDACTION_KEY_BYTES = 32
STORE_ID_BYTES = 8
BUSY_TIMEOUT_MS = 10_000
"""How long a statement waits for another process's transaction."""


class Synchronous(StrEnum):
    """How soon a commit must have reached the disk; SQLite's setting of that name."""

    FULL = "FULL"
    """Each commit survives a loss of power."""
    NORMAL = "NORMAL"
    """The last commits may be lost with the power, never with the process."""
    OFF = "OFF"
    """A loss of power may damage a store in SQLite; in PostgreSQL the same as NORMAL."""


class Database(ABC):
    """One connection to a store, in transactions that are begun and ended here alone."""

    path: str
    """Where the store is, as errors name it: the file's path, or the URL without its password."""
    connection: Connection
    """Stays the same object for good, whatever happens to what it is connected to."""

    @abstractmethod
    def transaction(self, doing: str, *, writes: bool) -> AbstractContextManager[Connection]:
        """
        All or nothing: on any error nothing of it is stored, and the connection is fit for the next.

        Raises StoreError, which says that `doing` failed; UncertainCommitError where nobody knows.
        """

    @abstractmethod
    def announce(self, recording_id: int) -> None:
        """Show, in a transaction, that a recording's recorder lives, where the database can tell others."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""
