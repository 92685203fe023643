"""What is too large, too many or no request at all: refused with a sentence, and never a failure of the server."""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from body_strategies import RUBBISH, following
from control_clients import Answer, Talk, served
from hypothesis import given, settings
from hypothesis import strategies as st
from run_builders import bounded

from wiretape_replay.control import ControlSettings
from wiretape_replay.control.operations import OPERATIONS
from wiretape_replay.control.schemas import PARAMETERS, SCHEMAS

Asked = Callable[..., Answer]
SMALL = ControlSettings(body_bytes=1000)
IDS = st.sampled_from(["run1", "run2", "run9", "", "..", "%00", "run1/x", "\xfc"])
TEXTS = st.one_of(
    st.text(max_size=8), st.integers(-3, 70).map(str), st.sampled_from(["opened", "up", "1e3", "-0"])
)


@settings(max_examples=200)
@given(st.data(), st.sampled_from([each for each in OPERATIONS if each.body is not None]), IDS)
def test_no_body_makes_the_server_fail(ask: Asked, data: st.DataObject, operation: Any, name: str) -> None:
    body = data.draw(following(SCHEMAS[operation.body]) | RUBBISH)
    path = operation.path.replace("{id}", quote(name, safe="%/"))
    # As JavaScript and Go write it; Infinity and half surrogates included.
    answer = ask(operation.method, path, raw=json.dumps(body).encode())
    assert answer.status < 500, (operation.name, body, answer.body)


@given(st.sampled_from([each for each in OPERATIONS if each.body is not None]), st.binary(max_size=40))
def test_no_bytes_make_the_server_fail(ask: Asked, operation: Any, body: bytes) -> None:
    answer = ask(operation.method, operation.path.replace("{id}", "run1"), raw=body)
    assert answer.status < 500


def _waits(text: str) -> bool:
    """Whether the server would wait so long for entries: the test need not."""
    try:
        return 0.01 < float(text) <= 60
    except ValueError:
        return False


@given(st.data(), st.sampled_from([each for each in OPERATIONS if each.query and not each.events]))
def test_no_query_makes_the_server_fail(ask: Asked, data: st.DataObject, operation: Any) -> None:
    names = st.sampled_from([*PARAMETERS, "other"])
    given = data.draw(st.lists(st.tuples(names, TEXTS), max_size=4))
    query = "&".join(
        f"{name}={quote(text)}" for name, text in given if name != "timeout_s" or not _waits(text)
    )
    waits = operation.name == "wait_for_entries" and "timeout_s=" not in query
    query += "&timeout_s=0" if waits else ""
    answer = ask(operation.method, f"{operation.path.replace('{id}', 'run1')}?{query}")
    assert answer.status < 500


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        pytest.param(b"{", "the body is not JSON: line 1, column 2", id="cut off"),
        pytest.param(b"", "the body is not JSON: line 1, column 1", id="nothing"),
        pytest.param(b'{"recording": NaN}', "NaN is no number there", id="NaN"),
        pytest.param(b'{"recording": -Infinity}', "-Infinity is no number there", id="infinity"),
        pytest.param(b'"\xff"', "byte 1 is not UTF-8", id="not UTF-8"),
        pytest.param('{"recording": "one"}'.encode("utf-16"), "byte 0 is not UTF-8", id="UTF-16"),
        pytest.param(rb'{"recording": "\ud800"}', "half of a surrogate pair", id="half a character"),
        pytest.param(rb'{"\uDC00x": 1}', "half of a surrogate pair", id="half a character in a name"),
        pytest.param(b"9" * 5000, "a number is too long", id="a long number"),
        pytest.param(b"[" * 100_000, "nested too deeply", id="deep arrays"),
        pytest.param(b'{"settings":' * 50_000 + b"1", "nested too deeply", id="deep objects"),
    ],
)
def test_what_is_no_json_gets_a_sentence(raw: bytes, words: str, ask: Asked) -> None:
    answer = ask("POST", "/v1/runs", raw=raw)

    assert (answer.status, answer.code) == (400, "malformed")
    assert words in answer.sentence


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""]
)
def test_a_body_that_is_not_called_json_is_refused(media_type: str, ask: Asked) -> None:
    answer = ask("POST", "/v1/runs", {"recording": "one"}, headers={"Content-Type": media_type})

    assert (answer.status, answer.code) == (415, "media_type")
    assert "Content-Type: application/json" in answer.sentence


