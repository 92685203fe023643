"""Flow files: what mitmproxy finds in ours, and what is found in mitmproxy's."""

import io
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from export_builders import AUTH, SUBSCRIBE, a_store_of, came, every_kind, facts, written
from store_builders import START_US, a_store, a_writer, begin
from tape_builders import a_recording, a_session

from wiretape_addons.flow_files import read_flows, write_flows
from wiretape_protocols import UnknownProtocolError
from wiretape_store import End, EndKind, IncomingMessage, StoreReader, UnknownRecordingError
from wiretape_store.exports.errors import ForeignFileError, MissingExtraError, UnknownUpstreamError
from wiretape_store.exports.har import read_har

with warnings.catch_warnings():
    # What mitmproxy's own dependencies warn of is not ours to fail for.
    warnings.simplefilter("ignore")
    from mitmproxy import flow as flow_module
    from mitmproxy import http, websocket
    from mitmproxy.addons.savehar import SaveHar
    from mitmproxy.io import FlowReader, FlowWriter, tnetstring
    from mitmproxy.test import tflow

MITMDUMP = Path(__file__).parent.parent / "data" / "mitmdump.flow"
"""What mitmdump 12.2.3 wrote (`-w`) of a page, six handshakes, and the end of mitmdump itself."""
START_S = START_US / 1_000_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_store_of(tmp_path_factory.mktemp("flows") / "tuesday.db", every_kind())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "saved.flow"


def flows(content: bytes) -> list[http.HTTPFlow]:
    return [each for each in FlowReader(io.BytesIO(content)).stream() if isinstance(each, http.HTTPFlow)]


def saved(path: Path, *every: flow_module.Flow) -> Path:
    with path.open("wb") as file:
        writer = FlowWriter(file)
        for each in every:
            writer.add(each)
    return path


def a_flow(*messages: websocket.WebSocketMessage, **closing: Any) -> http.HTTPFlow:
    """A flow of somebody else's, as mitmproxy's own tests make it."""
    made = tflow.twebsocketflow()
    made.request.timestamp_start = START_S
    assert made.response
    made.response.timestamp_end = START_S
    made.websocket = websocket.WebSocketData(messages=list(messages))
    for name, value in ({"close_code": 1000, "closed_by_client": True} | closing).items():
        setattr(made.websocket, name, value)
    return made


def said(
    content: bytes = b"{}", at_s: float = 1.0, *, from_client: bool = False
) -> websocket.WebSocketMessage:
    return websocket.WebSocketMessage(1, from_client, content, START_S + at_s)


def read_all(path: Path) -> None:
    for session in read_flows(path).sessions:
        list(session.items)


def refused(path: Path) -> str:
    with pytest.raises(ForeignFileError) as caught:
        read_all(path)
    return str(caught.value)


def test_every_session_is_a_flow_that_mitmproxy_reads(store: Path) -> None:
    every = flows(written(store, write_flows))

    assert [(each.request.scheme, each.request.host, each.request.port) for each in every[:2]] == [
        ("https", "ws.hotbit.example", 443),
        ("http", "feed.example", 80),
    ]
    assert every[0].request.path == "/v2?symbol=BTC%20USDT&x="
    assert [each.response.status_code if each.response else None for each in every] == [
        101,
        101,
        101,
        403,
        502,
        None,
        None,
        101,
    ]
    assert [str(each.error) if each.error else None for each in every][5] == "connection refused"
    assert every[3].response is not None
    assert (every[3].response.reason, every[3].response.content) == ("Forbidden", b"not you\n")
    assert every[0].request.headers["x-name"] == "gr\udcfc\udcdf"
    assert every[0].comment == "wiretape tuesday s1 hotbit"


def test_messages_have_their_bytes_and_times(store: Path) -> None:
    data = flows(written(store, write_flows))[0].websocket

    with StoreReader(str(store)) as reader:
        messages = list(reader.messages("s1"))
        start_us = reader.session("s1").started_at_us
    assert data is not None
    assert [(m.from_client, int(m.type), m.content) for m in data.messages] == [
        (m.from_client, m.opcode.value, m.wire) for m in messages
    ]
    assert [round(m.timestamp * 1e6) for m in data.messages] == [start_us + m.at_us for m in messages]


