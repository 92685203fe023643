"""URLs are joined and split, and upstreams are named after where they are."""

import pytest

from wiretape_protocols import UnknownProtocolError
from wiretape_store.exports.addresses import Address, UpstreamNames, asked_url, split_url
from wiretape_store.exports.errors import UnknownUpstreamError


@pytest.mark.parametrize(
    ("upstream", "target", "url"),
    [
        ("wss://ws.hotbit.io", "/", "wss://ws.hotbit.io/"),
        ("wss://ws.hotbit.io", "", "wss://ws.hotbit.io/"),
        ("ws://node:20335", "/v2?x=1", "ws://node:20335/v2?x=1"),
        ("wss://example.org/v2", "/", "wss://example.org/v2"),
        ("wss://example.org/v2/", "/feed", "wss://example.org/v2/feed"),
        ("wss://example.org/v2?key=1", "/feed?x=2", "wss://example.org/v2/feed?key=1&x=2"),
        ("ws://[::1]:80", "/", "ws://[::1]:80/"),
    ],
)
def test_an_upstream_and_a_target_make_the_url_that_was_asked(upstream: str, target: str, url: str) -> None:
    assert asked_url(upstream, target) == url


@pytest.mark.parametrize(
    ("url", "address", "target", "shown"),
    [
        ("wss://ws.hotbit.io", Address("wss", "ws.hotbit.io", 443), "/", "wss://ws.hotbit.io"),
        ("http://[::1]:8081/a?b=c#d", Address("ws", "::1", 8081), "/a?b=c", "ws://[::1]:8081"),
        ("https://x:443/", Address("wss", "x", 443), "/", "wss://x"),
    ],
)
def test_a_url_is_split(url: str, address: Address, target: str, shown: str) -> None:
    assert split_url(url) == (address, target)
    assert address.url == shown


@pytest.mark.parametrize("url", ["", "/path", "ftp://x/", "ws://", "ws://x:99999/", "ws://[::1/"])
def test_what_is_no_such_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        split_url(url)


def test_upstreams_are_named_once_each_by_adapter_or_host() -> None:
    names = UpstreamNames()
    addresses = [
        Address("wss", "ws.hotbit.io", 443),
        Address("ws", "node", 80),
        Address("ws", "node", 8081),
        Address("wss", "node", 8081),
        Address("ws", "::", 80),
        Address("ws", "node", 80),
        Address("ws", "a_b c", 80),
    ]

    assert [names.name(each) for each in addresses] == [
        "hotbit",
        "node",
        "node-8081",
        "node-8081-wss",
        "upstream",
        "node",
        "a_b-c",
    ]
    assert [spec.protocol for spec in names.specs("x.har", None)][:2] == ["hotbit", "json"]


def test_names_never_come_twice() -> None:
    names = UpstreamNames()
    hosts = ["node", "node-8081", "node-8081-ws"]
    given = [names.name(Address("ws", host, 80)) for host in hosts]
    given += [names.name(Address("ws", "node", 8081)), names.name(Address("wss", "node", 8081))]

    assert len(set(given)) == len(given)


def test_a_protocol_can_be_given_by_name() -> None:
    names = UpstreamNames()
    names.name(Address("ws", "node", 80))

    (spec,) = names.specs("x.har", {"node": "ontology"})

    assert (spec.name, spec.protocol, spec.url, spec.listen) == ("node", "ontology", "ws://node", "")


def test_a_protocol_for_nobody_or_that_nobody_knows_is_refused() -> None:
    names = UpstreamNames()
    names.name(Address("ws", "node", 80))

    with pytest.raises(UnknownUpstreamError, match=r"x\.har has no upstream 'nod'; it has node"):
        names.specs("x.har", {"nod": "ontology"})
    with pytest.raises(UnknownProtocolError):
        names.specs("x.har", {"node": "ontologie"})
