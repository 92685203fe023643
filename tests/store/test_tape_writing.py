"""What a tape looks like: stable, readable, free of what does not belong into git."""

import io
import json
import time
import zlib
from pathlib import Path

import pytest
from store_builders import DEAD, HANDSHAKE, HOTBIT, PUSH, START_US, a_writer, packed
from store_builders import a_message as new_message
from tape_builders import a_message, a_recording, a_session, exported, messages, stored

from wiretape_protocols import Codec, Decoded, Opcode, decode
from wiretape_store import (
    Event,
    EventKind,
    Handshake,
    IncomingMessage,
    StoreError,
    StoreReader,
    UnknownRecordingError,
    import_recording,
)
from wiretape_store.tapes import read_tape, tape_of, write_tape
from wiretape_store.tapes.spelling import JSON_DEPTH


def lines_of(store: Path, what: str = "tuesday") -> list[str]:
    return exported(store, what).decode().splitlines()


def payload_line(payload: bytes, tmp_path: Path) -> str:
    """How the tape spells a message with this payload, from its payload's member on."""
    store = stored(tmp_path / "a.db", a_recording(a_session([a_message(payload)], upstream="feed")))
    assert messages(store)[0].payload == payload
    line = lines_of(store)[2]
    assert line.startswith('{"at_us": 0, "from": "upstream", ')
    return line.removeprefix('{"at_us": 0, "from": "upstream", ').removesuffix("}")


@pytest.mark.parametrize(
    ("payload", "spelled"),
    [
        pytest.param(b'{"a" :1,"a":2 }', '"json": {"a" :1,"a":2 }', id="spacing-order-and-doubles"),
        pytest.param(b"[1e400, 0.30000000000000004]", '"json": [1e400, 0.30000000000000004]', id="numbers"),
        pytest.param('["ü", "😀"]'.encode(), '"json": ["ü", "😀"]', id="beyond-ascii"),
        pytest.param(b'["\\ud800"]', '"json": ["\\ud800"]', id="half-a-pair-that-json-spells"),
        pytest.param(b"{}", '"json": {}', id="empty-object"),
        pytest.param(b'{"a":\n1}', '"text": "{\\"a\\":\\n1}"', id="line-break"),
        pytest.param(b'{"a":1}\r\n', '"text": "{\\"a\\":1}\\r\\n"', id="line-end-after-it"),
        pytest.param(b' {"a":1}', '"text": " {\\"a\\":1}"', id="space-before-it"),
        pytest.param(b"[NaN]", '"text": "[NaN]"', id="nan"),
        pytest.param(b"[1,]", '"text": "[1,]"', id="not-quite-json"),
        pytest.param(b"{}{}", '"text": "{}{}"', id="two-objects"),
        pytest.param('["\u2028"]'.encode(), '"text": "[\\"\\u2028\\"]"', id="line-separator"),
        pytest.param('["\u202e"]'.encode(), '"text": "[\\"\\u202e\\"]"', id="turned-direction"),
        pytest.param(b'["\x7f"]', '"base64": "WyJ/Il0="', id="delete"),
        pytest.param(b"7", '"text": "7"', id="a-number"),
        pytest.param(b"null", '"text": "null"', id="null"),
        pytest.param(b"", '"text": ""', id="nothing"),
        pytest.param("ü\ttab".encode(), '"text": "ü\\ttab"', id="text"),
        pytest.param(b"\x00\x01", '"base64": "AAE="', id="control-characters"),
        pytest.param(b'["\xff"]', '"base64": "WyL/Il0="', id="not-utf-8"),
        pytest.param(b"\xed\xa0\x80", '"base64": "7aCA"', id="half-a-pair-in-utf-8"),
    ],
)
def test_a_payload_is_spelled_as_readably_as_its_bytes_allow(
    payload: bytes, spelled: str, tmp_path: Path
) -> None:
    assert payload_line(payload, tmp_path) == spelled


@pytest.mark.parametrize(("depth", "member"), [(JSON_DEPTH, "json"), (JSON_DEPTH + 1, "text")])
def test_json_that_is_nested_too_deep_for_other_parsers_is_text(
    depth: int, member: str, tmp_path: Path
) -> None:
    payload = b'["' + b"[" * 99 + b'", ' + b"[" * (depth - 1) + b"]" * depth

    assert payload_line(payload, tmp_path).startswith(f'"{member}": ')


def test_what_is_as_usual_is_left_out(tmp_path: Path) -> None:
    store = stored(tmp_path / "a.db", a_recording(a_session([a_message(PUSH)], handshake=Handshake("/", ()))))

    assert [list(json.loads(line)) for line in lines_of(store)] == [
        ["wiretape", "version", "recording", "started_at_us", "ended_at_us", "upstreams"],
        ["session", "started_at_us", "target"],
        ["at_us", "from", "json"],
        ["at_us", "end", "from", "code"],
    ]


