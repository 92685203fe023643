"""The suite in `examples/`: green from its tapes without a network, and red for each bug in the clients."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from projects import Ran

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
DEADLINE_S = 120.0


def run(folder: Path, *arguments: str, offline: bool = False) -> Ran:
    """Pytest in a copy of the examples, as their users start it."""
    before = [sys.executable, str(ROOT / "tests" / "no_network.py")] if offline else []
    kept = {name: value for name, value in os.environ.items() if name not in {"CI", "PYTEST_ADDOPTS"}}
    done = subprocess.run(
        [*before, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder, env=kept | {"COLUMNS": "150"}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout)


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A copy of the examples."""
    left_out = shutil.ignore_patterns("__pycache__", ".pytest_cache")
    return shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=left_out)


def without_network() -> bool:
    """Whether this system lets us start a process that has no network."""
    command = [sys.executable, str(ROOT / "tests" / "no_network.py"), "true"]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["one-by-one", "in-parallel"])
def test_it_is_green_from_its_tapes_in_any_order_without_a_network(
    examples: Path, arguments: tuple[str, ...]
) -> None:
    before = {path.name: path.read_bytes() for path in examples.glob("tests/fixtures/*")}
    offline = without_network()

    ran = run(examples, *arguments, offline=offline)

    assert ran.counts() == {"passed": 8}, ran.text
    assert {path.name: path.read_bytes() for path in examples.glob("tests/fixtures/*")} == before
    assert len(before) == 6
    if not offline:
        pytest.skip("it was green, but namespaces are not allowed here, so there was a network")


class Bug(NamedTuple):
    """A change to a client that its tests have to find."""

    test: str
    right: str
    wrong: str
    says: tuple[str, ...]
    """What the report of the test says, in this order."""


CATCHES_UP = "test_pricewatch.py::test_it_catches_up"
DROPPED = "test_pricewatch.py::test_it_comes_back_and_catches_up_when_it_was_dropped"
LOOKS = "test_blockfollow.py::test_it_looks_around"
BLOCKS = "test_blockfollow.py::test_it_yields_blocks_and_transfers"
GONE = "test_blockfollow.py::test_it_misses_no_block_when_it_was_dropped"
CLIENTS = {"test_pricewatch.py": "pricewatch/watcher.py", "test_blockfollow.py": "blockfollow/follower.py"}
BUGS = {
    "pricewatch-wrong-parameter": Bug(
        CATCHES_UP,
        "self.end, self.interval)",
        "self.end, self.interval // 60)",
        (
            "wiretape: kline.query differs from tests/fixtures/catching_up.tape in /params/3: 60 there, 1 sent *",
            "    - /params/3: 60  (tape)",
            "    + /params/3: 1  (sent)",
        ),
    ),
    "pricewatch-missing-unsubscribe": Bug(
        CATCHES_UP,
        'for topic in TOPICS:\n                    await self._call(f"{topic}.unsubscribe")',
        'for topic in TOPICS[:1]:\n                    await self._call(f"{topic}.unsubscribe")',
        (
            (
                "wiretape: not sent, but in tests/fixtures/catching_up.tape: "
                '{"method": "deals.unsubscribe", "params": [], "id": 9}'
            ),
            "in the tape, but not sent:",
        ),
    ),
    "pricewatch-extra-call": Bug(
        CATCHES_UP,
        "            params = (market,",
        '            self.server_time = await self._call("server.time")\n            params = (market,',
        (
            "wiretape: server.time was sent more often than tests/fixtures/catching_up.tape has it *",
            "  used up: it was recorded once",
        ),
    ),
    "pricewatch-no-reconnect": Bug(
        DROPPED,
        "await self._ws.close()\n                await self._reconnect()",
        "return",
        (
            "wiretape: connection 2 to hotbit, which tests/fixtures/dropped.tape has, was not opened",
            "  hotbit, connection 2 was not opened: the client did not connect again",
        ),
    ),
    "pricewatch-float": Bug(
        CATCHES_UP,
        "self.end, self.interval)",
        "self.end, float(self.interval))",
        (
            "wiretape: kline.query differs from tests/fixtures/catching_up.tape in /params/3: 60 there, 60.0 sent *",
            "    - /params/3: 60  (tape)",
            "    + /params/3: 60.0  (sent)",
        ),
    ),
    "pricewatch-float-that-the-protocol-forgives": Bug(
        DROPPED,
        'quote.last_deal = deal["id"]',
        'quote.last_deal = float(deal["id"])',
        ("wiretape: 1 matched, but not exactly, in tests/fixtures/dropped.tape", "*last_id*"),
    ),
    "blockfollow-wrong-parameter": Bug(
        LOOKS,
        "Height=self.checkpoint)",
        "Height=self.checkpoint + 1)",
        (
            (
                "wiretape: getblockbyheight differs from tests/fixtures/looking_around.tape in /Height: "
                "100 there, 101 sent *"
            ),
            "    - /Height: 100  (tape)",
            "    + /Height: 101  (sent)",
        ),
    ),
    "blockfollow-missing-unsubscribe": Bug(
        LOOKS,
        "await self._subscribe(False, ())",
        "pass",
        (
            (
                'wiretape: not sent, but in tests/fixtures/looking_around.tape: {"Action": "subscribe", *'
                '"SubscribeEvent": false, *'
            ),
            "in the tape, but not sent:",
        ),
    ),
    "blockfollow-extra-call": Bug(
        BLOCKS,
        "        transfers = await self._transfers(height)\n",
        "        await self._transfers(height)\n        transfers = await self._transfers(height)\n",
        (
            "wiretape: getsmartcodeeventbyheight was sent more often than tests/fixtures/blocks.tape has it *",
            "  used up: it was recorded once",
        ),
    ),
    "blockfollow-no-reconnect": Bug(
        GONE,
        "await self._ws.close()\n                await self._reconnect()\n                continue",
        "return",
        (
            "wiretape: connection 2 to ontology, which tests/fixtures/gone.tape has, was not opened",
            "  ontology, connection 2 was not opened: the client did not connect again",
        ),
    ),
    # The messages are the same then: what finds it is the test's own assertion, on an exact number in the tape.
    "blockfollow-float": Bug(
        LOOKS,
        "json.loads(await self._ws.recv())",
        "json.loads(await self._ws.recv(), parse_int=float)",
        ("E *assert 1.1424924518979742e+19 == 11424924518979741360",),
    ),
}


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_in_a_client_fails_with_its_cause(examples: Path, name: str) -> None:
    bug = BUGS[name]
    file, _, test = bug.test.partition("::")
    source = examples / CLIENTS[file]
    text = source.read_text()
    assert bug.right in text
    source.write_text(text.replace(bug.right, bug.wrong))

    ran = run(examples, "-p", "no:randomly", "--tb=short", f"tests/{bug.test}")

    assert (ran.status, ran.counts()) == (1, {"failed": 1}), ran.text
    ran.failure(test).fnmatch_lines([line.replace("[", "[[]") for line in bug.says])
