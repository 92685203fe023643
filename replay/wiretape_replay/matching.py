"""Finds the recorded client message that a live one repeats, by what the two ask for."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from wiretape_protocols import Relaxed, Request, Role
from wiretape_replay.script import Script
from wiretape_replay.script_index import Numbers
from wiretape_replay.settings import Repeats

_CANDIDATES = 256  # recorded messages compared to name the nearest one of a miss
_SHOWN = 60  # characters of the two keys around what differs


class MatchKind(StrEnum):
    """What was found for a live client message."""

    FRESH = "fresh"
    """A recorded message that no live one has used yet."""
    REPEATED = "repeated"
    """All recorded ones are used up, but a read may repeat the last answer."""
    MISSED = "missed"


class Why(StrEnum):
    """Why a recording cannot answer a message."""

    DIFFERENT = "different"
    """No recorded message asks for the same."""
    USED_UP = "used up"
    """It was recorded, but not as often."""
    NOTHING_LEFT = "nothing left"
    """Nothing was recorded that could be compared."""


class Match(NamedTuple):
    """The recorded client message that answers for a live one."""

    kind: MatchKind
    number: int = -1
    """Counts the script's client messages; for a miss the nearest one, -1 where none was recorded."""
    without: str = ""
    """What a relaxed key left out; empty for an exact match."""
    asked: bool = False
    """The user asked for that: it is no finding."""
    differs: str = ""
    """For a miss: what keeps the nearest message from answering, in words."""
    why: Why | None = None
    """For a miss."""


class Matcher:
    """
    Takes recorded client messages one by one, as live ones ask for them; background excepted.

    The first unused message with the same key wins; then the relaxed keys, in their order; then, for
    a read, the last one again.
    """

    def __init__(self, script: Script, repeats: Repeats = Repeats.READS) -> None:
        self._script = script
        self._repeats = repeats
        self._used = bytearray(len(script.requests))
        self._first_unused: dict[str, int] = {}
        """By key: every message in `by_key` before this position is used."""
        self._first_unused_relaxed: dict[str, int] = {}

    def extend(self) -> None:
        """The script has become ready: it has all the messages that it had, and more behind them."""
        self._used.extend(bytes(len(self._script.requests) - len(self._used)))

    def has_unused(self, request: Request) -> bool:
        """Whether `take` will find a fresh message with the very same key."""
        return any(not self._used[number] for number in self._script.by_key.get(request.key, ()))

    def take(self, request: Request) -> Match:
        """Find the recorded message for a live one; a fresh one is used up by this."""
        number = self._unused(self._script.by_key, self._first_unused, request.key)
        if number is not None:
            return Match(MatchKind.FRESH, number)
        for relaxed in request.relaxed:
            if relaxed.within is not None:
                number = self._unused_near(relaxed)
            else:
                number = self._unused(self._script.by_relaxed_key, self._first_unused_relaxed, relaxed.key)
            if number is not None:
                return Match(MatchKind.FRESH, number, relaxed.without, relaxed.asked)
        return self._repeat(request) or self._miss(request)

    def _unused(self, index: Numbers, positions: dict[str, int], key: str) -> int | None:
        numbers = index.get(key)
        if numbers is None:
            return None
        position = positions.get(key, 0)
        while position < len(numbers) and self._used[numbers[position]]:
            position += 1
        if position == len(numbers):
            positions[key] = position
            return None
        positions[key] = position + 1
        self._used[numbers[position]] = 1
        return numbers[position]

    def _unused_near(self, relaxed: Relaxed) -> int | None:
        for number in self._script.by_relaxed_key.get(relaxed.key, []):
            if not self._used[number] and self._is_near(number, relaxed):
                self._used[number] = 1
                return number
        return None

    def _is_near(self, number: int, relaxed: Relaxed) -> bool:
        """Whether the number in a recorded message of the same weaker key is near enough."""
        recorded = next(
            (each for each in self._script.requests[number].request.relaxed if each.key == relaxed.key), None
        )
        if relaxed.within is None or recorded is None:
            return recorded is not None
        if recorded.number is None or relaxed.number is None:
            return False
        return abs(recorded.number - relaxed.number) <= relaxed.within

    def _repeat(self, request: Request) -> Match | None:
        if self._repeats is Repeats.NEVER or request.role is not Role.CALL or request.effects:
            return None
        if numbers := self._script.by_key.get(request.key):
            return Match(MatchKind.REPEATED, self._last_answered(numbers))
        for relaxed in request.relaxed:
            if numbers := self._near(relaxed):
                return Match(MatchKind.REPEATED, self._last_answered(numbers), relaxed.without, relaxed.asked)
        return None

    def _near(self, relaxed: Relaxed) -> Sequence[int]:
        numbers = self._script.by_relaxed_key.get(relaxed.key, [])
        return (
            [number for number in numbers if self._is_near(number, relaxed)]
            if relaxed.within is not None
            else numbers
        )

    def _last_answered(self, numbers: Sequence[int]) -> int:
        requests = self._script.requests
        return next((number for number in reversed(numbers) if requests[number].answers), numbers[-1])

    def _miss(self, request: Request) -> Match:
        if numbers := self._used_up(request):
            count = "once" if len(numbers) == 1 else f"{len(numbers)} times"
            return Match(
                MatchKind.MISSED, numbers[-1], differs=f"used up: it was recorded {count}", why=Why.USED_UP
            )
        number = self._nearest(request)
        if number < 0:
            text = "nothing is left in the recording to answer it"
            return Match(MatchKind.MISSED, differs=text, why=Why.NOTHING_LEFT)
        recorded = self._script.requests[number].request
        return Match(MatchKind.MISSED, number, differs=difference(recorded, request), why=Why.DIFFERENT)

    def _used_up(self, request: Request) -> Sequence[int] | None:
        if numbers := self._script.by_key.get(request.key):
            return numbers
        found = (self._near(relaxed) for relaxed in request.relaxed)
        return next((numbers for numbers in found if numbers), None)

    def _nearest(self, request: Request) -> int:
        """
        The recorded message most like a missed one: of the same method if there is any, unused if any.

        Without one of that method it is the next unused message, the one the recording expected.
        """
        same_method = self._script.by_method.get(request.method, []) if request.method else []
        if same_method:
            unused = [number for number in same_method if not self._used[number]]
            candidates = (unused or same_method)[:_CANDIDATES]
            return max(
                candidates,
                key=lambda number: (_common(self._script.requests[number].request.key, request.key), -number),
            )
        for number, scripted in enumerate(self._script.requests):
            if not self._used[number] and not scripted.background:
                return number
        return -1


def difference(recorded: Request, sent: Request) -> str:
    """What keeps a recorded message from answering the sent one, in words."""
    if recorded.method != sent.method:
        return f"the method: recorded {recorded.method or '(none)'}, sent {sent.method or '(none)'}"
    start = max(0, _common(recorded.key, sent.key) - _SHOWN // 3)
    return f"recorded {_part(recorded.key, start)}, sent {_part(sent.key, start)}"


def _common(first: str, second: str) -> int:
    """The number of characters that two texts begin with in common."""
    length = min(len(first), len(second))
    for index in range(length):
        if first[index] != second[index]:
            return index
    return length


def _part(key: str, start: int) -> str:
    before = "…" if start else ""
    after = "…" if len(key) > start + _SHOWN else ""
    return f"{before}{key[start : start + _SHOWN]}{after}"
