"""How a run is to be replayed: order, pace, what a miss does. Values only; nothing here acts on them."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from wiretape_replay.errors import SettingError

_FACTOR = re.compile(r"x(\d+(?:\.\d+)?)")


class Order(StrEnum):
    """What a recorded upstream message waits for."""

    RECORDED = "recorded"
    """For every client message recorded before it, background excepted."""


class OnMiss(StrEnum):
    """What happens to a client message that the recording cannot answer."""

    ERROR = "error"
    """It is answered as the upstream would refuse it, or met with the upstream's silence."""
    CLOSE = "close"
    """The connection is closed with code 1008, and the reason says what was missed."""


@dataclass(frozen=True, slots=True)
class Pace:
    """
    When a message that is free to go is due.

    `factor` is how many times faster than recorded; None for as soon as possible.
    """

    factor: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `asap`, `realtime` or `xN` (N times faster). Raises SettingError for anything else."""
        if text == "asap":
            return cls(None)
        if text == "realtime":
            return cls(1.0)
        match = _FACTOR.fullmatch(text)
        if match is None or not (factor := float(match.group(1))):
            raise SettingError("pace", text, "asap, realtime, or a factor such as x10")
        return cls(factor)

    def __str__(self) -> str:
        if self.factor is None:
            return "asap"
        return "realtime" if self.factor == 1 else f"x{self.factor:g}"


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """The settings of one run. Times are microseconds."""

    order: Order = Order.RECORDED
    pace: Pace = field(default_factory=Pace)
    on_miss: OnMiss = OnMiss.ERROR
    stall_us: int = 5_000_000
    """A recorded message that waits longer than this for the client's next message is a stall."""
    strict: bool = False
    """Whoever started the run fails it unless its verdict is `ok`; the replay itself is the same."""
    handshake_us: int = 10_000_000
    """How long a client may take to send its handshake."""
    closing_us: int = 5_000_000
    """How long a client may take to end its side after this one has ended."""
    stopping_us: int = 3_000_000
    """How long `stop` waits for the clients to go before it cuts their connections."""
