"""How a run is to be replayed: order, pace, what a miss does. Values only; nothing here acts on them."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from wiretape_replay.errors import SettingError
from wiretape_replay.faults import Fault
from wiretape_replay.relaxing import Relaxation

_FACTOR = re.compile(r"x(\d+(?:\.\d+)?)")


class Order(StrEnum):
    """What a recorded upstream message waits for."""

    RECORDED = "recorded"
    """For every client message recorded before it, background excepted."""
    FREE = "free"
    """An answer for its call, a push for its own subscription and what precedes it in its stream."""


class OnMiss(StrEnum):
    """What happens to a client message that the recording cannot answer."""

    ERROR = "error"
    """It is answered as the upstream would refuse it, or met with the upstream's silence."""
    CLOSE = "close"
    """The connection is closed with code 1008, and the reason says what was missed."""
    FORWARD = "forward"
    """It goes to the live upstream, unless it may change the world."""
    RECORD = "record"
    """As `forward`, and the whole conversation is stored as a new recording."""

    @property
    def reaches_upstream(self) -> bool:
        """Whether the live upstream is asked."""
        return self in (OnMiss.FORWARD, OnMiss.RECORD)


class Repeats(StrEnum):
    """What a client message gets whose recorded ones are all used up."""

    READS = "reads"
    """The last answer again, where it only reads; anything else is a miss."""
    NEVER = "never"
    """It is a miss."""


class Reconnect(StrEnum):
    """What a connection gets after the last recorded session."""

    REFUSE = "refuse"
    """Status 503, which says so."""
    LAST = "last"
    """The last session, again and again."""
    CYCLE = "cycle"
    """All of them once more, from the first on."""


@dataclass(frozen=True, slots=True)
class Pace:
    """
    When a message that is free to go is due.

    `factor` is how many times faster than recorded; None for as soon as possible. With `stepped` no
    push is due before somebody asks for it.
    """

    factor: float | None = None
    stepped: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `asap`, `realtime`, `xN` (N times faster) or `step`. Raises SettingError for anything else."""
        if text in ("asap", "step"):
            return cls(None, stepped=text == "step")
        if text == "realtime":
            return cls(1.0)
        match = _FACTOR.fullmatch(text)
        if match is None or not (factor := float(match.group(1))):
            raise SettingError("pace", text, "asap, realtime, step, or a factor such as x10")
        return cls(factor)

    def __str__(self) -> str:
        if self.factor is None:
            return "step" if self.stepped else "asap"
        return "realtime" if self.factor == 1 else f"x{self.factor:g}"


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """The settings of one run. Times are microseconds."""

    order: Order = Order.RECORDED
    pace: Pace = field(default_factory=Pace)
    on_miss: OnMiss = OnMiss.ERROR
    allow_effects: bool = False
    """Whether `forward` and `record` let messages through that may change the world."""
    repeats: Repeats = Repeats.READS
    reconnect: Reconnect = Reconnect.REFUSE
    relax: tuple[Relaxation, ...] = ()
    """What need not be equal for a match, besides what the protocol's adapter relaxes."""
    faults: tuple[Fault, ...] = ()
    """What goes wrong; see `Run.set_faults`."""
    seed: int = 0
    """What the chances of faults are drawn from."""
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
