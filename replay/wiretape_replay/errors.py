"""What can go wrong before or beside a replay; a divergence is no error but an entry of the journal."""

from collections.abc import Sequence

from wiretape_protocols import WiretapeError


class ReplayError(WiretapeError):
    """The root of the errors of this package."""


class SettingError(ReplayError):
    """A setting that says nothing this version understands."""

    usage = True

    def __init__(self, setting: str, value: str, accepted: str) -> None:
        super().__init__(setting, value, accepted)
        self.setting = setting
        self.value = value
        self.accepted = accepted

    def __str__(self) -> str:
        return f"{self.setting} {self.value!r} is not known: use {self.accepted}"


class NothingToReplayError(ReplayError):
    """A recording without a single session."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} holds no session, so there is nothing to replay: record some traffic first"


class ListenError(ReplayError):
    """An address that the daemon could not listen on; the cause is the system's own error."""

    def __init__(self, address: str, upstream: str, why: str) -> None:
        super().__init__(address, upstream, why)
        self.address = address
        self.upstream = upstream
        self.why = why

    def __str__(self) -> str:
        return (
            f"cannot listen on {self.address} for upstream {self.upstream}: {self.why}; "
            "stop what listens there, or name another address with --listen (port 0: any free one)"
        )


class NotPossibleError(ReplayError):
    """What was asked of a run cannot be done as it stands; the text says why and what to do."""


class UnknownUpstreamError(ReplayError):
    """The recording has no upstream of that name."""

    usage = True

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(name, known)
        self.name = name
        self.known = known

    def __str__(self) -> str:
        return f"the recording has no upstream {self.name!r}: name one of {', '.join(self.known)}"


class NoConnectionError(NotPossibleError):
    """Nobody is connected who could be pushed to, or disconnected."""

    def __init__(self, upstream: str | None, connection: int | None) -> None:
        super().__init__(upstream, connection)
        self.upstream = upstream
        self.connection = connection

    def __str__(self) -> str:
        to = "" if self.upstream is None else f" to {self.upstream}"
        if self.connection is not None:
            return (
                f"connection {self.connection}{to} is not open: the journal says when it was opened and ended"
            )
        return f"no connection{to} is open: wait for the journal's entry 'opened' first"


class NothingToStepError(NotPossibleError):
    """A step up to a push that the recording does not have any more."""

    def __init__(self, step: str, session: str) -> None:
        super().__init__(step, session)
        self.step = step
        self.session = session

    def __str__(self) -> str:
        return (
            f"cannot step {self.step}: session {self.session} has no such push left; "
            f"'wiretape show {self.session}' lists what it has"
        )


class InconsistentRecordingError(ReplayError):
    """What is read of a session contradicts what was read of it before."""

    def __init__(self, session_id: str, first_seq: int, last_seq: int) -> None:
        super().__init__(session_id, first_seq, last_seq)
        self.session_id = session_id
        self.first_seq = first_seq
        self.last_seq = last_seq

    def __str__(self) -> str:
        return (
            f"messages {self.first_seq} to {self.last_seq} of session {self.session_id} contradict the rest of the "
            "recording, so they are not replayed: 'wiretape check' says what is wrong with the store"
        )


class ClosedRecordingError(ReplayError):
    """A recording was closed before all of it was known."""

    def __str__(self) -> str:
        return "the recording was closed while it was replayed"
