"""Tests that replay a tape: what the mark and the fixture offer, to every kind of test."""

import pytest
from projects import Project, Ran, asked, pushed, result, tape

PRICES = tape(
    [
        *asked("price.subscribe", "BTCUSDT"),
        *pushed("price.update", "BTCUSDT", "1"),
        *pushed("price.update", "BTCUSDT", "2"),
        *pushed("deals.update", "BTCUSDT", []),
        *pushed("price.update", "BTCUSDT", "3"),
    ]
)
QUERY = tape([*asked("price.query", "BTCUSDT", answer=result("7998.01"))])
TESTS = """
import asyncio
import json
import unittest

import pytest
from client import Exchange
from websockets.asyncio.client import connect
from wiretape.pytest_plugin import Wiretape

QUERY = json.dumps({"method": "price.query", "params": ["BTCUSDT"], "id": 1})
watched = pytest.mark.wiretape("tapes/prices.tape", pace="step")
asked = pytest.mark.wiretape("tapes/query.tape")


def watch(wiretape):
    exchange = Exchange(wiretape.url("hotbit"))
    exchange.ask("price.subscribe", "BTCUSDT")
    return exchange


@watched
def test_step(wiretape: Wiretape):
    assert not wiretape.recording
    with watch(wiretape) as exchange:
        assert wiretape.step().pushed == 1
        assert exchange.push()["params"] == ["BTCUSDT", "1"]
        assert wiretape.step(method="deals.update").pushed == 2
        assert [exchange.push()["method"] for _ in range(2)] == ["price.update", "deals.update"]
        assert wiretape.step(5).owed == 4
        assert exchange.push()["params"] == ["BTCUSDT", "3"]


@watched
def test_pace(wiretape):
    with watch(wiretape) as exchange:
        wiretape.pause()
        wiretape.pace("asap")
        wiretape.resume()
        assert [exchange.push()["method"] for _ in range(4)].count("price.update") == 3
    assert [entry.kind for entry in wiretape.journal.of("paced", "pushed")].count("paced") == 3


@watched
def test_push(wiretape):
    with watch(wiretape) as exchange:
        for payload in ({"method": "odd", "params": [1]}, '{"method": "odd"}', b'{"method": "odd"}'):
            assert wiretape.push("hotbit", payload) == 1
            assert exchange.push()["method"] == "odd"
        assert len(wiretape.journal.of("injected", upstream="hotbit")) == 3


@watched
@pytest.mark.parametrize("code", [1012, None])
def test_disconnect(wiretape, code):
    exchange = watch(wiretape)
    assert wiretape.disconnect(code=code, reason="over" if code else "") == 1
    with pytest.raises(Exception):
        exchange.push()
    assert exchange.socket.close_code == (code or 1006)


@pytest.mark.wiretape("tapes/prices.tape", faults={"kind": "drop", "method": "price.update", "nth": 2})
def test_a_fault_of_the_mark(wiretape):
    with watch(wiretape) as exchange:
        assert [exchange.push()["method"] for _ in range(2)] == ["price.update", "deals.update"]
        assert exchange.push()["params"] == ["BTCUSDT", "3"]
    assert [entry.detail for entry in wiretape.journal.of("fault")] == ["dropped"]


@watched
def test_faults_come_and_go(wiretape):
    wiretape.fault("duplicate", method="price.update", nth=1)
    with watch(wiretape) as exchange:
        wiretape.step()
        assert [exchange.push()["params"] for _ in range(2)] == [["BTCUSDT", "1"]] * 2
        wiretape.clear_faults()
        wiretape.step()
        wiretape.fault("close", code=1012)
        wiretape.step()
        assert exchange.push()["params"] == ["BTCUSDT", "2"]
        with pytest.raises(Exception):
            exchange.push()
        assert exchange.socket.close_code == 1012
    with pytest.raises(Exception, match="delay_s is no member of drop"):
        wiretape.fault("drop", delay_s=1)


@watched
def test_wait_for(wiretape):
    with watch(wiretape):
        (entry,) = wiretape.wait_for("matched", method="price.subscribe")
        assert (entry.upstream, entry.connection) == ("hotbit", 1)
        assert wiretape.wait_for(["opened", "matched"], count=2)[0].kind == "opened"


@watched
def test_mistakes(wiretape):
    with pytest.raises(Exception, match="there is no upstream 'hotbot': the upstreams are hotbit"):
        wiretape.url("hotbot")
    with pytest.raises(Exception, match="hotbot"):
        wiretape.push("hotbot", "{}")
    with pytest.raises(Exception, match="fast"):
        wiretape.pace("fast")
    with watch(wiretape):
        pass


@asked
def test_alone_1(wiretape):
    with Exchange(wiretape.url()) as exchange:
        assert exchange.ask("price.query", "BTCUSDT") == "7998.01"
    assert wiretape.verdict().ok


@asked
def test_alone_2(wiretape):
    with Exchange(wiretape.url()) as exchange:
        assert exchange.ask("price.query", "BTCUSDT") == "7998.01"


async def query(url):
    async with connect(url) as socket:
        await socket.send(QUERY)
        return json.loads(await socket.recv())["result"]


@asked
@pytest.mark.asyncio
async def test_asyncio(wiretape):
    assert await query(wiretape.url()) == "7998.01"
    (entry,) = await wiretape.async_wait_for("matched")
    assert entry.method == "price.query"
    with pytest.raises(Exception, match="async_wait_for"):
        wiretape.wait_for("matched")


@asked
@pytest.mark.anyio
async def test_anyio(wiretape):
    assert await query(wiretape.url()) == "7998.01"
    await wiretape.async_wait_for("matched")


@pytest.fixture
def anyio_backend():
    return "asyncio"


@asked
class TestUnittest(unittest.TestCase):
    def test_method(self):
        with Exchange(self.wiretape.url()) as exchange:
            self.assertEqual(exchange.ask("price.query", "BTCUSDT"), "7998.01")


@asked
class TestAsyncUnittest(unittest.IsolatedAsyncioTestCase):
    async def test_method(self):
        self.assertEqual(await query(self.wiretape.url()), "7998.01")
        await self.wiretape.async_wait_for("matched")


@pytest.mark.parametrize("market", [pytest.param("BTCUSDT", marks=asked), "without a mark"])
def test_a_mark_is_for_its_parameters_alone(request, market):
    assert ("wiretape" in request.fixturenames) == (market == "BTCUSDT")
    if market == "BTCUSDT":
        with Exchange(request.getfixturevalue("wiretape").url()) as exchange:
            exchange.ask("price.query", market)


@asked
class TestClass:
    def test_method(self, wiretape):
        with Exchange(wiretape.url()) as exchange:
            exchange.ask("price.query", "BTCUSDT")

    @pytest.mark.wiretape(strict=False, relax="price.query:/params/0")
    def test_nearer_marks_add_to_farther_ones(self, wiretape):
        pass
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("replaying"))
    project.write("tapes/prices.tape", PRICES)
    project.write("tapes/query.tape", QUERY)
    project.write("test_it.py", TESTS)
    return project


def test_every_kind_of_test_has_the_fixture(project: Project) -> None:
    ran = project.run("test_it.py")

    assert ran.counts() == {"passed": 19}, ran.text


MISTAKES = """
import pytest