def test_ends_are_told_in_the_words_of_mitmproxy(store: Path) -> None:
    ends = [
        (each.websocket.closed_by_client, each.websocket.close_code, each.websocket.close_reason)
        for each in flows(written(store, write_flows))
        if each.websocket
    ]

    assert ends == [(True, 4001, "später"), (False, 1006, ""), (False, 1005, ""), (None, None, None)]


def test_a_flow_is_written_as_mitmproxy_writes_it(store: Path) -> None:
    content = written(store, write_flows)
    again = io.BytesIO()
    writer = FlowWriter(again)
    for each in flows(content):
        writer.add(each)

    assert len(again.getvalue()) == len(content)
    assert [each.get_state() for each in flows(content)] == [
        each.get_state() for each in flows(again.getvalue())
    ]


def test_the_same_recording_is_the_same_file(store: Path) -> None:
    assert written(store, write_flows) == written(store, write_flows)


def test_a_flow_file_brings_the_recording_back_exactly(store: Path, tmp_path: Path, path: Path) -> None:
    path.write_bytes(written(store, write_flows))

    assert facts(a_store_of(tmp_path / "back.db", read_flows(path))) == facts(store)


def test_the_demo_comes_back_exactly(demo_store: Path, tmp_path: Path, path: Path) -> None:
    path.write_bytes(written(demo_store, write_flows, "demo"))

    assert facts(a_store_of(tmp_path / "back.db", read_flows(path))) == facts(demo_store)


def test_mitmproxy_may_save_our_flows_again(store: Path, tmp_path: Path, path: Path) -> None:
    saved(path, *flows(written(store, write_flows)))

    assert facts(a_store_of(tmp_path / "back.db", read_flows(path))) == facts(store)


def test_a_session_that_goes_on_is_written_as_far_as_it_has_come(tmp_path: Path, path: Path) -> None:
    with a_writer(tmp_path / "live.db") as writer:
        begin(writer)
        path.write_bytes(written(tmp_path / "live.db", write_flows))

    (session,) = read_flows(path).sessions
    assert session.end.kind is EndKind.INTERRUPTED


def test_an_unknown_recording_is_refused(store: Path) -> None:
    with StoreReader(str(store)) as reader, pytest.raises(UnknownRecordingError):
        write_flows(reader, "wednesday", io.BytesIO())


def test_what_mitmdump_wrote_is_read(tmp_path: Path) -> None:
    incoming = read_flows(MITMDUMP)

    assert incoming.name == "mitmdump"
    assert incoming.notes == ("flows left out because they are no WebSocket connections: 1",)
    assert [(each.name, each.protocol) for each in incoming.upstreams] == [
        ("127.0.0.1", "json"),
        ("127.0.0.1-9", "json"),
    ]

    store = a_store_of(tmp_path / "back.db", incoming)
    with StoreReader(str(store)) as reader:
        sessions = reader.sessions()
        feed = list(reader.messages(sessions[0].id))
    assert [(each.handshake.target, each.handshake.status, each.end) for each in sessions] == [
        ("/feed?symbol=BTC", 101, End(EndKind.CLOSED, True, 1000)),
        ("/plain", 101, End(EndKind.CLOSED, False, 1001, "going")),
        ("/refused", 403, End(EndKind.REFUSED, False, 403)),
        ("/none", None, End(EndKind.UNREACHABLE, reason="[Errno 111] Connect call failed ('127.0.0.1', 9)")),
        ("/cut", 101, End(EndKind.EOF, True)),
        ("/open", 101, End(EndKind.INTERRUPTED)),
    ]
    assert sessions[2].handshake.body == b"not you\n"
    assert "permessage-deflate" in dict(sessions[0].handshake.response_headers)["Sec-WebSocket-Extensions"]
    assert [(m.from_client, m.payload, m.codec.kind.value) for m in feed] == [
        (True, b'{"method":"price.query","params":["BTCUSDT"],"id":1}', "identity"),
        (False, b'{"method":"price.query","params":["BTCUSDT"],"id":1}', "identity"),
        (True, b'{"binary":true}', "identity"),
        (False, b'{"binary":true}', "gzip"),
        (True, "grüß 😀".encode(), "identity"),
        (False, "grüß 😀".encode(), "identity"),
    ]


