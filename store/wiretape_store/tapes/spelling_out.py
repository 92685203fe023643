"""A recording that is not in a store yet, as the text of a tape."""

import io
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from wiretape_store.database import Synchronous
from wiretape_store.importing import IncomingRecording, import_recording
from wiretape_store.reader import StoreReader
from wiretape_store.tapes.writing import write_tape
from wiretape_store.writer import StoreWriter


def tape_of(incoming: IncomingRecording, environment: Mapping[str, str] | None = None) -> bytes:
    """
    What `write_tape` would write of a recording, were it imported into a store.

    It is, into one that is private and gone afterwards: secrets are replaced on the way. Raises what
    `import_recording` and `write_tape` do.
    """
    with tempfile.TemporaryDirectory(prefix="wiretape-") as folder:
        store = str(Path(folder) / "tape.db")
        with StoreWriter(store, clock_us=_now_us, synchronous=Synchronous.OFF) as writer:
            name = import_recording(writer, incoming, environment=environment).name
        with StoreReader(store) as reader, io.BytesIO() as file:
            write_tape(reader, name, file)
            return file.getvalue()


def _now_us() -> int:
    return time.time_ns() // 1000
