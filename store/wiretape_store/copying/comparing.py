"""Comparing a recording in one store with the same one in another: every message, event and time."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import zip_longest

from wiretape_store.reader import StoreReader
from wiretape_store.records import Message, Recording, Session

_SESSION = (
    "number", "started_at_us", "ended_at_us", "handshake", "messages_from_client", "messages_from_upstream",
    "exchanges", "pushes", "wire_bytes", "end",
)  # fmt: skip
_MESSAGE = (
    "seq", "from_client", "opcode", "at_us", "payload", "role", "method", "answers", "stream", "deflated",
    "redacted", "wire",
)  # fmt: skip
_RECORDING = ("started_at_us", "redaction_rules")
_UPSTREAM = ("name", "protocol", "url", "listen")


def differences(
    one: StoreReader,
    what: str,
    other: StoreReader,
    other_what: str,
    progress: Callable[[int], None] = lambda _: None,
) -> Iterator[str]:
    """
    Compare two recordings, given by name or id; yields a sentence for each thing that differs.

    Of a session's messages the first that differs is told. `progress` is told how many are compared.
    """
    left, right = one.recording(what), other.recording(other_what)
    yield from _of_recordings(left, right)
    if one.redaction(left.id).key != other.redaction(right.id).key:
        yield "what their tokens were made with differs"
    pairs = zip_longest(_in_order(one, left), _in_order(other, right))
    compared = 0
    for its, copied in pairs:
        if its is None or copied is None:
            found, where = (its, "the first") if copied is None else (copied, "the second")
            yield f"session {found.id} is in {where} store alone"
            continue
        yield from _of_sessions(one, its, other, copied, partial(_advance, progress, compared))
        compared += its.messages_from_client + its.messages_from_upstream


def _advance(progress: Callable[[int], None], before: int, messages: int) -> None:
    progress(before + messages)


def _of_recordings(left: Recording, right: Recording) -> Iterator[str]:
    for name in _RECORDING:
        if getattr(left, name) != getattr(right, name):
            yield f"their {name} differ"
    # A recorder that was killed wrote no end; a copy has its last sign of life.
    if left.ended_at_us is not None and left.ended_at_us != right.ended_at_us:
        yield "their ended_at_us differ"
    upstreams = [
        [tuple(getattr(each, name) for name in _UPSTREAM) for each in its.upstreams] for its in (left, right)
    ]
    if upstreams[0] != upstreams[1]:
        yield "their upstreams differ"


def _in_order(reader: StoreReader, its: Recording) -> list[Session]:
    return sorted(reader.sessions(its.id), key=lambda session: (session.upstream.name, session.number))


def _of_sessions(
    one: StoreReader, left: Session, other: StoreReader, right: Session, progress: Callable[[int], None]
) -> Iterator[str]:
    where = f"session {left.id}, there {right.id}"
    for name in _SESSION:
        if getattr(left, name) != getattr(right, name):
            yield f"{where}: {name} differs"
    if left.upstream.name != right.upstream.name:
        yield f"{where}: the upstream differs"
    if one.events(left.id) != other.events(right.id):
        yield f"{where}: its events differ"
    pairs = zip_longest(one.messages(left.id), other.messages(right.id))
    for seq, (its, copied) in enumerate(pairs):
        what = "" if its == copied else _of_messages(its, copied)
        if what:
            yield f"{where}: message {seq} {what}"
            return
        progress(seq + 1)


def _of_messages(its: Message | None, copied: Message | None) -> str:
    """Say what differs between two that are not equal; nothing where only how they are stored does."""
    if its is None or copied is None:
        return "is in one of them alone"
    if its.codec.kind is not copied.codec.kind:
        return "differs in its codec"
    return next(
        (f"differs in its {name}" for name in _MESSAGE if getattr(its, name) != getattr(copied, name)), ""
    )
