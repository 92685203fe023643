"""One client connection: moves bytes between its socket, the handshake and the engine."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING

from websockets.frames import Close as CloseStatus
from websockets.frames import CloseCode, Frame
from websockets.frames import Opcode as FrameOpcode
from websockets.protocol import State

from wiretape_protocols import Opcode, WiretapeError
from wiretape_replay.actions import Abort, Action, Close, Forward, Send, SendAnswer, SendRun
from wiretape_replay.client_frames import MAX_MESSAGE_BYTES, ClientFrames
from wiretape_replay.engine import ReplaySession
from wiretape_replay.fault_actions import FaultyClose, Passed, SendFilled, SendHalf
from wiretape_replay.fault_gate import FaultGate
from wiretape_replay.fault_selection import ArmedFault
from wiretape_replay.frames import close_frame, frame
from wiretape_replay.handshakes import Handshakes
from wiretape_replay.opening import Opening
from wiretape_replay.outbox import SLICE_BYTES, Outbox
from wiretape_replay.script import Script
from wiretape_replay.settings import OnMiss
from wiretape_replay.sockets import SocketWatch, reset_when_closed
from wiretape_replay.stand import Stand
from wiretape_replay.stepping import Step
from wiretape_replay.transcripts import Transcript
from wiretape_store.records import End, EndKind, Headers, Session

if TYPE_CHECKING:
    from wiretape_replay.live_upstream import LiveUpstream

_LOGGER = logging.getLogger(__name__)
_GOING_AWAY = 1001  # RFC 6455 section 7.4.1
_INTERNAL_ERROR = 1011
_FAILED = b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
# Written at a stretch before other connections get their turn.
_TURN_BYTES = 4 * 1024 * 1024
# Pieces smaller than this are written together.
_SMALL_BYTES = 16 * 1024
# More answers than these waiting for a client that does not read stop the reading of its calls.
_MOST_WAITING = 4096
_MOST_WAITING_BYTES = 4 * 1024 * 1024


class _Stage(Enum):
    HANDSHAKE = auto()
    OPEN = auto()
    CLOSING = auto()
    """A close frame is queued or sent; the client's is waited for, everything else is ignored."""
    ENDING = auto()
    """Nothing more is queued: TCP ends on this side once the outbox is empty, then on the client's."""
    CLOSED = auto()


