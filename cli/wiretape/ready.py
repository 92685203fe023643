"""How a daemon says that it is ready: the ready file, and systemd's notification."""

import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from wiretape.private_files import open_private
from wiretape_protocols import WiretapeError


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


class ReadyFileError(WiretapeError):
    """The ready file cannot be written."""

    usage = True

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path, why)
        self.path, self.why = path, why

    def __str__(self) -> str:
        return f"cannot write the ready file {self.path} ({self.why}): name another with --ready-file"


@contextmanager
def ready_file(path: str | None) -> Iterator[None]:
    """
    See that no ready file of an earlier run is there, and that none of this run is left.

    Raises ReadyFileError at once where none could be written later.
    """
    if path is None:
        yield
        return
    target = Path(path)
    try:
        target.unlink(missing_ok=True)
        _draft_of(target).touch()
        _draft_of(target).unlink()
    except OSError as exc:
        raise ReadyFileError(path, exc.strerror or str(exc)) from exc
    try:
        yield
    finally:
        target.unlink(missing_ok=True)


def _draft_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}")


def tell_ready(
    path: str | None, recording: str | None, listeners: Iterable[Listening], *, control: str | None = None
) -> None:
    """
    Write the ready file, whole or not at all, and tell systemd; within `ready_file`.

    `path` is None where nobody asked for the file, `recording` where nothing is replayed yet, and
    `control`, the URL of the control API, where there is none.
    """
    if path is not None:
        what: dict[str, Any] = {
            "pid": os.getpid(),
            "recording": recording,
            "listeners": [
                {"upstream": at.upstream, "protocol": at.protocol, "url": at.url} for at in listeners
            ],
        }
        if control is not None:
            what["control"] = control
        target = Path(path)
        draft = _draft_of(target)
        with open_private(draft) as file:
            file.write(json.dumps(what) + "\n")
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
