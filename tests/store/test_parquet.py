"""Parquet files, read back with pyarrow."""

import io
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from export_builders import a_store_of, came, every_kind, written
from store_builders import START_US, a_store
from tape_builders import a_recording, a_session

from wiretape_store import StoreReader
from wiretape_store.exports import parquet
from wiretape_store.exports.errors import MissingExtraError
from wiretape_store.exports.parquet import write_parquet

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_store_of(tmp_path_factory.mktemp("parquet") / "tuesday.db", every_kind())


@pytest.fixture(scope="module")
def table(store: Path) -> Any:
    return pq.read_table(io.BytesIO(written(store, write_parquet)))


def test_columns_have_types(table: Any) -> None:
    kinds = {field.name: field.type for field in table.schema}

    assert kinds["at"] == pa.timestamp("us", tz="UTC")
    assert kinds["seq"] == kinds["at_us"] == kinds["wire_bytes"] == kinds["answers"] == pa.int64()
    assert kinds["from_client"] == kinds["deflated"] == kinds["redacted"] == pa.bool_()
    assert kinds["method"] == kinds["upstream"] == pa.dictionary(pa.int32(), pa.string())
    assert (kinds["payload"], kinds["payload_bytes"]) == (pa.string(), pa.binary())


def test_every_message_is_a_row(table: Any, store: Path) -> None:
    rows = table.to_pylist()
    with StoreReader(str(store)) as reader:
        sessions = reader.sessions()
        every = [(session, message) for session in sessions for message in reader.messages(session.id)]

    assert len(rows) == len(every) == 13
    for row, (session, message) in zip(rows, every, strict=True):
        assert (row["recording"], row["session"], row["upstream"]) == (
            "tuesday",
            session.id,
            session.upstream.name,
        )
        moment = datetime.fromtimestamp(0, UTC)
        assert round((row["at"] - moment).total_seconds() * 1e6) == session.started_at_us + message.at_us
        assert (row["seq"], row["at_us"], row["from_client"]) == (
            message.seq,
            message.at_us,
            message.from_client,
        )
        assert (row["opcode"], row["codec"], row["role"]) == (
            message.opcode.name.lower(),
            message.codec.kind.value,
            message.role.name.lower(),
        )
        assert (row["method"] or "", row["answers"], row["stream"] or "") == (
            message.method,
            message.answers,
            message.stream,
        )
        assert (row["deflated"], row["redacted"]) == (message.deflated, message.redacted)
        assert row["wire_bytes"] == len(message.wire)
        payload = row["payload"].encode() if row["payload"] is not None else row["payload_bytes"]
        assert payload == message.payload
        assert (row["payload"] is None) != (row["payload_bytes"] is None)


def test_the_file_says_which_recording_it_is(table: Any) -> None:
    about = json.loads(table.schema.metadata[b"wiretape"])

    assert (about["recording"], about["started_at_us"]) == ("tuesday", START_US)


@pytest.mark.parametrize(("limit", "value"), [("GROUP_ROWS", 4), ("GROUP_BYTES", 100)])
def test_rows_come_in_groups_that_are_bounded(
    store: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, table: Any
) -> None:
    monkeypatch.setattr(parquet, limit, value)

    file = pq.ParquetFile(io.BytesIO(written(store, write_parquet)))

    assert file.num_row_groups > 2
    assert max(file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)) <= 6
    assert file.read().to_pylist() == table.to_pylist()


def test_columns_are_compressed_with_zstd(store: Path) -> None:
    file = pq.ParquetFile(io.BytesIO(written(store, write_parquet)))

    assert {file.metadata.row_group(0).column(n).compression for n in range(file.metadata.num_columns)} == {
        "ZSTD"
    }


def test_a_recording_without_messages_is_a_file_without_rows(tmp_path: Path) -> None:
    empty = a_store_of(tmp_path / "none.db", a_recording())

    assert pq.read_table(io.BytesIO(written(empty, write_parquet))).num_rows == 0


def test_a_stream_that_cannot_seek_will_do(store: Path, table: Any) -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            super().__init__()
            self.content = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.content += bytes(data)
            return len(data)

    pipe = Pipe()
    with StoreReader(str(store)) as reader:
        write_parquet(reader, "tuesday", pipe)  # type: ignore[arg-type]

    assert pq.read_table(io.BytesIO(pipe.content)).equals(table)


def test_without_pyarrow_the_user_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_store(tmp_path / "store.db", [])
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with StoreReader(str(tmp_path / "store.db")) as reader, pytest.raises(MissingExtraError) as caught:
        write_parquet(reader, "tuesday", io.BytesIO())

    assert (
        str(caught.value)
        == "a Parquet file needs pyarrow, which is not here; pip install 'wiretape[parquet]'"
    )


def test_a_name_that_is_no_text_does_not_stop_an_export(tmp_path: Path) -> None:
    recording = replace(a_recording(a_session([came(b"x", 1)])), name="half \udc80")
    store = a_store_of(tmp_path / "one.db", recording)

    (row,) = pq.read_table(io.BytesIO(written(store, write_parquet, "half \udc80"))).to_pylist()

    assert row["recording"] == "half \\udc80"
