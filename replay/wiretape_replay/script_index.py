"""What a session's client messages ask for and which messages answer them: what replay must know beforehand."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from wiretape_protocols import Opcode, Protocol, Relaxed, Request, Role
from wiretape_replay.numbering import Numbering
from wiretape_store.records import Message

_EXCERPT_BYTES = 160
_MOST_PLACES = 8
_MOST_SHARED = 4096

Numbers = dict[str, Sequence[int]]
"""Numbers of requests, ascending, by something that they have in common."""


@dataclass(slots=True)
class ScriptedRequest:
    """A recorded client message: what it means, and where it stands among the upstream's."""

    seq: int
    at_us: int
    request: Request
    upstream_before: int
    """How many upstream messages were recorded before it."""
    payload: bytes
    opcode: Opcode
    id_start: int = -1
    """Where its id begins in the payload, if it is a whole number and its place is certain; else -1."""
    id_after: int = 0
    """How many bytes follow the id."""
    answers: Sequence[int] = ()
    """The upstream messages that answer it, by their number among the upstream's."""

    @property
    def background(self) -> bool:
        """Whether it gates nothing and may be sent at any time."""
        return self.request.role is Role.BACKGROUND

    @property
    def excerpt(self) -> str:
        """The beginning of its payload, for people to read."""
        return excerpt(self.payload)


@dataclass(frozen=True, slots=True)
class ScriptedAnswer:
    """A recorded answer."""

    request: int
    """The number of its call among the client's messages."""


class Answers(Mapping[int, ScriptedAnswer]):
    """The recorded answers by their number among the upstream's messages, ascending."""

    def __init__(self) -> None:
        self.numbers: array[int] = array("q")
        self.requests: array[int] = array("q")
        """Of each answer its call, by the call's number among the client's messages."""

    def __getitem__(self, number: int) -> ScriptedAnswer:
        """Find an answer. Raises KeyError for a push."""
        return ScriptedAnswer(self.request(number))

    def __contains__(self, number: object) -> bool:
        """Whether a message is an answer."""
        place = bisect_left(self.numbers, number)  # type: ignore[call-overload]  # the keys are numbers
        return place < len(self.numbers) and bool(self.numbers[place] == number)

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def request(self, number: int) -> int:
        """The call of an answer. Raises KeyError for a push."""
        place = bisect_left(self.numbers, number)
        if place == len(self.numbers) or self.numbers[place] != number:
            raise KeyError(number)
        return self.requests[place]

    def add(self, number: int, request: int) -> None:
        """Append an answer, whose number is above the others'."""
        self.numbers.append(number)
        self.requests.append(request)

    def count_between(self, first: int, stop: int) -> int:
        """How many there are from `first` up to, and without, `stop`."""
        return bisect_left(self.numbers, stop) - bisect_left(self.numbers, first)

    def between(self, first: int, stop: int) -> array[int]:
        """The numbers of those from `first` up to, and without, `stop`."""
        return self.numbers[bisect_left(self.numbers, first) : bisect_left(self.numbers, stop)]


@dataclass(slots=True)
class Index:
    """
    A session's client messages by what they ask, and its answers.

    Requests are named by their number among the client's messages, answers by theirs among the
    upstream's, both from 0.
    """

    numbering: Numbering = field(default_factory=Numbering)
    requests: list[ScriptedRequest] = field(default_factory=list)
    by_key: Numbers = field(default_factory=dict)
    by_relaxed_key: Numbers = field(default_factory=dict)
    by_method: Numbers = field(default_factory=dict)
    """Background messages are in `background_by_key` alone."""
    background_by_key: Numbers = field(default_factory=dict)
    answers: Answers = field(default_factory=Answers)


