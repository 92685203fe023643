"""The numbers that names and codecs have in another store; both are asked inside transactions."""

from sqlalchemy import Connection, insert, select

from wiretape_store.locking import lock_names
from wiretape_store.names import CACHE_LIMIT, NameIds, Names
from wiretape_store.schema import codec as codec_table


class CopiedNameIds(dict[int | None, int | None]):
    """From the ids of one store's names to those of another's; NULL stays NULL."""

    def __init__(self, source: Names, target: NameIds) -> None:
        super().__init__()
        self._source = source
        self._target = target

    def __missing__(self, number: int | None) -> int | None:
        """Find the name in the other store, or put it there."""
        if len(self) >= CACHE_LIMIT:
            self.clear()
        self[number] = None if number is None else self._target[self._source[number]]
        return self[number]


class CopiedCodecIds(dict[int, int]):
    """
    From the ids of one store's codecs to those of another's; 0 stays 0.

    Which build of zlib proved a codec goes with it, be it this one or not.
    """

    def __init__(self, source: Connection, target: Connection) -> None:
        super().__init__()
        self._source = source
        self._target = target

    def __missing__(self, number: int) -> int:
        """Find the codec in the other store, or put it there. Raises NoResultFound for no codec's number."""
        if len(self) >= CACHE_LIMIT:
            self.clear()
        self[number] = self._find(number) if number else 0
        return self[number]

    def _find(self, number: int) -> int:
        columns = codec_table.c
        its = select(columns.text, columns.deflater).where(columns.id == number)
        text, deflater = self._source.execute(its).one()
        looking = select(columns.id).where(columns.text == text, columns.deflater == deflater)
        found: int | None = self._target.scalar(looking)
        if found is None:
            lock_names(self._target)
            found = self._target.scalar(looking)
        if found is None:
            row = {"text": text, "deflater": deflater}
            found = self._target.execute(insert(codec_table).returning(columns.id), row).scalar_one()
        return found
