"""Sockets that listen before anything is served, and the sentence for an address that cannot be had."""

import asyncio
import os
import socket

from wiretape_replay.errors import ReplayError

BACKLOG = 1024


class AddressError(ReplayError):
    """An address that could not be had; `option` is where its user has named it."""

    def __init__(self, option: str, address: str, why: str) -> None:
        super().__init__(option, address, why)
        self.option = option
        self.address = address
        self.why = why

    def __str__(self) -> str:
        return (
            f"cannot listen on {self.address}: {self.why}; "
            f"stop what listens there, or name another address with {self.option} (port 0: any free one)"
        )


async def resolve(option: str, host: str, port: int) -> str:
    """The numeric address of a host. Raises AddressError for a name that has none."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as exc:
        raise AddressError(option, f"{in_url(host)}:{port}", exc.strerror or str(exc)) from exc
    return str(found[0][4][0])


def bind(option: str, address: str, port: int) -> socket.socket:
    """Listen at a numeric address, whose clients wait from now on. Raises AddressError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(BACKLOG)
    except OSError as exc:
        sock.close()
        why = os.strerror(exc.errno) if exc.errno else str(exc)
        raise AddressError(option, f"{in_url(address)}:{port}", why) from exc
    sock.setblocking(False)
    return sock


def in_url(host: str) -> str:
    """A host as URLs have it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host
