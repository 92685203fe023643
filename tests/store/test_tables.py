"""Messages as lines: what a spreadsheet and what a script gets."""

import base64
import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from export_builders import PUSH, a_store_of, came, every_kind, written
from store_builders import START_US, a_store
from tape_builders import a_recording, a_session

from wiretape_protocols import Opcode
from wiretape_store import StoreReader, UnknownRecordingError
from wiretape_store.exports.tables import COLUMNS, write_csv, write_jsonl
from wiretape_store.message_objects import message_object, time_text


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_store_of(tmp_path_factory.mktemp("tables") / "tuesday.db", every_kind())


def csv_rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def one_payload(path: Path, wire: bytes) -> dict[str, str]:
    store = a_store_of(path / "one.db", a_recording(a_session([came(wire, 1, Opcode.TEXT)], upstream="feed")))
    (row,) = csv_rows(written(store, write_csv))
    return row


def test_every_message_is_a_row_of_csv(store: Path) -> None:
    rows = csv_rows(written(store, write_csv))

    assert tuple(rows[0]) == COLUMNS
    assert [(row["session"], row["seq"]) for row in rows] == [
        *(("s1", str(seq)) for seq in range(11)),
        ("s2", "0"),
        ("s8", "0"),
    ]
    assert rows[2] == {
        "recording": "tuesday",
        "session": "s1",
        "upstream": "hotbit",
        "seq": "2",
        "at": time_text(START_US + 5 + 1_000_004),
        "at_us": "1000004",
        "from_client": "false",
        "opcode": "binary",
        "codec": "zlib",
        "role": "push",
        "method": "price.update",
        "answers": "",
        "stream": rows[2]["stream"],
        "wire_bytes": rows[2]["wire_bytes"],
        "payload": PUSH.decode(),
        "payload_base64": "",
    }
    assert rows[1]["answers"] == "0"


def test_lines_of_csv_end_as_rfc_4180_says(store: Path) -> None:
    content = written(store, write_csv)

    assert content.startswith(b"recording,session,")
    assert content.count(b"\r\n") == 14
    assert b'"{""method"": ""price.subscribe""' in content


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"])
def test_no_payload_is_a_formula(tmp_path: Path, start: str) -> None:
    text = f'{start}HYPERLINK("http://evil.example","x")'

    assert one_payload(tmp_path, text.encode())["payload"] == "'" + text


def test_no_method_and_no_name_is_a_formula(tmp_path: Path) -> None:
    call = came(b'{"method": "=1+1", "params": []}', 1, Opcode.TEXT)
    store = a_store_of(tmp_path / "one.db", a_recording(a_session([call], upstream="hotbit")))

    (row,) = csv_rows(written(store, write_csv))

    assert row["method"] == "'=1+1"


@pytest.mark.parametrize("text", ["", "a,b", 'say "x"', "two\r\nlines", " spaces ", "grüß 😀", "1-1", "'=1"])
def test_other_text_is_as_it_was(tmp_path: Path, text: str) -> None:
    assert one_payload(tmp_path, text.encode())["payload"] == text


@pytest.mark.parametrize("wire", [b"\xff\0", b"a NUL \0 in it"])
def test_what_is_no_text_is_base64(tmp_path: Path, wire: bytes) -> None:
    row = one_payload(tmp_path, wire)

    assert (row["payload"], base64.b64decode(row["payload_base64"])) == ("", wire)


def test_a_line_of_json_is_what_show_prints_and_where_it_belongs(store: Path) -> None:
    lines = [json.loads(line) for line in written(store, write_jsonl).splitlines()]

    with StoreReader(str(store)) as reader:
        shown = [message_object(each) for each in reader.messages("s1")]
        wires = [len(each.wire) for each in reader.messages("s1")]
    assert [{name: line[name] for name in each} for line, each in zip(lines, shown, strict=False)] == shown
    assert [line["wire_bytes"] for line in lines[:11]] == wires
    assert {(line["recording"], line["upstream"]) for line in lines} == {
        ("tuesday", "hotbit"),
        ("tuesday", "feed"),
    }
    assert lines[0]["at"] == time_text(START_US + 15)
    assert lines[8]["payload_base64"] == base64.b64encode(b"no \xff text").decode()


def test_a_name_that_is_no_text_does_not_stop_an_export(tmp_path: Path) -> None:
    recording = replace(a_recording(a_session([came(b"x", 1)])), name="half \udc80")
    store = a_store_of(tmp_path / "one.db", recording)

    assert csv_rows(written(store, write_csv, "half \udc80"))[0]["recording"] == "half \\udc80"
    assert json.loads(written(store, write_jsonl, "half \udc80"))["recording"] == "half \udc80"


def test_a_recording_without_messages_is_a_header_or_nothing(tmp_path: Path) -> None:
    store = a_store_of(tmp_path / "none.db", a_recording())

    assert written(store, write_csv) == ",".join(COLUMNS).encode() + b"\r\n"
    assert written(store, write_jsonl) == b""


def test_an_export_is_not_gathered_before_it_is_written(tmp_path: Path) -> None:
    a_store(tmp_path / "many.db", [b'{"a": "%b"}' % (b"x" * 2000)] * 1500)
    sizes = []

    class Sink(io.BytesIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            sizes.append(len(data))
            return super().write(data)

    with StoreReader(str(tmp_path / "many.db")) as reader:
        write_csv(reader, "tuesday", Sink())

    assert len(sizes) > 2
    assert max(sizes) < 1_200_000


def test_an_unknown_recording_is_refused(store: Path) -> None:
    with StoreReader(str(store)) as reader, pytest.raises(UnknownRecordingError):
        write_jsonl(reader, "wednesday", io.BytesIO())
