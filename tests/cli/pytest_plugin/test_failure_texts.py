"""What a failing test tells its author: which message, how it differs, and what to do."""

import pytest
from projects import Project, Ran, asked, pushed, result, tape

PRICES = tape(
    [
        *asked("deals.subscribe", "BTCUSDT"),
        *pushed("deals.update", "BTCUSDT", [{"id": 1}]),
        *asked("deals.unsubscribe"),
        *asked("price.query", "BTCUSDT", answer=result("7998.01")),
    ],
    [*asked("kline.query", "BTCUSDT", 0, 60, 10, answer=result([]))],
)
STALLED = tape(
    [
        *asked("deals.subscribe", "BTCUSDT"),
        *asked("price.query", "BTCUSDT", answer=result("7998.01")),
        *pushed("deals.update", "BTCUSDT", [{"id": 1}]),
    ]
)
TESTS = """
import pytest
from client import Exchange

pytestmark = pytest.mark.wiretape("tapes/prices.tape")


def first(wiretape, unsubscribe=True, market="BTCUSDT"):
    with Exchange(wiretape.url()) as exchange:
        exchange.ask("deals.subscribe", "BTCUSDT")
        exchange.push()
        if unsubscribe:
            exchange.ask("deals.unsubscribe")
        exchange.ask("price.query", market)


def second(wiretape, start=0, step=10, extra=()):
    with Exchange(wiretape.url()) as exchange:
        exchange.ask("kline.query", "BTCUSDT", start, start + 60, step)
        for method, *params in extra:
            exchange.ask(method, *params)


def test_right(wiretape):
    first(wiretape)
    second(wiretape)


def test_wrong_parameter(wiretape):
    first(wiretape, market="ETHBTC")
    second(wiretape)


def test_missing_unsubscribe(wiretape):
    first(wiretape, unsubscribe=False)
    second(wiretape)


def test_extra_call(wiretape):
    first(wiretape)
    second(wiretape, extra=[("kline.query", "BTCUSDT", 0, 60, 10)])


@pytest.mark.wiretape(repeats="reads")
def test_extra_call_that_may_be(wiretape):
    first(wiretape)
    second(wiretape, extra=[("kline.query", "BTCUSDT", 0, 60, 10)])


def test_no_reconnect(wiretape):
    first(wiretape)


def test_float(wiretape):
    first(wiretape)
    second(wiretape, step=10.0)


def test_several_differences(wiretape):
    first(wiretape)
    with Exchange(wiretape.url()) as exchange:
        exchange.ask("kline.query", "ETHBTC", 0, 60, 20)


def test_unknown_method(wiretape):
    first(wiretape)
    second(wiretape, extra=[("balance.query",)])


def test_secret(wiretape):
    first(wiretape)
    second(wiretape, extra=[("server.auth", "the-key-of-my-account", "its-sign")])


def test_one_connection_more(wiretape):
    first(wiretape)
    second(wiretape)
    with pytest.raises(Exception, match="503"):
        Exchange(wiretape.url())


@pytest.mark.wiretape("tapes/stalled.tape", stall_s=0.1)
def test_stall(wiretape):
    with Exchange(wiretape.url()) as exchange:
        exchange.ask("deals.subscribe", "BTCUSDT")
        wiretape.wait_for("held")
        exchange.ask("price.query", "BTCUSDT")
        exchange.push()


@pytest.mark.wiretape(relax="price.query:/params/0", strict="relaxed")
def test_relaxed_as_asked(wiretape):
    first(wiretape, market="ETHBTC")
    second(wiretape)


def test_relaxed(wiretape):
    first(wiretape)
    second(wiretape, start=60)


@pytest.mark.wiretape(strict="relaxed")
def test_relaxed_and_strict(wiretape):
    first(wiretape)
    second(wiretape, start=60)


@pytest.mark.wiretape(strict=False)
def test_not_strict(wiretape):
    first(wiretape, market="ETHBTC")


def test_fails_by_itself(wiretape):
    first(wiretape, market="ETHBTC")
    second(wiretape)
    assert "the test's own" == "reason"


def test_skips_by_itself(wiretape):
    pytest.skip("reason")


@pytest.mark.xfail
def test_expected(wiretape):
    first(wiretape)


def test_waits_in_vain(wiretape):
    first(wiretape)
    second(wiretape)
    wiretape.wait_for("matched", method="deals.subscribe", count=2, timeout_s=0.1)


@pytest.fixture
def left_open(wiretape):
    exchange = Exchange(wiretape.url())
    yield exchange
    exchange.close()


@pytest.fixture
def closed_in_time(left_open):
    yield left_open
    left_open.ask("deals.unsubscribe")
    left_open.ask("price.query", "BTCUSDT")


def subscribe(exchange, wiretape):
    second(wiretape)
    exchange.ask("deals.subscribe", "BTCUSDT")
    exchange.push()


@pytest.mark.wiretape(order="free")
def test_late(left_open, wiretape):
    with Exchange(wiretape.url()) as exchange:
        exchange.ask("kline.query", "BTCUSDT", 0, 60, 10)
    left_open.ask("deals.subscribe", "BTCUSDT")
    left_open.push()


@pytest.mark.wiretape(order="free")
def test_in_time(closed_in_time, wiretape):
    subscribe(closed_in_time, wiretape)
"""
UNITTEST = """
import unittest

import pytest
from client import Exchange


@pytest.mark.wiretape("tapes/prices.tape")
class TestPrices(unittest.TestCase):
    def test_unit(self):
        with Exchange(self.wiretape.url()) as exchange:
            exchange.ask("price.query", "ETHBTC")

    def test_unit_fails_by_itself(self):
        with Exchange(self.wiretape.url()) as exchange:
            exchange.ask("price.query", "ETHBTC")
        self.fail("the test's own reason")
"""
NOT_OPENED = [
    "in the tape, but not sent:",
    "  hotbit, connection 2 was not opened: the client did not connect again",
]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    project = Project(tmp_path_factory.mktemp("failures"))
    project.write("tapes/prices.tape", PRICES)
    project.write("tapes/stalled.tape", STALLED)
    project.write("test_prices.py", TESTS)
    project.write("test_unit.py", UNITTEST)
    return project.run("-rA", "--tb=short")


