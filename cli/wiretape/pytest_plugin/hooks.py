"""The fixtures, and the hooks that judge a test by what its clients did."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import pytest

from wiretape.pytest_plugin import marker, options, session
from wiretape.pytest_plugin.errors import told_plainly
from wiretape.pytest_plugin.fixture import Wiretape

if TYPE_CHECKING:
    from wiretape.pytest_plugin.take import Take
    from wiretape.pytest_plugin.upstreams import Upstreams

_TAKE: pytest.StashKey[Take] = pytest.StashKey()
"""Of a test that is running."""
_PASSED = pytest.StashKey[bool]()
"""Whether the test itself has passed, its setup and teardown left aside."""
_TITLE = "wiretape"


@pytest.fixture
def wiretape(request: pytest.FixtureRequest) -> Iterator[Wiretape]:
    """
    Stand-ins for the upstreams of the tape that the test's mark names, for this test alone.

    `wiretape.url("hotbit")` is where the client under test connects. With `--wiretape-record` the tape
    is recorded instead. See docs/pytest.md.
    """
    from wiretape.pytest_plugin.takes import begin

    item = request.node
    item.stash[_PASSED] = False
    with told_plainly():
        take = item.stash[_TAKE] = begin(request)
    unittest = sys.modules.get("unittest")
    if unittest is not None and isinstance(request.instance, unittest.TestCase):
        request.instance.wiretape = take
    yield take
    with told_plainly():
        failure = take.end(judged=item.stash[_PASSED])
    if failure:
        take.failed_at_the_end = True
        pytest.fail(failure, pytrace=False)


@pytest.fixture
def wiretape_upstreams(request: pytest.FixtureRequest) -> Iterator[Upstreams | Mapping[str, str]]:
    """
    The simulated upstreams of wiretape's demo, `hotbit` and `ontology`, begun anew for each test.

    A test that has this fixture records its tape from them; with `wiretape_upstreams.step("hotbit")` the
    market moves, with `.step("ontology")` the node makes a block. While a tape is replayed they are not
    started. A fixture of the same name of your own may give other upstreams: their URLs by name.
    """
    from wiretape.pytest_plugin.upstreams import Upstreams

    with told_plainly():
        upstreams = Upstreams(session.simulators(request.config))
    yield upstreams
    with told_plainly():
        upstreams.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    options.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", marker.DESCRIPTION)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say so when tapes are recorded, or are not although that was asked for."""
    return options.header(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Of pytest-xdist: a worker is about to be started."""
    session.share_with(node)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give marked tests the fixture, those included that cannot ask for it, as methods of unittest."""
    names = getattr(item, "fixturenames", None)
    if names is not None and marker.is_marked(item) and "wiretape" not in names:
        # A list of its own: the old one is shared with the test's other parameters.
        item.fixturenames = [*names, "wiretape"]  # type: ignore[attr-defined]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test that has passed, if its clients and its tape differ for certain."""
    result = yield
    take = item.stash.get(_TAKE, None)
    # A failure in a method of unittest is kept there, and not raised.
    if take is not None and not getattr(item, "_excinfo", None):
        with told_plainly():
            failure = take.failure()
        if failure:
            take.has_told = True
            pytest.fail(failure, pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Keep the tape of a test that has passed, its teardown included."""
    result = yield
    take = item.stash.get(_TAKE, None)
    if take is not None and item.stash[_PASSED]:
        with told_plainly():
            take.commit()
        if take.recorded is not None:
            session.recorded_tapes(item.config).add(take.recorded.path)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell in the report of a test that fails by itself what its clients did otherwise than its tape."""
    report = yield
    take = item.stash.get(_TAKE, None)
    if take is None:
        return report
    if report.when == "call":
        item.stash[_PASSED] = report.passed
        if not take.has_told and not report.skipped and (text := take.section(passed=report.passed)):
            report.sections.append((_TITLE, text))
    elif report.when == "teardown":
        # Attributes come through to the controller of pytest-xdist.
        report.wiretape_failed = take.failed_at_the_end  # type: ignore[attr-defined]
        report.wiretape_recorded = take.recorded.shown if take.recorded else ""  # type: ignore[attr-defined]
        del item.stash[_TAKE]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tapes that were recorded."""
    reports = (report for reports in terminalreporter.stats.values() for report in reports)
    tapes = sorted({tape for report in reports if (tape := getattr(report, "wiretape_recorded", ""))})
    if tapes:
        terminalreporter.write_sep("-", "tapes recorded")
        for tape in tapes:
            terminalreporter.write_line(tape)


def pytest_report_teststatus(
    report: pytest.CollectReport | pytest.TestReport,
) -> tuple[Literal["failed"], Literal["F"], Literal["FAILED"]] | None:
    """A test that failed because of its clients reads so, and not as an error, although it was over."""
    if report.failed and getattr(report, "wiretape_failed", False):
        return "failed", "F", "FAILED"
    return None
