"""Every operation over real sockets: what it does to a run, and what it answers."""

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from control_clients import Answer, Talk, served
from replay_clients import RawClient, text
from run_builders import bounded

STEPPED = {"pace": "step"}
Asked = Callable[..., Answer]


@asynccontextmanager
async def visiting(run: Any, upstream: str = "up") -> AsyncIterator[RawClient]:
    url = run["urls"][upstream]
    async with RawClient(url) as client:
        await client.handshake(path=urlsplit(url).path or "/")
        yield client


def at(run: Any, rest: str = "") -> str:
    return f"/v1/runs/{run['id']}{rest}"


def test_the_server_says_what_it_is_and_has_to_do() -> None:
    async def test() -> None:
        async with served() as api:
            assert await api.get("/v1/health") == {"version": "test", "runs": 0}
            await api.begin()
            assert await api.get("/v1/health") == {"version": "test", "runs": 1}

    bounded(test)


def test_a_new_run_says_everything_about_itself() -> None:
    async def test() -> None:
        async with served() as api:
            settings = {
                "order": "free", "pace": "x10", "on_miss": "close", "reconnect": "cycle", "repeats": "never",
                "relax": ["call x:/params/1+-60"], "stall_s": 0.25, "strict": True, "allow_effects": True,
                "seed": 7, "faults": [{"kind": "drop", "method": "push", "nth": 3}],
            }  # fmt: skip
            run = await api.begin("two", settings=settings)
            assert {name: run["settings"][name] for name in settings} == settings
            assert (run["id"], run["pace"], run["paused"], run["doubts"]) == ("run1", "x10", False, [])
            assert run["faults"] == settings["faults"]
            assert sorted(run["urls"]) == ["down", "up"]
            assert run["upstreams"][0] == {
                "name": "up", "protocol": "tiny", "url": "wss://up.example", "sessions": 2, "connections": [],
            }  # fmt: skip
            assert await api.get(at(run)) == run
            assert await api.get("/v1/runs") == {"runs": [run]}

    bounded(test)


@pytest.mark.parametrize("addresses", ["ports", "paths"])
def test_clients_find_a_run_where_its_urls_say(addresses: str) -> None:
    async def test() -> None:
        async with served() as api:
            run = await api.begin(addresses=addresses)
            async with visiting(run) as client:
                await client.write(text("sub 1 deals"))
                assert await client.message() == "answer 1 ok"
                connections = (await api.get(at(run)))["upstreams"][0]["connections"]
                assert connections == [{"number": 1, "session": "s1", "open": True}]
            await api.get(at(run, "/journal/wait?kind=ended"))
            assert not (await api.get(at(run)))["upstreams"][0]["connections"][0]["open"]

    bounded(test)


@pytest.mark.parametrize("addresses", ["ports", "paths"])
def test_where_all_addresses_are_bound_the_urls_name_the_one_that_the_client_has_used(addresses: str) -> None:
    async def test() -> None:
        async with served(listen="0.0.0.0:0", token="secret") as api:
            run = await api.begin(addresses=addresses)
            assert run["urls"]["up"].startswith("ws://0.0.0.0:")
            asked = {"Host": "localhost:1"}
            described = (await api.ask("GET", "/v1/runs/run1", headers=asked)).json
            assert described["urls"]["up"] == run["urls"]["up"].replace("0.0.0.0", "localhost")
            assert (await api.ask("GET", "/v1/runs", headers=asked)).json == {"runs": [described]}
            async with visiting(described):
                pass

    bounded(test)


def test_a_tape_is_played_as_it_was_sent() -> None:
    async def test() -> None:
        async with served() as api:
            answer = await api.ask("POST", "/v1/runs", {"tape": "< push from the tape"})
            async with visiting(answer.json) as client:
                assert await client.message() == "push from the tape"

    bounded(test)


def test_a_run_that_was_ended_gives_its_verdict_and_is_gone() -> None:
    async def test() -> None:
        async with served() as api:
            run = await api.begin()
            async with visiting(run) as client:
                await client.write(text("order - all"))
                await api.get(at(run, "/journal/wait?kind=missed"))
                verdict = await api.get(at(run, "/verdict"))
            assert not verdict["ok"]
            assert verdict["misses"]["count"] == 1
            assert "order - all" in verdict["misses"]["named"][0]
            ended = await api.ask("DELETE", at(run))
            assert ended.json["verdict"]["misses"] == verdict["misses"]
            assert (await api.ask("GET", at(run))).code == "unknown_run"
            assert (await api.ask("DELETE", at(run))).status == 404
            assert await api.get("/v1/runs") == {"runs": []}

    bounded(test)