def test_every_divergence_fails_a_test_and_none_is_an_error(ran: Ran) -> None:
    passed = [
        "right",
        "extra_call_that_may_be",
        "relaxed",
        "relaxed_as_asked",
        "not_strict",
        "in_time",
        "late",
    ]

    assert ran.status == 1
    assert ran.counts() == {"passed": 7, "failed": 16, "skipped": 1, "xfailed": 1}, ran.text
    ran.lines.fnmatch_lines_random([f"PASSED test_prices.py::test_{name}" for name in passed])


def advice(test: str) -> list[str]:
    return [
        "If its clients should do this now, record the tape anew:",
        f"  pytest test_prices.py::{test} --wiretape-record=all",
    ]


@pytest.mark.parametrize(
    ("test", "says"),
    [
        pytest.param(
            "test_wrong_parameter",
            [
                (
                    'wiretape: price.query differs from tapes/prices.tape in /params/0: "BTCUSDT" there, "ETHBTC" sent '
                    "(and 1 more)"
                ),
                "not in the tape:",
                "  hotbit connection 1, the client sent price.query:",
                '    {"method": "price.query", "params": ["ETHBTC"], "id": 1}',
                "  the nearest in the tape is message 5:",
                '    {"method": "price.query", "params": ["BTCUSDT"], "id": 1}',
                '    - /params/0: "BTCUSDT"  (tape)',
                '    + /params/0: "ETHBTC"  (sent)',
                "in the tape, but not sent:",
                '  hotbit connection 1, message 5: {"method": "price.query", "params": ["BTCUSDT"], "id": 1}',
                *advice("test_wrong_parameter"),
            ],
            id="wrong-parameter",
        ),
        pytest.param(
            "test_missing_unsubscribe",
            [
                'wiretape: not sent, but in tapes/prices.tape: {"method": "deals.unsubscribe", "params": [], "id": 1}',
                "in the tape, but not sent:",
                '  hotbit connection 1, message 3: {"method": "deals.unsubscribe", "params": [], "id": 1}',
                *advice("test_missing_unsubscribe"),
            ],
            id="missing-unsubscribe",
        ),
        pytest.param(
            "test_extra_call",
            [
                "wiretape: kline.query was sent more often than tapes/prices.tape has it",
                "not in the tape:",
                "  hotbit connection 2, the client sent kline.query:",
                '    {"method": "kline.query", "params": ["BTCUSDT", 0, 60, 10], "id": 1}',
                "  used up: it was recorded once",
                *advice("test_extra_call"),
            ],
            id="extra-call",
        ),
        pytest.param(
            "test_no_reconnect",
            [
                "wiretape: connection 2 to hotbit, which tapes/prices.tape has, was not opened",
                *NOT_OPENED,
                *advice("test_no_reconnect"),
            ],
            id="no-reconnect",
        ),
        pytest.param(
            "test_float",
            [
                "wiretape: kline.query differs from tapes/prices.tape in /params/3: 10 there, 10.0 sent (and 1 more)",
                "    - /params/3: 10  (tape)",
                "    + /params/3: 10.0  (sent)",
            ],
            id="float",
        ),
        pytest.param(
            "test_several_differences",
            [
                "wiretape: kline.query differs from tapes/prices.tape in /params/0, /params/3 (and 1 more)",
                '    - /params/0: "BTCUSDT"  (tape)',
                '    + /params/0: "ETHBTC"  (sent)',
                "    - /params/3: 10  (tape)",
                "    + /params/3: 20  (sent)",
            ],
            id="several-differences",
        ),
        pytest.param(
            "test_unknown_method",
            [
                "wiretape: balance.query is not in tapes/prices.tape",
                "  hotbit connection 2, the client sent balance.query:",
                "  nothing is left in the recording to answer it",
            ],
            id="unknown-method",
        ),
        pytest.param(
            "test_one_connection_more",
            [
                "wiretape: one connection more to hotbit than tapes/prices.tape has",
                "not in the tape:",
                "  hotbit connection 3: no session is left",
                'For more connections than the tape has, mark the test with reconnect="last" or "cycle".',
            ],
            id="one-connection-more",
        ),
        pytest.param(
            "test_stall",
            [
                "wiretape: tapes/stalled.tape waited in vain for what its client sent next when it was recorded",
                "waited in vain:",
                (
                    "  hotbit connection 1, message 4 waits for message 2: "
                    '{"method": "price.query", "params": ["BTCUSDT"], "id": 1}'
                ),
            ],
            id="stall",
        ),
        pytest.param(
            "test_relaxed_and_strict",
            [
                "wiretape: 1 matched, but not exactly, in tapes/prices.tape",
                "matched, but not exactly:",
                "  hotbit connection 2, message 0 matched without *",
            ],
            id="relaxed-and-strict",
        ),
        pytest.param(
            "test_late",
            [
                (
                    'wiretape: not sent, but in tapes/prices.tape: {"method": "deals.unsubscribe", "params": [], "id": 1} '
                    "(and 1 more)"
                ),
            ],
            id="late",
        ),
        pytest.param(
            "test_unit",
            [
                "wiretape: price.query differs from tapes/prices.tape in /params/0: *",
                "*test_unit.py::TestPrices::test_unit *",
            ],
            id="unittest",
        ),
    ],
)
def test_the_failure_says(ran: Ran, test: str, says: list[str]) -> None:
    failure = ran.failure(test)

    failure.fnmatch_lines([line.replace("[", "[[]") for line in says])
    failure.no_fnmatch_line("*Traceback*")
    failure.no_fnmatch_line("*Error*")