def test_a_media_type_may_have_parameters_and_capitals(ask: Asked) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert ask("POST", "/v1/runs/run1/pace", {"pace": "asap"}, headers=headers).status == 200


def test_a_body_may_be_as_large_as_the_limit_and_no_larger() -> None:
    async def test() -> None:
        async with served(settings=SMALL) as api:
            body = json.dumps({"recording": "one"}).encode()
            assert (await api.ask("POST", "/v1/runs", raw=body.ljust(1000))).status == 201
            answer = await api.ask("POST", "/v1/runs", raw=body.ljust(1001))
            assert (answer.status, answer.code) == (413, "too_large")
            assert "larger than 1000 bytes" in answer.sentence

    bounded(test)


def test_a_body_that_does_not_say_its_size_is_bounded_too() -> None:
    async def test() -> None:
        async with served(settings=SMALL) as api, Talk(api.control.url) as talk:
            await talk.send("POST", "/v1/runs", b"", {"Content-Length": "", "Transfer-Encoding": "chunked"})
            for _ in range(5):
                talk.writer.write(b"100\r\n" + b" " * 256 + b"\r\n")
            answer = await talk.answer()
            assert (answer.status, answer.code) == (413, "too_large")

    bounded(test)


def test_a_promise_of_too_much_is_refused_before_it_is_kept() -> None:
    async def test() -> None:
        async with served() as api, Talk(api.control.url) as talk:
            await talk.send("POST", "/v1/runs", b"", {"Content-Length": str(2**40)})
            assert (await talk.answer()).status == 413

    bounded(test)


def test_a_tape_of_many_mebibytes_is_taken() -> None:
    async def test() -> None:
        tape = "\n".join(["< push " + "x" * 1000] * 8000)
        async with served() as api:
            answer = await api.ask("POST", "/v1/runs", {"tape": tape})
            assert answer.status == 201
            assert answer.json["upstreams"][0]["sessions"] == 1

    bounded(test)


def test_runs_are_bounded_and_the_sentence_says_how_to_make_room() -> None:
    async def test() -> None:
        async with served(most=2) as api:
            asked = [api.ask("POST", "/v1/runs", {"recording": "one"}) for _ in range(4)]
            answers = await asyncio.gather(*asked)
            assert sorted(answer.status for answer in answers) == [201, 201, 409, 409]
            refused = next(answer for answer in answers if answer.status == 409)
            assert refused.code == "too_many_runs"
            assert "DELETE /v1/runs/ID" in refused.sentence
            await api.ask("DELETE", "/v1/runs/run1")
            await api.begin()

    bounded(test)


def test_a_client_that_goes_away_in_the_middle_of_its_body_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        async with served() as api:
            async with Talk(api.control.url) as talk:
                await talk.send("POST", "/v1/runs", b"", {"Content-Length": "100"})
                talk.writer.write(b'{"recording')
                await talk.writer.drain()
            assert await api.get("/v1/runs") == {"runs": []}

    with caplog.at_level(logging.ERROR):
        bounded(test)
    assert caplog.records == []


def test_a_bug_ends_one_request_is_logged_and_tells_the_client_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with served() as api:
            monkeypatch.setattr(type(api.runs), "find", lambda *_: 1 // 0)
            async with Talk(api.control.url) as talk:
                await talk.send("GET", "/v1/runs/run1/verdict", b"", {})
                answer = await talk.answer()
            assert (answer.status, answer.code) == (500, "failed")
            assert "division" not in answer.sentence

    bounded(test)
    assert [record.getMessage() for record in caplog.records] == ["a request to the control API failed"]
    assert "ZeroDivisionError" in caplog.text
