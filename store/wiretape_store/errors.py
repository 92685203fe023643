"""Every error of the store; each one says what happened, to which file, and what to do next."""

from collections.abc import Sequence
from enum import StrEnum

from wiretape_protocols import WiretapeError

NAMES_SHOWN = 10
"""So many existing names stand in the text about an unknown one."""


class StoreError(WiretapeError):
    """The store at `path` cannot be read or written."""

    def __init__(self, path: str, what: str, advice: str) -> None:
        """Say `what` failed and what the user can do (`advice`), both without a final stop."""
        super().__init__(path, what, advice)
        self.path = path
        self.what = what
        self.advice = advice

    def __str__(self) -> str:
        """Make one sentence of the facts."""
        return f"store {self.path}: {self.what}; {self.advice}"


class UncertainCommitError(StoreError):
    """The connection was lost during a commit: it was done or not, and nobody could be asked."""


class MissingStoreError(StoreError):
    """There is no file to read."""

    def __init__(self, path: str) -> None:
        """Name the path that was tried."""
        super().__init__(path, "missing", "record something first or name one with --store")

    def __str__(self) -> str:
        """Make one sentence of the facts."""
        return f"no store at {self.path}: {self.advice}"


class Refusal(StrEnum):
    """Why a file that is there is not opened as a store."""

    OLDER = "older"
    NEWER = "newer"
    FOREIGN = "foreign"
    """Whole, but not made by wiretape."""
    DAMAGED = "damaged"


class RefusedStoreError(StoreError):
    """A file is there, and opening it would lose or misread what it holds; it is left as it was."""

    def __init__(self, path: str, refusal: Refusal, what: str, advice: str) -> None:
        """Keep the reason as a value beside the text."""
        super().__init__(path, what, advice)
        self.refusal = refusal


class RecordingExistsError(StoreError):
    """A recording of that name is in the store already; recordings are never appended to."""

    def __init__(self, path: str, name: str) -> None:
        """Keep the name that is taken."""
        super().__init__(path, f"there is a recording named {name!r} already", "choose another name")
        self.name = name


class UnknownRecordingError(StoreError):
    """No recording has that name or id."""

    def __init__(self, path: str, asked: str, names: Sequence[str]) -> None:
        """Keep what was asked for, and the names that exist, newest first."""
        super().__init__(path, f"no recording {asked!r}", _known(names))
        self.asked = asked
        self.names = tuple(names)


class UnknownSessionError(StoreError):
    """No session has that id, or the session has no message of that number."""

    def __init__(self, path: str, session: str, seq: int | None = None) -> None:
        """Keep the session's id, and the number where it was a message that was asked for."""
        what = f"no session {session!r}" if seq is None else f"session {session} has no message {seq}"
        super().__init__(path, what, "'wiretape sessions' lists what there is")
        self.session = session
        self.seq = seq


def _known(names: Sequence[str]) -> str:
    if not names:
        return "it holds no recordings yet"
    shown = ", ".join(names[:NAMES_SHOWN])
    more = len(names) - NAMES_SHOWN
    return f"it holds {shown}" + (f" and {more} more" if more > 0 else "")
