"""
What somebody has let go in a stepped run.

A step is a credit: it counts for pushes that become free later as well, so it does not matter whether
it or the client's own message comes first.
"""

from collections import deque
from dataclasses import dataclass

from wiretape_replay.errors import SettingError
from wiretape_replay.script import Script

_ACCEPTED = "one of messages (1 or more), method, stream and until_us"


@dataclass(frozen=True, slots=True)
class Step:
    """How far to go; exactly one of the four is set. Raises SettingError otherwise."""

    messages: int | None = None
    """So many pushes."""
    method: str | None = None
    """Up to and including the next push of this method."""
    stream: str | None = None
    """Up to and including the next push of this stream."""
    until_us: int | None = None
    """Everything recorded up to this time of the session."""

    def __post_init__(self) -> None:
        given = [
            value for value in (self.messages, self.method, self.stream, self.until_us) if value is not None
        ]
        if len(given) != 1 or (self.messages is not None and self.messages < 1):
            raise SettingError("step", str(self), _ACCEPTED)

    def __str__(self) -> str:
        if self.messages is not None:
            return "1 push" if self.messages == 1 else f"{self.messages} pushes"
        if self.until_us is not None:
            return f"until {self.until_us} us"
        return f"until method {self.method}" if self.method is not None else f"until stream {self.stream}"

    def ends_with(self, script: Script, number: int) -> bool:
        """Whether upstream message `number` is the one that this step goes up to."""
        if self.method is not None:
            return script.method(number) == self.method
        return self.stream is not None and script.stream(number) == self.stream


class Credit:
    """The steps that were asked for and not used yet, the oldest first."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._steps: deque[Step] = deque()
        self._messages = 0
        """What is left of the oldest step, where it counts messages."""
        self._until_us = -1

    @property
    def owed(self) -> int:
        """How many pushes may still go for steps that count them."""
        later = list(self._steps)[1:]
        return self._messages + sum(step.messages or 0 for step in later)

    def grant(self, step: Step) -> None:
        """Let more pushes go."""
        if step.until_us is not None:
            self._until_us = max(self._until_us, step.until_us)
            return
        self._steps.append(step)
        if len(self._steps) == 1:
            self._messages = step.messages or 0

    def covers(self, number: int) -> bool:
        """Whether push `number` may go."""
        return bool(self._steps) or self._script.time_us(number) <= self._until_us

    def use(self, number: int) -> None:
        """Push `number` goes."""
        if self._script.time_us(number) <= self._until_us or not self._steps:
            return
        if self._messages > 1:
            self._messages -= 1
        elif self._messages == 1 or self._steps[0].ends_with(self._script, number):
            self._steps.popleft()
            self._messages = (self._steps[0].messages or 0) if self._steps else 0
