"""A HAR is read as Chrome saves it and as others vary it; what cannot be read is told by entry and message."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from export_builders import AUTH, a_store_of, every_kind, written
from store_builders import START_US, a_writer

from wiretape_protocols import UnknownProtocolError
from wiretape_store import (
    End,
    EndKind,
    Event,
    EventKind,
    IncomingMessage,
    IncomingRecording,
    StoreReader,
    import_recording,
)
from wiretape_store.exports.errors import ForeignFileError, UnknownUpstreamError
from wiretape_store.exports.har import read_har, write_har

CHROME = Path(__file__).parent.parent / "data" / "chrome.har"
"""What Chromium 156's own tools made of a page with two WebSockets, one of which failed."""
START_S = START_US / 1_000_000
PAGE = {"request": {"method": "GET", "url": "https://example.org/"}, "response": {"status": 200}}


def message(**members: Any) -> dict[str, Any]:
    return {"type": "receive", "time": START_S + 1, "opcode": 1, "data": "{}"} | members


def entry(*messages: dict[str, Any], **members: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "startedDateTime": "2020-09-13T12:26:40.000Z",
        "time": 1500.5,
        "request": {"method": "GET", "url": "wss://feed.example/v1?x=1", "headers": []},
        "response": {"status": 101, "headers": []},
        "_webSocketMessages": list(messages),
    }
    given |= members
    return {name: value for name, value in given.items() if value is not None}


def a_har(path: Path, *entries: Any) -> Path:
    path.write_text(json.dumps({"log": {"version": "1.2", "entries": list(entries)}}))
    return path


def items(incoming: IncomingRecording) -> list[list[IncomingMessage | Event]]:
    return [list(session.items) for session in incoming.sessions]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "saved.har"


def test_what_chrome_saved_is_read(tmp_path: Path) -> None:
    incoming = read_har(CHROME)

    assert incoming.name == "chrome"
    assert [(each.name, each.protocol, each.url) for each in incoming.upstreams] == [
        ("127.0.0.1", "json", "ws://127.0.0.1:18999"),
        ("127.0.0.1-9", "json", "ws://127.0.0.1:9"),
    ]
    assert incoming.notes == ("entries left out because they are no WebSocket connections: 1",)

    store = a_store_of(tmp_path / "chrome.db", incoming)
    with StoreReader(str(store)) as reader:
        talked, failed = reader.sessions()
        messages = list(reader.messages(talked.id))
    assert talked.handshake.target == "/feed?symbol=BTC"
    assert talked.handshake.status == 101
    assert ("Host", "127.0.0.1:18999") in talked.handshake.request_headers
    assert talked.end == End(EndKind.INTERRUPTED)
    assert talked.started_at_us == 1_795_204_392_776_000
    assert talked.ended_at_us == 1_795_204_394_083_725
    assert [m.payload for m in messages] == [
        b'{"method":"price.query","params":["BTCUSDT"],"id":1}',
        b'{"binary":true}',
        "grüß 😀".encode(),
        b'{"method":"price.query","params":["BTCUSDT"],"id":1}',
        b'{"binary":true}',
        "grüß 😀".encode(),
        b"close",
    ]
    assert [m.from_client for m in messages] == [True, True, True, False, False, False, True]
    assert messages[0].at_us == 11_350
    assert messages[3].answers == 0
    assert messages[4].wire == gzip.compress(b'{"binary":true}', mtime=0)
    assert failed.end == End(
        EndKind.UNREACHABLE, reason="Error in connection establishment: net::ERR_UNSAFE_PORT"
    )
    assert failed.started_at_us == talked.started_at_us


def test_a_host_that_names_an_adapter_selects_it(path: Path) -> None:
    request = {"url": "wss://ws.hotbit.io/v2"}

    (upstream,) = read_har(a_har(path, entry(message(), request=request))).upstreams

    assert (upstream.name, upstream.protocol, upstream.url) == ("hotbit", "hotbit", "wss://ws.hotbit.io")


def test_the_protocol_of_an_upstream_can_be_given(path: Path) -> None:
    a_har(path, entry(message()))

    assert read_har(path, {"feed.example": "opaque"}).upstreams[0].protocol == "opaque"
    with pytest.raises(UnknownUpstreamError, match=r"it has feed\.example"):
        read_har(path, {"feed": "opaque"})
    with pytest.raises(UnknownProtocolError):
        read_har(path, {"feed.example": "opak"})


