"""How far long work has come, as one line on a terminal that is written over; nothing elsewhere."""

import shutil
import sys
import time
from types import TracebackType
from typing import Self

_EVERY_S = 0.1


class ProgressLine:
    """Shows text on stderr where that is a terminal; a context manager, which clears the line at its end."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._next_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def show(self, text: str) -> None:
        """Show how far it is, no more often than eyes can follow."""
        if not self._is_shown or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + _EVERY_S
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r\x1b[K{text[:width]}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Make room for another line."""
        if self._is_shown:
            self._next_s = 0.0
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
