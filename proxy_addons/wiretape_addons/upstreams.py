"""Reads what a user writes for an upstream (`NAME[:PROTOCOL]=URL`) and for an address to listen on."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from wiretape_protocols import DEFAULT_PROTOCOL, Redactor, WiretapeError, protocol_named, protocol_names
from wiretape_protocols.targets import joined_target

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8081


class UsageError(WiretapeError):
    """The user wrote something that cannot be meant; the text says what to write."""

    usage = True


@dataclass(frozen=True, slots=True)
class Target:
    """An upstream to record: where it is and who reads its messages."""

    name: str
    protocol: str
    url: str
    host: str
    port: int
    tls: bool
    path: str
    """Put before the path that a client asks the listener for; empty for none."""
    query: str
    """Put before the query that a client asks the listener for; empty for none."""

    def join(self, asked: str) -> str:
        """The path and query to ask the upstream for, when a client asks the listener for `asked`."""
        return joined_target(self.path, self.query, asked)


def parse_target(text: str) -> Target:
    """
    Read `NAME=URL` or `NAME:PROTOCOL=URL`.

    A name that is a known protocol selects it; any other gets the generic JSON adapter. Raises
    UsageError for what is not a ws:// or wss:// URL, and the registry's error for an unknown protocol.
    """
    label, equals, url = text.partition("=")
    name, colon, protocol = label.partition(":")
    # A URL alone has a colon as well, and perhaps an equals sign in its query.
    if not equals or not _NAME.match(name) or protocol.startswith("//"):
        shown = _shown(text)
        message = f"{shown!r} is not an upstream: write NAME=URL, such as hotbit=wss://ws.hotbit.io"
        raise UsageError(message)
    if not colon:
        protocol = name if name in protocol_names() else DEFAULT_PROTOCOL
    protocol_named(protocol)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        # The library's own words may quote a password that it took for a port.
        message = (
            f"the URL of {name} cannot be read (its host or port): write ws://HOST[:PORT][/PATH] or wss://..."
        )
        raise UsageError(message) from exc
    if parts.scheme not in {"ws", "wss"} or not parts.hostname or any(map(str.isspace, url)):
        message = f"{_shown(url)!r} is not a WebSocket URL: the upstream {name} needs ws://HOST[:PORT] or wss://HOST[:PORT]"
        raise UsageError(message)
    if parts.username is not None or parts.fragment:
        message = f"the URL of {name} has a user name or a fragment: WebSocket clients do not send either"
        raise UsageError(message)
    tls = parts.scheme == "wss"
    return Target(
        name,
        protocol,
        url,
        parts.hostname,
        port or (443 if tls else 80),
        tls,
        parts.path.rstrip("/"),
        parts.query,
    )


def _shown(url: str) -> str:
    """A URL as it may stand in a log: that somebody got it wrong does not make its credentials public."""
    name, equals, rest = url.partition("=")
    named = equals and "/" not in name
    shown = Redactor(b"").url(rest if named else url).partition("?")[0]
    return f"{name}={shown}" if named else shown


def parse_targets(texts: list[str] | tuple[str, ...]) -> list[Target]:
    """Read several upstreams; a name may stand only once."""
    targets = [parse_target(text) for text in texts]
    names = [target.name for target in targets]
    for name in names:
        if names.count(name) > 1:
            message = f"the upstream name {name} is given twice: give each upstream a name of its own"
            raise UsageError(message)
    return targets


def parse_listen(text: str | None, count: int) -> list[tuple[str, int]]:
    """
    The addresses of `count` listeners, from `HOST:PORT` for the first; the others count up.

    Port 0 lets the system choose each. Without a text, 127.0.0.1:8081.
    """
    host, port = DEFAULT_HOST, DEFAULT_PORT
    if text is not None:
        host, colon, digits = text.rpartition(":")
        host = host.strip("[]")
        if not colon or not host or not digits.isdecimal() or int(digits) > 65535:
            message = f"{text!r} is not an address: write HOST:PORT, such as 127.0.0.1:8081"
            raise UsageError(message)
        port = int(digits)
    if port and port + count - 1 > 65535:
        message = f"{count} upstreams do not fit above port {port}: start lower with --listen"
        raise UsageError(message)
    return [(host, port + index if port else 0) for index in range(count)]