def test_the_protocol_can_be_given_for_a_file_of_ours(tmp_path: Path, path: Path) -> None:
    path.write_bytes(written(a_store_of(tmp_path / "t.db", every_kind()), write_har))

    assert [each.protocol for each in read_har(path, {"feed": "json"}).upstreams] == ["hotbit", "json"]
    with pytest.raises(UnknownUpstreamError, match="it has hotbit, feed"):
        read_har(path, {"food": "json"})


@pytest.mark.parametrize(
    ("time", "at_us"),
    [
        pytest.param(START_S + 0.123456, 123_456, id="seconds"),
        pytest.param(START_US / 1000 + 250, 250_000, id="milliseconds"),
        pytest.param("2020-09-13T12:26:41.5Z", 1_500_000, id="ISO 8601"),
        pytest.param("2020-09-13T12:26:41", 1_000_000, id="ISO 8601 without a zone"),
        pytest.param(START_S - 1, 0, id="before the session"),
        pytest.param(None, 0, id="none"),
    ],
)
def test_times_are_read(path: Path, time: Any, at_us: int) -> None:
    ((read,),) = items(read_har(a_har(path, entry(message(time=time)))))

    assert read.at_us == at_us


def test_time_never_goes_back(path: Path) -> None:
    later, earlier = message(time=START_S + 2), message(time=START_S + 1)

    ((first, second),) = items(read_har(a_har(path, entry(later, earlier))))

    assert (first.at_us, second.at_us) == (2_000_000, 2_000_000)


@pytest.mark.parametrize(
    ("given", "from_client"),
    [("send", True), ("sent", True), ("outgoing", True), ("receive", False), ("incoming", False)],
)
def test_the_words_of_other_writers_for_the_sides_are_read(path: Path, given: str, from_client: bool) -> None:
    ((read,),) = items(read_har(a_har(path, entry(message(type=given)))))

    assert read.from_client is from_client


def test_a_message_without_an_opcode_is_text(path: Path) -> None:
    said = message(data="hello")
    del said["opcode"]

    ((read,),) = items(read_har(a_har(path, entry(said))))

    assert isinstance(read, IncomingMessage)
    assert (read.opcode.name, read.wire) == ("TEXT", b"hello")


@pytest.mark.parametrize(
    ("frame", "data", "end"),
    [
        pytest.param(
            {"data": "A+l0b28="}, b"\x03\xe9too", End(EndKind.CLOSED, False, 1001, "too"), id="base64"
        ),
        pytest.param(
            {"data": "bye", "code": 1000}, b"\x03\xe8bye", End(EndKind.CLOSED, False, 1000, "bye"), id="code"
        ),
        pytest.param({"data": ""}, b"", End(EndKind.CLOSED, False), id="nothing"),
    ],
)
def test_a_close_frame_ends_the_session(path: Path, frame: dict[str, Any], data: bytes, end: End) -> None:
    (session,) = read_har(a_har(path, entry(message(), message(opcode=8, **frame)))).sessions

    assert session.end == end
    assert list(session.items)[-1] == Event(-1, 1_000_000, False, EventKind.CLOSE, data)


def test_pings_are_events(path: Path) -> None:
    pings = [message(opcode=9, data="aGk="), message(opcode=10, data="not base64")]

    ((ping, pong),) = items(read_har(a_har(path, entry(*pings))))

    assert ping == Event(-1, 1_000_000, False, EventKind.PING, b"hi")
    assert pong == Event(-1, 1_000_000, False, EventKind.PONG, b"not base64")


def test_an_error_of_chrome_ends_the_session_and_is_no_message(path: Path) -> None:
    error = message(type="error", opcode=-1, data="Invalid frame header")
    (session,) = read_har(a_har(path, entry(message(), error))).sessions

    assert session.end == End(EndKind.EOF, reason="Invalid frame header")
    assert len(list(session.items)) == 1


def test_a_refused_handshake_is_read_with_its_body(path: Path) -> None:
    text = {"status": 403, "content": {"text": "no"}}
    packed = {"status": 502, "content": {"text": "AAE=", "encoding": "base64"}}

    incoming = read_har(a_har(path, entry(response=text), entry(response=packed)))

    assert [(each.handshake.body, each.end) for each in incoming.sessions] == [
        (b"no", End(EndKind.REFUSED, False, 403)),
        (b"\0\1", End(EndKind.REFUSED, False, 502)),
    ]


