"""
Where a session went, as a URL: joining what an upstream is and what was asked of it, and back.

Owns the names that upstreams get whose file knows only their addresses.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, count
from urllib.parse import urlsplit

from wiretape_protocols import DEFAULT_PROTOCOL, protocol_named, protocol_names
from wiretape_store.exports.errors import UnknownUpstreamError
from wiretape_store.records import UpstreamSpec

_SCHEMES = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}
_PORTS = {"ws": 80, "wss": 443}
_UNFIT = re.compile(r"[\x00-\x20\x7f\ud800-\udfff]")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Address:
    """Where an upstream is, as far as a handshake tells."""

    scheme: str
    """`ws` or `wss`."""
    host: str
    port: int

    @property
    def url(self) -> str:
        """The address as a URL without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")


def asked_url(upstream_url: str, target: str) -> str:
    """The URL that was asked of the upstream, when its listener was asked for `target`."""
    parts = urlsplit(upstream_url)
    path, _, query = target.partition("?")
    base = parts.path.rstrip("/")
    if base:
        path = base if path in {"", "/"} else base + path
    query = "&".join(filter(None, (parts.query, query)))
    return f"{parts.scheme}://{parts.netloc}{path or '/'}" + (f"?{query}" if query else "")


def split_url(url: str) -> tuple[Address, str]:
    """Split a URL into where and what (path and query). Raises ValueError, with what is wrong in words."""
    if _UNFIT.search(url):
        # urlsplit() would drop some of them, and keep others.
        raise ValueError("it has a space, a control character or half a surrogate pair")
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as exc:
        raise ValueError("its port is no number up to 65535") from exc
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise ValueError("no ws://, wss://, http:// or https:// URL with a host")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(scheme, parts.hostname, port or _PORTS[scheme]), target


class UpstreamNames:
    """Names the addresses of a file, each once and in the order in which they are met."""

    def __init__(self) -> None:
        self._names: dict[Address, str] = {}

    def name(self, address: Address) -> str:
        """
        The name of an address: of the adapter that its host names, else the host itself.

        The port is added where one host has several addresses.
        """
        if address not in self._names:
            plain = _name_of(address.host)
            taken = set(self._names.values())
            with_port = f"{plain}-{address.port}"
            longer = (f"{with_port}-{address.scheme}" + "-" * more for more in count())
            spellings = chain((plain, with_port), longer)
            self._names[address] = next(each for each in spellings if each not in taken)
        return self._names[address]

    def specs(self, path: str, protocols: Mapping[str, str] | None) -> tuple[UpstreamSpec, ...]:
        """
        The upstreams, with the protocols that `protocols` gives by name, or as their names tell.

        Raises UnknownUpstreamError for a name that nothing has, and what `protocol_named` raises.
        """
        given = dict(protocols or {})
        for name, protocol in given.items():
            protocol_named(protocol)
            if name not in self._names.values():
                raise UnknownUpstreamError(path, name, tuple(self._names.values()))
        return tuple(
            UpstreamSpec(name, given.get(name) or _protocol_of(address.host), address.url, "")
            for address, name in self._names.items()
        )


def _name_of(host: str) -> str:
    protocol = _protocol_of(host)
    plain = _NOT_IN_NAMES.sub("-", host).strip("-._")
    return protocol if protocol != DEFAULT_PROTOCOL else plain or "upstream"


def _protocol_of(host: str) -> str:
    known = protocol_names()
    return next((label for label in host.split(".") if label in known), DEFAULT_PROTOCOL)
