"""One recorded session, compiled for replay. A script is never changed after that: runs share it."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from wiretape_protocols import Codec, CodecKind, Opcode, Protocol, Request, Role
from wiretape_replay.frames import header
from wiretape_store.records import End, Message, Session

_EXCERPT_BYTES = 160
_MOST_PLACES = 8


@dataclass(frozen=True, slots=True)
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
    answers: list[int] = field(default_factory=list)
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
    """A recorded answer, with what it takes to send it under another id."""

    request: int
    """The number of its call among the client's messages."""
    payload: bytes | None
    """Decoded; None where the bytes on the wire are the payload."""
    codec: Codec


@dataclass(frozen=True, slots=True)
class Form:
    """How an upstream packs its messages: what a made-up answer is packed like."""

    opcode: Opcode
    codec: Codec
    deflated: bool = False


@dataclass(slots=True)
class Script:
    """
    A session's messages, compiled: the client's by what they ask, the upstream's as ready frames.

    The numbers of upstream messages count from 0 in recorded order, so do the client's; both are
    apart from `seq`, which counts the two together.
    """

    session: Session
    form: Form
    requests: list[ScriptedRequest] = field(default_factory=list)
    by_key: dict[str, list[int]] = field(default_factory=dict)
    by_relaxed_key: dict[str, list[int]] = field(default_factory=dict)
    by_method: dict[str, list[int]] = field(default_factory=dict)
    """Background messages are in `background_by_key` alone."""
    background_by_key: dict[str, list[int]] = field(default_factory=dict)
    answers: dict[int, ScriptedAnswer] = field(default_factory=dict)
    answer_numbers: list[int] = field(default_factory=list)
    """The keys of `answers`, ascending: every other upstream message is a push."""
    _seqs: array[int] = field(default_factory=lambda: array("q"))
    _times_us: array[int] = field(default_factory=lambda: array("q"))
    _names: list[tuple[str, str]] = field(default_factory=list)
    """Method and stream of each upstream message."""
    deflated: set[int] = field(default_factory=set)
    """The upstream messages that were recorded under permessage-deflate."""
    _frames: bytearray = field(default_factory=bytearray)
    _frame_ends: array[int] = field(default_factory=lambda: array("q"))

    @property
    def end(self) -> End:
        """How the session ended."""
        return self.session.end

    @property
    def end_us(self) -> int:
        """When it ended, since its start; the last message's time where nobody knows."""
        if self.session.ended_at_us is not None:
            return self.session.ended_at_us - self.session.started_at_us
        return max(
            self._times_us[-1] if self._times_us else 0, self.requests[-1].at_us if self.requests else 0
        )

    @property
    def count(self) -> int:
        """How many upstream messages there are."""
        return len(self._seqs)

    def seq(self, number: int) -> int:
        """The number of an upstream message among the messages of both sides."""
        return self._seqs[number]

    def time_us(self, number: int) -> int:
        """When an upstream message was recorded, since the session's start; never before the one before."""
        return self._times_us[number]

    def method(self, number: int) -> str:
        """An upstream message's method: for an answer that of its call; empty where nobody knows."""
        if number in self.answers:
            return self.requests[self.answers[number].request].request.method
        return self._names[number][0]

    def stream(self, number: int) -> str:
        """The stream that a push belongs to; empty for any other message."""
        return self._names[number][1]

    def last_until(self, recorded_us: int, first: int) -> int:
        """The last upstream message, from `first` on, that was recorded at this time or before; else `first` - 1."""
        return bisect_right(self._times_us, recorded_us, lo=first) - 1

    def add_frame(self, message: Message) -> None:
        """Append an upstream message. Only compiling does this: afterwards `frames()` is in use."""
        self._seqs.append(message.seq)
        # A time before its predecessor's would break the search for what is due.
        self._times_us.append(max(message.at_us, self._times_us[-1]) if self._times_us else message.at_us)
        self._names.append((message.method, message.stream))
        wire = message.wire
        self._frames += header(message.opcode, len(wire))
        self._frames += wire
        self._frame_ends.append(len(self._frames))

    def frames(self) -> memoryview:
        """All upstream messages as unmasked frames, one after the other."""
        return memoryview(self._frames).toreadonly()

    def frame_start(self, number: int) -> int:
        """Where the frame of an upstream message begins in `frames()`."""
        return self._frame_ends[number - 1] if number else 0

    def frame_end(self, number: int) -> int:
        """Where it ends."""
        return self._frame_ends[number]

    def message(self, number: int) -> tuple[Opcode, bytes]:
        """An upstream message as it was on the wire, without its frame."""
        start, end = self.frame_start(number), self.frame_end(number)
        length = self._frames[start + 1]
        size = 2 if length < 126 else 4 if length == 126 else 10
        return Opcode(self._frames[start] & 0x0F), bytes(self._frames[start + size : end])

    def last_frame_end(self, start: int, limit: int) -> int:
        """The last end of a frame in `frames()` that is above `start` and not above `limit`; 0: there is none."""
        index = bisect_left(self._frame_ends, limit + 1) - 1
        if index < 0 or self._frame_ends[index] <= start:
            return 0
        return self._frame_ends[index]

    def frame_end_after(self, start: int) -> int:
        """The end of the frame that holds the byte at `start`."""
        return self._frame_ends[bisect_left(self._frame_ends, start + 1)]

    def pushes(self, first: int, last: int) -> int:
        """How many of the upstream messages `first` to `last` answer nothing."""
        answers = bisect_left(self.answer_numbers, last + 1) - bisect_left(self.answer_numbers, first)
        return last - first + 1 - answers