@pytest.mark.parametrize("status", [None, 0, -1, 200])
def test_messages_say_that_the_handshake_was_accepted(path: Path, status: int | None) -> None:
    (session,) = read_har(a_har(path, entry(message(), response={"status": status}))).sessions

    assert session.handshake.status == 101


def test_a_failed_connection_says_why(path: Path) -> None:
    failed = entry(response={"status": 0, "_error": "net::ERR_FAILED"})

    incoming = read_har(a_har(path, failed, entry(response=None, _webSocketMessages=None)))

    assert [each.end.reason for each in incoming.sessions] == ["net::ERR_FAILED", "no answer"]


def test_header_fields_are_as_they_were_sent(path: Path) -> None:
    fields = [
        {"name": ":method", "value": "GET"},
        {"name": "Set-Thing", "value": "a\nb"},
        {"name": "X-Name", "value": "grün ✓"},
        {"name": "X-None"},
    ]
    (session,) = read_har(a_har(path, entry(response={"status": 101, "headers": fields}))).sessions

    assert session.handshake.response_headers == (
        ("Set-Thing", "a"),
        ("Set-Thing", "b"),
        ("X-Name", "grün ✓".encode().decode("latin-1")),
        ("X-None", ""),
    )


def test_a_session_ends_with_its_entry_or_its_last_message(path: Path) -> None:
    late = entry(message(time=START_S + 60))
    without = entry(time=None)

    incoming = read_har(a_har(path, entry(message()), late, without))

    assert [each.ended_at_us - START_US for each in incoming.sessions] == [1_500_500, 60_000_000, 0]
    assert (incoming.started_at_us, incoming.ended_at_us) == (START_US, START_US + 60_000_000)


def test_sessions_stand_in_the_order_in_which_they_began(path: Path) -> None:
    later = entry(message(data="later"), startedDateTime="2020-09-13T12:30:00Z")

    read = items(read_har(a_har(path, later, entry(message(data="sooner")))))

    assert [each.wire for (each,) in read if isinstance(each, IncomingMessage)] == [b"sooner", b"later"]


def test_an_entry_without_a_time_begins_with_its_first_message(path: Path) -> None:
    (session,) = read_har(a_har(path, entry(message(), startedDateTime=None))).sessions

    assert session.started_at_us == START_US + 1_000_000


def test_what_is_left_out_is_counted(path: Path) -> None:
    incoming = read_har(a_har(path, PAGE, PAGE, entry(), entry(message())))

    assert incoming.notes == (
        "entries left out because they are no WebSocket connections: 2",
        "WebSocket connections that came without messages, which not every tool saves: 1",
    )


def test_secrets_become_tokens(path: Path, tmp_path: Path) -> None:
    request = {
        "url": "wss://ws.hotbit.io/v2?token=secret-token-1",
        "headers": [
            {"name": "Authorization", "value": "Bearer secret-token-2"},
            {"name": "Cookie", "value": "sid=secret-token-3"},
        ],
    }
    a_har(path, entry(message(type="send", data=AUTH.decode()), request=request))

    store = a_store_of(tmp_path / "safe.db", read_har(path))

    stored = store.read_bytes()
    assert b"secret-token" not in stored
    with StoreReader(str(store)) as reader:
        (session,) = reader.sessions()
        (auth,) = reader.messages(session.id)
        assert "secret-token" not in str(session)
    assert auth.redacted
    assert b"key-0123456789" not in auth.payload


def test_a_byte_order_mark_is_no_matter(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + a_har(path, entry(message())).read_bytes())

    assert len(items(read_har(path))) == 1


def test_members_may_come_in_any_order_and_more_of_them(path: Path) -> None:
    log = {"entries": [PAGE | {"_webSocketMessages": None}, entry(message())], "pages": [{"id": "]}"}]}
    path.write_text(json.dumps({"comment": {"log": 1}, "log": log, "more": [1]}, indent=1))

    assert len(items(read_har(path))) == 1


def test_an_edited_text_counts_more_than_the_bytes_that_were(tmp_path: Path, path: Path) -> None:
    har = json.loads(written(a_store_of(tmp_path / "t.db", every_kind()), write_har))
    har["log"]["entries"][0]["_webSocketMessages"][8]["data"] = "edited"
    path.write_text(json.dumps(har))

    first, *_ = items(read_har(path))

    assert [each.wire for each in first if isinstance(each, IncomingMessage)][8] == b"edited"