def test_pushes_go_as_they_are_stepped_and_a_step_may_come_first() -> None:
    async def test() -> None:
        async with served() as api:
            run = await api.begin(settings=STEPPED)
            assert await api.post(at(run, "/step"), {"messages": 1}) == {"pushed": 0, "owed": 1}
            async with visiting(run) as client:
                await client.write(text("sub 1 deals"))
                assert [await client.message(), await client.message()] == ["answer 1 ok", "push deals:1"]
                step = {"until_us": 10_000_000, "upstream": "up", "connection": 1}
                assert (await api.post(at(run, "/step"), step))["pushed"] == 1
                assert await client.message() == "push deals:2"

    bounded(test)


def test_a_run_can_be_paused_resumed_and_given_another_pace() -> None:
    async def test() -> None:
        async with served() as api:
            run = await api.begin()
            assert (await api.post(at(run, "/pause")))["paused"]
            assert (await api.post(at(run, "/pace"), {"pace": "x1000"}))["pace"] == "x1000"
            async with visiting(run) as client:
                await client.write(text("sub 1 deals"))
                assert await client.message() == "answer 1 ok"
                await api.post(at(run, "/push"), {"payload": "meanwhile"})
                assert await client.message() == "meanwhile"
                assert not (await api.post(at(run, "/resume"), {}))["paused"]
                assert await client.message() == "push deals:1"

    bounded(test)


@pytest.mark.parametrize(
    ("push", "first_byte", "heard"),
    [
        pytest.param({"payload": "push ü"}, 0x81, "push ü".encode(), id="as the upstream packs"),
        pytest.param({"payload": "x", "opcode": "binary"}, 0x82, b"x", id="binary"),
        pytest.param(
            {"payload_base64": base64.b64encode(b"\xff\x00").decode(), "opcode": "text"},
            0x81, b"\xff\x00", id="broken text",
        ),
        pytest.param({"payload": ""}, 0x81, b"", id="empty"),
    ],
)  # fmt: skip
def test_a_message_can_be_pushed(push: dict[str, object], first_byte: int, heard: bytes) -> None:
    async def test() -> None:
        async with served() as api:
            run = await api.begin()
            async with visiting(run) as client:
                assert await api.post(at(run, "/push"), push) == {"connections": 1}
                frame = await client.frame()
                assert (frame[0], frame[2:]) == (first_byte, heard)
                assert await api.get(at(run, "/journal/count?kind=injected")) == {"count": 1}

    bounded(test)


def test_a_push_reaches_all_connections_or_the_one_that_is_named() -> None:
    async def test() -> None:
        async with served() as api:
            run = await api.begin("two")
            async with visiting(run) as first, visiting(run) as second, visiting(run, "down") as other:
                both = {"upstream": "up", "payload": "all"}
                assert await api.post(at(run, "/push"), both) == {"connections": 2}
                one = {"upstream": "up", "payload": "one", "connection": 2}
                assert await api.post(at(run, "/push"), one) == {"connections": 1}
                down = {"upstream": "down", "payload": "down"}
                assert await api.post(at(run, "/push"), down) == {"connections": 1}
                assert await first.message() == "all"
                assert [await second.message() for _ in range(2)] == ["all", "one"]
                assert await other.message() == "down"

    bounded(test)


