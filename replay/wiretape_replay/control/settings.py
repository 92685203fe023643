"""The limits of the control API. Values only."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """What a control API allows, and how patient it is."""

    body_bytes: int = 64 * 1024 * 1024
    """Of one request; tapes are the large ones."""
    heartbeat_s: float = 15.0
    """An event stream that is silent for so long sends a comment."""
    patience_s: float = 30.0
    """A client that has not read a piece of its event stream for so long is given up."""
    stopping_us: int = 4_500_000
    """How long all of it may take to end."""

    @property
    def run_stopping_us(self) -> int:
        """How long a run waits for its clients to go; what is left is for the API's own clients."""
        return self.stopping_us * 2 // 3