def read_all(path: Path) -> None:
    for session in read_har(path).sessions:
        list(session.items)


def refused(path: Path) -> str:
    with pytest.raises(ForeignFileError) as caught:
        read_all(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b"[]", "it is no JSON object, so no HAR", id="array"),
        pytest.param(b"{}", "no HAR: it has no member 'log' with 'entries'", id="no log"),
        pytest.param(b'{"log": {}}', "no HAR: it has no member 'log' with 'entries'", id="no entries"),
        pytest.param(b'{"log": {"entries": []}}', "none of its 0 entries is a WebSocket", id="no entry"),
        pytest.param(
            b'{"log": {"entries": [', "not JSON at byte 21: the file ends too early", id="cut short"
        ),
        pytest.param(gzip.compress(b"{}"), "it is gzipped; unpack it with gunzip first", id="gzip"),
        pytest.param('{"log": 1}'.encode("utf-16"), "it is UTF-16; save it as UTF-8", id="utf-16"),
        pytest.param(b"\x89PNG....", "it is no JSON object, so no HAR", id="picture"),
    ],
)
def test_what_is_no_har_is_refused(path: Path, content: bytes, what: str) -> None:
    path.write_bytes(content)

    assert what in refused(path)
    assert str(path) in refused(path)


def test_a_file_that_is_not_there_is_refused(path: Path) -> None:
    assert refused(path) == f"HAR {path}: cannot be read (No such file or directory)"


@pytest.mark.parametrize(
    ("members", "what"),
    [
        pytest.param({"request": None}, "member 'request.url' must be a text", id="no request"),
        pytest.param({"request": {"url": 1}}, "member 'request.url' must be a text", id="number"),
        pytest.param({"request": {"url": "wss:///x"}}, "member 'request.url': no ws://", id="no host"),
        pytest.param({"response": []}, "member 'response' must be an object", id="response"),
        pytest.param(
            {"response": {"status": "101"}}, "'response.status' must be an HTTP status", id="status"
        ),
        pytest.param(
            {"response": {"status": 1}}, "'response.status' must be an HTTP status", id="low status"
        ),
        pytest.param(
            {"response": {"status": 101, "headers": {}}}, "'response.headers' must be an array", id="headers"
        ),
        pytest.param(
            {"request": {"url": "ws://x", "headers": ["a"]}},
            "'request.headers' must be an array of objects",
            id="header",
        ),
        pytest.param(
            {"request": {"url": "ws://x", "headers": [{"name": "a b", "value": ""}]}},
            "member 'request.headers': 'a b' is no name",
            id="header name",
        ),
        pytest.param(
            {"response": {"status": 403, "content": {"text": "?", "encoding": "base64"}}},
            "'response.content.text' must be base64",
            id="body",
        ),
        pytest.param(
            {"request": {"url": "ws://x:" + "9" * 5000}}, "member 'request.url': its port is no", id="port"
        ),
        pytest.param({"request": {"url": "ws://x/ b"}}, "member 'request.url': it has a space", id="space"),
        pytest.param({"request": {"url": "ws://x/\ud800"}}, "half a surrogate pair", id="surrogate"),
        pytest.param(
            {"startedDateTime": 10**400}, "member 'startedDateTime' is no time between", id="huge start"
        ),
        pytest.param({"startedDateTime": "noon"}, "member 'startedDateTime' must be a time", id="no time"),
        pytest.param({"_webSocketMessages": {}}, "member '_webSocketMessages' must be an array", id="object"),
        pytest.param({"_wiretape": {}}, "member '_wiretape': ", id="ours, empty"),
    ],
)
def test_a_wrong_entry_is_told_by_number_and_member(path: Path, members: dict[str, Any], what: str) -> None:
    wrong = entry(**members)

    text = refused(a_har(path, PAGE, wrong))

    assert text.startswith(f"HAR {path}, entry 2: ")
    assert what in text


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        pytest.param(1, "it is not an object", id="number"),
        pytest.param(message(opcode=[]), "member 'opcode' must be 1 (text)", id="array as opcode"),
        pytest.param(message(type=[]), "member 'type' must be", id="array as type"),
        pytest.param(message(time=10**400), "member 'time' is no time", id="huge time"),
        pytest.param(
            message(opcode=8, data="", code=1000) | {"data": "ü" * 62}, "at most 125", id="long close"
        ),
        pytest.param(message(type="push"), "member 'type' must be 'send' or 'receive'", id="type"),
        pytest.param(message(opcode=0), "member 'opcode' must be 1 (text) or 2 (binary)", id="opcode"),
        pytest.param(message(opcode=2, data="{}"), "member 'data' must be base64", id="base64"),
        pytest.param(message(data=None), "member 'data' must be a text", id="no data"),
        pytest.param(message(time="soon"), "member 'time' must be a time (ISO 8601)", id="time"),
        pytest.param(message(time=True), "member 'time' must be a number of seconds", id="flag"),
        pytest.param(message(time=float("inf")), "member 'time' must be a number of seconds", id="infinite"),
        pytest.param(message(time=-1), "member 'time' is no time between 1970 and 9999", id="negative"),
        pytest.param(message(_wiretape=1), "member '_wiretape' must be an object", id="extras"),
    ],
)
@pytest.mark.parametrize("after", [0, 5])
def test_a_wrong_message_is_told_by_number(path: Path, wrong: Any, what: str, after: int) -> None:
    messages = [message(), wrong, *[message()] * after]

    text = refused(a_har(path, PAGE, entry(*messages)))

    assert text.startswith(f"HAR {path}, entry 2, message 2: ")
    assert what in text


