"""Tapes that people have edited: what is worked out anew, what is refused, and that nothing stays of it."""

import base64
import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from store_builders import PUSH, a_writer, packed, query
from tape_builders import (
    END,
    HEADER,
    SESSION,
    a_message,
    a_recording,
    a_session,
    a_tape,
    exported,
    imported,
    messages,
    stored,
)

from wiretape_protocols import Codec, Opcode, Role
from wiretape_store import RecordingExistsError, StoreReader, import_recording
from wiretape_store.tapes import TapeError, read_tape, reading

CALL = {"at_us": 1, "from": "client", "json": {"method": "price.query", "params": ["BTCUSDT"], "id": 7}}
ANSWER = {"at_us": 2, "from": "upstream", "json": {"error": None, "result": "7998.01", "id": 7}}


def refused(tape: Path) -> TapeError:
    """What importing says; nothing of it stays."""
    store = tape.with_suffix(".db")
    with a_writer(store) as writer, pytest.raises(TapeError) as caught:
        import_recording(writer, read_tape(tape))
    for table in ("recording", "upstream", "session", "message", "chunk", "event"):
        assert query(store, f"select count(*) from {table}") == [(0,)]
    return caught.value


def test_a_changed_price_is_packed_with_the_codec_of_the_old_one(tmp_path: Path) -> None:
    wire = gzip.compress(PUSH, 9, mtime=1_600_000_000)
    tape = tmp_path / "a.tape"
    tape.write_bytes(exported(stored(tmp_path / "first.db", a_recording(a_session([a_message(wire)])))))
    text = tape.read_text()
    assert text.count('"10234.5"') == 1

    tape.write_text(text.replace('"10234.5"', '"9"'))
    (message,) = messages(imported(tape))

    assert message.payload == PUSH.replace(b"10234.5", b"9")
    assert message.wire == gzip.compress(message.payload, 9, mtime=1_600_000_000)
    assert message.codec.exact


def test_wire_bytes_count_only_for_the_payload_that_they_unpack_to(tmp_path: Path) -> None:
    wire = packed(PUSH)["gzip-of-two-blocks"]
    line = {"at_us": 1, "from": "upstream", "codec": "gzip", "wire_base64": base64.b64encode(wire).decode()}
    edited = PUSH.replace(b"10234.5", b"9")
    tape = a_tape(
        tmp_path / "a.tape",
        SESSION,
        line | {"text": PUSH.decode()},
        line | {"text": edited.decode()},
        line | {"codec": "zlib", "text": PUSH.decode()},
        END,
    )

    kept, anew, other = messages(imported(tape))

    assert kept.wire == wire
    assert (gzip.decompress(anew.wire), anew.codec.exact) == (edited, True)
    assert other.wire == packed(PUSH)["zlib"]


def test_what_messages_mean_is_worked_out_anew(tmp_path: Path) -> None:
    tape = a_tape(tmp_path / "a.tape", SESSION, CALL, CALL | {"at_us": 1}, ANSWER, END)

    first, second, answer = messages(imported(tape))

    assert (first.role, first.method) == (Role.CALL, "price.query")
    assert (answer.role, answer.answers) == (Role.ANSWER, first.seq)
    assert second.seq == 1
    with StoreReader(str(tmp_path / "a.db")) as reader:
        assert reader.session("s1").exchanges == 1


def test_a_secret_that_somebody_typed_becomes_a_token(tmp_path: Path) -> None:
    secret = "hunter2" * 4
    auth = {
        "at_us": 1,
        "from": "client",
        "json": {"method": "server.auth", "params": [secret, "web"], "id": 9},
    }
    session = SESSION | {
        "target": f"/?api_key={secret}",
        "request_headers": [["Authorization", f"Bearer {secret}"]],
    }
    tape = a_tape(tmp_path / "a.tape", session, auth, END | {"reason": f"not {secret}"})

    store = imported(tape)

    assert messages(store)[0].redacted
    assert b"hunter2" not in store.read_bytes()
    assert b"hunter2" not in exported(store)


def test_nobody_knows_with_which_key_the_tokens_of_a_tape_were_made(tmp_path: Path) -> None:
    store = imported(a_tape(tmp_path / "a.tape", SESSION, CALL, ANSWER, END))

    assert query(store, "select redaction_key from recording") == [(b"",)]


def test_sessions_may_follow_one_another_in_any_order_of_upstreams(tmp_path: Path) -> None:
    other = SESSION | {"session": "feed"}
    tape = a_tape(
        tmp_path / "a.tape", SESSION, END, other, END, SESSION, CALL, END | {"at_us": 7, "end": "eof"}
    )

    with StoreReader(str(imported(tape))) as reader:
        sessions = reader.sessions("tuesday")

    assert [(session.upstream.name, session.number) for session in sessions] == [
        ("hotbit", 0),
        ("feed", 0),
        ("hotbit", 1),
    ]
    assert sessions[2].end.kind.value == "eof"
    assert sessions[2].ended_at_us == sessions[2].started_at_us + 7


