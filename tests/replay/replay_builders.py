"""Recordings written as lines of text, in a protocol made for these tests."""

from collections.abc import Sequence
from typing import Any

from wiretape_protocols import (
    IDENTITY,
    Codec,
    Conversation,
    MethodInfo,
    Opcode,
    Protocol,
    Relaxed,
    Reply,
    Request,
    Role,
    encode,
)
from wiretape_replay import (
    Abort,
    Action,
    Close,
    Forward,
    Journal,
    ReplayedRecording,
    ReplayedUpstream,
    ReplaySession,
    ReplaySettings,
    Script,
    Send,
    SendAnswer,
    SendRun,
    Step,
    compile_script,
)
from wiretape_replay.frames import close_frame, frame
from wiretape_store.records import End, EndKind, Handshake, Headers, Message, Session, Upstream

_ROLES = {
    "call": Role.CALL,
    "range": Role.CALL,
    "order": Role.CALL,
    "sub": Role.SUBSCRIBE,
    "unsub": Role.UNSUBSCRIBE,
    "auth": Role.AUTH,
    "own": Role.CALL,
    "note": Role.NOTICE,
    "beat": Role.BACKGROUND,
}
STEP_US = 1000
OPEN = End(EndKind.INTERRUPTED)


class TinyConversation(Conversation):
    """
    A message is words: a verb, an id (`-` for none), and what it asks for.

    `sub` opens the stream of that name and `unsub` closes it; `own` asks something else after `auth`.
    """

    def __init__(self) -> None:
        self._is_known = False

    def client(self, payload: bytes, opcode: Opcode, seq: int) -> Request:
        verb, _, rest = payload.decode(errors="replace").partition(" ")
        identity, _, asked = rest.partition(" ")
        if verb not in _ROLES:
            return Request(Role.OPAQUE, "", payload.hex())
        relaxed: tuple[Relaxed, ...] = ()
        if verb == "range":
            start, end = (int(word) for word in asked.split())
            relaxed = (Relaxed(f"range of {end - start}", "start and end"),)
        id_text = None if identity == "-" else identity.encode()
        role = _ROLES[verb]
        method = f"{verb} {asked.split(' ')[0]}".strip()
        key = f"{verb} {asked}{' as oneself' if verb == 'own' and self._is_known else ''}"
        self._is_known = self._is_known or verb == "auth"
        streams = (asked.split(" ")[0],)
        return Request(
            role,
            method,
            key,
            id_text,
            effects=verb == "order",
            opens=streams if verb == "sub" else (),
            closes=streams if verb == "unsub" else (),
            relaxed=relaxed,
        )

    def upstream(self, payload: bytes, opcode: Opcode) -> Reply:
        return Reply(Role.PUSH, "")


class TinyProtocol(Protocol):
    """The test protocol: `call 1 price` is answered by `answer 1 10`."""

    name = "tiny"
    opcode = Opcode.TEXT
    codec = IDENTITY

    def conversation(self, *, correlate: bool = True) -> Conversation:
        return TinyConversation()

    def methods(self) -> Sequence[MethodInfo]:
        return ()

    def with_id(self, payload: bytes, id_text: bytes | None) -> bytes:
        verb, _, rest = payload.partition(b" ")
        _, _, result = rest.partition(b" ")
        return b" ".join((verb, id_text or b"-", result))

    def refusal(self, request: Request) -> bytes | None:
        return None if request.id_text is None else b"answer " + request.id_text + b" refused"

    def background_answer(self, request: Request) -> bytes | None:
        return b"beaten " + (request.id_text or b"-") + b" made up"


TINY = TinyProtocol()


def a_handshake(
    *, status: int | None = 101, headers: Headers = (("Server", "tiny"),), body: bytes = b""
) -> Handshake:
    return Handshake("/", (("Host", "example"),), status, headers, body)


def an_upstream(name: str = "up", number: int = 1) -> Upstream:
    return Upstream(number, name, "tiny", f"wss://{name}.example", "127.0.0.1:0")


def a_session(
    *,
    number: int = 0,
    end: End = OPEN,
    ended_at_us: int | None = None,
    handshake: Handshake | None = None,
    upstream: Upstream | None = None,
) -> Session:
    return Session(
        id=f"s{number + 1}",
        recording="fixture",
        upstream=upstream or an_upstream(),
        number=number,
        started_at_us=0,
        ended_at_us=ended_at_us,
        handshake=handshake or a_handshake(),
        messages_from_client=0,
        messages_from_upstream=0,
        exchanges=0,
        pushes=0,
        wire_bytes=0,
        end=end,
    )


