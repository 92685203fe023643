"""Recordings that runs share: each is prepared once, and kept for a while after its last run."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from wiretape_replay.recordings import ReplayedRecording
from wiretape_store.records import Session

_KEPT = 32
_KEPT_BYTES = 64 * 1024 * 1024
_MESSAGE_BYTES = 300  # what a compiled message takes besides its own bytes, about


@dataclass(eq=False, slots=True)
class Loan:
    """A recording in use; give it back once."""

    recording: ReplayedRecording
    key: str
    users: int = field(default=0)


class Shelf:
    """
    Lends recordings out.

    `load` prepares a recording of the store, `load_tape` one from a tape's text. Recordings that
    nobody uses are kept as long as they are few and small, since the next run probably wants one of
    them; the least recently used goes first, and a large one at once.
    """

    def __init__(
        self,
        load: Callable[[str], ReplayedRecording],
        load_tape: Callable[[str], ReplayedRecording],
        *,
        kept: int = _KEPT,
        kept_bytes: int = _KEPT_BYTES,
    ) -> None:
        self._load = load
        self._load_tape = load_tape
        self._kept = kept
        self._kept_bytes = kept_bytes
        self._shelved: dict[str, Loan] = {}
        """By key, the least recently used first."""

    def borrow(self, what: str) -> Loan:
        """
        The recording or session `what` of the store, as it is now.

        Raises what reading it raises.
        """
        fresh = self._load(what)
        key = f"store:{what}"
        shelved = self._shelved.pop(key, None)
        if shelved is None or _contents(shelved.recording) != _contents(fresh):
            shelved = Loan(fresh, key)
        return self._lend(shelved)

    def borrow_tape(self, text: str) -> Loan:
        """The recording on a tape. Raises what reading it raises."""
        key = f"tape:{hashlib.sha256(text.encode()).hexdigest()}"
        shelved = self._shelved.pop(key, None)
        if shelved is None:
            shelved = Loan(self._load_tape(text), key)
        return self._lend(shelved)

    def give_back(self, loan: Loan) -> None:
        """The borrower does not use the recording any more."""
        loan.users -= 1
        if not loan.users and self._shelved.get(loan.key) is not loan:
            loan.recording.close()  # another has taken its place
        self._tidy()

    def _lend(self, loan: Loan) -> Loan:
        loan.users += 1
        self._shelved[loan.key] = loan
        self._tidy()
        return loan

    def _tidy(self) -> None:
        """Let go of what nobody uses and there is no room for."""
        count = size = 0
        for loan in reversed(list(self._shelved.values())):
            if loan.users:
                continue
            count += 1
            size += _size_of(loan)
            if count > self._kept or size > self._kept_bytes:
                del self._shelved[loan.key]
                loan.recording.close()
                count -= 1
                size -= _size_of(loan)


def _contents(recording: ReplayedRecording) -> tuple[object, ...]:
    """What makes a recording another one than that of its name before: new sessions, other rules."""
    return recording.redaction, *_sessions(recording)


def _sessions(recording: ReplayedRecording) -> list[Session]:
    return [session for upstream in recording.upstreams for session in upstream.sessions]


def _size_of(loan: Loan) -> int:
    return sum(
        session.wire_bytes + _MESSAGE_BYTES * (session.messages_from_client + session.messages_from_upstream)
        for session in _sessions(loan.recording)
    )
