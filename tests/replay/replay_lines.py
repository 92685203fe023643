"""A recorded session, and what happens in its replay, as the model in `replay_model` reads them."""

from collections.abc import Sequence
from dataclasses import dataclass

from replay_builders import TINY

from wiretape_protocols import Request, Role
from wiretape_replay import Pace, Step
from wiretape_store.records import Message


@dataclass(frozen=True)
class Said:
    """The client sent a message."""

    at_us: int
    text: str


@dataclass(frozen=True)
class Waited:
    """Nothing happened until then."""

    at_us: int


@dataclass(frozen=True)
class Asked:
    """Whoever tests asked for something: a step, another pace, a pause or its end, a message, an end."""

    at_us: int
    what: "Step | Pace | Paused | Injected | Ended"


@dataclass(frozen=True)
class Paused:
    on: bool


@dataclass(frozen=True)
class Injected:
    text: str


@dataclass(frozen=True)
class Ended:
    code: int | None


Happening = Said | Waited | Asked


@dataclass(frozen=True)
class Line:
    """One recorded message; a client's with what it asks for."""

    seq: int
    at_us: int
    text: str
    request: Request | None
    answers: int | None
    """The line that it answers."""
    method: str
    stream: str
    owner: int | None
    """The subscription that had this push's stream open when it was recorded."""
    cause: int | None
    """
    The client's message before it that opened or closed its stream, or without one the last before it,
    background left out.
    """

    @property
    def is_push(self) -> bool:
        return self.request is None and self.answers is None


def read_lines(messages: Sequence[Message]) -> list[Line]:
    conversation = TINY.conversation(correlate=False)
    before: list[tuple[int, Request]] = []
    lines = []
    for message in messages:
        request = conversation.client(message.payload, message.opcode, 0) if message.from_client else None
        if request is not None and not is_background(request):
            before.append((message.seq, request))
        of_stream = [(seq, each) for seq, each in before if message.stream in each.opens + each.closes]
        owner = next((seq for seq, each in of_stream[-1:] if message.stream in each.opens), None)
        cause = next((seq for seq, _ in (of_stream or before)[-1:]), None)
        line = (message.seq, message.at_us, message.payload.decode(), request, message.answers)
        lines.append(Line(*line, message.method, message.stream, owner, cause))
    return lines


def is_background(request: Request) -> bool:
    return request.role is Role.BACKGROUND


def is_read(request: Request) -> bool:
    """Whether hearing it once more changes nothing."""
    return request.role is Role.CALL and not request.effects