def messages(
    lines: Sequence[str], *, codec: Codec = IDENTITY, opcode: Opcode = Opcode.TEXT, deflated: bool = False
) -> list[Message]:
    """
    One message for each line: `> ` from the client, `< ` from the upstream, a millisecond apart.

    An upstream message beginning with `answer` or `beaten` answers the oldest open call with its id.
    `push deals:3` is of the method `push` and the stream `deals`, any other push of none.
    """
    unanswered: list[tuple[str, int]] = []
    made: list[Message] = []
    for seq, line in enumerate(lines):
        from_client, payload = line.startswith("> "), line[2:].encode()
        verb, _, rest = line[2:].partition(" ")
        identity = rest.partition(" ")[0]
        answers = None
        if from_client:
            unanswered.append((identity, seq))
        elif verb in ("answer", "beaten"):
            answers = next(number for name, number in unanswered if name == identity)
            unanswered.remove((identity, answers))
        made.append(
            Message(
                seq=seq,
                from_client=from_client,
                opcode=Opcode.TEXT if from_client else opcode,
                at_us=(seq + 1) * STEP_US,
                payload=payload,
                codec=IDENTITY if from_client else codec,
                role=Role.OPAQUE,
                method=verb if ":" in rest else "",
                answers=answers,
                stream=rest.partition(":")[0] if ":" in rest and not from_client else "",
                deflated=deflated,
                kept_wire=None if from_client or codec.exact else encode(payload, codec),
            )
        )
    return made


def a_script(*lines: str, session: Session | None = None) -> Script:
    return compile_script(session or a_session(), messages(lines), TINY)


def a_recording(*sessions: tuple[Session, list[Message]]) -> ReplayedRecording:
    """A recording of these sessions, grouped by their upstreams' names."""
    by_name: dict[str, list[tuple[Session, list[Message]]]] = {}
    for session, recorded in sessions:
        by_name.setdefault(session.upstream.name, []).append((session, recorded))
    upstreams = []
    for group in by_name.values():
        recorded_by_id = {session.id: recorded for session, recorded in group}
        upstreams.append(
            ReplayedUpstream(
                upstream=group[0][0].upstream,
                protocol=TINY,
                sessions=tuple(session for session, _ in group),
                redaction=lambda *_: lambda payload, _: payload.replace(b"hunter2", b"wt-token"),
                messages=recorded_by_id.__getitem__,
            )
        )
    return ReplayedRecording("fixture", tuple(upstreams))


class Stage:
    """Plays a client against the engine and keeps what it was sent, as text."""

    def __init__(self, script: Script, settings: ReplaySettings | None = None) -> None:
        self.script = script
        self.journal = Journal()
        self.session = ReplaySession(script, TINY, settings or ReplaySettings(), self.journal)
        self.now_us = 0
        self.bytes_sent = b""

    def open(self) -> list[str]:
        return self._played(self.session.open(self.now_us))

    def say(self, *texts: str) -> list[str]:
        """Send these messages, and return what came back for them."""
        heard: list[str] = []
        for text in texts:
            heard += self._played(self.session.receive(text.encode(), Opcode.TEXT, self.now_us))
        return heard

    def step(self, **step: Any) -> list[str]:
        """Let pushes go, as `Step` says it."""
        actions, _ = self.session.step(Step(**step), self.now_us)
        return self._played(actions)

    def perform(self, actions: list[Action]) -> list[str]:
        """What these actions send."""
        return self._played(actions)

    def wait(self, until_us: int) -> list[str]:
        """Let the clock run, ticking whenever the session asks for it."""
        heard: list[str] = []
        while (wake_us := self.session.next_wake_us) is not None and wake_us <= until_us:
            self.now_us = max(self.now_us, wake_us)
            heard += self._played(self.session.tick(self.now_us))
        self.now_us = max(self.now_us, until_us)
        return heard

    def kinds(self) -> list[str]:
        return [entry.kind.value for entry in self.journal.entries]

    def _played(self, actions: list[Action]) -> list[str]:
        heard: list[str] = []
        for action in actions:
            if isinstance(action, SendAnswer):
                action = self.session.spell(action.number, action.id_text)  # noqa: PLW2901 - as the driver does
            self.bytes_sent += on_the_wire(self.script, action)
            match action:
                case SendRun(first, last):
                    heard += [self.script.message(number)[1].decode() for number in range(first, last + 1)]
                case Send(_, wire, _):
                    heard.append(wire.decode())
                case Close(code, reason):
                    heard.append(f"[close {code} {reason or ''}]".replace(" ]", "]"))
                case Abort():
                    heard.append("[abort]")
                case Forward(_, wire):
                    heard.append(f"[forward {wire.decode()}]")
        return heard


def on_the_wire(script: Script, action: SendRun | Send | Forward | Close | Abort) -> bytes:
    match action:
        case SendRun(first, last):
            return b"".join(frame(*script.message(number)) for number in range(first, last + 1))
        case Send(opcode, wire, _):
            return frame(opcode, wire)
        case Close(code, reason):
            return close_frame(code, reason)
        case Abort() | Forward():
            return b""
