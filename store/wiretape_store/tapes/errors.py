"""What is wrong with a tape, and in which line of it."""

from wiretape_protocols import WiretapeError


class LineError(ValueError):
    """A line cannot be read; whoever knows which line it is makes a TapeError of it."""


class TapeError(WiretapeError):
    """A tape cannot be read; nothing of it is imported."""

    def __init__(self, path: str, line: int | None, what: str) -> None:
        """Say `what` is wrong and what helps, without a final stop; lines count from 1."""
        super().__init__(path, line, what)
        self.path = path
        self.line = line
        """None where the file as a whole is meant."""
        self.what = what

    def __str__(self) -> str:
        """Make one sentence of the facts."""
        where = "" if self.line is None else f", line {self.line}"
        return f"tape {self.path}{where}: {self.what}"
