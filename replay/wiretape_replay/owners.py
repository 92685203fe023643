"""Which client message caused a recorded push: the subscription that was open then, as the adapter reads it."""

from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter

from wiretape_replay.script import ScriptedRequest

NOBODY = -1


class Owners:
    """Answers for one session, whose client messages are `requests`."""

    def __init__(self, requests: Sequence[ScriptedRequest]) -> None:
        self._changes: dict[str, list[tuple[int, int, int]]] = {}
        """By stream: from which upstream message on, by which client message, and who has it open then."""
        self._causes: list[tuple[int, int, int]] = []
        """The same for any client message that may cause a push."""
        for number, scripted in enumerate(requests):
            if scripted.background:
                continue
            first = scripted.upstream_before
            self._causes.append((first, number, NOBODY))
            for stream in scripted.request.closes:
                self._changes.setdefault(stream, []).append((first, number, NOBODY))
            for stream in scripted.request.opens:
                self._changes.setdefault(stream, []).append((first, number, number))

    def owner(self, stream: str, push: int) -> int:
        """The client message that had `stream` open when upstream message `push` was recorded, or NOBODY."""
        return _latest(self._changes.get(stream, ()), push)[2]

    def cause(self, stream: str, push: int) -> int:
        """
        Of a push that nobody owns: the last client message before it that changed its stream.

        What was under way when a stream was closed goes with the closing. Without any such message it
        is the last one at all, background excepted, or NOBODY.
        """
        changed = _latest(self._changes.get(stream, ()), push)[1]
        return changed if changed != NOBODY else _latest(self._causes, push)[1]


def _latest(changes: Sequence[tuple[int, int, int]], push: int) -> tuple[int, int, int]:
    index = bisect_right(changes, push, key=itemgetter(0))
    return changes[index - 1] if index else (0, NOBODY, NOBODY)
