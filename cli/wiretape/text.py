"""How tables, times, sizes and messages look on a terminal."""

from collections.abc import Sequence

from wiretape_protocols import Opcode
from wiretape_store import End, Message
from wiretape_store.message_objects import message_object, time_text

__all__ = [
    "bytes_text",
    "counted",
    "end_text",
    "message_line",
    "message_object",
    "printable",
    "table",
    "time_text",
]


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under headings; those that hold only numbers stand on the right."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    right = [all(cell[:1].isdigit() for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if at_right else cell.ljust(width)
            for cell, width, at_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in (headings, *rows)
    ]
    return "\n".join(lines)


def bytes_text(count: int) -> str:
    """A number of bytes, in the unit that reads best."""
    if count < 10_000:
        return f"{count} B"
    if count < 10_000_000:
        return f"{count / 1000:.1f} kB"
    return f"{count / 1_000_000:.1f} MB"


def counted(count: int, noun: str) -> str:
    """A number and what there are so many of: 1 session, 2 sessions."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def printable(text: str) -> str:
    """A text in which nothing moves the cursor or rings: what came from a network goes to a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


def end_text(end: End) -> str:
    """How a session ended, and by whom."""
    code = f" {end.code}" if end.code is not None else ""
    side = "" if end.from_client is None else (" by the client" if end.from_client else " by the upstream")
    reason = f" ({end.reason})" if end.reason else ""
    return printable(end.kind.value + code + side + reason)


def message_line(message: Message, *, width: int | None = None, prefix: str = "") -> str:
    """A message as one line for people: when, which way, what for, and its text."""
    arrow = "->" if message.from_client else "<-"
    role = message.role.name.lower()
    answers = "" if message.answers is None else f" of {message.answers}"
    try:
        payload = " ".join(message.payload.decode().split())
    except UnicodeDecodeError:
        payload = f"({len(message.payload)} bytes) {message.payload[:32].hex()}"
    packed = f" [{message.codec.kind.value}]" if message.codec.kind.value != "identity" else ""
    if message.opcode is Opcode.BINARY and not packed:
        packed = " [binary]"
    payload = printable(payload)
    line = f"{prefix}{message.seq:5} {message.at_us / 1e6:10.6f} {arrow} {role}{answers}{packed} {payload}"
    return line if width is None or len(line) <= width else line[: width - 1] + "…"