class Indexer:
    """
    Makes an index of a session's messages, told in their order.

    What the client's messages mean is read anew, by the same code that will read the live ones.
    """

    def __init__(self, protocol: Protocol) -> None:
        self.index = Index()
        self._protocol = protocol
        self._conversation = protocol.conversation(correlate=False)
        self._client_seqs = array("q")
        self._relaxed: dict[str, tuple[Relaxed, ...]] = {}
        """By the first of them."""

    def add_request(self, message: Message, upstream_before: int) -> None:
        """Take the client's next message."""
        index, number = self.index, len(self.index.requests)
        request = self._shared(self._conversation.client(message.payload, message.opcode, number))
        id_start, id_after = _id_place(message, request.id_text, self._protocol)
        self._client_seqs.append(message.seq)
        index.requests.append(
            ScriptedRequest(
                message.seq,
                message.at_us,
                request,
                upstream_before,
                message.payload,
                message.opcode,
                id_start,
                id_after,
            )
        )
        if request.role is Role.BACKGROUND:
            _append(index.background_by_key, request.key, number)
            return
        _append(index.by_key, request.key, number)
        _append(index.by_method, request.method, number)
        for relaxed in request.relaxed:
            _append(index.by_relaxed_key, relaxed.key, number)

    def add_answer(self, number: int, answers_seq: int) -> bool:
        """Take the upstream's next answer; False where its call is not there, so that it is a push."""
        place = bisect_left(self._client_seqs, answers_seq)
        if place == len(self._client_seqs) or self._client_seqs[place] != answers_seq:
            return False
        self.index.answers.add(number, place)
        request = self.index.requests[place]
        request.answers = _with(request.answers, number)
        return True

    def _shared(self, request: Request) -> Request:
        """The same request, but for weaker keys of which many have the same: those take much memory."""
        if not request.relaxed:
            return request
        if len(self._relaxed) == _MOST_SHARED:
            self._relaxed.clear()
        relaxed = self._relaxed.setdefault(request.relaxed[0].key, request.relaxed)
        if relaxed is request.relaxed or relaxed != request.relaxed:
            return request
        return Request(
            request.role,
            request.method,
            request.key,
            request.id_text,
            request.effects,
            request.opens,
            request.closes,
            relaxed,
        )


def _append(numbers: Numbers, what: str, number: int) -> None:
    numbers[what] = _with(numbers.get(what, ()), number)


def _with(numbers: Sequence[int], number: int) -> Sequence[int]:
    """Append a number. Nearly always it is the only one, and then a list would take twice the memory."""
    if isinstance(numbers, list):
        numbers.append(number)
        return numbers
    return [*numbers, number] if numbers else (number,)


def _id_place(message: Message, id_text: bytes | None, protocol: Protocol) -> tuple[int, int]:
    """Where a whole number given as id begins, and how much follows it; (-1, 0) where that cannot be told."""
    if id_text is None or not id_text.isdigit():
        return -1, 0
    payload, places = message.payload, _places(message.payload, id_text)
    if len(places) > 1:
        # The number stands there more than once. The id is the one whose change changes the id.
        other = b"1" + id_text
        for start in places:
            probe = payload[:start] + other + payload[start + len(id_text) :]
            if protocol.conversation(correlate=False).client(probe, message.opcode, 0).id_text == other:
                places = [start]
                break
    if len(places) != 1:
        return -1, 0
    return places[0], len(payload) - places[0] - len(id_text)


def _places(payload: bytes, number: bytes) -> list[int]:
    """Where a number stands as a number, at most the first eight places."""
    places: list[int] = []
    start = payload.find(number)
    while start >= 0 and len(places) < _MOST_PLACES:
        end = start + len(number)
        if not _is_part(payload[start - 1 : start]) and not _is_part(payload[end : end + 1]):
            places.append(start)
        start = payload.find(number, start + 1)
    return places


def _is_part(neighbour: bytes) -> bool:
    """Whether digits beside this byte are only a part of a longer number, word or string."""
    return neighbour.isalnum() or neighbour in (b".", b"-", b"+", b"_", b'"')


def excerpt(payload: bytes) -> str:
    """The beginning of a redacted payload, for people to read."""
    text = payload[:_EXCERPT_BYTES].decode(errors="replace")
    return text if len(payload) <= _EXCERPT_BYTES else text + "…"
