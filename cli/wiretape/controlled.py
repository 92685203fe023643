"""The control API of the replay daemon: what its runs replay, and everything that serves them."""

import contextlib
import os
from collections.abc import AsyncIterator

from wiretape import __version__
from wiretape.control_options import ControlOptions
from wiretape.sources import opened
from wiretape_replay import ReplayedRecording, load_recording
from wiretape_replay.control import ControlServer
from wiretape_replay.pages import PageCache
from wiretape_replay.recordings import Reader
from wiretape_replay.runs import Runs
from wiretape_replay.server import split_address
from wiretape_replay.shared_port import SharedPort
from wiretape_replay.shelf import Shelf
from wiretape_store.tapes import tape_reader


@contextlib.asynccontextmanager
async def controlled(options: ControlOptions, store: str) -> AsyncIterator[tuple[ControlServer, Runs]]:
    """Serve the control API over the recordings of a store, which need not be there yet."""
    host, _ = split_address(options.listen)
    with contextlib.ExitStack() as stack:
        source = _Source(store, stack)
        shared = (host, 0) if options.shared is None else split_address(options.shared)
        shared_port = SharedPort(*shared)
        runs = Runs(Shelf(source.load, source.load_tape), shared_port, host=host)
        server = ControlServer(
            runs, shared_port, listen=options.listen, token=options.token, version=__version__
        )
        async with server:
            yield server, runs


class _Source:
    """The store, opened when a run asks for it first, and tapes that were sent."""

    def __init__(self, store: str, stack: contextlib.ExitStack) -> None:
        self._store = store
        self._stack = stack
        """Closes the store at the end."""
        self._reader: Reader | None = None
        self._cache = PageCache()

    def load(self, what: str) -> ReplayedRecording:
        if self._reader is None:
            # Nothing is asked for by name yet: WHAT could be a path, and clients name no files here.
            self._reader, _ = self._stack.enter_context(opened(self._store, None))
        return load_recording(self._reader, what, os.environ, self._cache)

    def load_tape(self, text: str) -> ReplayedRecording:
        reader = tape_reader(text, os.environ)
        return load_recording(reader, reader.recordings()[0].name, os.environ)
