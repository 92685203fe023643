"""
What a table says of each message: the columns that CSV, JSON lines and Parquet share, and their order.
"""

from collections.abc import Iterator
from typing import NamedTuple

from wiretape_store.exports.chosen import choose
from wiretape_store.reader import StoreReader
from wiretape_store.records import Message, Session


class Row(NamedTuple):
    """One message, and the session that it belongs to."""

    session: Session
    message: Message

    @property
    def at_us(self) -> int:
        """Microseconds since 1970, UTC."""
        return self.session.started_at_us + self.message.at_us

    @property
    def text(self) -> str | None:
        """The decoded payload as text; None where it is not UTF-8."""
        try:
            return self.message.payload.decode()
        except UnicodeDecodeError:
            return None


def rows(reader: StoreReader, what: str) -> Iterator[Row]:
    """All messages of a recording (name or id) or a session, session by session, in order."""
    for session in choose(reader, what).sessions:
        for message in reader.messages(session.id):
            yield Row(session, message)
