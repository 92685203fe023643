"""Tapes that tests record: when, from what, and what becomes of them."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from projects import DEADLINE_S, Project, Ran, asked, result, tape

# A recorder takes a second to start, so the tests here look at what came of a few runs of pytest.
TESTS = """
import pytest
from client import Exchange


@pytest.mark.wiretape("tapes/watched.tape")
def test_watched(wiretape, wiretape_upstreams):
    with Exchange(wiretape.url("hotbit")) as exchange:
        assert exchange.ask("price.query", "BTCUSDT") == "7998.01000000"
        exchange.ask("deals.subscribe", "BTCUSDT", id=2)
        wiretape.wait_for("matched", method="deals.subscribe")
        wiretape_upstreams.step("hotbit", 2)
        assert exchange.push()["method"] == "deals.update"
        assert wiretape.wait_for("pushed")[0].pushes >= 1
        exchange.ask("server.auth", "an-api-key", "a sign that is wrong", id=3)
        kinds = [entry.kind for entry in wiretape.journal]
        assert kinds[:3] == ["opened", "matched", "matched"]
        assert wiretape.verdict().ok
    assert wiretape_upstreams.started is wiretape.recording


@pytest.fixture
def fails_afterwards(wiretape):
    yield
    raise RuntimeError("in teardown")


@pytest.mark.wiretape("tapes/failed_late.tape")
def test_failed_late(wiretape, wiretape_upstreams, fails_afterwards):
    with Exchange(wiretape.url("hotbit")) as exchange:
        exchange.ask("price.query", "BTCUSDT")


@pytest.mark.wiretape("tapes/nothing.tape")
def test_nothing(wiretape, wiretape_upstreams):
    pass


@pytest.mark.wiretape("tapes/secret.tape")
def test_secret(wiretape, wiretape_upstreams):
    with Exchange(wiretape.url("hotbit")) as exchange:
        exchange.ask("price.query", "AKIA" + "IOSFODNN7EXAMPLE")


@pytest.mark.wiretape("tapes/refused.tape")
def test_refused(wiretape, wiretape_upstreams):
    with pytest.raises(Exception, match="'hotbot'"):
        wiretape_upstreams.step("hotbot")
    with pytest.raises(TimeoutError, match="no entries of kind matched within 0 s; what happened last:"):
        wiretape.wait_for("matched", timeout_s=0)
    with Exchange(wiretape.url("hotbit")) as exchange:
        exchange.ask("price.query", "BTCUSDT")
    wiretape.pause(), wiretape.resume(), wiretape.pace("asap"), wiretape.clear_faults()
    for call in (wiretape.disconnect, lambda: wiretape.push("hotbit", "{}")):
        with pytest.raises(Exception, match="does what no upstream does"):
            call()
    wiretape.fault("drop", method="price.update")


@pytest.mark.wiretape("tapes/faulty.tape", faults=[{"kind": "cut"}])
def test_faulty(wiretape, wiretape_upstreams):
    pass
"""
CHANGED = TESTS.replace(
    '"a sign that is wrong", id=3)\n',
    '"a sign that is wrong", id=3)\n        exchange.ask("price.query", "ETHBTC", id=4)\n',
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Where the tests were recorded; what came of that is not changed any more."""
    project = Project(tmp_path_factory.mktemp("recording"))
    project.write("test_it.py", TESTS)
    return project


@pytest.fixture(scope="module")
def ran(recorded: Project) -> Ran:
    return recorded.run("--wiretape-record=once", "--tb=short")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def taped(project: Project, recorded: Project, ran: Ran) -> Project:
    """A project of one's own with the tape that was recorded."""
    assert ran.status == 1
    project.write("test_it.py", TESTS)
    project.write("tapes/watched.tape", (recorded.folder / "tapes" / "watched.tape").read_text())
    return project


def watched(project: Project) -> list[str]:
    return (project.folder / "tapes" / "watched.tape").read_text().splitlines()


def test_only_the_tape_of_a_test_that_passed_is_there(recorded: Project, ran: Ran) -> None:
    assert ran.counts() == {"passed": 4, "failed": 1, "error": 4}, ran.text
    assert [path.name for path in (recorded.folder / "tapes").iterdir()] == ["watched.tape"]
    ran.lines.fnmatch_lines(
        ["wiretape: records tapes (once)", "*- tapes recorded -*", "tapes/watched.tape", "=*"]
    )


