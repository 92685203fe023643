"""What the faults tell the driver to do, beside the engine's own actions. Values only."""

from dataclasses import dataclass
from typing import NamedTuple

from wiretape_protocols import Opcode
from wiretape_replay.actions import Abort, Close, Send, SendAnswer, SendRun
from wiretape_replay.frames import header


class SendFilled(NamedTuple):
    """
    Send a message of `size` bytes: `wire`, filled up with the byte `filler`.

    It is sent in pieces and never compressed, so however large it is, nobody holds it as a whole.
    """

    opcode: Opcode
    wire: bytes
    filler: int
    size: int

    @property
    def head(self) -> bytes:
        """The frame as far as it is not filler."""
        return header(self.opcode, self.size) + self.wire

    @property
    def left(self) -> int:
        """How many bytes of the frame are filler."""
        return self.size - len(self.wire)


class SendHalf(NamedTuple):
    """Send the first half of this message's frame, then end TCP; the last action there is."""

    send: Send | SendFilled
    reset: bool
    """End it with RST, once the client's system has all that was sent before; else with FIN."""


@dataclass(frozen=True, slots=True)
class FaultyClose(Close):
    """The close frame of a fault."""


Sent = SendRun | SendAnswer | Send | SendFilled
"""A message on its way out, or a run of them."""

Queued = SendRun | SendAnswer | Send | bytes | Close | Abort
"""What the engine wants done; bytes are a control frame that the library has made."""

Passed = Sent | SendHalf | bytes | Close | Abort
"""What comes out of the stage."""
