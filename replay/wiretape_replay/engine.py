"""
The replay of one session as a pure state machine: client messages and times in, actions out.

It knows no clock, socket or event loop. Off the recording (a repeat, a miss, background) it answers at
once; on it, what it sends and in which order depends on the client's messages alone, never on times.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from wiretape_protocols import IDENTITY, Opcode, Protocol, Request, Role, encode
from wiretape_replay.actions import Abort, Action, Close, Forward, Send, SendAnswer, SendRun
from wiretape_replay.errors import NothingToStepError
from wiretape_replay.fault_strikes import Strike
from wiretape_replay.faults import FaultKind
from wiretape_replay.free_order import FreeOrder
from wiretape_replay.journal import EntryKind, Journal
from wiretape_replay.matching import Match, Matcher, MatchKind
from wiretape_replay.notes import Notes
from wiretape_replay.ordering import Freed, MessageOrder, Received, RecordedOrder
from wiretape_replay.pacing import PacedQueue
from wiretape_replay.reading import ClientReader
from wiretape_replay.script import Script
from wiretape_replay.settings import OnMiss, Order, Pace, ReplaySettings
from wiretape_replay.stepping import Step
from wiretape_replay.verdict import Verdict
from wiretape_store.records import EndKind

_ORDERS: dict[Order, Callable[[Script], MessageOrder]] = {
    Order.RECORDED: RecordedOrder,
    Order.FREE: FreeOrder,
}
_Read = tuple[Request, bytes, bytes | None]
"""A client message as `ClientReader.read` gives it."""
_STEPPED = Pace(stepped=True)
_NOT_FORWARDED = "; not forwarded, since it may change the world (--allow-effects)"
_INVALID_DATA = 1007  # RFC 6455 section 8.1
_POLICY_VIOLATION = 1008  # RFC 6455 section 7.4.1


class ReplaySession:
    """
    One connection's replay of one script.

    Call `open` once, then `receive` for each client message, `tick` at `next_wake_us`, and `closed`
    when the connection has ended; in between whatever somebody wants to happen. Where the script is not
    ready, call `indexed` once it is: what is sent, and in which order, does not depend on when that was.
    Times are microseconds on any clock that never goes back. After a `Close` or an `Abort` nothing more is returned.
    `connection` counts the connections to the upstream in this run, from 1.
    """

    def __init__(
        self,
        script: Script,
        protocol: Protocol,
        settings: ReplaySettings,
        journal: Journal,
        redact: Callable[[bytes, Opcode], bytes] = lambda payload, _: payload,
        *,
        connection: int = 1,
        paused: bool = False,
    ) -> None:
        self._script = script
        self._protocol = protocol
        self._settings = settings
        self._notes = Notes(script, journal, connection)
        self._knows_all = script.ready
        """What follows was made when the script was ready, or extended since."""
        self._held: list[tuple[bytes, Opcode, _Read | None]] = []
        """Client messages that wait for the script to be ready; only the first may be read already."""
        self._reader = ClientReader(script, protocol, redact)
        self._matcher = Matcher(script, settings.repeats)
        self._order = _ORDERS[settings.order](script)
        self._pace = settings.pace
        self._paused = paused
        self._queue = PacedQueue(script, _STEPPED if paused else settings.pace)
        self._respelled: dict[int, bytes | None] = {}
        """The live id of each matched client message that came with another id than recorded."""
        self._background_used: dict[str, int] = {}
        """By key: how many of the recorded background messages live ones have used."""
        self._repeats: dict[int, int] = {}
        """By recorded client message: how often its answers were repeated."""
        self._gate_since_us = 0
        """Since when the client's next recorded message is waited for."""
        self._stalled: int | None = None
        """The push whose stall is in the journal already."""
        self._delayed_until_us = 0
        """Before that the client may wait for what a fault delays, so nothing stalls."""
        self._cut_short = False
        """A fault has seen to it that nothing more of the client is heard: no stall, and nothing unused."""
        self._over = False
        self.logins: list[tuple[Opcode, bytes]] = []
        """The client's own logins, which a live upstream has to hear first; kept in memory only."""
        end = script.end
        self._ends_itself = end.from_client is False and end.kind in (EndKind.CLOSED, EndKind.EOF)
        """The upstream ended the recorded session, in a way that can be replayed."""

    @property
    def pending(self) -> int:
        """How many runs and answers wait for their time."""
        return len(self._queue)

    @property
    def is_holding(self) -> bool:
        """Whether client messages wait for the script to be ready; then no more of them should be read."""
        return bool(self._held)

    @property
    def next_wake_us(self) -> int | None:
        """When `tick` is due next; None: not before the client does something."""
        if self._over:
            return None
        if not self._queue.timed and not self._ends_itself:
            return self._stall_due_us()
        due = (self._queue.next_due_us(), self._end_due_us(), self._stall_due_us())
        return min((time for time in due if time is not None), default=None)

    def open(self, now_us: int) -> list[Action]:
        """Begin: the handshake is done."""
        self._notes.opened_us = self._gate_since_us = now_us
        self._queue.anchor(now_us, 0)
        self._notes.note(
            EntryKind.OPENED, now_us, detail=f"recorded as connection {self._script.session.number + 1}"
        )
        self._free(self._order.opened(self._respelled), now_us)
        return self._due(now_us)

    def indexed(self, now_us: int) -> list[Action]:
        """
        Go on, now that the script is ready.

        Raises what reading the recording raised, where the script never will be ready.
        """
        if self._over or self._knows_all or not self._script.ready:
            return []
        self._knows_all = True
        self._matcher.extend()
        self._free(self._order.extended(self._respelled), now_us)
        actions = self._due(now_us)
        held, self._held = self._held, []
        for wire, opcode, read in held:
            if not self._over:
                actions += self._taken(wire, opcode, read or self._reader.read(wire, opcode), now_us)
        return actions

    def step(self, step: Step, now_us: int) -> tuple[list[Action], int]:
        """
        Let pushes go that a stepped pace holds, now or when they become free.

        Returns how many went at once as well. Raises NothingToStepError when the recording has no
        such push left.
        """
        if not self._has_push_for(step):
            raise NothingToStepError(str(step), self._script.session.id)
        self._notes.note(EntryKind.STEPPED, now_us, detail=str(step))
        self._queue.grant(step)
        actions = self._due(now_us)
        pushes = sum(
            self._script.pushes(action.first, action.last)
            for action in actions
            if isinstance(action, SendRun)
        )
        if pushes:
            self._gate_since_us = now_us
        return actions, pushes

    @property
    def owed(self) -> int:
        """How many pushes may still go for steps that count them."""
        return self._queue.owed

    def set_pace(self, pace: Pace, now_us: int) -> list[Action]:
        """Go on at another pace; a session that is paused does so once it is resumed."""
        self._pace = pace
        self._notes.note(EntryKind.PACED, now_us, detail=str(pace))
        return [] if self._paused else self._go_on(now_us)

    def pause(self, now_us: int) -> list[Action]:
        """Push nothing, and do not end, until `resume`; steps are still taken."""
        if not self._paused:
            self._paused = True
            self._notes.note(EntryKind.PACED, now_us, detail="paused")
            self._queue.set_pace(_STEPPED, now_us)
            self._gate_since_us = now_us
        return self._due(now_us)

    def resume(self, now_us: int) -> list[Action]:
        """Go on at the pace from before the pause."""
        if not self._paused:
            return []
        self._paused = False
        self._notes.note(EntryKind.PACED, now_us, detail=f"resumed, {self._pace}")
        return self._go_on(now_us)

    def push(self, payload: bytes, opcode: Opcode | None, now_us: int) -> list[Action]:
        """
        Send a message that is not in the recording.

        Without an opcode it is packed as the upstream packs its own, else sent as it is.
        """
        if self._over:
            return []
        self._notes.note(EntryKind.INJECTED, now_us, payload=payload)
        return [self._formed(payload) if opcode is None else Send(opcode, payload)]

    def relay(self, wire: bytes, opcode: Opcode) -> list[Action]:
        """Pass on what the live upstream sent."""
        return [] if self._over else [Send(opcode, wire, self._script.form.deflated)]

    def stranded(self, forward: Forward, why: str, now_us: int) -> list[Action]:
        """A message could not be passed on to the live upstream: it is a miss after all."""
        if self._over:
            return []
        self._notes.stranded(forward.request, forward.payload, why, now_us)
        refusal = self._protocol.refusal(forward.request)
        return [] if refusal is None else [self._formed(refusal)]

    def disconnect(self, code: int | None, reason: str, now_us: int) -> list[Action]:
        """End the connection: with a close frame of this code, or without one where it is None."""
        if self._over:
            return []
        if code is None:
            return self._end(Abort(), now_us, "TCP was ended on request")
        return self._end(Close(code, reason), now_us, f"closed with code {code} on request")

    def receive(self, wire: bytes, opcode: Opcode, now_us: int) -> list[Action]:
        """Take a client message as it came, framing and permessage-deflate undone."""
        actions = self._due(now_us) if self._queue.timed else []
        if self._over:
            return actions
        if self._knows_all:
            return actions + self._taken(wire, opcode, self._reader.read(wire, opcode), now_us)
        read: _Read | None = None
        if not self._held and self._settings.order is Order.RECORDED and not self._reader.is_beyond:
            read = self._reader.read(wire, opcode)
            if read[0].role is not Role.BACKGROUND and self._matcher.has_unused(read[0]):
                return actions + self._taken(wire, opcode, read, now_us)
        # What is not known yet may change the answer.
        self._held.append((wire, opcode, read))
        return actions

    def _taken(self, wire: bytes, opcode: Opcode, read: _Read, now_us: int) -> list[Action]:
        request, payload, id_text = read
        if request.role is Role.AUTH and self._settings.on_miss.reaches_upstream:
            self.logins.append((opcode, wire))
        if request.role is Role.BACKGROUND:
            return self._background(request, id_text)
        match = self._matcher.take(request)
        if match.without and match.kind is not MatchKind.MISSED:
            self._notes.relaxed(match, payload, now_us)
        if match.kind is MatchKind.FRESH:
            return self._matched(request, match, id_text, payload, now_us)
        if match.kind is MatchKind.REPEATED:
            return self._repeated(request, match, id_text, payload, now_us)
        request = _with_id(request, id_text)
        may_forward = self._settings.allow_effects or not request.effects
        if self._settings.on_miss.reaches_upstream and may_forward:
            self._notes.note(EntryKind.FORWARDED, now_us, method=request.method, payload=payload)
            return [Forward(opcode, wire, request, payload)]
        broken = opcode is Opcode.TEXT and not _is_utf8(wire)
        return self._missed(request, match, payload, now_us, broken=broken)

    def tick(self, now_us: int) -> list[Action]:
        """Let time pass: what has become due, and stalls."""
        actions = self._due(now_us)
        stall_due_us = None if self._over else self._stall_due_us()
        if stall_due_us is not None and now_us >= stall_due_us:
            self._note_stall(now_us)
        return actions

    def spell(self, number: int, id_text: bytes | None) -> Send:
        """Make the bytes of a `SendAnswer`, at any time; as recorded where the answer holds no id."""
        page = self._script.page(number)
        opcode, wire = page.message(number)
        codec, recorded = page.packed(number) or (IDENTITY, wire)
        payload = self._protocol.with_id(recorded, id_text)
        if payload is not recorded and payload != recorded:
            wire = encode(payload, codec)
        return Send(opcode, wire, number in page.deflated)

    def closed(self, now_us: int, how: str) -> None:
        """The connection has ended; `how` says in words who ended it. Nothing happens after this."""
        if not self._over:
            self._over = True
            self._notes.note(EntryKind.ENDED, now_us, detail=how)

    def struck(self, strike: Strike) -> None:
        """A fault has struck what this session sends, or its connection."""
        self._notes.note(
            EntryKind.FAULT, strike.at_us, strike.seq, method=strike.method, detail=strike.detail
        )
        self._delayed_until_us = max(self._delayed_until_us, strike.until_us)
        if strike.fault.kind.ending or strike.fault.kind is FaultKind.STOP_READING:
            self._cut_short = True

    def failed(self, now_us: int, why: str) -> None:
        """What was to be sent cannot be sent; nothing happens after this."""
        self._over = True
        self._notes.failed(why, now_us)

    def verdict(self) -> Verdict:
        """How the run compares with the recording so far."""
        was_received = self._order.was_received if self._knows_all else None
        return self._notes.verdict(was_received, cut_short=self._cut_short)

    def _matched(
        self, request: Request, match: Match, id_text: bytes | None, payload: bytes, now_us: int
    ) -> list[Action]:
        scripted = self._script.requests[match.number]
        if id_text != scripted.request.id_text:
            self._respelled[match.number] = id_text
        self._notes.note(EntryKind.MATCHED, now_us, scripted.seq, method=request.method, payload=payload)
        received = self._order.received(match.number, self._respelled)
        if received.moved:
            self._gate_since_us = now_us
        self._queue.anchor(now_us, scripted.at_us)
        self._free(received, now_us)
        return self._due(now_us)

    def _repeated(
        self, request: Request, match: Match, id_text: bytes | None, payload: bytes, now_us: int
    ) -> list[Action]:
        scripted = self._script.requests[match.number]
        self._notes.note(EntryKind.REPEATED, now_us, seq=scripted.seq, method=request.method, payload=payload)
        again = self._repeats[match.number] = self._repeats.get(match.number, 0) + 1
        return [self._answer(number, id_text, again) for number in scripted.answers]

    def _missed(
        self, request: Request, match: Match, payload: bytes, now_us: int, *, broken: bool
    ) -> list[Action]:
        live = self._settings.on_miss.reaches_upstream
        self._notes.miss(request, match, payload, _NOT_FORWARDED if live else "", now_us)
        if broken:
            # Not every server looks, so such a message may be in a recording; then it is answered as recorded.
            end = Close(_INVALID_DATA, "a text message that is not UTF-8")
            return self._end(end, now_us, "the client broke the protocol: a text message that is not UTF-8")
        if self._settings.on_miss is OnMiss.CLOSE:
            what = request.method or "this message"
            return self._end(
                Close(_POLICY_VIOLATION, f"no recorded answer to {what}"), now_us, "a miss closed it"
            )
        refusal = self._protocol.refusal(request)
        return [] if refusal is None else [self._formed(refusal, request.method)]

    def _background(self, request: Request, id_text: bytes | None) -> list[Action]:
        """Answer a heartbeat from the recording as far as it goes, then with its last answer."""
        numbers = self._script.background_by_key.get(request.key, [])
        used = self._background_used.get(request.key, 0)
        self._background_used[request.key] = used + 1
        for again, number in enumerate([*numbers[used : used + 1], *reversed(numbers)]):
            if answers := self._script.requests[number].answers:
                repeats = used + 1 if again or used >= len(numbers) else 0
                return [self._answer(answer, id_text, repeats) for answer in answers]
        answer = self._protocol.background_answer(_with_id(request, id_text))
        return [] if answer is None else [self._formed(answer, request.method)]

    def _formed(self, payload: bytes, method: str = "") -> Send:
        """A message that was not recorded, packed like those that were."""
        form = self._script.form
        return Send(form.opcode, encode(payload, form.codec), form.deflated, method)

    def _answer(self, number: int, id_text: bytes | None, again: int = 0) -> Action:
        """A recorded answer for a live call: untouched wherever its id is the recorded one."""
        call = self._script.requests[self._script.answers.request(number)]
        if id_text == call.request.id_text:
            return SendRun(number, number, again)
        return SendAnswer(number, id_text, again)

    def _free(self, received: Received, now_us: int) -> None:
        if received.dropped or received.closed:
            self._note_pushes(
                EntryKind.DROPPED, [*received.dropped, *self._queue.drop(received.closed)], now_us
            )
        self._queue.put(received.freed)
        self._note_pushes(EntryKind.PUSHED, received.freed, now_us)

    def _note_pushes(self, kind: EntryKind, runs: Sequence[Freed], now_us: int) -> None:
        script = self._script
        for run in runs:
            if run.first == run.last and run.first in script.answers:
                continue
            if pushes := script.pushes(run.first, run.last):
                self._notes.note(kind, now_us, script.seq(run.first), script.seq(run.last), pushes)

    def _go_on(self, now_us: int) -> list[Action]:
        self._queue.set_pace(self._pace, now_us)
        self._gate_since_us = now_us
        return self._due(now_us)

    def _has_push_for(self, step: Step) -> bool:
        if (step.method is None and step.stream is None) or not self._knows_all:
            return True
        script = self._script
        numbers = range(self._queue.sent if self._settings.order is Order.RECORDED else 0, script.count)
        return any(number not in script.answers and step.ends_with(script, number) for number in numbers)

    def _due(self, now_us: int) -> list[Action]:
        if self._over:
            return []
        actions: list[Action] = []
        for run in self._queue.take(now_us):
            if run.respelled:
                call = self._script.answers.request(run.first)
                actions.append(self._answer(run.first, self._respelled[call]))
            else:
                actions.append(SendRun(run.first, run.last))
        if self._ends_itself:
            end_due_us = self._end_due_us()
            if end_due_us is not None and now_us >= end_due_us:
                actions += self._replayed_end(now_us)
        return actions

    def _end_due_us(self) -> int | None:
        """When the upstream's own end is due; None before everything else was sent."""
        if not self._ends_itself or self._queue or self._order.gate is not None or self._paused:
            return None
        if not self._knows_all:
            return None
        return self._queue.due_us(self._script.end_us)

    def _replayed_end(self, now_us: int) -> list[Action]:
        end = self._script.end
        if end.kind is EndKind.EOF:
            return self._end(Abort(), now_us, "the upstream ended TCP, as recorded")
        code = "no code" if end.code is None else f"code {end.code}"
        return self._end(Close(end.code, end.reason), now_us, f"the upstream closed with {code}, as recorded")

    def _end(self, action: Action, now_us: int, how: str) -> list[Action]:
        self._over = True
        self._notes.note(EntryKind.ENDED, now_us, detail=how)
        return [action]

    def _stall_due_us(self) -> int | None:
        held = self._order.held_push()
        if (
            held is None
            or held == self._stalled
            or self._cut_short
            or (self._queue and not self._queue.timed)
        ):
            return None
        since_us = max(
            self._gate_since_us, self._delayed_until_us, self._queue.due_us(self._script.time_us(held))
        )
        return since_us + self._settings.stall_us

    def _note_stall(self, now_us: int) -> None:
        held, cause = self._order.held_push(), self._order.held_by()
        assert held is not None
        assert cause is not None
        self._stalled = held
        self._notes.stall(held, cause, now_us)


def _with_id(request: Request, id_text: bytes | None) -> Request:
    return request if request.id_text == id_text else replace(request, id_text=id_text)


def _is_utf8(wire: bytes) -> bool:
    if wire.isascii():
        return True
    try:
        wire.decode()
    except UnicodeDecodeError:
        return False
    return True
