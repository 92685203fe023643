"""Files for their owner alone: what a recording says is nobody else's business."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TextIO

_OWNER_ONLY = 0o600


def open_private(path: str | Path) -> TextIO:
    """
    Open a text file for writing, line by line, that only its owner may read. Raises OSError.

    One that is there already is emptied and closed to others too; a device stays as it is.
    """
    # Half a surrogate pair, which JSON may spell, becomes JSON's own escape for it.
    file = open(path, "w", buffering=1, encoding="utf-8", errors="backslashreplace", opener=_opener)  # noqa: SIM115
    with suppress(OSError):
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            os.fchmod(file.fileno(), _OWNER_ONLY)
    return file


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags, _OWNER_ONLY)
