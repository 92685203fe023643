"""
Messages as a Parquet file, for DuckDB, Spark and whatever else reads columns. Needs pyarrow.

One row group is in memory, as columns, and one batch of messages.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from wiretape_store.exports.chosen import choose
from wiretape_store.exports.errors import MissingExtraError
from wiretape_store.exports.extras import recording_object
from wiretape_store.exports.rows import Row, rows
from wiretape_store.reader import StoreReader

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS = 100_000
"""So many messages are a row group: enough to compress well, and for several readers at once."""
GROUP_BYTES = 64 * 1024 * 1024
"""Or those of so many bytes of payload, where messages are long."""
_BATCH_ROWS = 5_000
"""So many messages are held as objects, which take some ten times what columns do."""


def write_parquet(reader: StoreReader, what: str, file: BinaryIO) -> None:
    """
    Write the messages of a recording or a session as Parquet, compressed with zstd.

    The file's metadata has the recording under the key `wiretape`, as JSON. Raises
    UnknownRecordingError, and MissingExtraError without pyarrow.
    """
    pa, parquet = _pyarrow()
    about = json.dumps(recording_object(choose(reader, what)))
    schema = _schema(pa).with_metadata({"wiretape": about})
    with parquet.ParquetWriter(file, schema, compression="zstd", write_statistics=True) as writer:
        for group in _groups(_batches(rows(reader, what))):
            table = pa.concat_tables([_table(pa, schema, batch) for batch in group]).unify_dictionaries()
            writer.write_table(table, row_group_size=table.num_rows)


def _batches(every: Iterator[Row]) -> Iterator[list[Row]]:
    """Cut the rows into lists that may be held."""
    batch: list[Row] = []
    waiting_bytes = 0
    for row in every:
        batch.append(row)
        waiting_bytes += len(row.message.payload)
        if len(batch) >= min(_BATCH_ROWS, GROUP_ROWS) or waiting_bytes >= GROUP_BYTES:
            yield batch
            batch, waiting_bytes = [], 0
    if batch:
        yield batch


def _groups(batches: Iterator[list[Row]]) -> Iterator[Iterator[list[Row]]]:
    """Put batches together to row groups; each group is taken before the next is asked for."""
    for first in batches:
        yield _group(first, batches)


def _group(batch: list[Row], following: Iterator[list[Row]]) -> Iterator[list[Row]]:
    group_rows = group_bytes = 0
    while True:
        yield batch
        group_rows += len(batch)
        group_bytes += sum(len(row.message.payload) for row in batch)
        if group_rows >= GROUP_ROWS or group_bytes >= GROUP_BYTES:
            return
        following_batch = next(following, None)
        if following_batch is None:
            return
        batch = following_batch


def _schema(pa: Any) -> "pa.Schema":
    name = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        [
            pa.field("recording", name, nullable=False),
            pa.field("session", name, nullable=False),
            pa.field("upstream", name, nullable=False),
            pa.field("seq", pa.int64(), nullable=False),
            pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
            pa.field("at_us", pa.int64(), nullable=False),
            pa.field("from_client", pa.bool_(), nullable=False),
            pa.field("opcode", name, nullable=False),
            pa.field("codec", name, nullable=False),
            pa.field("role", name, nullable=False),
            pa.field("method", name),
            pa.field("answers", pa.int64()),
            pa.field("stream", name),
            pa.field("deflated", pa.bool_(), nullable=False),
            pa.field("redacted", pa.bool_(), nullable=False),
            pa.field("wire_bytes", pa.int64(), nullable=False),
            pa.field("payload", pa.string()),
            pa.field("payload_bytes", pa.binary()),
        ]
    )


def _table(pa: Any, schema: "pa.Schema", group: list[Row]) -> "pa.Table":
    sessions = [row.session for row in group]
    messages = [row.message for row in group]
    texts = [row.text for row in group]
    columns: dict[str, list[Any]] = {
        "recording": [_text(each.recording) for each in sessions],
        "session": [each.id for each in sessions],
        "upstream": [_text(each.upstream.name) for each in sessions],
        "seq": [each.seq for each in messages],
        "at": [row.at_us for row in group],
        "at_us": [each.at_us for each in messages],
        "from_client": [each.from_client for each in messages],
        "opcode": [each.opcode.name.lower() for each in messages],
        "codec": [each.codec.kind.value for each in messages],
        "role": [each.role.name.lower() for each in messages],
        "method": [_text(each.method) or None for each in messages],
        "answers": [each.answers for each in messages],
        "stream": [_text(each.stream) or None for each in messages],
        "deflated": [each.deflated for each in messages],
        "redacted": [each.redacted for each in messages],
        "wire_bytes": [len(each.wire) for each in messages],
        "payload": texts,
        "payload_bytes": [
            None if text is not None else each.payload for text, each in zip(texts, messages, strict=True)
        ],
    }
    arrays = [_array(pa, columns[field.name], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(pa: Any, values: list[Any], kind: "pa.DataType") -> "pa.Array":
    if pa.types.is_dictionary(kind):
        return pa.array(values, type=kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, type=kind)


def _text(text: str) -> str:
    """A name as UTF-8 can spell it: half a surrogate pair from a peer's JSON cannot stay."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as exc:
        raise MissingExtraError("a Parquet file", "pyarrow", "parquet") from exc
    return pa, parquet