class Connection(asyncio.Protocol):
    """
    The driver of one `ReplaySession`.

    Everything it writes goes through one outbox, in order, as fast as the client reads. It cleans up
    after itself; `going_away` and `abort` end it from outside.
    """

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._settings = stand.settings
        self._loop = asyncio.get_running_loop()
        self._stage = _Stage.HANDSHAKE
        self._websocket = Handshakes(max_size=MAX_MESSAGE_BYTES)
        self._client = ClientFrames(self._websocket, self._receive, self._flush_library, self._holds_input)
        self._outbox = Outbox(self._pack)
        self._gate = FaultGate(self._outbox, self._carry_out, self._now_us)
        self._opening = Opening(stand, self, self._websocket, self._now_us)
        self._script: Script | None = None
        self._session: ReplaySession | None = None
        """Both are unset before the handshake is accepted, and where it is refused."""
        self._live: LiveUpstream | None = None
        """Unset where a miss does not go to the live upstream."""
        self._transcript: Transcript | None = None
        """Unset where nothing is recorded."""
        self._room = asyncio.Event()
        """Set while the client keeps up with what is relayed to it."""
        self._room.set()
        self._resets = False
        """TCP ends with RST, once the client's system has all that was sent."""
        self._opened_s = self._loop.time()
        self._writable = True
        self._reading = True
        """Unset while the client asks more than it reads."""
        self._turn: asyncio.Handle | None = None
        """Set while the rest of the outbox waits for its turn."""
        self._alarm: asyncio.TimerHandle | None = None
        """Calls the session's `tick`; never later than the session asked for, perhaps earlier."""
        self._deadline: asyncio.TimerHandle | None = None
        """Cuts a client that does not finish its handshake, or does not end its side."""
        self._client_ended = False
        """The client's side of TCP has ended."""
        self._end_begun = False
        """Everything is written, and the end of TCP on this side is under way."""
        self._transport: asyncio.Transport
        self._watch: SocketWatch

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the handshake."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._watch = SocketWatch(transport)
        transport.set_write_buffer_limits(high=SLICE_BYTES, low=SLICE_BYTES // 4)
        self._set_deadline(self._settings.handshake_us)
        self._stand.add(self)

    def data_received(self, data: bytes) -> None:
        """Read on: the handshake, then messages, then nothing but the client's end."""
        self._guarded(self._read, data)

    def eof_received(self) -> bool:
        """The client sends no more. What it asked for is still written, then TCP ends."""
        self._guarded(self._half_closed)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """TCP is gone."""
        try:
            if self._session is not None:
                how = "the connection was reset" if exc is not None else "the client ended TCP"
                self._session.closed(self._now_us(), how)
        finally:
            # Whatever went wrong above, the server must not wait for this connection for ever.
            self._stage = _Stage.CLOSED
            if self._live is not None:
                self._live.end()
            if self._transcript is not None:
                self._transcript.ended(End(EndKind.EOF, from_client=True), self._now_us())
            for handle in (self._turn, self._alarm, self._deadline):
                if handle is not None:
                    handle.cancel()
            self._watch.cancel()
            self._opening.abandon()
            self._stand.discard(self)

    def pause_writing(self) -> None:
        """The client reads more slowly than this side writes."""
        self._writable = False

    def resume_writing(self) -> None:
        """It has caught up."""
        self._writable = True
        if self._turn is None:
            # Not at once: asyncio is in the middle of writing, and must not find the transport closed.
            self._turn = self._loop.call_soon(self._go_on)

    def going_away(self) -> None:
        """End the connection with code 1001, without what still waits to be written."""
        self._guarded(self._go_away)

    def abort(self) -> None:
        """Cut the connection now."""
        self._transport.abort()

    @property
    def buffered_bytes(self) -> int:
        """How much of what was written the system has not taken yet."""
        return self._transport.get_write_buffer_size()

    @property
    def is_open(self) -> bool:
        """Whether its session goes on."""
        return self._stage is _Stage.OPEN

    def act(self, ask: Callable[[ReplaySession, int], list[Action]]) -> None:
        """Let the session do something now, and send what comes of it; nothing once it has ended."""
        if self._session is None or self._stage is not _Stage.OPEN:
            return
        self._guarded(self._do, ask(self._session, self._now_us()))

    def step(self, step: Step) -> tuple[int, int]:
        """Let pushes go; as `Run.step`."""
        pushed = 0

        def ask(session: ReplaySession, now_us: int) -> list[Action]:
            nonlocal pushed
            actions, pushed = session.step(step, now_us)
            return actions

        self.act(ask)
        return pushed, self._session.owed if self._session is not None else 0

    def set_faults(self, faults: tuple[ArmedFault, ...]) -> None:
        """Go on with these faults of messages; nothing once the session has ended."""
        self._guarded(self._set_faults, faults)

    def _set_faults(self, faults: tuple[ArmedFault, ...]) -> None:
        if self._stage is _Stage.OPEN:
            self._arm(faults)
            self._next_turn()

    def _arm(self, faults: tuple[ArmedFault, ...]) -> None:
        assert self._script is not None
        assert self._session is not None
        deflates = bool(self._websocket.extensions)
        self._gate.set_faults(faults, self._script, self._session, deflates=deflates)
        self._client.may_wait = self._gate.active or self._script.indexing is not None

    def _do(self, actions: list[Action]) -> None:
        self._perform(actions)
        self._pump()
        self._set_alarm()

    def _guarded[**P](self, step: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """The outermost frame of ours below the event loop: a bug ends this one connection, and is logged."""
        try:
            step(*args, **kwargs)
        except WiretapeError as exc:
            _LOGGER.error("replay failed; the connection is closed: %s", exc)  # noqa: TRY400 - it says all
            self._fail("the recording cannot be read")
        except Exception:
            _LOGGER.exception("replay failed; the connection is closed")
            self._fail("the replay failed")

    def _fail(self, why: str) -> None:
        """End at once, and say why where no frame has begun that nobody can end."""
        opened = self._stage is not _Stage.HANDSHAKE
        self._stage = _Stage.CLOSED
        if self._outbox.within_frame:
            self._transport.abort()
        else:
            self._transport.write(close_frame(_INTERNAL_ERROR, why) if opened else _FAILED)
            self._transport.close()
        try:
            if self._session is not None:
                self._session.failed(self._now_us(), why)
        except Exception:
            _LOGGER.exception("the failure could not be noted")

    def _go_away(self) -> None:
        if self._stage is _Stage.OPEN:
            self._outbox.truncate()
            if self._transcript is not None:
                self._transcript.ended(End(EndKind.INTERRUPTED), self._now_us())
            self._gate.drop()
            self._close(_GOING_AWAY, "the replay was stopped", "the replay was stopped")
            self._pump()
        elif self._stage is _Stage.HANDSHAKE:
            self._transport.abort()

    def _read(self, data: bytes) -> None:
        if self._stage is _Stage.HANDSHAKE:
            self._read_handshake(data)
        elif self._stage in (_Stage.OPEN, _Stage.CLOSING):
            self._read_messages(data)

    def _read_handshake(self, data: bytes) -> None:
        if self._opening.feed(data):
            if self._opening.delay_us:
                self._set_deadline(None)
                self._alarm = self._loop.call_later(self._opening.delay_us / 1_000_000, self._answer_late)
            else:
                self._answer_handshake()
        elif self._opening.full:
            self._reading = False
            self._transport.pause_reading()

    def _answer_late(self) -> None:
        self._alarm = None
        self._guarded(self._answer_handshake)

    def _answer_handshake(self) -> None:
        if self._stage is not _Stage.HANDSHAKE:
            return  # the client has gone while it was delayed
        self._opening.answer()
        if self._opening.resets:
            self._reset()
            return
        self._script, self._session = self._opening.script, self._opening.session
        if self._session is not None:
            self._reach_upstream(self._opening.target, self._opening.headers, self._opening.recorded)
        self._flush_library()
        if self._websocket.state is State.OPEN:
            self._start()
            self._read_messages(self._opening.take_rest())
        else:
            self._half_close()
            self._pump()

    def _reach_upstream(self, target: str, headers: Headers, session: Session) -> None:
        """Prepare for messages that the recording cannot answer, where they go to the live upstream."""
        assert self._script is not None
        assert self._session is not None
        replayed, replay = self._stand.replayed, self._session
        if self._settings.on_miss.reaches_upstream:
            from wiretape_replay.live_upstream import LiveUpstream  # a client takes a while to import

            self._live = LiveUpstream(
                self._stand.live_url,
                replayed.protocol,
                target,
                headers,
                lambda: replay.logins,
                self._relay,
                self._strand,
            )
        if self._settings.on_miss is OnMiss.RECORD:
            started_at_us = time.time_ns() // 1000
            self._transcript = Transcript(session, self._script, target, headers, started_at_us)
            self._stand.transcripts.append(self._transcript)

    async def _relay(self, wire: bytes, opcode: Opcode) -> None:
        """Send what the live upstream sent, no faster than the client reads."""
        await self._room.wait()
        self.act(lambda session, _: session.relay(wire, opcode))

    def _strand(self, forward: Forward, why: str) -> None:
        self.act(lambda session, now_us: session.stranded(forward, why, now_us))

    def _start(self) -> None:
        """The handshake is accepted: play the session."""
        assert self._script is not None
        assert self._session is not None
        assert self._opening.admission is not None
        self._stage = _Stage.OPEN
        self._set_deadline(None)
        self._outbox.play(self._script, self._session.spell, deflated=bool(self._websocket.extensions))
        opening = self._session.open(self._now_us())
        self._arm(self._stand.faults(self._opening.admission))
        self._perform(opening)
        self._stand.opened(self)
        if self._script.indexing is not None:
            self._client.may_wait = True
            self._script.indexing.add_done_callback(self._tell_indexed)

    def _tell_indexed(self, _: object) -> None:
        """Called in the thread that has made the script's index."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and the connection with it
            self._loop.call_soon_threadsafe(self._guarded, self._indexed)

    def _indexed(self) -> None:
        """The script is ready, or never will be."""
        if self._session is not None and self._stage is _Stage.OPEN:
            self._perform(self._session.indexed(self._now_us()))
            self._client.may_wait = self._gate.active
            self._next_turn()

    def _read_messages(self, data: bytes) -> None:
        self._client.feed(data)
        self._pump()
        self._set_alarm()

    def _receive(self, wire: bytes, opcode: Opcode) -> None:
        assert self._session is not None
        if self._stage is _Stage.OPEN:
            if self._transcript is not None:
                self._transcript.received(wire, opcode, self._now_us())
            self._perform(self._session.receive(wire, opcode, self._now_us()))

    def _flush_library(self) -> None:
        """Queue what the library has to say: handshakes, pongs, its answer to a close frame, the end."""
        for data in self._websocket.data_to_send():
            if self._stage is _Stage.ENDING:
                return  # the rest is for a client that went on after the end, read or not as TCP cut it
            if not data:
                if self._session is not None:
                    self._session.closed(self._now_us(), self._how_closed())
                self._end_soon()
                self._set_deadline(self._settings.closing_us)
            elif self._stage is not _Stage.CLOSING:  # RFC 6455 section 5.5.1: nothing follows a close frame
                self._gate.send([data])

    def _how_closed(self) -> str:
        close = self._websocket.close_rcvd
        if close is not None and self._transcript is not None:
            self._transcript.client_closed(close.code, close.reason, self._now_us())
        if close is None:
            return f"the client broke the protocol: {self._websocket.parser_exc}"
        return f"the client closed with code {close.code}"

    def _half_closed(self) -> None:
        self._client_ended = True
        if self._session is not None:
            self._session.closed(self._now_us(), "the client ended TCP")
        self._end_soon()
        self._pump()

    def _end_soon(self) -> None:
        """End this side behind what is to be sent; no fault may delay that any more."""
        if self._stage is _Stage.OPEN:
            self._gate.hurry()
            self._gate.send([Abort()])
        else:
            self._half_close()

    def _perform(self, actions: list[Action]) -> None:
        if self._live is not None:
            self._tell_upstream(actions)
        if self._gate.active:
            self._gate.send([action for action in actions if not isinstance(action, Forward)])
        else:
            self._carry_out(actions)

    def _tell_upstream(self, actions: list[Action]) -> None:
        """What of this goes to the live upstream, and into the transcript of the conversation."""
        assert self._live is not None
        assert self._session is not None
        for action in actions:
            if self._transcript is not None:
                self._transcript.performed(action, self._session.spell, self._now_us())
            if isinstance(action, Forward):
                self._live.send(action)

    def _carry_out(self, items: Sequence[Passed | Forward]) -> None:
        for item in items:
            match item:
                case SendRun(first, last):
                    self._outbox.add_run(first, last)
                case Send() | SendAnswer() | bytes():
                    self._outbox.add(item)
                case SendFilled():
                    self._outbox.add_faulty(item)
                case FaultyClose(code, reason):
                    self._close(code, reason, f"a fault closed it with code {code}")
                case Close(code, reason):
                    self._close(code, reason, reason or "")
                case SendHalf(_, reset):
                    self._cut(item, reset=reset)
                case Abort():
                    self._half_close()

    def _cut(self, half: SendHalf, *, reset: bool) -> None:
        """End TCP after half a frame."""
        assert self._session is not None
        self._session.closed(self._now_us(), "a fault cut TCP")
        self._outbox.add_faulty(half)
        self._half_close()
        if reset:
            self._resets = True
            reset_when_closed(self._transport)

    def _pack(self, opcode: Opcode, wire: bytes, deflated: bool) -> bytes:  # noqa: FBT001
        extensions = self._websocket.extensions
        if deflated and extensions:
            return Frame(FrameOpcode(opcode), wire).serialize(mask=False, extensions=extensions)
        return frame(opcode, wire)

    def _close(self, code: int | None, reason: str | None, how: str) -> None:
        """Begin the closing handshake, with this very code, which the library might refuse to write."""
        assert self._session is not None
        self._session.closed(self._now_us(), how)
        self._outbox.add(close_frame(code, reason))
        self._websocket.close_sent = CloseStatus(
            CloseCode.NO_STATUS_RCVD if code is None else code, reason or ""
        )
        self._websocket.state = State.CLOSING
        self._stage = _Stage.CLOSING

    def _half_close(self) -> None:
        """Nothing more will be queued."""
        self._stage = _Stage.ENDING

    def _pump(self) -> None:
        """Write what the client can take, for one turn."""
        if self._turn is not None or self._stage is _Stage.CLOSED:
            return
        written = 0
        while self._writable and (waiting := len(self._outbox)) and written < _TURN_BYTES:
            piece = self._outbox.take() if waiting == 1 else self._next_piece()
            written += len(piece)
            self._transport.write(piece)
        if self._outbox or (self._gate.active and self._gate.ready):
            more = self._writable
        else:
            more = self._client.waiting and not self._holds_input()
            if self._stage is not _Stage.OPEN:
                self._drained()
        if more:
            self._turn = self._loop.call_soon(self._go_on)
        self._throttle()

    def _next_piece(self) -> bytes | memoryview:
        """What is written in one go: small pieces together, since asyncio counts at each write all that wait."""
        piece = self._outbox.take()
        if len(piece) >= _SMALL_BYTES or not self._outbox:
            return piece
        pieces, size = [piece], len(piece)
        with contextlib.suppress(WiretapeError):  # it is raised again once these pieces are out
            while self._outbox and size < _SMALL_BYTES:
                pieces.append(self._outbox.take())
                size += len(pieces[-1])
        return b"".join(pieces)

    def _go_on(self) -> None:
        self._turn = None
        self._guarded(self._next_turn)

    def _next_turn(self) -> None:
        """Send and read on, as far as something waited for its turn, or for a fault."""
        if self._stage is _Stage.OPEN:
            self._gate.let_through()
        if self._client.waiting and self._stage in (_Stage.OPEN, _Stage.CLOSING):
            self._client.feed(b"")
        self._pump()
        self._set_alarm()

    def _holds_input(self) -> bool:
        """Whether nothing may be read of what the client sends: a fault is under way, or the script not ready."""
        if self._stage is not _Stage.OPEN or self._session is None:
            return False
        return self._session.is_holding or (self._gate.active and self._gate.holds_input)

    def _throttle(self) -> None:
        waiting = len(self._outbox) + (self._session.pending if self._session is not None else 0)
        if self._gate.active:
            waiting += len(self._gate)
        holds = self._client.may_wait and self._holds_input()
        if self._live is not None:
            waiting += len(self._live)
            has_room = self._outbox.waiting_bytes < _MOST_WAITING_BYTES and len(self._gate) < _MOST_WAITING
            (self._room.set if has_room else self._room.clear)()
        if waiting > _MOST_WAITING or self._outbox.waiting_bytes > _MOST_WAITING_BYTES or holds:
            self._reading = False
            self._transport.pause_reading()
            self._watch.tell_end(self._is_deaf, lambda: self._guarded(self._half_closed))
        elif not self._reading:
            self._reading = True
            self._transport.resume_reading()

    def _drained(self) -> None:
        """The outbox is empty: go on with the end, if this is the end."""
        if self._stage is _Stage.CLOSING and self._deadline is None:
            self._set_deadline(self._settings.closing_us)
        elif self._stage is _Stage.ENDING and self._resets:
            if not self._end_begun:
                self._end_begun = True
                self._set_deadline(self._settings.closing_us)
                self._watch.reset_once_received()
        elif self._stage is _Stage.ENDING and self._client_ended:
            self._transport.close()
        elif self._stage is _Stage.ENDING and not self._end_begun:
            # Closing at once could destroy what the client has not read yet, so its side ends first.
            self._end_begun = True
            with contextlib.suppress(OSError):  # the client has reset TCP; `connection_lost` follows
                self._transport.write_eof()
            self._set_deadline(self._settings.closing_us)

    def _reset(self) -> None:
        """Cut TCP with RST, as an address where nothing listens would look once the proxy has accepted."""
        reset_when_closed(self._transport)
        self._stage = _Stage.ENDING
        self._transport.abort()

    def _is_deaf(self) -> bool:
        return self._stage is _Stage.OPEN and self._gate.deaf

    def _set_alarm(self) -> None:
        """Wake up when the session wants to; an alarm that is set for earlier does as well."""
        if self._session is None or self._stage is not _Stage.OPEN:
            return
        if self._alarm is not None and not self._gate.active and self._stand.pace.factor is None:
            return  # then only stalls are waited for, and every message puts them off
        wake_us = self._session.next_wake_us
        if self._gate.active and (delayed_us := self._gate.next_wake_us) is not None:
            wake_us = delayed_us if wake_us is None else min(wake_us, delayed_us)
        if wake_us is None:
            return
        wake_s = self._opened_s + wake_us / 1_000_000
        if self._alarm is not None:
            if self._alarm.when() <= wake_s:
                return
            self._alarm.cancel()
        self._alarm = self._loop.call_at(wake_s, self._tick)

    def _tick(self) -> None:
        self._alarm = None
        self._guarded(self._wake)

    def _wake(self) -> None:
        if self._session is None or self._stage is not _Stage.OPEN:
            return
        self._perform(self._session.tick(self._now_us()))
        self._pump()
        self._set_alarm()

    def _set_deadline(self, after_us: int | None) -> None:
        """Cut the connection after this time; None: not at all."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if after_us is not None:
            self._deadline = self._loop.call_later(after_us / 1_000_000, self._transport.abort)

    def _now_us(self) -> int:
        return round((self._loop.time() - self._opened_s) * 1_000_000)
