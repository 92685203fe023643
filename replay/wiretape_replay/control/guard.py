"""
Who may use the control API: the Host and Origin headers and the token are looked at, in this order.

A page in a browser can send requests to this machine, and a name of its own can be made to point here.
So Host must name this server, and Origin, which browsers send, must be this server's own. The token
keeps everybody else out wherever others can reach the address.
"""

import hmac
import ipaddress
import socket
from http import HTTPStatus

from wiretape_replay.control.errors import RequestError
from wiretape_replay.errors import SettingError

_BEARER = b"bearer "


class MissingTokenError(SettingError):
    """Others reach the control API, and there is no token to keep them out."""

    def __init__(self, address: str) -> None:
        super().__init__("control", address, "a token")

    def __str__(self) -> str:
        return (
            f"--control {self.value} is reached from other machines, so it needs a token: give one with "
            "--control-token-file or WIRETAPE_CONTROL_TOKEN, or bind it to 127.0.0.1"
        )


class Guard:
    """Decides about requests by their headers. `host` is what the user wrote, `address` what is bound."""

    def __init__(self, host: str, address: str, token: str | None) -> None:
        self._names = {"localhost", _plain(host), address}
        self._any_address = ipaddress.ip_address(address).is_unspecified
        """Bound to all addresses of the machine: any of them names it, and no other site's page has one."""
        if self._any_address:
            self._names.add(_plain(socket.gethostname()))
        self._token = None if token is None else token.encode()

    def check(self, headers: dict[bytes, bytes]) -> None:
        """Raise RequestError for a request that must not be served. Header names are lower case."""
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._is_own(host):
            raise RequestError(
                HTTPStatus.FORBIDDEN,
                "foreign_host",
                "the Host header does not name this server: use the address that --control says, "
                "or give --control the name that clients use",
            )
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").lower() != f"http://{host.lower()}":
            raise RequestError(
                HTTPStatus.FORBIDDEN,
                "foreign_origin",
                "the Origin header is another site's: pages of other sites may not use this server",
            )
        if self._token is not None and not self._has_token(headers.get(b"authorization", b"")):
            raise RequestError(
                HTTPStatus.UNAUTHORIZED,
                "token",
                "the token is missing or wrong: send the header 'Authorization: Bearer TOKEN' with the token "
                "that the daemon was given",
            )

    def _is_own(self, host: str) -> bool:
        name = _plain(_without_port(host))
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._any_address or address.is_loopback

    def _has_token(self, authorization: bytes) -> bool:
        assert self._token is not None
        scheme, token = authorization[: len(_BEARER)], authorization[len(_BEARER) :]
        # Compared even after a wrong scheme, so that the time tells nothing.
        return hmac.compare_digest(token.strip(), self._token) and scheme.lower() == _BEARER


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches the address."""
    return ipaddress.ip_address(address).is_loopback


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _plain(name: str) -> str:
    return name.lower().rstrip(".")