def test_what_is_unusual_is_told(tmp_path: Path) -> None:
    wire = packed(PUSH)["gzip-of-stored-blocks"]
    item = IncomingMessage(False, Opcode.BINARY, 3, wire, deflated=True)
    store = stored(tmp_path / "a.db", a_recording(a_session([item])))

    line = json.loads(lines_of(store)[2])
    assert list(line) == ["at_us", "from", "opcode", "codec", "deflated", "wire_base64", "json"]
    assert (line["opcode"], line["codec"]) == ("binary", f"gzip header={wire[:10].hex()}")


def test_the_zlib_is_named_only_where_its_bytes_matter(tmp_path: Path) -> None:
    plain = stored(tmp_path / "a.db", a_recording(a_session([a_message(PUSH)])))
    kept = stored(
        tmp_path / "b.db", a_recording(a_session([a_message(packed(PUSH)["gzip-of-stored-blocks"])]))
    )
    exact = stored(tmp_path / "c.db", a_recording(a_session([a_message(packed(PUSH)["gzip"])])))

    assert ["zlib" in json.loads(lines_of(store)[0]) for store in (plain, kept, exact)] == [
        False,
        False,
        True,
    ]


def test_a_secret_is_a_token_and_its_packed_bytes_are_not_there(tmp_path: Path) -> None:
    secret = b'{"method": "server.auth", "params": ["hunter2hunter2", "web"], "id": 9}'
    for name, wire in packed(secret).items():
        store = stored(tmp_path / f"{name}.db", a_recording(a_session([a_message(wire, from_client=True)])))
        line = json.loads(lines_of(store)[2])

        assert "wire_base64" not in line or line.get("codec") is None
        if "redacted" in line:
            assert line["json"]["params"][0].startswith("wt-")
        else:  # What nobody can unpack is opaque bytes.
            assert name in {"two-gzip-members", "gzip-cut-short"}
            assert list(line) == ["at_us", "from", "base64"]


def test_events_stand_where_they_happened(tmp_path: Path) -> None:
    happened: list[IncomingMessage | Event] = [
        Event(-1, 0, True, EventKind.PING, b"before"),
        a_message(PUSH, 1),
        Event(-1, 2, False, EventKind.FRAGMENTS, b"1,2"),
        Event(-1, 2, True, EventKind.CLOSE, b"\x03\xe8bye"),
        Event(-1, 2, True, EventKind.CLOSE, b""),
        Event(-1, 2, True, EventKind.CLOSE, b"\x03"),
    ]
    store = stored(tmp_path / "a.db", a_recording(a_session(happened)))

    told = [json.loads(line) for line in lines_of(store)[2:]]
    assert [line.get("event") for line in told] == [
        "ping",
        None,
        "fragments",
        "close",
        "close",
        "close",
        None,
    ]
    assert told[3] == {"at_us": 2, "from": "client", "event": "close", "code": 1000, "text": "bye"}
    assert told[4] == {"at_us": 2, "from": "client", "event": "close"}
    assert told[5] == {"at_us": 2, "from": "client", "event": "close", "base64": "Aw=="}


def test_a_recording_gives_the_same_tape_before_it_is_settled_and_after(tmp_path: Path) -> None:
    wires = [wire for _ in range(3) for wire in packed(PUSH).values()]
    writer = a_writer(tmp_path / "a.db", process=DEAD)
    recording = writer.begin_recording("tuesday", [HOTBIT])
    session = writer.begin_session(recording.upstreams[0].id, START_US, HANDSHAKE)
    for seq, wire in enumerate(wires):
        writer.add(session, new_message(seq, wire))
    writer.commit()
    writer.abandon()
    hot = exported(tmp_path / "a.db")

    assert messages(tmp_path / "a.db")[1].kept_wire is not None

    a_writer(tmp_path / "a.db").close()

    assert messages(tmp_path / "a.db")[1].kept_wire is None
    assert exported(tmp_path / "a.db") == hot


def test_when_and_where_it_is_exported_does_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = a_recording(a_session([a_message(packed(PUSH)["gzip"])]))
    first = exported(stored(tmp_path / "a.db", recording))
    monkeypatch.setenv("HOSTNAME", "elsewhere")
    monkeypatch.setattr(time, "time", lambda: 0.0)
    with a_writer(tmp_path / "b.db") as writer:
        import_recording(writer, a_recording(a_session([])), "another before it")
        import_recording(writer, recording)

    assert exported(tmp_path / "b.db") == first
    assert str(tmp_path).encode() not in first