def compile_script(session: Session, messages: Iterable[Message], protocol: Protocol) -> Script:
    """
    Compile a session's messages, given in the order of their numbers.

    What the client's messages mean is read anew, by the same code that will read the live ones.
    """
    script = Script(session, Form(protocol.opcode, protocol.codec))
    conversation = protocol.conversation(correlate=False)
    request_by_seq: dict[int, int] = {}
    for message in messages:
        if message.from_client:
            request_by_seq[message.seq] = len(script.requests)
            request = conversation.client(message.payload, message.opcode, len(script.requests))
            _add_request(script, message, request, protocol)
        else:
            _add_upstream(script, message, request_by_seq)
    return script


def _add_request(script: Script, message: Message, request: Request, protocol: Protocol) -> None:
    number = len(script.requests)
    id_start, id_after = _id_place(message, request.id_text, protocol)
    script.requests.append(
        ScriptedRequest(
            message.seq,
            message.at_us,
            request,
            script.count,
            message.payload,
            message.opcode,
            id_start,
            id_after,
        )
    )
    if request.role is Role.BACKGROUND:
        script.background_by_key.setdefault(request.key, []).append(number)
        return
    script.by_key.setdefault(request.key, []).append(number)
    script.by_method.setdefault(request.method, []).append(number)
    for relaxed in request.relaxed:
        script.by_relaxed_key.setdefault(relaxed.key, []).append(number)


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


def _add_upstream(script: Script, message: Message, request_by_seq: dict[int, int]) -> None:
    number = script.count
    if not number:
        script.form = Form(message.opcode, message.codec, message.deflated)
    script.add_frame(message)
    if message.deflated:
        script.deflated.add(number)
    if message.answers is None or (request := request_by_seq.get(message.answers)) is None:
        return
    payload = None if message.codec.kind is CodecKind.IDENTITY else message.payload
    script.answers[number] = ScriptedAnswer(request, payload, message.codec)
    script.answer_numbers.append(number)
    script.requests[request].answers.append(number)


def excerpt(payload: bytes) -> str:
    """The beginning of a redacted payload, for people to read."""
    text = payload[:_EXCERPT_BYTES].decode(errors="replace")
    return text if len(payload) <= _EXCERPT_BYTES else text + "…"
