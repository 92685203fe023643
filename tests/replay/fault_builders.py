"""A fault stage fed by hand, and what it lets through, as text."""

import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from replay_builders import TINY, a_session, messages

from wiretape_protocols import Opcode
from wiretape_replay import Close, Fault, Script, Send, SendAnswer, SendRun, compile_script
from wiretape_replay.fault_actions import Passed, Queued, SendFilled, SendHalf
from wiretape_replay.fault_selection import arm
from wiretape_replay.fault_stage import PIECES, FaultStage
from wiretape_replay.fault_strikes import Strike


def faults(*texts: str) -> tuple[Fault, ...]:
    return tuple(Fault.parse(text) for text in texts)


def pushes(count: int, stream: str = "deals") -> Script:
    """A script of so many pushes: `push deals:0`, `push deals:1` and so on."""
    lines = [f"< push {stream}:{number}" for number in range(count)]
    return compile_script(a_session(), messages(lines), TINY)


class Staged:
    """A stage on the first connection to `up`; time stands still until a test moves it."""

    def __init__(
        self, script: Script, *texts: str, seed: int = 0, connection: int = 1, upstream: str = "up"
    ) -> None:
        self.script = script
        self.now_us = 0
        self.strikes: list[Strike] = []
        self._who: dict[str, Any] = {"seed": seed, "upstream": upstream, "connection": connection}
        self.stage = FaultStage(script, self._spell, self.strikes.append)
        self.set_faults(*texts)

    def set_faults(self, *texts: str) -> None:
        self.stage.set_faults(arm(enumerate(faults(*texts)), **self._who), self.now_us)

    def send(self, *items: Queued, pieces: int = PIECES) -> list[str]:
        """Put these, and take what comes; all in one go."""
        self.stage.put(items, self.now_us)
        return self.take(pieces=pieces)

    def run(self, first: int = 0, last: int | None = None) -> list[str]:
        """Send recorded messages, all of them where nothing else is said."""
        return self.send(SendRun(first, self.script.count - 1 if last is None else last))

    def wait(self, until_s: float) -> list[str]:
        self.now_us = round(until_s * 1_000_000)
        return self.take()

    def take(self, *, pieces: int = PIECES) -> list[str]:
        heard: list[str] = []
        while True:
            passed = self.stage.take(self.now_us, pieces)
            heard += [text for each in passed for text in shown(self.script, each)]
            if not self.stage.ready:
                return heard

    def details(self) -> list[str]:
        """What the journal is told: the message's number in the session, and what was done."""
        return [
            strike.detail if strike.seq is None else f"{strike.seq} {strike.detail}"
            for strike in self.strikes
        ]

    def _spell(self, number: int, id_text: bytes | None) -> Send:
        opcode, wire = self.script.message(number)
        return Send(opcode, TINY.with_id(wire, id_text))


def shown(script: Script, passed: Passed) -> Sequence[str]:
    """What a client gets of an action, a text for each message."""
    if isinstance(passed, SendRun):
        return [_text(script.message(number)[1]) for number in range(passed.first, passed.last + 1)]
    return [_one(script, passed)]


def _one(script: Script, passed: Passed) -> str:  # noqa: PLR0911 - a line for each action
    match passed:
        case SendAnswer(number, id_text):
            return _text(TINY.with_id(script.message(number)[1], id_text))
        case SendHalf(Send(_, wire), reset):
            return f"[half of {_text(wire)}, {'reset' if reset else 'end'}]"
        case SendHalf(SendFilled(_, wire, _, size), _):
            return f"[half of {size} bytes]"
        case Send(_, wire):
            return _text(wire)
        case SendFilled(opcode, wire, filler, size):
            filled = chr(filler) if opcode is Opcode.TEXT else f"\\x{filler:02x}"
            return f"[{_text(wire)}, filled up with {filled!r} to {size}]"
        case bytes():
            return "[pong]" if passed[0] == 0x8A else f"[{passed.hex()}]"
        case Close(code, reason):
            return f"[close {code} {reason or ''}]".replace(" ]", "]")
    return "[abort]"


def _text(wire: bytes) -> str:
    return wire.decode(errors="replace")


@contextmanager
def at_most(most_bytes: int) -> Iterator[None]:
    """Fail if what is done within takes more memory at once; nothing is traced afterwards, whatever happens."""
    tracemalloc.start()
    try:
        yield
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < most_bytes
