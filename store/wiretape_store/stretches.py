"""
What replay reads of a session: consecutive messages column by column, and the outlines of the whole. Pure.

A record for each message would take several times as long to make as all else that reading it takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from wiretape_protocols import Codec, CodecKind, Opcode, Role, decode, encode
from wiretape_store.records import Message


class Kind(NamedTuple):
    """What messages have in common by the hundred."""

    from_client: bool
    opcode: Opcode
    deflated: bool


class Details(NamedTuple):
    """What else is known of the messages of a stretch; the lists go together."""

    times_us: Sequence[int]
    names: Sequence[tuple[str, str]]
    """Method and stream."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive messages of a session, both sides'; the lists go together, one item for each message."""

    first_seq: int
    kinds: Sequence[Kind]
    entries: Sequence[tuple[Codec | None, bytes]]
    """A codec and the payload that it packs to the wire's bytes; None and these bytes themselves."""

    @property
    def stop_seq(self) -> int:
        """The number after the last message's."""
        return self.first_seq + len(self.entries)

    @property
    def from_upstream(self) -> int:
        """How many of its messages are the upstream's."""
        if self.kinds.count(self.kinds[0]) == len(self.kinds):
            return 0 if self.kinds[0].from_client else len(self.kinds)
        return sum(not kind.from_client for kind in self.kinds)

    def wires(self) -> list[bytes]:
        """The bytes of each message, as `Message.wire`."""
        return [
            data if codec is None or codec.kind is CodecKind.IDENTITY else encode(data, codec)
            for codec, data in self.entries
        ]

    def packing(self, place: int) -> tuple[Codec, bytes]:
        """Codec and payload of the message at `first_seq + place`, as in `Message`."""
        codec, data = self.entries[place]
        if codec is None:
            payload, codec, _ = decode(data)
            return codec, payload
        return codec, data

    def between(self, first_seq: int, stop_seq: int) -> Self:
        """The part of it from `first_seq` up to, and without, `stop_seq`."""
        if first_seq <= self.first_seq and stop_seq >= self.stop_seq:
            return self
        first, stop = max(first_seq - self.first_seq, 0), max(stop_seq - self.first_seq, 0)
        return type(self)(self.first_seq + first, self.kinds[first:stop], self.entries[first:stop])


def stretch_of(messages: Sequence[Message]) -> tuple[Stretch, Details]:
    """Make a stretch of consecutive messages, at least one."""
    kinds = [Kind(each.from_client, each.opcode, each.deflated) for each in messages]
    entries = [
        (each.codec, each.payload) if each.kept_wire is None else (None, each.kept_wire) for each in messages
    ]
    details = Details([each.at_us for each in messages], [(each.method, each.stream) for each in messages])
    return Stretch(messages[0].seq, kinds, entries), details


class Extent(NamedTuple):
    """How far a session goes at some moment."""

    stop_seq: int
    """The number after the last message's; the numbers may have gaps, where messages were lost."""
    messages: int
    """How many it has of both sides."""
    turns: int
    """How many of them are no pushes."""
    exchanges: int
    """How many of them answer a message; heartbeats do not count."""


class Turn(NamedTuple):
    """An upstream message that is no push; the names are those of `Message`."""

    seq: int
    role: Role
    answers: int | None