def test_an_end_in_a_payload_is_not_the_end_of_a_session(tmp_path: Path) -> None:
    payload = {"at_us": 1, "from": "client", "json": {"at_us": 1, "end": "eof"}}
    tape = a_tape(tmp_path / "a.tape", SESSION, payload, END, SESSION, END | {"end": "eof", "at_us": 3})

    with StoreReader(str(imported(tape))) as reader:
        assert [session.end.kind.value for session in reader.sessions()] == ["closed", "eof"]


def test_a_message_is_text_unless_it_says_otherwise(tmp_path: Path) -> None:
    tape = a_tape(tmp_path / "a.tape", SESSION, CALL, CALL | {"opcode": "binary"}, END)

    assert [message.opcode for message in messages(imported(tape))] == [Opcode.TEXT, Opcode.BINARY]


def test_a_codec_without_wire_bytes_is_how_it_is_packed(tmp_path: Path) -> None:
    tape = a_tape(tmp_path / "a.tape", SESSION, ANSWER | {"codec": "zlib level=1"}, END)

    (message,) = messages(imported(tape))

    assert message.codec == Codec.parse("zlib level=1 exact")


def test_a_payload_that_is_nested_without_end_is_taken_as_it_is(tmp_path: Path) -> None:
    deep = b"[" * 200_000 + b"]" * 200_000
    line = b'{"at_us": 1, "from": "client", "json": ' + deep + b"}"

    (message,) = messages(imported(a_tape(tmp_path / "a.tape", SESSION | {"session": "feed"}, line, END)))

    assert message.payload == deep


def test_any_other_member_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    line = b'{"at_us": 1, "from": "client", "text": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"

    assert refused(a_tape(tmp_path / "a.tape", SESSION, line, END)).line == 3


def test_a_line_that_no_message_needs_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LINE_BYTES", 1000)
    tape = a_tape(tmp_path / "a.tape", SESSION, b'{"text": "' + b"a" * 10_000_000, END)

    tracemalloc.start()
    error = refused(tape)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert str(error) == f"tape {tape}, line 3: it is longer than 1000 bytes, which no message needs"
    assert peak_bytes < 5_000_000


def test_a_bomb_between_the_wire_bytes_stays_packed(tmp_path: Path) -> None:
    bomb = gzip.compress(b"a" * 300_000_000, 9)
    line = {"at_us": 1, "from": "upstream", "codec": "gzip", "wire_base64": base64.b64encode(bomb).decode()}
    tape = a_tape(tmp_path / "a.tape", SESSION, line | {"text": "small"}, END)

    assert gzip.decompress(messages(imported(tape))[0].wire) == b"small"


def test_a_large_tape_is_not_held_in_memory(tmp_path: Path) -> None:
    line = json.dumps({"at_us": 1, "from": "upstream", "text": "x" * 100_000}).encode()
    tape = a_tape(tmp_path / "a.tape", SESSION | {"session": "feed"}, *[line] * 200, END)

    tracemalloc.start()
    count = sum(1 for session in read_tape(tape).sessions for _ in session.items)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 200
    assert peak_bytes < 3_000_000


def test_what_a_caller_leaves_unread_is_checked_all_the_same(tmp_path: Path) -> None:
    tape = a_tape(tmp_path / "a.tape", SESSION, CALL, CALL | {"at_us": -1}, END, SESSION, END)

    with pytest.raises(TapeError, match="line 4"):
        list(read_tape(tape).sessions)


def test_a_refused_tape_leaves_what_was_in_the_store(tmp_path: Path) -> None:
    good = a_tape(tmp_path / "good.tape", SESSION, *[CALL] * 3000, ANSWER, END)
    bad = a_tape(tmp_path / "bad.tape", SESSION, *[CALL] * 3000, ANSWER, END, CALL)
    store = tmp_path / "a.db"
    with a_writer(store) as writer:
        import_recording(writer, read_tape(good))
        with pytest.raises(TapeError, match=r"line 3005: it belongs to no session"):
            import_recording(writer, read_tape(bad), "bad")

    assert query(store, "select name from recording") == [("tuesday",)]
    assert query(store, "select count(*) from message") == [(3001,)]
    assert len(messages(store)) == 3001


