"""Which client message caused a recorded push: the subscription that was open then, as the adapter reads it."""

from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter

from wiretape_replay.script import ScriptedRequest

NOBODY = -1


class Owners:
    """Answers for one session, whose client messages are `requests`."""

    def __init__(self, requests: Sequence[ScriptedRequest]) -> None:
        self._changes: dict[str, list[tuple[int, int]]] = {}
        """By stream: from which upstream message on which client message has it open; NOBODY: closed."""
        self._causes: list[tuple[int, int]] = []
        """The client messages that may cause a push, and how many upstream messages were before each."""
        for number, scripted in enumerate(requests):
            if scripted.background:
                continue
            self._causes.append((scripted.upstream_before, number))
            for stream in scripted.request.closes:
                self._changes.setdefault(stream, []).append((scripted.upstream_before, NOBODY))
            for stream in scripted.request.opens:
                self._changes.setdefault(stream, []).append((scripted.upstream_before, number))

    def owner(self, stream: str, push: int) -> int:
        """The client message that had `stream` open when upstream message `push` was recorded, or NOBODY."""
        return _latest(self._changes.get(stream, ()), push)

    def cause(self, push: int) -> int:
        """The last client message before upstream message `push`, background excepted, or NOBODY."""
        return _latest(self._causes, push)


def _latest(changes: Sequence[tuple[int, int]], push: int) -> int:
    index = bisect_right(changes, push, key=itemgetter(0))
    return changes[index - 1][1] if index else NOBODY
