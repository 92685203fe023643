"""What the user lets differ: read, applied after the adapter's own relaxations, and always told."""

import json
from typing import Any

import pytest
from replay_builders import a_session

from wiretape_protocols import IDENTITY, Opcode, Role, protocol_named
from wiretape_replay import (
    Journal,
    Relaxation,
    ReplaySession,
    ReplaySettings,
    SettingError,
    compile_script,
)
from wiretape_replay.relaxing import RelaxingProtocol
from wiretape_store.records import Message


def call(method: str, params: list[Any], identity: int = 1) -> bytes:
    return json.dumps({"method": method, "params": params, "id": identity}).encode()


def kinds(recorded: list[bytes], sent: bytes, *rules: str) -> tuple[list[str], ReplaySession]:
    """What the journal says of a message, after a recording of these."""
    parsed = tuple(map(Relaxation.parse, rules))
    protocol = RelaxingProtocol(protocol_named("hotbit"), parsed)
    messages = [
        Message(seq, True, Opcode.TEXT, seq, payload, IDENTITY, Role.CALL, "", None, "")
        for seq, payload in enumerate(recorded)
    ]
    journal = Journal()
    script = compile_script(a_session(), messages, protocol)
    session = ReplaySession(script, protocol, ReplaySettings(relax=parsed), journal)
    session.open(0)
    session.receive(sent, Opcode.TEXT, 0)
    return [f"{entry.kind} {entry.detail}".strip() for entry in list(journal.entries)[1:]], session


@pytest.mark.parametrize(
    ("rules", "sent", "told"),
    [
        pytest.param((), ["BTCUSDT", 10, "1"], None, id="no rule"),
        pytest.param(("depth.query:/params/1",), ["BTCUSDT", 10, "1"], "/params/1", id="a parameter"),
        pytest.param(("depth.query:/params/1",), ["BTCUSDT", 10, "2"], None, id="another differs as well"),
        pytest.param(("depth.query:/params/1",), ["BTCUSDT", "text", "1.0"], "/params/1", id="another type"),
        pytest.param(
            ("depth.query:/params/1+-5",), ["BTCUSDT", 10, "1"], "/params/1, a number within 5", id="in range"
        ),
        pytest.param(("depth.query:/params/1+-4",), ["BTCUSDT", 10, "1"], None, id="out of range"),
        pytest.param(
            ("depth.query:/params/2+-0.5",), ["BTCUSDT", 5, "1.5"], "/params/2, a number within 0.5", id="quoted"
        ),
        pytest.param(("depth.query:/params/1+-5",), ["BTCUSDT", "x", "1"], None, id="no number at all"),
        pytest.param(("depth.query",), ["ETHBTC"], "everything but the method", id="the method only"),
        pytest.param(("price.query",), ["BTCUSDT", 10, "1"], None, id="another method"),
        pytest.param(("depth.query:/nowhere",), ["BTCUSDT", 10, "1"], None, id="a pointer to nothing"),
        pytest.param(
            ("depth.query:/params/1+-1", "depth.query:/params/1"), ["BTCUSDT", 10, "1"], "/params/1",
            id="the first rule that fits",
        ),
        pytest.param(("depth.query:/params/*",), ["A", 1, "2"], "/params/*", id="every parameter"),
    ],
)  # fmt: skip
def test_what_a_rule_lets_differ(rules: tuple[str, ...], sent: list[Any], told: str | None) -> None:
    found, session = kinds([call("depth.query", ["BTCUSDT", 5, "1"])], call("depth.query", sent), *rules)
    if told is None:
        assert found[0].startswith("missed")
        assert session.verdict().misses.count == 1
    else:
        assert found == [f"relaxed matched without {told}", "matched"]
        assert session.verdict().ok


def test_an_exact_match_comes_before_a_relaxed_one() -> None:
    recorded = [call("depth.query", ["A", 1, "0"]), call("depth.query", ["A", 2, "0"])]
    found, session = kinds(recorded, call("depth.query", ["A", 2, "0"]), "depth.query")
    assert found == ["matched"]
    assert session.verdict().unused.named == [f"s1 message 0: {recorded[0].decode()}"]


def test_what_the_adapter_relaxes_itself_is_a_finding() -> None:
    recorded = [call("kline.query", ["A", 0, 60, 60])]
    found, session = kinds(recorded, call("kline.query", ["A", 60, 120, 60]))
    assert found[0] == "relaxed matched without start"
    assert session.verdict().relaxed.count == 1


@pytest.mark.parametrize("text", ["", "a:/b~c", "a:/b+-", "a:/b+-x"])
def test_a_rule_that_cannot_be_read_is_refused_or_is_a_pointer(text: str) -> None:
    if text.startswith("a:/b+"):
        # A plus sign may stand in a member's name: only a number after it makes a range.
        assert Relaxation.parse(text).within is None
        return
    with pytest.raises(SettingError, match="use METHOD"):
        Relaxation.parse(text)