def test_a_name_that_is_taken_is_refused_and_another_can_be_given(tmp_path: Path) -> None:
    tape = a_tape(tmp_path / "a.tape", SESSION, CALL, ANSWER, END)
    store = imported(tape)
    with a_writer(store) as writer:
        with pytest.raises(RecordingExistsError, match="'tuesday'"):
            import_recording(writer, read_tape(tape))
        import_recording(writer, read_tape(tape), "wednesday")

    first, second = exported(store), exported(store, "wednesday")
    assert second == first.replace(b"tuesday", b"wednesday")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TapeError) as caught:
        read_tape(tmp_path)
    assert str(caught.value) == f"tape {tmp_path}: cannot be read (Is a directory)"

    with pytest.raises(TapeError, match=r"missing\.tape: cannot be read \(No such file"):
        read_tape(tmp_path / "missing.tape")


@pytest.mark.parametrize("member", ["recording", "started_at_us", "ended_at_us", "upstreams", "version"])
def test_each_fact_of_the_first_line_is_needed(member: str, tmp_path: Path) -> None:
    header = {name: value for name, value in HEADER.items() if name != member}

    with pytest.raises(TapeError, match=f"line 1: member '{member}' is missing"):
        read_tape(a_tape(tmp_path / "a.tape", header=header))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"recording": " "}, "'recording' must be a name", id="blank-name"),
        pytest.param({"recording": "a\nb"}, "'recording' must be a name", id="name-of-two-lines"),
        pytest.param({"recording": 5}, "'recording' must be a text, not 5", id="number-as-name"),
        pytest.param({"version": 0}, "'version' must be a whole number", id="no-version"),
        pytest.param({"version": True}, "'version' must be a whole number", id="true-is-no-version"),
        pytest.param(
            {"upstreams": {}}, "'upstreams' must be a list of objects, not an object", id="upstreams"
        ),
        pytest.param({"upstreams": [1]}, "'upstreams' must be a list of objects", id="upstream"),
        pytest.param({"redaction_rules": ["", 5]}, "'redaction_rules' must be a list of texts", id="rules"),
        pytest.param({"host": "here"}, "unknown member 'host'", id="unknown"),
        pytest.param({"json": {}}, "unknown member 'json'", id="payload"),
        pytest.param({"zlib": None}, "'zlib' must be a text, not null", id="null"),
        pytest.param({"x" * 99: 1}, "unknown member 'xxxxxxxxx", id="long"),
    ],
)
def test_the_first_line_is_checked(change: dict[str, object], reason: str, tmp_path: Path) -> None:
    with pytest.raises(TapeError) as caught:
        read_tape(a_tape(tmp_path / "a.tape", header=HEADER | change))

    assert reason in str(caught.value)
    assert len(str(caught.value)) < 300


def test_an_upstream_has_no_further_members(tmp_path: Path) -> None:
    upstream = HEADER["upstreams"][0] | {"password": "x"}

    with pytest.raises(TapeError, match="line 1: unknown member 'password'"):
        read_tape(a_tape(tmp_path / "a.tape", header=HEADER | {"upstreams": [upstream]}))


def test_a_folded_header_value_is_taken_as_a_proxy_passes_it_on(tmp_path: Path) -> None:
    session = SESSION | {"response_headers": [["X-Folded", "one\r\n two"]]}
    tape = a_tape(tmp_path / "a.tape", session, CALL, ANSWER, END)

    with StoreReader(str(imported(tape))) as reader:
        assert reader.session("s1").handshake.response_headers == (("X-Folded", "one\r\n two"),)


@pytest.mark.parametrize(
    "listen",
    [".a.:80", "a..a..:80", "a\0b:80", "a:" + "9" * 5000, "a:65536", "a:\u0663", "\ud800:80", "a b:80", "80"],
)
def test_nothing_could_listen_at_such_an_address(listen: str, tmp_path: Path) -> None:
    header = HEADER | {"upstreams": [HEADER["upstreams"][0] | {"listen": listen}]}

    with pytest.raises(TapeError, match="line 1: member 'listen' must be ") as caught:
        read_tape(a_tape(tmp_path / "a.tape", header=header))

    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        pytest.param([SESSION | {"target": "/\ud800"}], "line 2: member 'target': it has", id="surrogate"),
        pytest.param([SESSION | {"target": "/ HTTP/1.1\r\nA: b"}], "line 2: member 'target'", id="line-end"),
        pytest.param([SESSION | {"target": "/\0"}], "line 2: member 'target'", id="nul"),
        pytest.param(
            [SESSION, END | {"reason": "\ud800"}], "line 3: member 'reason': the reason", id="reason"
        ),
        pytest.param(
            [SESSION, {"at_us": 1, "from": "client", "event": "close", "code": 1000, "text": "x" * 124}, END],
            "line 3: a close frame holds at most 125 bytes",
            id="close",
        ),
        pytest.param(
            [SESSION | {"status": 403}, CALL, END], "line 3: a session with status 403", id="refused"
        ),
    ],
)
def test_what_cannot_have_happened_is_refused(
    lines: list[dict[str, Any]], reason: str, tmp_path: Path
) -> None:
    assert reason in str(refused(a_tape(tmp_path / "a.tape", *lines)))
