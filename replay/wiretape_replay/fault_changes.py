"""What faults make of one message's bytes, and how they say it. Pure functions of message, fault and draws."""

from wiretape_protocols import Opcode
from wiretape_replay.actions import Send
from wiretape_replay.fault_actions import SendFilled
from wiretape_replay.fault_selection import ArmedFault, MessageId
from wiretape_replay.faults import DEFAULT_OVERSIZE_BYTES, Fault


def corrupted(sent: Send, armed: ArmedFault, message: MessageId) -> tuple[Send, str]:
    """One byte of the message is another one. An empty message stays as it is, and nothing is said."""
    size = len(sent.wire)
    if not size:
        return sent, ""
    byte = armed.fault.byte
    place = armed.draws.below(size, message, b"byte") if byte is None else min(byte, size - 1)
    was = sent.wire[place]
    now = was ^ (1 + armed.draws.below(255, message, b"mask"))
    wire = b"".join((sent.wire[:place], bytes((now,)), sent.wire[place + 1 :]))
    return sent._replace(wire=wire), f"byte {place} of {size} is {now:#04x} instead of {was:#04x}"


def truncated(sent: Send, fault: Fault) -> tuple[Send, str]:
    """Only the message's beginning. One that is not longer stays as it is, and nothing is said."""
    size = len(sent.wire)
    kept = size // 2 if fault.size_bytes is None else fault.size_bytes
    if kept >= size:
        return sent, ""
    return sent._replace(wire=sent.wire[:kept]), f"truncated to {kept} of {size} bytes"


def filled(sent: Send, fault: Fault) -> tuple[Send | SendFilled, str]:
    """
    The message filled up: a text with spaces, so that JSON stays JSON, anything else with zeros.

    One that is not shorter stays as it is, and nothing is said.
    """
    size = DEFAULT_OVERSIZE_BYTES if fault.size_bytes is None else fault.size_bytes
    if size <= len(sent.wire):
        return sent, ""
    filler = ord(" ") if sent.opcode is Opcode.TEXT else 0
    return SendFilled(sent.opcode, sent.wire, filler, size), f"{size} bytes instead of {len(sent.wire)}"
