"""Reading a tape as a store is read, without making one."""

from collections.abc import Mapping

from wiretape_store.importing import import_recording
from wiretape_store.memory_store import MemoryStore
from wiretape_store.tapes.reading import Tape, read_tape, tape_name


def tape_reader(tape: Tape, environment: Mapping[str, str] | None = None) -> MemoryStore:
    """
    Read a tape, given by its path or as a text, into memory.

    What is read of it is what is read of a store that it was imported into; `environment` is as in
    `import_recording`. Takes several times as much memory as the tape has bytes. Raises TapeError.
    """
    store = MemoryStore(tape_name(tape))
    import_recording(store, read_tape(tape), environment=environment)
    return store
