"""
Files that appear under their name only when they are whole and have passed their check.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from wiretape.formats import STDOUT
from wiretape_protocols import WiretapeError

Step = Callable[[BinaryIO], None]

_SQLITE_MAGIC = b"SQLite format 3\0"  # https://sqlite.org/fileformat.html, 1.3.1
_SQLITE_COMPANIONS = ("", "-wal", "-shm", "-journal")
"""What SQLite appends to a database's name for the files that belong to it."""


class OutputError(WiretapeError):
    """A file cannot be written."""

    def __init__(self, path: str, why: str, advice: str) -> None:
        """Say why not, and what helps, both without a final stop."""
        super().__init__(path, why, advice)
        self.path = path
        self.why = why
        self.advice = advice

    def __str__(self) -> str:
        """Make one sentence of the facts."""
        return f"cannot write {self.path}: {self.why}; {self.advice}"


def write_whole(path: str, fill: Step, check: Step | None = None) -> int:
    """
    Let `fill` write a draft and `check` read it, then give it its name; returns its size in bytes.

    Whatever they raise leaves `path` as it was. Only the owner may read the file. `-` is stdout.
    Raises OutputError.
    """
    if path == STDOUT:
        with tempfile.TemporaryFile() as temporary:
            draft = cast("BinaryIO", temporary)
            size_bytes = _filled(draft, fill, check)
            shutil.copyfileobj(draft, sys.stdout.buffer)
            return size_bytes
    # What a link leads to is replaced, not the link.
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OutputError(path, "it is there and is no regular file", "name another")
    if _is_of_a_database(target):
        raise OutputError(
            path, "it is a SQLite database or belongs to one, such as a store", "name another file"
        )
    try:
        return _written(target, fill, check)
    except OSError as exc:
        advice = "name another file, or give it room and this user the right to write there"
        raise OutputError(path, exc.strerror or str(exc), advice) from exc


def _is_of_a_database(target: Path) -> bool:
    name = str(target)
    bases = (Path(name.removesuffix(end)) for end in _SQLITE_COMPANIONS if name.endswith(end))
    return any(_begins_as_database(base) for base in bases)


def _begins_as_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    except OSError:
        return False


def _written(target: Path, fill: Step, check: Step | None) -> int:
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # of mode 0600
    draft_path = Path(name)
    try:
        with os.fdopen(descriptor, "w+b") as draft:
            size_bytes = _filled(draft, fill, check)
            os.fsync(descriptor)
        draft_path.replace(target)
    except BaseException:
        draft_path.unlink(missing_ok=True)
        raise
    return size_bytes


def _filled(draft: BinaryIO, fill: Step, check: Step | None) -> int:
    fill(draft)
    size_bytes = draft.seek(0, os.SEEK_END)
    draft.seek(0)
    if check is not None:
        check(draft)
        draft.seek(0)
    return size_bytes
