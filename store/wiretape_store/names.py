"""Values that many messages share, stored once and known by number: names and codecs."""

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, insert, select

from wiretape_protocols import Codec, CodecKind, deflater_fingerprint
from wiretape_store.locking import lock_names
from wiretape_store.schema import codec as codec_table
from wiretape_store.schema import name as name_table

CACHE_LIMIT = 10_000
"""A client that sends ever new method names must not fill the memory."""


class NameIds(dict[str, int]):
    """The ids of names; looking up a new one inserts it, so ask inside a writing transaction."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def __missing__(self, text: str) -> int:
        """Find the name in the table, or put it there."""
        if len(self) >= CACHE_LIMIT:
            self.clear()
        looking = select(name_table.c.id).where(name_table.c.text == text)
        found = self._connection.scalar(looking)
        if found is None:
            lock_names(self._connection)
            found = self._connection.scalar(looking)
        if found is None:
            inserting = insert(name_table).returning(name_table.c.id)
            found = self._connection.execute(inserting, {"text": text}).scalar_one()
        self[text] = found
        return self[text]


class CodecIds(dict[Codec, int]):
    """The ids of codecs; looking up a new one inserts it, so ask inside a writing transaction."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def __missing__(self, codec: Codec) -> int:
        """Find the codec in the table, or put it there."""
        if len(self) >= CACHE_LIMIT:
            self.clear()
        columns = codec_table.c
        row = {"text": str(codec), "deflater": _deflater_of(codec)}
        looking = select(columns.id).where(columns.text == row["text"], columns.deflater == row["deflater"])
        found = self._connection.scalar(looking)
        if found is None:
            lock_names(self._connection)
            found = self._connection.scalar(looking)
        if found is None:
            found = self._connection.execute(insert(codec_table).returning(columns.id), row).scalar_one()
        self[codec] = found
        return self[codec]


class Renewal:
    """
    Forgets remembered ids when somebody else has written to the store, as a prune may have removed them.

    In PostgreSQL nobody removes any (see `sweeping`), and there is nothing to do.
    """

    def __init__(self, connection: Connection, *ids: dict[Any, Any]) -> None:
        self._connection = connection
        self._ids = ids
        self._version: int | None = None

    def renew(self) -> None:
        """To be called first in each transaction that uses the ids."""
        if self._connection.dialect.name != "sqlite":
            return
        version = self._connection.exec_driver_sql("PRAGMA data_version").scalar_one()
        if version != self._version:
            self._version = version
            for ids in self._ids:
                ids.clear()


class Names(dict[int | None, str]):
    """The names of ids; empty for NULL."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def __missing__(self, number: int | None) -> str:
        """Find the id in the table. Raises NoResultFound for one that is not there."""
        if number is None:
            return ""
        if len(self) >= CACHE_LIMIT:
            self.clear()
        query = select(name_table.c.text).where(name_table.c.id == number)
        self[number] = self._connection.execute(query).scalar_one()
        return self[number]


class Codecs(dict[int, Codec]):
    """The codecs of ids; one that another build of zlib proved is not `exact` here."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def __missing__(self, number: int) -> Codec:
        """Find the id in the table. Raises NoResultFound, or CodecError for a text from elsewhere."""
        if len(self) >= CACHE_LIMIT:
            self.clear()
        query = select(codec_table.c.text, codec_table.c.deflater).where(codec_table.c.id == number)
        text, deflater = self._connection.execute(query).one()
        codec = Codec.parse(text)
        self[number] = codec if deflater == _deflater_of(codec) else replace(codec, exact=False)
        return self[number]


def _deflater_of(codec: Codec) -> str:
    """Name the zlib that a codec's exactness hangs on."""
    return deflater_fingerprint() if codec.exact and codec.kind is not CodecKind.IDENTITY else ""