def test_the_tape_holds_the_conversation_under_the_tests_name_and_no_secret(
    recorded: Project, ran: Ran
) -> None:
    head, session, *lines = watched(recorded)

    assert json.loads(head)["recording"] == "test_it.py::test_watched"
    assert json.loads(session)["session"] == "hotbit"
    methods = re.findall(r'"method": "([a-z.]+)"', "\n".join(lines))
    assert [name for name in methods if name != "deals.update"] == [
        "price.query",
        "deals.subscribe",
        "server.auth",
    ]
    assert methods[2] == "deals.update"
    assert "an-api-key" not in "".join(lines)
    assert [line.count('"wt-') for line in lines if '"redacted": true' in line] == [2]


@pytest.mark.parametrize(
    ("test", "says"),
    [
        pytest.param("test_failed_late", ["E   RuntimeError: in teardown"], id="failed-late"),
        pytest.param(
            "test_nothing",
            ["wiretape: no connection was made, so there is nothing to record in tapes/nothing.tape"],
            id="nothing",
        ),
        pytest.param(
            "test_secret",
            [
                "wiretape: tapes/secret.tape was not written: what looks like a secret is in line * (aws-access-key); *",
                "The ini option wiretape_record_options is for options of `wiretape record`, such as --redact.",
            ],
            id="secret",
        ),
        pytest.param(
            "test_refused",
            [
                (
                    "E   *PluginError: wiretape.fault() does what no upstream does, so this test cannot record "
                    "tapes/refused.tape: record it with another test, or do that only `if not wiretape.recording`"
                )
            ],
            id="refused",
        ),
        pytest.param(
            "test_faulty",
            [
                "wiretape: no tape at tapes/faulty.tape, and a test with faults does not record it: let another test do so"
            ],
            id="faulty",
        ),
    ],
)
def test_what_is_not_recorded_is_told(ran: Ran, test: str, says: list[str]) -> None:
    ran.failure(test).fnmatch_lines(says)


def test_a_recorded_tape_is_replayed_from_then_on(taped: Project) -> None:
    before = watched(taped)

    again = taped.run("--wiretape-record=once", "-k", "watched")

    assert again.counts() == {"passed": 1, "deselected": 5}, again.text
    again.lines.no_fnmatch_line("*tapes recorded*")
    assert watched(taped) == before


def test_recorded_anew_the_tape_changes_where_the_conversation_does(taped: Project) -> None:
    before = watched(taped)

    taped.write("test_it.py", CHANGED)
    again = taped.run("--wiretape-record=all", "-k", "watched")

    assert again.counts() == {"passed": 1, "deselected": 5}, again.text
    after = watched(taped)
    assert [line for line in before if line not in after] == []
    new = [line.partition('"json": ')[2] for line in after if line not in before]
    assert [json.loads(payload[:-1])["id"] for payload in new] == [4, 4]


def test_what_is_missing_is_asked_of_the_upstream_and_recorded(taped: Project) -> None:
    tape_lines = [line for line in watched(taped) if '"id": 4' not in line]
    taped.write("tapes/watched.tape", "".join(f"{line}\n" for line in tape_lines))
    taped.write("test_it.py", CHANGED.replace("assert wiretape_upstreams.started is wiretape.recording", ""))

    mended = taped.run("--wiretape-record=missing", "-k", "watched")

    assert mended.counts() == {"passed": 1, "deselected": 5}, mended.text
    mended.lines.fnmatch_lines(["*- tapes recorded -*", "tapes/watched.tape"])
    after = watched(taped)
    assert [line for line in tape_lines[2:-3] if line not in after] == []
    assert sum('"id": 4' in line for line in after) == 2
    assert taped.run("-k", "watched").counts() == {"passed": 1, "deselected": 5}


HAND = tape([*asked("price.query", "BTCUSDT", answer=result("1"))])
BY_HAND = """
import pytest
from client import Exchange


@pytest.mark.wiretape("hand.tape")
def test_hand(wiretape):
    with Exchange(wiretape.url()) as exchange:
        assert exchange.ask("price.query", "BTCUSDT") == "1"
    assert not wiretape.recording
"""