@pytest.mark.parametrize("test", ["test_fails_by_itself", "test_unit_fails_by_itself"])
def test_a_test_that_fails_by_itself_keeps_its_own_failure_and_gets_a_section(ran: Ran, test: str) -> None:
    failure = ran.failure(test)

    failure.fnmatch_lines(
        ["E *reason*", "*- wiretape -*", "wiretape: price.query differs from *", "    - /params/0: *"]
    )
    assert [
        line
        for line in ran.text.splitlines()
        if line.startswith("FAILED") and line.split()[1].endswith(f"::{test}")
    ]


def test_a_relaxed_match_is_shown_although_the_test_passes(ran: Ran) -> None:
    ran.failure("test_relaxed").fnmatch_lines(
        [
            "*- wiretape -*",
            "wiretape: 1 matched, but not exactly, in tapes/prices.tape",
            "matched, but not exactly:",
        ]
    )


def test_waiting_in_vain_shows_what_came_instead(ran: Ran) -> None:
    ran.failure("test_waits_in_vain").fnmatch_lines(
        [
            (
                "E   TimeoutError: wiretape: only 1 of 2 entries of kind matched of deals.subscribe within 0.1 s; "
                "what happened last:"
            ),
            "E     hotbit connection 1: matched price.query",
            "E     hotbit connection 2: matched kline.query",
        ]
    )


def test_no_secret_is_shown(ran: Ran) -> None:
    ran.failure("test_secret").fnmatch_lines(
        ["wiretape: server.auth is not in *", '*"server.auth", "params": [[]"wt-*']
    )
    assert "the-key-of-my-account" not in ran.text
