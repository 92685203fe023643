"""How a daemon says that it is ready: the ready file, and systemd's notification."""

import json
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol


class Listening(Protocol):
    """Where the clients of one upstream connect."""

    @property
    def upstream(self) -> str:
        """The upstream's name."""

    @property
    def protocol(self) -> str:
        """Its protocol's name."""

    @property
    def url(self) -> str:
        """The listener's URL."""


def tell_ready(path: str | None, recording: str, listeners: Iterable[Listening]) -> None:
    """
    Write the ready file, whole or not at all, and tell systemd.

    `path` is None where nobody asked for the file.
    """
    if path is not None:
        what = {
            "pid": os.getpid(),
            "recording": recording,
            "listeners": [
                {"upstream": at.upstream, "protocol": at.protocol, "url": at.url} for at in listeners
            ],
        }
        target = Path(path)
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        draft.write_text(json.dumps(what) + "\n")
        draft.replace(target)
    notify("READY=1")


def notify(state: str) -> bool:
    """Tell systemd about a `Type=notify` service (sd_notify(3)); False outside systemd."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.send(state.encode())
    return True