def test_in_ci_a_tape_is_replayed_and_stays_as_it_is(project: Project) -> None:
    project.write("hand.tape", HAND)
    project.write("test_hand.py", BY_HAND)

    ran = project.run("--wiretape-record=all", env={"CI": "true"})

    assert ran.counts() == {"passed": 1}, ran.text
    ran.lines.fnmatch_lines(
        ["wiretape: --wiretape-record=all is ignored because CI is set (--wiretape-record-in-ci allows it)"]
    )
    assert (project.folder / "hand.tape").read_text() == HAND


@pytest.fixture(scope="module")
def exchange() -> Iterator[str]:
    """A live upstream."""
    command = [sys.executable, "-m", "wiretape.simulators.hotbit", "--interval", "3600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


LIVE = """
import pytest
from client import Exchange


def query(wiretape, upstream):
    with Exchange(wiretape.url(upstream)) as exchange:
        exchange.ask("price.query", "BTCUSDT")


@pytest.mark.wiretape("from_ini.tape")
def test_ini(wiretape):
    query(wiretape, "market")


class TestOwn:
    @pytest.fixture
    def wiretape_upstreams(self):
        return {"own:hotbit": "URL"}

    @pytest.mark.wiretape("from_fixture.tape")
    def test_fixture(self, wiretape_upstreams, wiretape):
        query(wiretape, "own")


class TestOdd:
    @pytest.fixture
    def wiretape_upstreams(self):
        return "URL"

    @pytest.mark.wiretape("odd.tape")
    def test_odd(self, wiretape_upstreams, wiretape):
        pass
"""


def test_live_upstreams_come_from_the_ini_file_or_a_fixture(project: Project, exchange: str) -> None:
    project.write("live/test_live.py", LIVE.replace("URL", exchange))
    options = "wiretape_record_options = --redact price.query:/params/0"
    project.write(
        "live/pytest.ini", f"[pytest]\nwiretape_upstreams =\n    market:hotbit = {exchange}\n{options}\n"
    )

    ran = project.run("-c", "live/pytest.ini", "--wiretape-record=once", "live")

    assert ran.counts() == {"passed": 2, "error": 1}, ran.text
    ran.failure("TestOdd.test_odd").fnmatch_lines(
        ["wiretape: the fixture wiretape_upstreams gives URLs by the upstreams' names, not 'ws://*"]
    )
    tapes = [(project.folder / "live" / f"from_{source}.tape").read_text() for source in ("ini", "fixture")]
    assert [json.loads(text.splitlines()[1])["session"] for text in tapes] == ["market", "own"]
    assert all('"price.query", "params": ["wt-' in text for text in tapes)


def test_recording_without_its_extra_is_told(project: Project) -> None:
    project.write("test_hand.py", BY_HAND)
    project.write("pytest.ini", "[pytest]\nwiretape_upstreams = a = ws://127.0.0.1:9\n")
    project.write(
        "mitmproxy.py", "raise ModuleNotFoundError(\"No module named 'mitmproxy'\", name='mitmproxy')"
    )

    ran = project.run("--wiretape-record=all")

    assert ran.counts() == {"error": 1}, ran.text
    ran.failure("test_hand").fnmatch_lines(
        ["wiretape: recording needs mitmproxy: pip install 'wiretape[[]record]'"]
    )


def test_tests_that_share_a_tape_record_it_once(project: Project, exchange: str) -> None:
    shared = (
        LIVE.partition("class")[0].replace("from_ini", "shared")
        + "\n\n@pytest.mark.wiretape('shared.tape')\n"
    )
    project.write(
        "live/test_shared.py", shared + "def test_again(wiretape):\n    query(wiretape, 'market')\n"
    )
    project.write("live/pytest.ini", f"[pytest]\nwiretape_upstreams = market:hotbit = {exchange}\n")

    ran = project.run("-c", "live/pytest.ini", "--wiretape-record=all", "-v", "live/test_shared.py")

    assert ran.counts() == {"passed": 2}, ran.text
    assert '"recording": "test_shared.py::test_ini"' in (project.folder / "live" / "shared.tape").read_text()
