"""The codecs that a damaged store has lost, guessed from the lengths of the messages they packed."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from wiretape_protocols import IDENTITY, Codec, CodecError, CodecKind, encode
from wiretape_store.chunks import RAW, Entry
from wiretape_store.schema import codec as codec_table

_TRIED_MESSAGES = 16
_KINDS = (CodecKind.GZIP, CodecKind.ZLIB, CodecKind.DEFLATE)
_LEVELS = (6, 9, 1, 5, 4, 3, 2, 7, 8)
_LAST_RESORT = Codec(CodecKind.GZIP)
"""What most upstreams pack by."""


class CodecGuesses(dict[int, Codec]):
    """The codecs of a gathered store by their ids; a guess is never called exact."""

    def __init__(self, connection: Connection) -> None:
        """Read the codecs that are there, and delete those that cannot be read."""
        super().__init__()
        self._connection = connection
        self.guessed = 0
        for row in connection.execute(select(codec_table)).all():
            try:
                self[row.id] = Codec.parse(row.text)
            except (CodecError, TypeError, AttributeError):
                connection.execute(delete(codec_table).where(codec_table.c.id == row.id))

    def learn(self, entries: Sequence[tuple[Entry, int, int]]) -> None:
        """Guess each codec of some messages that is not known: bytes, length on the wire, whether redacted."""
        for unknown in sorted({codec_id for (codec_id, _), _, _ in entries} - self.keys() - {RAW}):
            packed = [
                (data, length)
                for (codec_id, data), length, redacted in entries
                if codec_id == unknown and not redacted
            ]
            found = _guess(packed[:_TRIED_MESSAGES])
            # The column `deflater` tells it from a codec of the same text that was proven.
            row = {"id": unknown, "text": str(found), "deflater": f"guessed {unknown}"}
            self._connection.execute(insert(codec_table), row)
            self[unknown] = found
            self.guessed += 1


def _guess(packed: Sequence[tuple[bytes, int]]) -> Codec:
    """Find a codec that packs each payload to its length on the wire."""
    if packed and all(len(data) == length for data, length in packed):
        return IDENTITY
    for kind in _KINDS:
        for level in _LEVELS:
            guess = Codec(kind, level)
            if packed and all(len(encode(data, guess)) == length for data, length in packed):
                return guess
    return _LAST_RESORT
