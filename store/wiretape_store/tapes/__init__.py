"""Tapes: one recording as a text file that people read, edit and keep in git. `docs/tape.md` is the format."""

from wiretape_store.tapes.errors import TapeError
from wiretape_store.tapes.in_memory import tape_reader
from wiretape_store.tapes.reading import read_tape
from wiretape_store.tapes.spelling_out import tape_of
from wiretape_store.tapes.writing import write_tape

__all__ = ["TapeError", "read_tape", "tape_of", "tape_reader", "write_tape"]
