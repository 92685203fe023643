"""What the engine tells its driver to do, in order. Values only."""

from dataclasses import dataclass
from typing import NamedTuple

from wiretape_protocols import Opcode, Request


class SendRun(NamedTuple):
    """
    Send the recorded upstream messages `first` to `last`, both included, as they were.

    The numbers count the session's upstream messages from 0. However long the run, the driver sends
    it in pieces, as fast as the client reads.
    """

    first: int
    last: int
    again: int = 0
    """How often it was sent before, of an answer that is repeated."""


class Send(NamedTuple):
    """Send one message that is not in the recording as it is."""

    opcode: Opcode
    wire: bytes
    deflated: bool = False
    """Compress it, where permessage-deflate was agreed on."""
    method: str = ""
    """Of the call that it answers; empty where it answers none."""


class SendAnswer(NamedTuple):
    """
    Send the recorded answer `number` under another id; `ReplaySession.spell` makes its bytes.

    The driver has them made when the answer's turn comes: thousands of waiting answers then take no
    more memory than their ids.
    """

    number: int
    id_text: bytes | None
    again: int = 0
    """How often it was sent before, of an answer that is repeated."""


class Forward(NamedTuple):
    """Pass a client's message on to the live upstream, as it came; `ReplaySession.stranded` if that fails."""

    opcode: Opcode
    wire: bytes
    request: Request
    """What it means."""
    payload: bytes
    """Redacted."""


@dataclass(frozen=True, slots=True)
class Close:
    """Send a close frame (None: without a code) and end the connection; the last action there is."""

    code: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Abort:
    """End TCP without a close frame; the last action there is."""


Action = SendRun | Send | SendAnswer | Forward | Close | Abort