def test_an_entry_that_is_no_object_is_refused(path: Path) -> None:
    assert refused(a_har(path, 5)) == f"HAR {path}, entry 1: it is not an object"


def test_nothing_of_a_wrong_file_stays_in_the_store(path: Path, tmp_path: Path) -> None:
    wrong = message(type="push")
    a_har(path, entry(message(data="kept?")), entry(message(), wrong, *[message()] * 5))
    store = tmp_path / "store.db"

    with a_writer(store) as writer, pytest.raises(ForeignFileError):
        import_recording(writer, read_har(path))

    with StoreReader(str(store)) as reader:
        assert reader.recordings() == []


@pytest.mark.parametrize(
    ("place", "value", "what"),
    [
        pytest.param(("_wiretape",), 1, "member 'log._wiretape'", id="recording"),
        pytest.param(("_wiretape", "version"), 99, "use a newer one", id="newer"),
        pytest.param(
            ("entries", 0, "_wiretape", "session", "session"), "gone", "names upstream", id="upstream"
        ),
        pytest.param(("entries", 0, "_wiretape", "events"), 5, "'events'", id="no events"),
        pytest.param(("entries", 0, "_wiretape", "events", 0), {}, "'after_seq'", id="event"),
        pytest.param(("entries", 0, "_wiretape", "events", 0, "from"), "me", "'from'", id="side"),
        pytest.param(("entries", 0, "_wiretape", "events", 0, "event"), None, "'event'", id="kind"),
        pytest.param(("entries", 0, "_wiretape", "end"), None, "is something else", id="no end"),
        pytest.param(
            ("entries", 0, "_wiretape", "end"), {"at_us": 1, "from": "client"}, "a message has", id="message"
        ),
        pytest.param(
            ("entries", 0, "_wiretape", "end"),
            {"at_us": 1, "from": "client", "event": "ping"},
            "not those of a tape",
            id="event as end",
        ),
        pytest.param(
            ("entries", 0, "_wiretape", "events", 0),
            {"after_seq": 1, "at_us": 1, "end": "eof"},
            "something else than events",
            id="end as event",
        ),
    ],
)
def test_members_of_ours_are_checked(
    path: Path, tmp_path: Path, place: tuple[str | int, ...], value: Any, what: str
) -> None:
    har = json.loads(written(a_store_of(tmp_path / "t.db", every_kind()), write_har))
    parent = har["log"]
    for step in place[:-1]:
        parent = parent[step]
    parent[place[-1]] = value
    path.write_text(json.dumps(har))

    assert what in refused(path)


@pytest.mark.parametrize("codec", [5, "gzip level=3", "nonsense", None])
def test_a_codec_that_was_edited_does_not_change_the_bytes(path: Path, tmp_path: Path, codec: Any) -> None:
    har = json.loads(written(a_store_of(tmp_path / "t.db", every_kind()), write_har))
    message = har["log"]["entries"][0]["_webSocketMessages"][6]
    assert message["_wiretape"]["redacted"]
    message["_wiretape"]["codec"] = codec
    path.write_text(json.dumps(har))

    store = a_store_of(tmp_path / "back.db", read_har(path))

    with StoreReader(str(store)) as reader:
        assert b"wt-" in reader.message("s1", 6).payload
