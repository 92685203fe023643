"""A HAR holds what Chrome would have written, and beside it what brings the recording back as it was."""

import base64
import gzip
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from export_builders import (
    DONE,
    PUSH,
    SUBSCRIBE,
    a_store_of,
    came,
    every_kind,
    facts,
    written,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from store_builders import START_US, a_store, a_writer, begin
from tape_builders import a_recording, a_session

from wiretape_protocols import Opcode
from wiretape_store import (
    IncomingMessage,
    StoreReader,
    UnknownRecordingError,
)
from wiretape_store.exports.har import read_har, write_har


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_store_of(tmp_path_factory.mktemp("har") / "tuesday.db", every_kind())


@pytest.fixture(scope="module")
def har(store: Path) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(written(store, write_har))["log"]
    return log


def test_a_har_has_every_member_that_har_1_2_wants(har: dict[str, Any]) -> None:
    assert har["version"] == "1.2"
    assert har["creator"]["name"] == "wiretape"
    for entry in har["entries"]:
        assert {"startedDateTime", "time", "request", "response", "cache", "timings"} <= entry.keys()
        assert {
            "method",
            "url",
            "httpVersion",
            "cookies",
            "headers",
            "queryString",
            "headersSize",
            "bodySize",
        } <= entry["request"].keys()
        assert {
            "status",
            "statusText",
            "httpVersion",
            "cookies",
            "headers",
            "content",
            "redirectURL",
            "headersSize",
            "bodySize",
        } <= entry["response"].keys()
        assert {"size", "mimeType"} <= entry["response"]["content"].keys()
        assert {"send", "wait", "receive"} <= entry["timings"].keys()
        assert entry["time"] == sum(each for each in entry["timings"].values() if each > 0)


def test_every_session_is_an_entry_with_the_members_that_chrome_looks_for(har: dict[str, Any]) -> None:
    assert [entry["_resourceType"] for entry in har["entries"]] == ["websocket"] * 8
    assert [entry["response"]["status"] for entry in har["entries"]] == [101, 101, 101, 403, 502, 0, 0, 101]
    assert [len(entry["_webSocketMessages"]) for entry in har["entries"]] == [11, 1, 0, 0, 0, 0, 0, 1]


def test_messages_are_as_chrome_writes_them(har: dict[str, Any]) -> None:
    subscribe, done, *_ = har["entries"][0]["_webSocketMessages"]

    assert subscribe == {
        "type": "send",
        "time": (START_US + 15) / 1_000_000,
        "opcode": 1,
        "data": SUBSCRIBE.decode(),
    }
    assert (done["type"], done["opcode"]) == ("receive", 2)
    assert gzip.decompress(base64.b64decode(done["data"])) == DONE


def test_what_a_packed_message_says_stands_beside_it(har: dict[str, Any]) -> None:
    zlibbed = har["entries"][0]["_webSocketMessages"][2]

    assert zlibbed["_wiretape"]["text"] == PUSH.decode()
    assert zlibbed["_wiretape"]["codec"].startswith("zlib")


def test_the_url_is_that_of_the_upstream(har: dict[str, Any]) -> None:
    request = har["entries"][0]["request"]

    assert request["url"] == "wss://ws.hotbit.example/v2?symbol=BTC%20USDT&x="
    assert request["queryString"] == [{"name": "symbol", "value": "BTC USDT"}, {"name": "x", "value": ""}]


def test_a_refusal_has_its_body_and_a_failure_its_reason(har: dict[str, Any]) -> None:
    text, binary, unreachable = har["entries"][3:6]

    assert text["response"]["content"] == {"size": 8, "mimeType": "text/plain", "text": "not you\n"}
    assert text["response"]["statusText"] == "Forbidden"
    assert binary["response"]["content"]["encoding"] == "base64"
    assert unreachable["response"]["_error"] == "connection refused"


def test_a_har_brings_the_recording_back_exactly(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "tuesday.har"
    path.write_bytes(written(store, write_har))

    assert facts(a_store_of(tmp_path / "back.db", read_har(path))) == facts(store)


def test_the_demo_comes_back_exactly(demo_store: Path, tmp_path: Path) -> None:
    path = tmp_path / "demo.har"
    path.write_bytes(written(demo_store, write_har, "demo"))

    assert facts(a_store_of(tmp_path / "back.db", read_har(path))) == facts(demo_store)


@settings(max_examples=15)
@given(
    st.lists(
        st.builds(
            IncomingMessage,
            st.booleans(),
            st.sampled_from((Opcode.TEXT, Opcode.BINARY)),
            st.integers(0, 10**12),
            st.binary(max_size=40) | st.text(max_size=20).map(str.encode),
            st.none(),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_any_messages_come_back(
    tmp_path_factory: pytest.TempPathFactory, messages: list[IncomingMessage]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    in_order = sorted(messages, key=lambda message: message.at_us)
    recording = a_recording(a_session(in_order, upstream="feed"))
    store = a_store_of(folder / "any.db", recording)
    path = folder / "any.har"
    path.write_bytes(written(store, write_har))

    assert facts(a_store_of(folder / "back.db", read_har(path))) == facts(store)


def test_one_session_is_exported_alone(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "one.har"
    path.write_bytes(written(store, write_har, "s2"))

    incoming = read_har(path)

    assert [upstream.name for upstream in incoming.upstreams] == ["feed"]
    assert [session.end.kind.value for session in incoming.sessions] == ["eof"]


def test_a_session_that_goes_on_is_written_as_far_as_it_has_come(tmp_path: Path) -> None:
    path, har = tmp_path / "live.db", tmp_path / "live.har"
    with a_writer(path) as writer:
        begin(writer)
        har.write_bytes(written(path, write_har))

    (session,) = read_har(har).sessions
    assert session.end.kind.value == "interrupted"


def test_names_that_are_no_text_are_escaped(tmp_path: Path) -> None:
    recording = replace(a_recording(a_session([came(b"x", 1)])), name="half \udc80")
    store = a_store_of(tmp_path / "half.db", recording)

    har = json.loads(written(store, write_har, "half \udc80"))

    assert har["log"]["_wiretape"]["recording"] == "half \udc80"


def test_a_recording_of_nothing_is_a_har_of_nothing(tmp_path: Path) -> None:
    store = a_store_of(tmp_path / "none.db", a_recording())
    path = tmp_path / "none.har"
    path.write_bytes(written(store, write_har))

    assert list(read_har(path).sessions) == []


def test_an_unknown_recording_is_refused(tmp_path: Path) -> None:
    a_store(tmp_path / "store.db", [])

    with StoreReader(str(tmp_path / "store.db")) as reader, pytest.raises(UnknownRecordingError):
        write_har(reader, "wednesday", io.BytesIO())