def test_one_session_is_a_tape_too_and_names_its_upstream_alone(tmp_path: Path) -> None:
    sessions = (a_session([]), a_session([a_message(PUSH)], upstream="feed"))
    store = stored(tmp_path / "a.db", a_recording(*sessions))

    header, begin, _, end = map(json.loads, lines_of(store, "s2"))
    assert [upstream["name"] for upstream in header["upstreams"]] == ["feed"]
    assert (header["recording"], begin["session"], end["end"]) == ("tuesday", "feed", "closed")


def test_a_session_that_goes_on_is_refused(tmp_path: Path) -> None:
    with a_writer(tmp_path / "a.db") as writer:
        upstream = writer.begin_recording("tuesday", [HOTBIT]).upstreams[0]
        writer.begin_session(upstream.id, START_US, HANDSHAKE)

        with pytest.raises(
            StoreError, match="session s1 is still being recorded; export it when it has ended"
        ):
            exported(tmp_path / "a.db")


def test_a_recording_whose_recorder_died_ends_with_its_sessions(tmp_path: Path) -> None:
    writer = a_writer(tmp_path / "a.db")
    upstream = writer.begin_recording("tuesday", [HOTBIT]).upstreams[0]
    session = writer.begin_session(upstream.id, START_US, HANDSHAKE)
    writer.add(session, new_message(0))
    writer.add(session, new_message(1))
    end = a_session([]).end
    writer.end_session(session, START_US + 5_000, end)
    writer.commit()
    writer.abandon()

    assert json.loads(lines_of(tmp_path / "a.db")[0])["ended_at_us"] == START_US + 5_000


@pytest.mark.parametrize(
    "handshake",
    [
        pytest.param(Handshake("/", (("a b", "c"),)), id="name"),
        pytest.param(Handshake("/", (("a", "b\nc"),)), id="value"),
        pytest.param(Handshake("/", (), 1), id="status"),
    ],
)
def test_a_handshake_that_could_not_be_imported_is_not_exported(handshake: Handshake, tmp_path: Path) -> None:
    store = stored(tmp_path / "a.db", a_recording(a_session([], handshake=handshake)))

    with pytest.raises(StoreError, match="session s1 does not fit a tape"):
        exported(store)


def test_an_unknown_recording_is_refused(tmp_path: Path) -> None:
    with (
        StoreReader(str(stored(tmp_path / "a.db", a_recording()))) as reader,
        pytest.raises(UnknownRecordingError, match="'monday'"),
    ):
        write_tape(reader, "monday", io.BytesIO())


def test_what_another_zlib_has_proven_is_exported_as_this_one_packs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stored(tmp_path / "a.db", a_recording(a_session([a_message(packed(PUSH)["zlib"])])))
    monkeypatch.setattr("wiretape_store.names.deflater_fingerprint", lambda: "another")
    assert not messages(store)[0].codec.exact

    line = json.loads(lines_of(store)[2])

    assert line["codec"] == "zlib exact"
    assert "wire_base64" not in line


def test_a_tape_of_another_zlib_is_imported_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stored(tmp_path / "a.db", a_recording(a_session([a_message(packed(PUSH)["zlib"])])))
    tape = tmp_path / "a.tape"
    tape.write_bytes(exported(store))
    assert read_tape(tape).notes == ()
    monkeypatch.setattr("wiretape_store.tapes.reading.deflater_fingerprint", lambda: "another")

    (note,) = read_tape(tape).notes

    assert "another zlib" in note


def test_a_proven_codec_is_believed_though_its_bytes_do_not_tell(tmp_path: Path) -> None:
    # Raw deflate of bytes that are no text: nobody recognises it.
    codec = Codec.parse("deflate level=9 exact")
    payload = bytes(range(256))
    wire = packed(payload)["raw-deflate"]
    assert decode(wire).payload == wire
    item = a_message(wire, decoded=Decoded(payload, Codec.parse("deflate exact")))
    first = stored(tmp_path / "a.db", a_recording(a_session([item])))
    tape = tmp_path / "a.tape"
    tape.write_bytes(exported(first).replace(b"deflate exact", b"deflate level=9 exact"))

    (message,) = messages(stored(tmp_path / "b.db", read_tape(tape)))

    assert (message.payload, message.codec) == (payload, codec)


def test_a_recording_without_a_store_gives_the_same_tape(tmp_path: Path) -> None:
    incoming = a_recording(a_session([a_message(b'{"a":1}'), a_message(zlib.compress(b'{"b":2}'), 5)]))
    assert tape_of(incoming) == exported(stored(tmp_path / "a.db", incoming))
