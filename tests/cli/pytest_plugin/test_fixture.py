"""What the fixture knows about the event loop that it is used in, and how it words what it waited for."""

import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from wiretape.control_client import ControlClient, Entry, Run
from wiretape.pytest_plugin.errors import PluginError
from wiretape.pytest_plugin.fixture import Awaited, Journal, described
from wiretape.pytest_plugin.replay import Replay

MATCHED = Entry(1, "matched", "hotbit", 1, "s1", method="price.query")


class AlreadyThere(Replay):
    """A replay in which whatever is waited for has happened."""

    def __init__(self) -> None:
        run = Run(ControlClient("http://127.0.0.1:9"), {"id": "run1", "urls": {"a": "ws://a", "b": "ws://b"}})
        super().__init__(run, "a.tape", "pytest", strict=True)

    def _waited_for(self, awaited: Awaited) -> Journal:
        return awaited.found_in(Journal([MATCHED]))


def test_waiting_blocks_where_no_loop_runs() -> None:
    assert AlreadyThere().wait_for("matched") == (MATCHED,)


def test_waiting_in_a_loop_is_refused_with_what_to_write_instead() -> None:
    async def test() -> Journal:
        with pytest.raises(PluginError, match=r"write `await wiretape.async_wait_for\(\.\.\.\)`$"):
            AlreadyThere().wait_for("matched")
        return await AlreadyThere().async_wait_for(["missed", "matched"], method="price.query")

    assert asyncio.run(test()) == (MATCHED,)


def test_trio_is_known_as_a_loop_without_importing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run_sync(call: Any) -> Any:
        return call()

    trio = SimpleNamespace(
        lowlevel=SimpleNamespace(in_trio_run=lambda: True), to_thread=SimpleNamespace(run_sync=run_sync)
    )
    monkeypatch.setitem(sys.modules, "trio", trio)

    with pytest.raises(PluginError, match="would stop the event loop"):
        AlreadyThere().wait_for("matched")
    assert asyncio.run(AlreadyThere().async_wait_for("matched")) == (MATCHED,)


@pytest.mark.parametrize(
    ("upstream", "says"),
    [
        pytest.param(None, "it needs a name: the upstreams are a, b", id="none"),
        pytest.param("c", "there is no upstream 'c': the upstreams are a, b", id="unknown"),
    ],
)
def test_an_upstream_that_is_not_there_is_refused_by_name(upstream: str | None, says: str) -> None:
    with pytest.raises(PluginError, match=f"^{says}$"):
        AlreadyThere().url(upstream)


def test_the_journal_is_filtered() -> None:
    missed = Entry(2, "missed", "ontology", 1, method="getversion")
    journal = Journal([MATCHED, missed])

    assert journal.of() == journal
    assert journal.of("missed", "refused") == (missed,)
    assert journal.of(method="price.query") == (MATCHED,)
    assert journal.of("matched", upstream="ontology") == ()


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        pytest.param(MATCHED, "hotbit connection 1: matched price.query", id="matched"),
        pytest.param(
            Entry(3, "pushed", "hotbit", 2, pushes=2), "hotbit connection 2: pushed 2 messages", id="pushed"
        ),
        pytest.param(
            Entry(3, "pushed", "hotbit", 2, pushes=1), "hotbit connection 2: pushed 1 message", id="one-push"
        ),
        pytest.param(
            Entry(4, "matched", "feed", 1, payload="hello"), "feed connection 1: matched hello", id="payload"
        ),
        pytest.param(Entry(5, "stepped", detail="1 push"), "stepped 1 push", id="no-upstream"),
    ],
)
def test_an_entry_is_a_line(entry: Entry, line: str) -> None:
    assert described(entry) == line


def test_nothing_that_came_is_said_too() -> None:
    text = str(Awaited([], None, None, 1, 0.5).timeout(Journal()))

    assert text == "wiretape: no entries within 0.5 s; what happened last:\n  nothing"
