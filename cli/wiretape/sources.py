"""What a command reads: the store, or a tape that its user names instead, as if it were a store."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wiretape_protocols import WiretapeError
from wiretape_store import MissingStoreError, StoreReader, StoreWriter, Synchronous, import_recording

if TYPE_CHECKING:
    # Not every command replays, and importing what does takes a while.
    from wiretape_replay.recordings import Reader

SUFFIX = ".tape"
IN_MEMORY_BYTES = 32 * 1024 * 1024
"""A larger tape is read from a store: in memory its messages take several times as much."""


class MissingTapeError(WiretapeError):
    """There is no file where the user says that a tape is."""

    usage = True

    def __init__(self, path: str) -> None:
        """Keep the path that was tried."""
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        """Make one sentence of the facts."""
        return f"no tape at {self.path}: export one with 'wiretape export WHAT {self.path}'"


def is_tape(what: str) -> bool:
    """
    Tell a tape from a recording and a session: by a file that is there, or a path to a *.tape.

    Raises MissingTapeError for such a path that leads nowhere.
    """
    path = Path(what)
    has_folder = path.name != what
    if path.is_file():
        return path.suffix == SUFFIX or has_folder
    if path.suffix == SUFFIX and has_folder:
        raise MissingTapeError(what)
    return False


@contextmanager
def opened_by[What: (str, str | None), Opened: StoreReader](
    open_store: Callable[[str], Opened], store: str, what: What
) -> Iterator[tuple[Opened, What]]:
    """
    Open what holds WHAT: the store; or the tape that WHAT or `store` is, as a store of its own.

    Yields the reader that `open_store` gives, and what to ask it for. A tape's store is private and
    gone afterwards.
    """
    path = _tape_in(what)
    if path is not None:
        with tape_as_store(path) as (url, name), open_store(url) as reader:
            yield reader, name
    elif store.endswith(SUFFIX) and is_tape(store):
        with tape_as_store(Path(store)) as (url, _), open_store(url) as reader:
            yield reader, what
    else:
        with _store_opened(open_store, store, what) as reader:
            yield reader, what


def opened[What: (str, str | None)](
    store: str, what: What
) -> AbstractContextManager[tuple[StoreReader, What]]:
    """Open what holds WHAT, as `opened_by` does, for those whom any reader suits."""
    return opened_by(StoreReader, store, what)


@contextmanager
def opened_to_replay(store: str, what: str) -> "Iterator[tuple[Reader, str]]":
    """
    Open what holds WHAT, as `opened` does, for those who read a recording and nothing else.

    A tape is read into memory, which takes a hundredth of the time of a store, unless it is large.
    """
    path = _tape_in(what) or (Path(store) if store.endswith(SUFFIX) and is_tape(store) else None)
    if path is None or path.stat().st_size > IN_MEMORY_BYTES:
        with opened(store, what) as (reader, name):
            yield reader, name
        return
    from wiretape_store.tapes import tape_reader

    with tape_reader(path, os.environ) as tape:
        yield tape, what if _tape_in(what) is None else tape.recordings()[0].name


def no_tape(
    _context: click.Context, _argument: click.Parameter, what: str | tuple[str, ...] | None
) -> str | tuple[str, ...] | None:
    """Refuse a tape, for the `callback` of an argument that names what only a store has."""
    for each in (what,) if isinstance(what, str) else what or ():
        if is_tape(each):
            raise click.BadParameter(f"{each} is a tape: import it first ('wiretape import {each}')")
    return what


def _store_opened[Opened: StoreReader](
    open_store: Callable[[str], Opened], store: str, what: str | None
) -> Opened:
    try:
        return open_store(store)
    except MissingStoreError:
        for each in (what, store):
            if each is not None and each.endswith(SUFFIX):
                raise MissingTapeError(each) from None
        raise


def _tape_in(what: str | None) -> Path | None:
    return Path(what) if what is not None and is_tape(what) else None


@contextmanager
def tape_as_store(path: Path) -> Iterator[tuple[str, str]]:
    """A store with nothing but what is on a tape, gone afterwards: its URL, and the recording's name."""
    from wiretape_store.tapes import read_tape

    incoming = read_tape(path)
    with tempfile.TemporaryDirectory(prefix="wiretape-") as folder:
        url = str(Path(folder) / "tape.db")
        writer = StoreWriter(url, clock_us=lambda: time.time_ns() // 1000, synchronous=Synchronous.OFF)
        try:
            recording = import_recording(writer, incoming, environment=os.environ)
        finally:
            # Settling is for stores that stay.
            writer.abandon()
        yield url, recording.name
