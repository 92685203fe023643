"""The page that walks through writing an adapter shows one that works."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wiretape_protocols import Opcode, Protocol, Reply, Role
from wiretape_protocols.registry import ENTRY_POINT_GROUP

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-protocol.md"


@pytest.fixture(name="shown")
def shown_code() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "wiretape_quotes"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, PAGE.name, "exec"), names)
    return names


@pytest.fixture(name="quotes")
def shown_protocol(shown: dict[str, Any]) -> Protocol:
    protocol = shown["QuotesProtocol"]()
    assert isinstance(protocol, Protocol)
    return protocol


def test_the_test_on_the_page_passes(shown: dict[str, Any]) -> None:
    test: Callable[[], None] = shown["test_the_key_depends_on_the_clients_messages_alone"]
    page = PAGE.read_text()

    # The assertions are the page's own; it must have some, and they must hold.
    assert "assert " in page[page.index(f"def {test.__name__}") :]
    test()


def test_the_adapter_on_the_page_reads_the_messages_on_the_page(quotes: Protocol) -> None:
    conversation = quotes.conversation()
    watch = conversation.client(b'{"cmd": "watch", "n": 8, "symbol": "ABC"}', Opcode.TEXT, 0)
    buy = conversation.client(b'{"cmd": "buy", "n": 9, "symbol": "ABC", "pin": "1234"}', Opcode.TEXT, 1)
    assert (watch.role, watch.opens, watch.id_text, buy.effects) == (Role.SUBSCRIBE, ("ticks",), b"8", True)
    assert conversation.upstream(b'{"n": 9, "ok": true}', Opcode.TEXT).answers == 1
    assert conversation.upstream(b'{"n": 8, "ok": true}', Opcode.TEXT).answers == 0
    tick = conversation.upstream(b'{"tick": "ABC", "quote": "1.51"}', Opcode.TEXT)
    assert tick == Reply(Role.PUSH, "tick", stream="ticks")


def test_the_adapter_on_the_page_does_all_the_rest(quotes: Protocol) -> None:
    conversation = quotes.conversation(correlate=False)
    broken = conversation.client(b"\xff", Opcode.TEXT, 0)
    request = conversation.client(b'{"cmd": "buy", "n": 9, "pin": "1234"}', Opcode.TEXT, 1)
    assert (broken.role, conversation.upstream(b"\xff", Opcode.TEXT).role) == (Role.OPAQUE, Role.OPAQUE)
    assert quotes.secrets(b'{"pin":"1234"}', from_client=True) == [(7, 13)]
    assert quotes.with_id(b'{"n": 1, "ok": true}', b"9") == b'{"n": 9, "ok": true}'
    assert quotes.refusal(request) == b'{"n": 9, "error": "not available"}'
    assert [method.name for method in quotes.methods() if method.effects] == ["buy"]


def test_the_entry_point_on_the_page_is_in_the_group_that_is_searched() -> None:
    assert f'[project.entry-points."{ENTRY_POINT_GROUP}"]' in PAGE.read_text(encoding="utf-8")
