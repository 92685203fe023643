"""Finding adapters by name: ours, other people's, and broken ones."""

import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from wiretape_protocols import registry
from wiretape_protocols.errors import WiretapeError
from wiretape_protocols.generic import GenericProtocol
from wiretape_protocols.opaque import OpaqueProtocol


class ThirdParty(OpaqueProtocol):
    name = "third"


class Unfinished(OpaqueProtocol):
    def __init__(self) -> None:
        message = "needs a licence"
        raise RuntimeError(message)


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("plugins_of_others")
    vars(module).update(Third=ThirdParty, third=ThirdParty(), Unfinished=Unfinished, number=5)
    monkeypatch.setitem(sys.modules, module.__name__, module)


def install(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    def entry_points(group: str) -> Sequence[EntryPoint]:
        return [EntryPoint(name, f"plugins_of_others:{value}", group) for name, value in points]

    monkeypatch.setattr(registry, "entry_points", entry_points)


@pytest.mark.parametrize("name", ["hotbit", "ontology", "json", "opaque"])
def test_our_own_protocols_are_found_by_name(name: str) -> None:
    assert registry.protocol_named(name).name == name
    assert registry.protocol_named(name) is registry.protocol_named(name)


def test_the_default_is_the_adapter_for_any_json() -> None:
    assert isinstance(registry.protocol_named(registry.DEFAULT_PROTOCOL), GenericProtocol)


def test_an_unknown_name_is_refused_with_the_names_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("third", "Third"))
    with pytest.raises(registry.UnknownProtocolError) as caught:
        registry.protocol_named("hotbot")
    assert str(caught.value) == (
        "no protocol is called 'hotbot'; there are hotbit, ontology, json, opaque, third"
    )
    assert isinstance(caught.value, WiretapeError)


@pytest.mark.parametrize("value", ["Third", "third"])
def test_another_distributions_adapter_is_found_as_class_and_as_instance(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    install(monkeypatch, ("third", value))
    assert isinstance(registry.protocol_named("third"), ThirdParty)
    assert registry.protocol_named("third") is registry.protocol_named("third")
    assert [protocol.name for protocol in registry.protocols()] == [
        "hotbit",
        "ontology",
        "json",
        "opaque",
        "third",
    ]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        pytest.param("third", "Missing", "AttributeError", id="no-such-object"),
        pytest.param("third", "Unfinished", "RuntimeError: needs a licence", id="cannot-be-made"),
        pytest.param("third", "number", "it is no wiretape_protocols.Protocol", id="no-adapter"),
        pytest.param("fourth", "Third", "the adapter calls itself 'third'", id="other-name"),
    ],
)
def test_a_broken_adapter_is_an_error_only_for_who_asks_for_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    install(monkeypatch, (name, value))
    assert registry.protocol_named("hotbit").name == "hotbit"
    assert [protocol.name for protocol in registry.protocols()] == ["hotbit", "ontology", "json", "opaque"]
    assert name in registry.protocol_names()
    with pytest.raises(registry.BrokenProtocolError) as caught:
        registry.protocol_named(name)
    assert str(caught.value).startswith(
        f"protocol '{name}' of plugins_of_others:{value} cannot be used: {reason}"
    )


def test_two_adapters_of_one_name_are_an_error_and_the_same_twice_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, ("third", "Third"), ("third", "third"))
    with pytest.raises(registry.BrokenProtocolError, match="each of them claims the name"):
        registry.protocol_named("third")
    install(monkeypatch, ("third", "Third"), ("third", "Third"))
    assert registry.protocol_named("third").name == "third"


def test_nobody_replaces_a_protocol_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("opaque", "Third"))
    assert type(registry.protocol_named("opaque")) is OpaqueProtocol
    assert registry.protocol_names() == ["hotbit", "ontology", "json", "opaque"]