def test_the_har_that_mitmproxy_makes_has_the_same_messages(tmp_path: Path) -> None:
    har = tmp_path / "mitmproxy.har"
    har.write_text(json.dumps(SaveHar().make_har(flows(MITMDUMP.read_bytes()))))

    from_har, from_flows = read_har(har), read_flows(MITMDUMP)

    assert from_har.upstreams == from_flows.upstreams
    assert [
        (session.handshake.target, session.handshake.status, list(session.items))
        for session in from_har.sessions
    ] == [
        (session.handshake.target, session.handshake.status, list(session.items))
        for session in from_flows.sessions
    ]


@pytest.mark.parametrize(
    ("closing", "end"),
    [
        ({}, End(EndKind.CLOSED, True, 1000)),
        ({"close_code": 1005}, End(EndKind.CLOSED, True)),
        ({"close_code": 1006, "closed_by_client": False}, End(EndKind.EOF, False)),
        ({"close_code": 4001, "close_reason": "x"}, End(EndKind.CLOSED, True, 4001, "x")),
        ({"close_code": None, "closed_by_client": None}, End(EndKind.INTERRUPTED)),
    ],
)
def test_mitmproxys_words_for_ends_are_read(path: Path, closing: dict[str, Any], end: End) -> None:
    (session,) = read_flows(saved(path, a_flow(said(), **closing))).sessions

    assert session.end == end


@pytest.mark.parametrize(
    ("message", "end"),
    [
        ("Client disconnected.", End(EndKind.EOF, True)),
        ("Connection killed.", End(EndKind.UNREACHABLE, reason="Connection killed.")),
    ],
)
def test_a_handshake_without_an_answer_is_read(path: Path, message: str, end: End) -> None:
    flow = a_flow()
    flow.websocket = flow.response = None
    flow.error = flow_module.Error(message, START_S + 2)

    (session,) = read_flows(saved(path, flow)).sessions

    assert session.end == end
    assert session.ended_at_us == START_US + 2_000_000


def test_what_is_left_out_is_counted(path: Path) -> None:
    elsewhere, unanswered = a_flow(), a_flow()
    elsewhere.websocket = unanswered.websocket = unanswered.response = None
    dropped, injected = said(b"dropped"), said(b"injected")
    dropped.dropped = injected.injected = True
    every = (tflow.tflow(), tflow.ttcpflow(), elsewhere, unanswered, a_flow(said(), dropped, injected))

    incoming = read_flows(saved(path, *every))

    assert incoming.notes == (
        "flows left out because they are no WebSocket connections: 2",
        "handshakes left out because mitmproxy kept no messages of them: 2",
        "messages left out because mitmproxy had dropped them: 1",
    )
    ((first, second),) = [list(session.items) for session in incoming.sessions]
    assert isinstance(first, IncomingMessage)
    assert isinstance(second, IncomingMessage)
    assert (first.wire, second.wire) == (b"{}", b"injected")


def test_time_never_goes_back(path: Path) -> None:
    messages = said(at_s=-1), said(at_s=2), said(at_s=1)

    ((first, second, third),) = [s.items for s in read_flows(saved(path, a_flow(*messages))).sessions]

    assert (first.at_us, second.at_us, third.at_us) == (0, 2_000_000, 2_000_000)


def test_the_protocol_of_an_upstream_can_be_given(path: Path, store: Path) -> None:
    saved(path, a_flow(said()))
    ours = path.with_name("ours.flow")
    ours.write_bytes(written(store, write_flows))

    assert read_flows(path, {"example.com": "opaque"}).upstreams[0].protocol == "opaque"
    assert [each.protocol for each in read_flows(ours, {"feed": "json"}).upstreams] == ["hotbit", "json"]
    for file in (path, ours):
        with pytest.raises(UnknownUpstreamError):
            read_flows(file, {"food": "opaque"})
        with pytest.raises(UnknownProtocolError):
            read_flows(file, {"feed": "opak"})


