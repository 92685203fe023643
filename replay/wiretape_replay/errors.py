"""What can go wrong before or beside a replay; a divergence is no error but an entry of the journal."""

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