def test_no_mark(wiretape):
    pass


@pytest.mark.wiretape
def test_no_tape(wiretape):
    pass


@pytest.mark.wiretape("no.tape")
def test_missing(wiretape):
    pass


@pytest.mark.wiretape("no.tape", faults={"kind": "cut"})
def test_missing_with_faults(wiretape):
    pass


@pytest.mark.wiretape("tapes/query.tape", pase="step")
def test_misspelt(wiretape):
    pass


@pytest.mark.wiretape("tapes/query.tape", "step")
def test_two_paths(wiretape):
    pass


@pytest.mark.wiretape("tapes/query.tape", strict="strictly")
def test_strictness(wiretape):
    pass


@pytest.mark.wiretape("tapes/query.tape", pace="fast")
def test_pace(wiretape):
    pass


@pytest.mark.wiretape("tapes/broken.tape")
def test_broken(wiretape):
    pass


@pytest.mark.wiretape("tapes")
def test_folder(wiretape):
    pass
"""
ACCEPTED = "allow_effects, faults, on_miss, order, pace, reconnect, relax, repeats, seed, stall_s, strict"


@pytest.fixture(scope="module")
def mistaken(project: Project) -> Ran:
    project.write("tapes/broken.tape", PRICES.replace('"at_us": 1000', '"at_us": 99000'))
    project.write("test_mistakes.py", MISTAKES)
    return project.run("test_mistakes.py")


@pytest.mark.parametrize(
    ("test", "says"),
    [
        pytest.param(
            "test_no_mark",
            "wiretape: test_mistakes.py::test_no_mark uses the fixture `wiretape` and names no tape: "
            'mark it with @pytest.mark.wiretape("fixtures/NAME.tape")',
            id="no-mark",
        ),
        pytest.param(
            "test_no_tape", "wiretape: test_mistakes.py::test_no_tape uses the fixture*", id="no-tape"
        ),
        pytest.param("test_missing", "wiretape: no tape at no.tape: record it with", id="missing"),
        pytest.param(
            "test_missing",
            "  pytest test_mistakes.py::test_missing --wiretape-record=once",
            id="missing-command",
        ),
        pytest.param(
            "test_missing_with_faults",
            "wiretape: no tape at no.tape, and a test with faults does not record it: let another test do so",
            id="missing-with-faults",
        ),
        pytest.param(
            "test_misspelt",
            "wiretape: @pytest.mark.wiretape of test_mistakes.py::test_misspelt has no option 'pase', "
            f"did you mean 'pace'? it takes {ACCEPTED}",
            id="misspelt",
        ),
        pytest.param(
            "test_two_paths", "wiretape: * takes one path, and options by name: got (*", id="two-paths"
        ),
        pytest.param("test_strictness", '*: strict is True, False or "relaxed", not *', id="strictness"),
        pytest.param("test_pace", "wiretape: tapes/query.tape: *pace*", id="pace"),
        pytest.param("test_broken", "wiretape: tapes/broken.tape: *line 5*goes back*", id="broken"),
        pytest.param("test_folder", "wiretape: cannot read the tape tapes: *Is a directory*", id="folder"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(mistaken: Ran, test: str, says: str) -> None:
    mistaken.failure(test).fnmatch_lines([says.replace("[", "[[]")])
    mistaken.failure(test).no_fnmatch_line("*Traceback*")
    mistaken.failure(test).no_fnmatch_line("*During handling*")
    assert mistaken.counts() == {"error": 10}


def test_a_tape_is_found_from_the_tests_folder_then_from_the_root(project: Project) -> None:
    text = TESTS.replace("tapes/query.tape", "near.tape")
    project.write("deep/near.tape", QUERY)
    project.write("deep/test_deep.py", text)

    ran = project.run("deep/test_deep.py", "-k", "alone_ or wait_for")

    assert ran.counts() == {"passed": 3, "deselected": 16}, ran.text