def test_flows_of_several_recordings_are_a_recording_of_their_own(path: Path, store: Path) -> None:
    ours = flows(written(store, write_flows))

    incoming = read_flows(saved(path, *ours, a_flow(said())))

    assert incoming.name == "saved"
    assert [each.name for each in incoming.upstreams] == ["hotbit", "feed.example", "example.com"]
    assert [len(list(each.items)) for each in incoming.sessions] == [14, 1, 0, 0, 0, 0, 0, 1, 1]


def test_secrets_become_tokens(path: Path, tmp_path: Path) -> None:
    flow = a_flow(said(AUTH, from_client=True))
    flow.request.host = "ws.hotbit.io"
    flow.request.path = "/v2?token=secret-token-1"
    flow.request.headers["Authorization"] = "Bearer secret-token-2"

    store = a_store_of(tmp_path / "safe.db", read_flows(saved(path, flow)))

    with StoreReader(str(store)) as reader:
        (session,) = reader.sessions()
        (auth,) = reader.messages(session.id)
    assert "secret-token" not in str(session)
    assert (auth.redacted, auth.method) == (True, "server.auth")
    assert b"secret-token" not in store.read_bytes()


def test_files_of_older_versions_are_read_as_mitmproxy_does(path: Path) -> None:
    state: dict[str, Any] = dict(a_flow(said(SUBSCRIBE)).get_state())
    state["version"] = 20
    path.write_bytes(tnetstring.dumps(state))

    ((message,),) = [list(session.items) for session in read_flows(path).sessions]

    assert isinstance(message, IncomingMessage)
    assert message.wire == SUBSCRIBE


def with_state(change: Callable[[dict[str, Any]], object]) -> bytes:
    state: dict[str, Any] = dict(a_flow(said()).get_state())
    change(state)
    return tnetstring.dumps(state)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b"hello", "flow 1: mitmproxy cannot read it (Invalid data format)", id="text"),
        pytest.param(b'{"log": {}}', "it is JSON, perhaps a HAR; say so with --format har", id="json"),
        pytest.param(b"\x1f\x8b\x08" + bytes(20), "flow 1: mitmproxy cannot read it", id="gzip"),
        pytest.param(b"999999999999:x", "flow 1: mitmproxy cannot read it", id="a length that is not"),
        pytest.param(b"4:true!", "flow 1: mitmproxy cannot read it", id="no flow"),
        pytest.param(b"0:}", "flow 1: mitmproxy cannot read it", id="empty flow"),
        pytest.param(with_state(lambda s: s.update(version=99)), "please update mitmproxy", id="newer"),
        pytest.param(with_state(lambda s: s.update(type="morse")), "Unknown flow type: morse", id="type"),
        pytest.param(with_state(lambda s: s.pop("request")), "flow 1: mitmproxy cannot read it", id="member"),
        pytest.param(
            with_state(lambda s: s.update(websocket={"messages": [[1]]})), "flow 1: mitmproxy", id="message"
        ),
        pytest.param(
            with_state(lambda s: s["request"].update(scheme=b"gopher")), "flow 1: no ws://", id="scheme"
        ),
    ],
)
def test_what_is_no_flow_file_is_refused(path: Path, content: bytes, what: str) -> None:
    path.write_bytes(content)

    text = refused(path)

    assert text.startswith(f"flow file {path}")
    assert what in text


@pytest.mark.parametrize("part", [0.3, 0.6, 0.99])
def test_a_file_that_was_cut_short_is_refused_with_the_number_of_the_flow(path: Path, part: float) -> None:
    content = MITMDUMP.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])

    assert "mitmproxy cannot read it" in refused(path)


def test_a_file_that_is_not_there_is_refused(path: Path) -> None:
    assert refused(path) == f"flow file {path}: cannot be read (No such file or directory)"


def test_a_file_without_websockets_is_refused(path: Path) -> None:
    assert "none of its 1 flows is a WebSocket connection" in refused(saved(path, tflow.tflow()))


