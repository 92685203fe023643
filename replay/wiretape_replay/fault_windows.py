"""The part of what is queued that faults were asked about: which of its messages they strike."""

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from wiretape_replay.actions import Send, SendAnswer, SendRun
from wiretape_replay.fault_selection import ArmedFault, MessageId
from wiretape_replay.script import Script

WINDOW = 4096
"""How many messages of a run are looked at in one go."""
_UNRECORDED = -1
# What belongs to no stream can change places among its own kind.
_ANSWERS, _OTHERS = "\0answers", "\0others"

Sendable = SendRun | SendAnswer | Send


class Message(NamedTuple):
    """A message whose turn has come."""

    sent: Sendable
    """Of a run it is one message long."""
    id: MessageId
    method: str
    stream: str
    line: str
    """The stream, or what stands for it, within which it can change places."""
    seq: int | None


class Window:
    """
    The beginning of a queued item, as long as some of it was not let through.

    `count`: how many messages came before that are not in the recording.
    """

    def __init__(self, script: Script, item: Sendable, count: int) -> None:
        self._script = script
        self._item = item
        self._count = count
        self.first, self.last = _numbers(item)
        """The messages that it is about, by number; of a message that is not in the recording both are -1."""
        self._struck: deque[tuple[int, list[ArmedFault]]] = deque()
        """What is still to be struck, in order, each with its faults in the order of their list."""

    def ask(self, faults: Iterable[ArmedFault]) -> None:
        """Find out what these faults strike from `first` on, besides what others do. They count it."""
        struck = dict(self._struck)
        for armed in faults:
            for number in self._struck_by(armed):
                struck.setdefault(number, []).append(armed)
        for together in struck.values():
            together.sort(key=lambda armed: armed.place)
        self._struck = deque(sorted(struck.items()))

    def forget(self, gone: Iterable[ArmedFault]) -> None:
        """Strike nothing more with these faults."""
        identities = {id(armed) for armed in gone}
        for _, together in self._struck:
            together[:] = [armed for armed in together if id(armed) not in identities]

    def faults(self) -> Iterator[ArmedFault]:
        """The faults that are still to strike something."""
        return (armed for _, together in self._struck for armed in together)

    def next_stop(self, lines: Collection[str]) -> int | None:
        """The next message that is struck, or that is of one of these lines; None: there is none."""
        struck = self._struck[0][0] if self._struck else None
        if lines:
            before = self.last + 1 if struck is None else struck
            for number in range(self.first, before):
                if self._line(number) in lines:
                    return number
        return struck

    def faults_of(self, number: int) -> list[ArmedFault]:
        """The faults that strike a message, which is the next stop."""
        return self._struck[0][1] if self._struck and self._struck[0][0] == number else []

    def go_on(self, after: int) -> None:
        """All up to this message is dealt with."""
        self.first = after + 1
        while self._struck and self._struck[0][0] <= after:
            self._struck.popleft()

    def part(self, first: int, last: int) -> Sendable:
        """The messages from `first` to `last`, as they are sent."""
        return SendRun(first, last) if isinstance(self._item, SendRun) else self._item

    def message(self, number: int) -> Message:
        """One of the messages."""
        item, script = self._item, self._script
        if isinstance(item, Send):
            return Message(item, MessageId(number, self._count), item.method, "", _OTHERS, None)
        return Message(
            self.part(number, number),
            MessageId(number, item.again),
            script.method(number),
            script.stream(number),
            self._line(number),
            script.seq(number),
        )

    def rest(self) -> SendRun | None:
        """What of the item follows the window; None where nothing does."""
        item = self._item
        if not isinstance(item, SendRun) or item.last == self.last:
            return None
        return SendRun(self.last + 1, item.last)

    def _line(self, number: int) -> str:
        if number == _UNRECORDED:
            return _OTHERS
        return _ANSWERS if number in self._script.answers else self._script.stream(number)

    def _struck_by(self, armed: ArmedFault) -> Iterable[int]:
        item = self._item
        if isinstance(item, SendRun) and not item.again:
            return armed.in_run(self._script, self.first, self.last)
        if self.first > self.last:
            return ()
        message = self.message(self.first)
        return (self.first,) if armed.strikes(message.id, message.method, message.stream) else ()


def _numbers(item: Sendable) -> tuple[int, int]:
    if isinstance(item, SendRun):
        return item.first, min(item.last, item.first + WINDOW - 1)
    number = item.number if isinstance(item, SendAnswer) else _UNRECORDED
    return number, number