@pytest.mark.parametrize(
    ("how", "end"),
    [
        pytest.param({}, b"\x88\x02\x03\xe8", id="1000"),
        pytest.param({"code": 1012, "reason": "reboot"}, b"\x88\x08\x03\xf4reboot", id="a code"),
        pytest.param({"code": None, "upstream": "up", "connection": 1}, b"", id="no close frame"),
    ],
)
def test_connections_can_be_ended(how: dict[str, object], end: bytes) -> None:
    async def test() -> None:
        async with served() as api:
            run = await api.begin()
            async with visiting(run) as client:
                assert await api.post(at(run, "/disconnect"), how) == {"connections": 1}
                assert await client.read(len(end)) == end
                if not end:
                    assert await client.rest() == b""

    bounded(test)


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "words"),
    [
        pytest.param("", {"recording": "nosuch"}, 404, "unknown_recording", "no recording 'nosuch'", id="recording"),
        pytest.param("", {"tape": "rubbish"}, 400, "bad_tape", "the tape, line 1: is no tape", id="tape"),
        pytest.param("", {}, 400, "malformed", "exactly one of recording, tape", id="neither"),
        pytest.param(
            "", {"recording": "one", "tape": "x"}, 400, "malformed", "exactly one of recording, tape", id="both"
        ),
        pytest.param(
            "", {"recording": "one", "settings": {"pace": "fast"}}, 400, "malformed",
            "pace 'fast' is not known: use asap", id="pace",
        ),
        pytest.param(
            "", {"recording": "one", "settings": {"order": "random"}}, 400, "malformed",
            'settings.order is "random": use recorded or free', id="order",
        ),
        pytest.param(
            "", {"recording": "one", "settings": {"paec": "asap"}}, 400, "unknown_member",
            "settings.paec is not known: use order, pace", id="setting",
        ),
        pytest.param(
            "", {"recording": "one", "settings": {"relax": [1]}}, 400, "malformed",
            "settings.relax[0] is 1: use text", id="item",
        ),
        pytest.param(
            "", {"recording": "one", "settings": {"relax": ["x:/~"]}}, 400, "malformed", "relax 'x:/~' is not known",
            id="relax",
        ),
        pytest.param(
            "", {"recording": "one", "live_urls": {"up": "http://x"}}, 400, "malformed",
            'the URL of "up" in live_urls is "http://x": use a URL such as wss://', id="no WebSocket",
        ),
        pytest.param(
            "", {"recording": "one", "live_urls": {"up": "ws://["}}, 400, "malformed", "in live_urls is", id="no URL"
        ),
        pytest.param(
            "", {"recording": "one", "live_urls": {"up": 1}}, 400, "malformed", "live_urls.up is 1: use text",
            id="no text",
        ),
        pytest.param(
            "", {"recording": "one", "live_urls": {"down": "ws://x"}}, 400, "unknown_upstream", "no upstream 'down'",
            id="live upstream",
        ),
        pytest.param("", [], 400, "malformed", "the body is an array: use an object", id="array"),
        pytest.param("/run1/step", {}, 400, "malformed", "exactly one of messages, method", id="step"),
        pytest.param(
            "/run1/step", {"messages": 0}, 400, "malformed", "messages is 0: use 1 or more", id="step-nothing"
        ),
        pytest.param("/run1/step", {"messages": 1}, 409, "not_possible", "the pace is asap", id="step-asap"),
        pytest.param(
            "/run1/push", {"payload": "x"}, 409, "not_possible", "no connection to up is open", id="push"
        ),
        pytest.param(
            "/run1/push", {"payload_base64": "?"}, 400, "malformed", "payload_base64 is not base64", id="base64"
        ),
        pytest.param(
            "/run1/push", {"payload": "x", "upstream": "sideways"}, 400, "unknown_upstream",
            "no upstream 'sideways': name one of up", id="upstream",
        ),
        pytest.param("/run1/disconnect", {"code": 7}, 400, "malformed", "code is 7: use 1000 or more", id="code"),
        pytest.param(
            "/run1/disconnect", {"connection": 9}, 409, "not_possible", "connection 9 is not open", id="nobody"
        ),
        pytest.param(
            "/run1/disconnect", {"reason": "ü" * 100}, 400, "malformed", "has room for 123 bytes", id="reason"
        ),
        pytest.param("/run1/pause", {"x": 1}, 400, "unknown_member", "x is not known: nothing is", id="pause"),
        pytest.param("/run1/pace", {}, 400, "malformed", "pace is missing", id="no pace"),
        pytest.param("/run7/pause", None, 404, "unknown_run", "no run run7", id="run"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_gets_a_sentence_that_names_it(
    path: str, body: object, status: int, code: str, words: str, ask: Asked
) -> None:
    answer = ask("POST", f"/v1/runs{path}", body)

    assert (answer.status, answer.code) == (status, code)
    assert words in answer.sentence
    assert "\n" not in answer.sentence
    assert ask("GET", "/v1/health").json == {"version": "test", "runs": 1}


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        pytest.param("GET", "/", 404, "nothing is at this path", id="root"),
        pytest.param("GET", "/v1/runs/", 404, "nothing is at this path", id="slash"),
        pytest.param("PUT", "/v1/runs", 405, "does not take this method", id="method"),
        pytest.param("GET", "/v1/health?x=1", 400, 'the query\'s "x" is not known', id="query"),
        pytest.param(
            "GET", "/v1/runs/run1/journal?limit=all", 400, 'limit is "all": use a whole', id="limit"
        ),
        pytest.param("GET", "/v1/runs/run1/journal?limit=0", 400, "limit is 0: use 1 or more", id="none"),
        pytest.param("GET", "/v1/runs/run1/journal?kind=odd", 400, 'kind[0] is "odd": use opened', id="kind"),
        pytest.param("GET", "/v1/runs/run1/journal?after=1&after=2", 400, "after is given twice", id="twice"),
        pytest.param("GET", "/v1/runs/run1/journal?upstream=x", 400, "no upstream 'x'", id="upstream"),
        pytest.param("GET", "/v1/runs/run1/journal/wait?timeout_s=61", 400, "use 60 or less", id="wait"),
        pytest.param("GET", "/v1/runs/run1/journal/wait?timeout_s=nan", 400, "use a number", id="nan"),
    ],
)
def test_a_request_that_leads_nowhere_gets_a_sentence(
    method: str, path: str, status: int, words: str, ask: Asked
) -> None:
    answer = ask(method, path)

    assert answer.status == status
    assert words in answer.sentence


