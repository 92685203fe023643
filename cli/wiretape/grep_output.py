"""What `wiretape grep` prints of the messages it has found."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from wiretape.text import message_line, message_object
from wiretape_store import Message, Session
from wiretape_store.queries.grep import StoreSearcher

Found = Iterable[tuple[Session, Sequence[int]]]
"""Numbers of messages, ascending within each session; a session may come several times in a row."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How messages are printed, and how many of their neighbours with them."""

    as_json: bool = False
    raw: bool = False
    before: int = 0
    after: int = 0

    @property
    def has_context(self) -> bool:
        """Whether there is more to print than what was found."""
        return self.before + self.after > 0


def limited(found: Found, limit: int | None) -> Iterator[tuple[Session, Sequence[int]]]:
    """The first `limit` messages of those found; what is searched for nothing is not searched."""
    left = limit
    for session, seqs in found:
        taken = seqs if left is None else seqs[:left]
        if taken:
            yield session, taken
        if left is not None:
            left -= len(taken)
            if left == 0:
                return


def print_messages(searcher: StoreSearcher, found: Found, shape: Shape) -> int:
    """Print the messages, and say how many were found."""
    count = 0
    for session, seqs in _whole_sessions(found) if shape.has_context else found:
        count += len(seqs)
        wanted = _with_neighbours(seqs, shape) if shape.has_context else seqs
        matching = set(seqs)
        last: int | None = None
        for message in searcher.messages_at(session, wanted):
            if shape.has_context and not shape.as_json and last not in {None, message.seq - 1}:
                sys.stdout.write("--\n")
            sys.stdout.write(_line(session, message, shape, is_found=message.seq in matching) + "\n")
            last = message.seq
    return count


def print_sessions(found: Found, *, as_json: bool, with_counts: bool) -> int:
    """Print the ids of the sessions, each once, and say how many messages were found in them."""
    total = 0
    for session, seqs in _counted(found) if with_counts else _firsts(found):
        total += seqs
        if as_json:
            what: dict[str, object] = {"session": session.id, "upstream": session.upstream.name}
            text = json.dumps(what | {"count": seqs} if with_counts else what)
        else:
            text = f"{session.id} {seqs}" if with_counts else session.id
        sys.stdout.write(text + "\n")
    return total


def print_count(found: Found, *, as_json: bool) -> int:
    """Print how many messages were found, and say it."""
    count = sum(len(seqs) for _, seqs in found)
    sys.stdout.write((json.dumps({"count": count}) if as_json else str(count)) + "\n")
    return count


def _line(session: Session, message: Message, shape: Shape, *, is_found: bool) -> str:
    if shape.as_json:
        place: dict[str, object] = {"session": session.id, "upstream": session.upstream.name}
        context = {} if is_found else {"context": True}
        return json.dumps(place | message_object(message, raw=shape.raw) | context, ensure_ascii=False)
    mark = ("> " if is_found else "  ") if shape.has_context else ""
    return message_line(message, prefix=f"{mark}{session.upstream.name} {session.id} ")


def _with_neighbours(seqs: Sequence[int], shape: Shape) -> list[int]:
    wanted: list[int] = []
    for seq in seqs:
        first = max(seq - shape.before, 0, wanted[-1] + 1 if wanted else 0)
        wanted += range(first, seq + shape.after + 1)
    return wanted


def _whole_sessions(found: Found) -> Iterator[tuple[Session, Sequence[int]]]:
    """Each session once: a neighbour of one message may have been found itself."""
    for _, group in groupby(found, lambda each: each[0].id):
        parts = list(group)
        yield parts[0][0], [seq for _, seqs in parts for seq in seqs]


def _counted(found: Found) -> Iterator[tuple[Session, int]]:
    for _, group in groupby(found, lambda each: each[0].id):
        parts = list(group)
        yield parts[0][0], sum(len(seqs) for _, seqs in parts)


def _firsts(found: Found) -> Iterator[tuple[Session, int]]:
    """Each session as soon as something is found in it."""
    last = ""
    for session, seqs in found:
        if session.id != last:
            last = session.id
            yield session, len(seqs)
