"""The client of the control API: what it asks, what it understands, and whose sentence its errors are."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from wiretape.control_client import ControlClient, ControlError, Difference, Run

RUN = {"id": "run1", "urls": {"hotbit": "ws://127.0.0.1:40001"}, "upstreams": []}
NONE = {"count": 0, "named": []}
VERDICT = {
    "ok": False,
    "misses": {"count": 1, "named": ["s1: odd"]},
    "unused": NONE,
    "stalls": NONE,
    "relaxed": NONE,
}


@dataclass
class Server:
    """A control API that answers what it was told to, in order, and keeps what it was asked."""

    url: str
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, Any] | None]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)

    def will_answer(self, *whats: dict[str, Any], status: int = 200) -> None:
        self.answers += [(status, json.dumps(what).encode()) for what in whats]

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.asked[-1][1]).query)


@pytest.fixture
def server() -> Iterator[Server]:
    known = Server("")

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            known.asked.append((self.command, self.path, body))
            known.tokens.append(self.headers.get("Authorization"))
            status, text = known.answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        known.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield known
        http.shutdown()
        thread.join()


def a_run(server: Server) -> Run:
    return Run(ControlClient(server.url), RUN)


def test_a_run_is_made_of_a_tape_with_its_settings(server: Server) -> None:
    server.will_answer(RUN, status=201)

    run = ControlClient(server.url).create_run(tape="text", settings={"pace": "step"})

    assert run.urls == {"hotbit": "ws://127.0.0.1:40001"}
    body = {"tape": "text", "addresses": "ports", "settings": {"pace": "step"}}
    assert server.asked == [("POST", "/v1/runs", body)]


def test_runs_are_listed_and_found(server: Server) -> None:
    server.will_answer({"runs": [RUN]}, RUN, {"version": "0.1.0", "runs": 1})
    client = ControlClient(server.url)

    assert [run.id for run in client.runs()] == ["run1"]
    assert client.run("run 1/..").id == "run1"
    assert client.health()["runs"] == 1
    assert [path for _, path, _ in server.asked] == ["/v1/runs", "/v1/runs/run%201%2F..", "/v1/health"]


def test_the_token_goes_with_every_call(server: Server) -> None:
    server.will_answer({}, {})

    ControlClient(server.url, "secret").health()
    ControlClient(server.url).health()

    assert server.tokens == ["Bearer secret", None]


@pytest.mark.parametrize(
    ("call", "asked"),
    [
        pytest.param(lambda run: run.step(messages=2), ("POST", "step", {"messages": 2}), id="step"),
        pytest.param(lambda run: run.pause(), ("POST", "pause", {}), id="pause"),
        pytest.param(lambda run: run.resume(), ("POST", "resume", {}), id="resume"),
        pytest.param(lambda run: run.set_pace("x10"), ("POST", "pace", {"pace": "x10"}), id="pace"),
        pytest.param(
            lambda run: run.push("hotbit", payload="{}"),
            ("POST", "push", {"upstream": "hotbit", "payload": "{}"}),
            id="push",
        ),
        pytest.param(
            lambda run: run.disconnect(code=None), ("POST", "disconnect", {"code": None}), id="disconnect"
        ),
        pytest.param(
            lambda run: run.add_faults({"kind": "drop"}),
            ("POST", "faults", {"faults": [{"kind": "drop"}]}),
            id="add-faults",
        ),
        pytest.param(
            lambda run: run.set_faults({"kind": "cut"}),
            ("PUT", "faults", {"faults": [{"kind": "cut"}]}),
            id="set-faults",
        ),
        pytest.param(lambda run: run.clear_faults(), ("DELETE", "faults", None), id="clear-faults"),
        pytest.param(lambda run: run.faults(), ("GET", "faults", None), id="faults"),
    ],
)
def test_each_call_asks_for_what_the_contract_says(
    server: Server, call: Any, asked: tuple[str, str, Any]
) -> None:
    server.will_answer({"pushed": 1, "owed": 0, "connections": 1, "faults": []})

    call(a_run(server))

    method, path, body = asked
    assert server.asked == [(method, f"/v1/runs/run1/{path}", body)]


def test_a_step_tells_what_went_and_what_is_owed(server: Server) -> None:
    server.will_answer({"pushed": 1, "owed": 2})

    assert a_run(server).step(messages=3) == (1, 2)


def test_the_journal_is_read_to_its_end(server: Server) -> None:
    pages = [range(1, 1001), range(1001, 1004)]
    server.will_answer(*({"entries": [{"number": n, "kind": "matched"} for n in page]} for page in pages))

    entries = a_run(server).journal(kind=["matched", "missed"], method=None)

    assert [entry.number for entry in entries] == list(range(1, 1004))
    assert server.query == {"kind": ["matched", "missed"], "after": ["1000"], "limit": ["1000"]}


def test_an_entry_keeps_what_is_known_of_it(server: Server) -> None:
    differs = [{"pointer": "/params/0", "recorded": '"BTCUSDT"', "sent": None}]
    entry = {"number": 4, "kind": "missed", "upstream": "hotbit", "connection": 1, "why": "different"}
    server.will_answer({"entries": [{**entry, "differs": differs, "of a newer server": True}]})

    (found,) = a_run(server).journal()

    assert (found.number, found.kind, found.upstream, found.connection) == (4, "missed", "hotbit", 1)
    assert found.differs == (Difference("/params/0", '"BTCUSDT"', None),)


def test_entries_are_counted(server: Server) -> None:
    server.will_answer({"count": 7})

    assert a_run(server).count(kind="missed") == 7
    assert server.query == {"kind": ["missed"]}


def test_a_long_wait_is_several_requests(server: Server) -> None:
    timeout = {"error": {"code": "timeout", "message": "nothing came"}}
    server.will_answer(timeout, status=408)
    server.will_answer({"entries": [{"number": 1, "kind": "matched"}]})

    (entry,) = a_run(server).wait(kind="matched", timeout_s=90)

    assert entry.number == 1
    waits = [parse_qs(urlsplit(path).query)["timeout_s"] for _, path, _ in server.asked]
    assert waits == [["60.0"], ["30.0"]]


def test_a_wait_that_is_over_says_so(server: Server) -> None:
    server.will_answer({"error": {"code": "timeout", "message": "nothing came within 1 s"}}, status=408)

    with pytest.raises(ControlError, match=r"^nothing came within 1 s$") as caught:
        a_run(server).wait(timeout_s=1)

    assert (caught.value.code, caught.value.status) == ("timeout", 408)


def test_the_verdict_is_read_and_given_at_the_end(server: Server) -> None:
    server.will_answer(VERDICT, {"verdict": VERDICT})
    run = a_run(server)

    assert run.verdict() == run.end()
    assert [(method, path) for method, path, _ in server.asked] == [
        ("GET", "/v1/runs/run1/verdict"),
        ("DELETE", "/v1/runs/run1"),
    ]


def test_a_verdict_has_its_findings(server: Server) -> None:
    server.will_answer(VERDICT)

    verdict = a_run(server).verdict()

    assert not verdict.ok
    assert (verdict.misses.count, verdict.misses.named) == (1, ("s1: odd",))
    assert verdict.unused.count == 0


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        pytest.param(
            b'{"error": {"code": "unknown_run", "message": "no run run1"}}',
            "unknown_run",
            "no run run1",
            id="ours",
        ),
        pytest.param(b"<html>", "no_json", "the control API answered 404 and no JSON object", id="no-json"),
        pytest.param(b"[]", "no_json", "the control API answered 404 and no JSON object", id="no-object"),
        pytest.param(b'{"error": 1}', "unknown", "the control API answered 404", id="no-error"),
    ],
)
def test_an_error_is_the_servers_sentence(server: Server, text: bytes, code: str, message: str) -> None:
    server.answers.append((404, text))

    with pytest.raises(ControlError) as caught:
        a_run(server).describe()

    assert (caught.value.code, str(caught.value), caught.value.status) == (code, message, 404)


def test_a_daemon_that_is_gone_is_named() -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as http:
        url = f"http://127.0.0.1:{http.server_address[1]}"

    with pytest.raises(
        ControlError, match=f"^the control API at {url} does not answer: Connection refused$"
    ) as caught:
        ControlClient(url).health()

    assert caught.value.code == "unreachable"