def test_heads_are_refused_since_one_of_a_stream_would_never_end() -> None:
    async def test() -> None:
        async with served() as api:
            await api.begin()
            for path in ("/v1/health", "/v1/runs/run1/journal/stream"):
                async with Talk(api.control.url) as talk:
                    await talk.send("HEAD", path, b"", {})
                    assert (await talk.head())[0] == 405

    bounded(test)


def test_faults_can_be_set_added_and_cleared() -> None:
    drop = {"kind": "drop", "method": "push", "nth": 1}
    close = {"kind": "close", "code": 1012, "reason": "back soon", "method": "push", "nth": 2}

    async def test() -> None:
        async with served() as api:
            run = await api.begin(settings={"faults": [{"kind": "refuse"}], "seed": 3})
            path = at(run, "/faults")
            assert await api.get(path) == {"faults": [{"kind": "refuse"}]}
            assert (await api.ask("PUT", path, {"faults": [drop]})).json == {"faults": [drop]}
            assert await api.post(path, {"faults": [close]}) == {"faults": [drop, close]}
            assert (await api.get(at(run)))["faults"] == [drop, close]
            async with visiting(run) as client:
                await client.write(text("sub 1 deals"))
                assert await client.message() == "answer 1 ok"
                assert await client.frame() == b"\x88\x0b\x03\xf4back soon"
            entries = (await api.get(at(run, "/journal?kind=fault")))["entries"]
            assert [entry["detail"] for entry in entries] == ["dropped", "closed with code 1012 instead"]
            assert (await api.ask("DELETE", path)).json == {"faults": []}
            assert (await api.get(at(run)))["settings"]["faults"] == [{"kind": "refuse"}]

    bounded(test)


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        pytest.param([{"kind": "drp"}], "faults[0].kind is", id="kind"),
        pytest.param([{}], "faults[0].kind is missing", id="no kind"),
        pytest.param(
            [{"kind": "drop"}, {"kind": "drop", "nth": 0}], "faults[1].nth is 0: use 1 or more", id="nth"
        ),
        pytest.param(
            [{"kind": "drop", "delay_s": 1}], "faults[0]: delay_s is no member of drop; give", id="member"
        ),
        pytest.param([{"kind": "drop", "chance": 0}], "faults[0]: chance 0 does not fit", id="chance"),
        pytest.param([{"kind": "drop", "upstream": "x"}], "no upstream 'x': name one of up", id="upstream"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_fault_that_says_nothing_is_refused_by_name(
    method: str, faults: list[object], words: str, ask: Asked
) -> None:
    answer = ask(method, "/v1/runs/run1/faults", {"faults": faults})
    assert answer.status == 400
    assert words in answer.json["error"]["message"]
    assert ask("GET", "/v1/runs/run1/faults").json == {"faults": []}


def test_a_run_has_a_thousand_faults_at_most() -> None:
    async def test() -> None:
        async with served() as api:
            run = await api.begin()
            await api.post(at(run, "/faults"), {"faults": [{"kind": "drop", "nth": 9}] * 1000})
            answer = await api.ask("POST", at(run, "/faults"), {"faults": [{"kind": "drop"}]})
            assert (answer.status, answer.json["error"]["code"]) == (409, "too_many_faults")

    bounded(test)
