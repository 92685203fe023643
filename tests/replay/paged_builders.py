"""A reader of sessions in memory that gives them piece by piece, as a store's does, and counts."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from replay_builders import TINY, a_session, messages

from wiretape_protocols import Protocol, Role
from wiretape_replay import Script
from wiretape_replay.pages import PageCache
from wiretape_replay.paging import Paging
from wiretape_store.records import Message, Session
from wiretape_store.stretches import Details, Extent, Stretch, Turn, stretch_of


def told(*lines: str, deflated: bool = False) -> list[Message]:
    """Messages as a store has them: with what the adapter said of each when it was recorded."""
    made = messages(lines, deflated=deflated)
    beats = {each.seq for each in made if each.from_client and each.payload.startswith(b"beat ")}
    return [replace(each, role=_role(each, beats)) for each in made]


def _role(message: Message, beats: set[int]) -> Role:
    if message.seq in beats or message.answers in beats:
        return Role.BACKGROUND
    if message.from_client:
        return Role.CALL
    return Role.PUSH if message.answers is None else Role.ANSWER


@dataclass
class PieceReader:
    """
    A session whose stretches have so many messages each.

    Another reader of the same waits in its first call until `released` is set.
    """

    messages: Sequence[Message]
    size: int = 3
    released: threading.Event = field(default_factory=threading.Event)
    waits: bool = False
    fails: Exception | None = None
    stretches: list[int] = field(default_factory=list)
    details_asked: list[int] = field(default_factory=list)
    closed: bool = False

    def another(self) -> "PieceReader":
        return PieceReader(self.messages, self.size, self.released, waits=True, fails=self.fails)

    def close(self) -> None:
        self.closed = True

    def extent(self, session_id: str) -> Extent:
        stop_seq = self.messages[-1].seq + 1 if self.messages else 0
        turns = [each for each in self.messages if each.role is not Role.PUSH]
        exchanges = sum(each.role is Role.ANSWER and each.answers is not None for each in turns)
        return Extent(stop_seq, len(self.messages), len(turns), exchanges)

    def spans(self, session_id: str, stop_seq: int) -> list[tuple[int, int]]:
        return [(each.seq, each.seq + 1) for each in self.messages if each.seq < stop_seq]

    def stretch(self, session_id: str, seq: int) -> Stretch:
        self.stretches.append(seq)
        return stretch_of(self._around(seq))[0]

    def details(self, session_id: str, first_seq: int, stop_seq: int) -> Details:
        self.details_asked.append(first_seq)
        return stretch_of([each for each in self.messages if first_seq <= each.seq < stop_seq])[1]

    def turns(self, session_id: str, seq: int, stop_seq: int) -> list[Message | Turn]:
        if self.waits:
            assert self.released.wait(20)
            if self.fails is not None:
                raise self.fails
        return [
            each if each.from_client else Turn(each.seq, each.role, each.answers)
            for each in self.messages
            if seq <= each.seq < stop_seq and each.role is not Role.PUSH
        ]

    def _around(self, seq: int) -> list[Message]:
        """Those without a gap between them and `seq`, in pieces that begin at multiples of the size."""
        place = next(place for place, each in enumerate(self.messages) if each.seq == seq)
        start = place // self.size * self.size
        piece = list(self.messages[start : start + self.size])
        gaps = [seq for before, seq in pairwise(each.seq for each in piece) if seq != before + 1]
        bounds = [piece[0].seq, *gaps, piece[-1].seq + 1]
        low = max(bound for bound in bounds if bound <= seq)
        high = min(bound for bound in bounds if bound > seq)
        return [each for each in piece if low <= each.seq < high]


def a_paged_script(
    reader: PieceReader,
    *,
    session: Session | None = None,
    protocol: Protocol = TINY,
    budget_bytes: int = 1 << 20,
) -> Script:
    """The script of a reader's only session."""
    paging = Paging(reader, PageCache(budget_bytes))
    return paging.script(session or a_session(), protocol, lambda: lambda payload, _: payload)
