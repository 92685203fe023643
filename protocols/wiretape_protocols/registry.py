"""
Which protocols there are: those of this package, and those that other distributions bring.

Owns finding an adapter by its name. An adapter of another distribution is an entry point of the
group `wiretape.protocols` and is imported only when it is asked for, so that a broken one harms
nobody else.
"""

from collections.abc import Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from wiretape_protocols.adapter import Protocol
from wiretape_protocols.errors import WiretapeError
from wiretape_protocols.generic import GenericProtocol
from wiretape_protocols.hotbit import HotbitProtocol
from wiretape_protocols.ontology import OntologyProtocol
from wiretape_protocols.opaque import OpaqueProtocol

ENTRY_POINT_GROUP = "wiretape.protocols"

DEFAULT_PROTOCOL = GenericProtocol.name
"""For an upstream whose protocol nobody names: it degrades, message by message, to opaque bytes."""

BUILT_IN: Sequence[Protocol] = (HotbitProtocol(), OntologyProtocol(), GenericProtocol(), OpaqueProtocol())
"""In the order of the documentation. Nobody can replace one: recordings depend on them."""

_BUILT_IN_BY_NAME = {protocol.name: protocol for protocol in BUILT_IN}


class UnknownProtocolError(WiretapeError):
    """No adapter has this name."""

    usage = True

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(name, known)
        self.name = name
        self.known = known

    def __str__(self) -> str:
        """Name the adapters that there are."""
        return f"no protocol is called {self.name!r}; there are {', '.join(self.known)}"


class BrokenProtocolError(WiretapeError):
    """An adapter of another distribution cannot be used."""

    def __init__(self, name: str, source: str, reason: str) -> None:
        super().__init__(name, source, reason)
        self.name = name
        self.source = source
        """The distribution and the object that its entry point names."""
        self.reason = reason

    def __str__(self) -> str:
        """Say whose adapter it is and what is wrong with it."""
        return f"protocol {self.name!r} of {self.source} cannot be used: {self.reason}"


def protocol_names() -> list[str]:
    """The names of all adapters, nothing imported: first those of this package, then the others sorted."""
    return [*_BUILT_IN_BY_NAME, *sorted(_installed())]


def protocol_named(name: str) -> Protocol:
    """
    Find the adapter with this name.

    Raises UnknownProtocolError when there is none, BrokenProtocolError when it cannot be imported,
    is no adapter, or is claimed by two distributions.
    """
    if name in _BUILT_IN_BY_NAME:
        return _BUILT_IN_BY_NAME[name]
    claims = _installed().get(name)
    if not claims:
        raise UnknownProtocolError(name, protocol_names())
    if len(claims) > 1:
        raise BrokenProtocolError(name, " and ".join(map(_source, claims)), "each of them claims the name")
    return _loaded(claims[0])


def protocols() -> list[Protocol]:
    """All adapters that can be used, in the order of `protocol_names()`; broken ones are left out."""
    usable: list[Protocol] = []
    for name in protocol_names():
        try:
            usable.append(protocol_named(name))
        except BrokenProtocolError:
            continue
    return usable


def _installed() -> dict[str, list[EntryPoint]]:
    claims: dict[str, list[EntryPoint]] = {}
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=_source):
        same = claims.setdefault(point.name, [])
        # An editable installation is listed twice where its metadata stands on the path twice.
        if point.name not in _BUILT_IN_BY_NAME and point.value not in [other.value for other in same]:
            same.append(point)
    return {name: points for name, points in claims.items() if points}


@cache
def _loaded(point: EntryPoint) -> Protocol:
    try:
        found = point.load()
        protocol = found() if isinstance(found, type) else found
    except Exception as exc:
        raise BrokenProtocolError(point.name, _source(point), f"{type(exc).__name__}: {exc}") from exc
    if not isinstance(protocol, Protocol):
        raise BrokenProtocolError(point.name, _source(point), "it is no wiretape_protocols.Protocol")
    if getattr(protocol, "name", None) != point.name:
        reason = f"the adapter calls itself {getattr(protocol, 'name', None)!r}"
        raise BrokenProtocolError(point.name, _source(point), reason)
    return protocol


def _source(point: EntryPoint) -> str:
    return f"{point.dist.name} ({point.value})" if point.dist else point.value