def test_a_file_that_shrinks_between_the_readings_is_refused(path: Path) -> None:
    incoming = read_flows(saved(path, a_flow(said())))
    saved(path, a_flow(said()), a_flow(said()))

    with pytest.raises(ForeignFileError, match="it was not there at first; try again"):
        list(incoming.sessions)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        pytest.param(lambda _: "{", "it is not JSON", id="json"),
        pytest.param(lambda _: "[]", "it is not a JSON object", id="array"),
        pytest.param(lambda _: 5, "it is not JSON", id="number"),
        pytest.param(lambda value: value | {"deflated": 5}, "'deflated' and 'redacted'", id="deflated"),
        pytest.param(lambda value: value | {"redacted": {"1": "x"}}, "'deflated' and 'redacted'", id="codec"),
        pytest.param(lambda value: value | {"events": 5}, "'events'", id="events"),
        pytest.param(lambda value: value | {"recording": 5}, "is something else", id="recording"),
        pytest.param(
            lambda value: value | {"session": value["session"] | {"session": "gone"}},
            "it names upstream 'gone'",
            id="upstream",
        ),
    ],
)
def test_what_is_ours_is_checked(path: Path, store: Path, change: Callable[[Any], Any], what: str) -> None:
    first, *_ = flows(written(store, write_flows))
    value = change(json.loads(first.metadata["wiretape"]))
    first.metadata["wiretape"] = json.dumps(value) if isinstance(value, dict) else value

    text = refused(saved(path, first))

    assert text.startswith(f"flow file {path}, flow 1: ")
    assert what in text


def test_an_ipv6_upstream_comes_back(path: Path, tmp_path: Path) -> None:
    recording = a_recording(a_session([came(b"x", 1)], upstream="feed"))
    specs = tuple(replace(each, url="ws://[::1]:8081/base") for each in recording.upstreams)
    store = a_store_of(tmp_path / "six.db", replace(recording, upstreams=specs))
    path.write_bytes(written(store, write_flows))

    assert flows(path.read_bytes())[0].request.host == "::1"
    assert flows(path.read_bytes())[0].request.path == "/base"
    assert facts(a_store_of(tmp_path / "back.db", read_flows(path))) == facts(store)


def test_mitmdump_prints_our_messages(store: Path, path: Path) -> None:
    path.write_bytes(written(store, write_flows))
    mitmdump = Path(sys.executable).parent / "mitmdump"

    said = subprocess.run(
        [mitmdump, "-n", "-r", path, "--set", f"confdir={path.parent}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout

    assert "<< 101 Switching Protocols" in said
    assert said.count("WebSocket text message") == 6
    assert said.count("WebSocket binary message") == 7


def test_nothing_of_mitmproxys_warnings_reaches_the_user(store: Path, path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from wiretape_store import StoreReader\n"
        "from wiretape_addons.flow_files import read_flows, write_flows\n"
        "with StoreReader(sys.argv[1]) as reader, open(sys.argv[2], 'wb') as file:\n"
        "    write_flows(reader, 'tuesday', file)\n"
        "print(len(list(read_flows(Path(sys.argv[2])).sessions)))"
    )

    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, store, path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "8\n", "")


def test_without_mitmproxy_the_user_is_told_what_to_install(tmp_path: Path, path: Path) -> None:
    a_store(tmp_path / "store.db", [])
    code = (
        "import sys; sys.modules['mitmproxy'] = None\n"
        "from pathlib import Path; from wiretape_addons.flow_files import read_flows\n"
        "from wiretape_protocols import WiretapeError\n"
        "try:\n    read_flows(Path(sys.argv[1]))\n"
        "except WiretapeError as error:\n    print(error)"
    )

    ran = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60, check=True
    )

    assert ran.stdout == "a flow file needs mitmproxy, which is not here; pip install 'wiretape[record]'\n"


def test_another_missing_module_is_not_taken_for_mitmproxy(
    monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    monkeypatch.delitem(sys.modules, "wiretape_addons.flow_reading", raising=False)
    monkeypatch.setitem(sys.modules, "wiretape_addons.flow_extras", None)

    with pytest.raises(ModuleNotFoundError, match="flow_extras"):
        read_flows(path)


def test_the_error_for_a_missing_library_names_it() -> None:
    error = MissingExtraError("a flow file", "mitmproxy", "record")

    assert (error.kind, error.library, error.extra) == ("a flow file", "mitmproxy", "record")
