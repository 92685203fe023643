"""
The replay of one session as a pure state machine: client messages and times in, actions out.

It knows no clock, socket or event loop. Off the recording (a repeat, a miss, background) it answers at
once; on it, what it sends and in which order depends on the client's messages alone, never on times.
"""

from collections.abc import Callable

from wiretape_protocols import Opcode, Protocol, Request, Role, encode
from wiretape_replay.actions import Abort, Action, Close, Forward, Send, SendAnswer, SendRun
from wiretape_replay.differences import differences
from wiretape_replay.errors import NothingToStepError
from wiretape_replay.free_order import FreeOrder
from wiretape_replay.journal import Entry, EntryKind, Journal
from wiretape_replay.matching import Match, Matcher, MatchKind
from wiretape_replay.ordering import MessageOrder, Received, RecordedOrder
from wiretape_replay.pacing import PacedQueue
from wiretape_replay.reading import ClientReader
from wiretape_replay.script import Script, excerpt
from wiretape_replay.settings import OnMiss, Order, Pace, ReplaySettings
from wiretape_replay.stepping import Step
from wiretape_replay.verdict import Findings, Verdict
from wiretape_store.records import EndKind

_ORDERS: dict[Order, Callable[[Script], MessageOrder]] = {
    Order.RECORDED: RecordedOrder,
    Order.FREE: FreeOrder,
}
_STEPPED = Pace(stepped=True)
_POLICY_VIOLATION = 1008  # RFC 6455 section 7.4.1


class ReplaySession:
    """
    One connection's replay of one script.

    Call `open` once, then `receive` for each client message, `tick` at `next_wake_us`, and `closed`
    when the connection has ended; in between whatever somebody wants to happen. Times are microseconds
    on any clock that never goes back. After a `Close` or an `Abort` nothing more is returned.
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
        self._journal = journal
        self._reader = ClientReader(script, protocol, redact)
        self._connection = connection
        self._matcher = Matcher(script, settings.repeats)
        self._order = _ORDERS[settings.order](script)
        self._pace = settings.pace
        self._paused = paused
        self._queue = PacedQueue(script, _STEPPED if paused else settings.pace)
        self._respelled: dict[int, bytes | None] = {}
        """The live id of each matched client message that came with another id than recorded."""
        self._background_used: dict[str, int] = {}
        """By key: how many of the recorded background messages live ones have used."""
        self._opened_us = 0
        self._gate_since_us = 0
        """Since when the client's next recorded message is waited for."""
        self._stalled: int | None = None
        """The push whose stall is in the journal already."""
        self._over = False
        self.logins: list[tuple[Opcode, bytes]] = []
        """The client's own logins, which a live upstream has to hear first; kept in memory only."""
        self._misses = Findings()
        self._stalls = Findings()
        self._relaxed = Findings()

    @property
    def pending(self) -> int:
        """How many runs and answers wait for their time."""
        return len(self._queue)

    @property
    def next_wake_us(self) -> int | None:
        """When `tick` is due next; None: not before the client does something."""
        if self._over:
            return None
        due = (self._queue.next_due_us(), self._end_due_us(), self._stall_due_us())
        return min((time for time in due if time is not None), default=None)

    def open(self, now_us: int) -> list[Action]:
        """Begin: the handshake is done."""
        self._opened_us = self._gate_since_us = now_us
        self._queue.anchor(now_us, 0)
        self._note(EntryKind.OPENED, now_us, detail=f"connection {self._script.session.number + 1}")
        self._free(self._order.opened(self._respelled), now_us)
        return self._due(now_us)

    def step(self, step: Step, now_us: int) -> tuple[list[Action], int]:
        """
        Let pushes go that a stepped pace holds, now or when they become free.

        Returns how many went at once as well. Raises NothingToStepError when the recording has no
        such push left.
        """
        if not self._has_push_for(step):
            raise NothingToStepError(str(step), self._script.session.id)
        self._note(EntryKind.STEPPED, now_us, detail=str(step))
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
        self._note(EntryKind.PACED, now_us, detail=str(pace))
        return [] if self._paused else self._go_on(now_us)

    def pause(self, now_us: int) -> list[Action]:
        """Push nothing, and do not end, until `resume`; steps are still taken."""
        if not self._paused:
            self._paused = True
            self._note(EntryKind.PACED, now_us, detail="paused")
            self._queue.set_pace(_STEPPED, now_us)
        return []

    def resume(self, now_us: int) -> list[Action]:
        """Go on at the pace from before the pause."""
        if not self._paused:
            return []
        self._paused = False
        self._note(EntryKind.PACED, now_us, detail=f"resumed, {self._pace}")
        return self._go_on(now_us)

    def push(self, payload: bytes, opcode: Opcode | None, now_us: int) -> list[Action]:
        """
        Send a message that is not in the recording.

        Without an opcode it is packed as the upstream packs its own, else sent as it is.
        """
        if self._over:
            return []
        self._note(EntryKind.INJECTED, now_us, payload=payload)
        return [self._formed(payload) if opcode is None else Send(opcode, payload)]

    def relay(self, wire: bytes, opcode: Opcode) -> list[Action]:
        """Pass on what the live upstream sent."""
        return [] if self._over else [Send(opcode, wire, self._script.form.deflated)]

    def stranded(self, forward: Forward, why: str, now_us: int) -> list[Action]:
        """A message could not be passed on to the live upstream: it is a miss after all."""
        if self._over:
            return []
        request, text = forward.request, excerpt(forward.payload)
        self._misses.add(f"{self._script.session.id}: {text} ({why})")
        self._note(EntryKind.MISSED, now_us, method=request.method, detail=why, payload=forward.payload)
        refusal = self._protocol.refusal(request)
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
        request, payload = self._reader.read(wire, opcode)
        if request.role is Role.AUTH and self._settings.on_miss.reaches_upstream:
            self.logins.append((opcode, wire))
        if request.role is Role.BACKGROUND:
            return actions + self._background(request)
        match = self._matcher.take(request)
        if match.without and match.kind is not MatchKind.MISSED:
            self._note_relaxed(match, payload, now_us)
        if match.kind is MatchKind.FRESH:
            return actions + self._matched(request, match, payload, now_us)
        if match.kind is MatchKind.REPEATED:
            return actions + self._repeated(request, match, payload, now_us)
        may_forward = self._settings.allow_effects or not request.effects
        if self._settings.on_miss.reaches_upstream and may_forward:
            return actions + self._forwarded(wire, opcode, request, payload, now_us)
        return actions + self._missed(request, match, payload, now_us)

    def tick(self, now_us: int) -> list[Action]:
        """Let time pass: what has become due, and stalls."""
        actions = self._due(now_us)
        stall_due_us = None if self._over else self._stall_due_us()
        if stall_due_us is not None and now_us >= stall_due_us:
            self._note_stall(now_us)
        return actions

    def spell(self, number: int, id_text: bytes | None) -> Send:
        """Make the bytes of a `SendAnswer`, at any time; as recorded where the answer holds no id."""
        opcode, wire = self._script.message(number)
        answer = self._script.answers[number]
        recorded = wire if answer.payload is None else answer.payload
        payload = self._protocol.with_id(recorded, id_text)
        if payload != recorded:
            wire = encode(payload, answer.codec)
        return Send(opcode, wire, number in self._script.deflated)

    def closed(self, now_us: int, how: str) -> None:
        """The connection has ended; `how` says in words who ended it. Nothing happens after this."""
        if not self._over:
            self._over = True
            self._note(EntryKind.ENDED, now_us, detail=how)

    def verdict(self) -> Verdict:
        """How the run compares with the recording so far."""
        unused = Findings()
        for number, scripted in enumerate(self._script.requests):
            if not scripted.background and not self._order.was_received(number):
                unused.add(f"{self._script.session.id} message {scripted.seq}: {scripted.excerpt}")
        return Verdict(misses=self._misses, unused=unused, stalls=self._stalls, relaxed=self._relaxed)

    def _matched(self, request: Request, match: Match, payload: bytes, now_us: int) -> list[Action]:
        scripted = self._script.requests[match.number]
        if request.id_text != scripted.request.id_text:
            self._respelled[match.number] = request.id_text
        self._note(EntryKind.MATCHED, now_us, seq=scripted.seq, method=request.method, payload=payload)
        gate = self._order.gate
        received = self._order.received(match.number, self._respelled)
        if self._order.gate != gate:
            self._gate_since_us = now_us
        self._queue.anchor(now_us, scripted.at_us)
        self._free(received, now_us)
        return self._due(now_us)

    def _repeated(self, request: Request, match: Match, payload: bytes, now_us: int) -> list[Action]:
        scripted = self._script.requests[match.number]
        self._note(EntryKind.REPEATED, now_us, seq=scripted.seq, method=request.method, payload=payload)
        return [self._answer(number, request.id_text) for number in scripted.answers]

    def _missed(self, request: Request, match: Match, payload: bytes, now_us: int) -> list[Action]:
        detail = self._note_miss(request, match, payload, now_us)
        self._misses.add(f"{self._script.session.id}: {excerpt(payload)} ({detail})")
        if self._settings.on_miss is OnMiss.CLOSE:
            what = request.method or "this message"
            return self._end(
                Close(_POLICY_VIOLATION, f"no recorded answer to {what}"), now_us, "a miss closed it"
            )
        refusal = self._protocol.refusal(request)
        return [] if refusal is None else [self._formed(refusal)]

    def _note_miss(self, request: Request, match: Match, payload: bytes, now_us: int) -> str:
        assert match.why is not None
        nearest = self._script.requests[match.number] if match.number >= 0 else None
        detail = match.differs if nearest is None else f"nearest is message {nearest.seq}: {match.differs}"
        if self._settings.on_miss.reaches_upstream:
            detail += "; not forwarded, since it may change the world (--allow-effects)"
        self._add(
            Entry(
                EntryKind.MISSED,
                self._script.session.id,
                now_us - self._opened_us,
                seq=None if nearest is None else nearest.seq,
                method=request.method,
                detail=detail,
                payload=excerpt(payload),
                why=match.why.value,
                nearest="" if nearest is None else nearest.excerpt,
                differs=()
                if nearest is None
                else differences(nearest.request, nearest.payload, request, payload),
            )
        )
        return detail

    def _forwarded(
        self, wire: bytes, opcode: Opcode, request: Request, payload: bytes, now_us: int
    ) -> list[Action]:
        self._note(EntryKind.FORWARDED, now_us, method=request.method, payload=payload)
        return [Forward(opcode, wire, request, payload)]

    def _background(self, request: Request) -> list[Action]:
        """Answer a heartbeat from the recording as far as it goes, then with its last answer."""
        numbers = self._script.background_by_key.get(request.key, [])
        used = self._background_used.get(request.key, 0)
        self._background_used[request.key] = used + 1
        for number in [*numbers[used : used + 1], *reversed(numbers)]:
            if answers := self._script.requests[number].answers:
                return [self._answer(answer, request.id_text) for answer in answers]
        answer = self._protocol.background_answer(request)
        return [] if answer is None else [self._formed(answer)]

    def _formed(self, payload: bytes) -> Send:
        """A message that was not recorded, packed like those that were."""
        form = self._script.form
        return Send(form.opcode, encode(payload, form.codec), form.deflated)

    def _answer(self, number: int, id_text: bytes | None) -> Action:
        """A recorded answer for a live call: untouched wherever its id is the recorded one."""
        call = self._script.requests[self._script.answers[number].request]
        return SendRun(number, number) if id_text == call.request.id_text else SendAnswer(number, id_text)

    def _free(self, received: Received, now_us: int) -> None:
        dropped = [*received.dropped, *self._queue.drop(received.closed)]
        self._queue.put(received.freed)
        for kind, runs in ((EntryKind.DROPPED, dropped), (EntryKind.PUSHED, received.freed)):
            for run in runs:
                pushes = self._script.pushes(run.first, run.last)
                if pushes:
                    first, last = self._script.seq(run.first), self._script.seq(run.last)
                    self._note(kind, now_us, seq=first, last_seq=last, pushes=pushes)

    def _go_on(self, now_us: int) -> list[Action]:
        self._queue.set_pace(self._pace, now_us)
        self._gate_since_us = now_us
        return self._due(now_us)

    def _has_push_for(self, step: Step) -> bool:
        if step.method is None and step.stream is None:
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
                call = self._script.answers[run.first].request
                actions.append(self._answer(run.first, self._respelled[call]))
            else:
                actions.append(SendRun(run.first, run.last))
        end_due_us = self._end_due_us()
        if end_due_us is not None and now_us >= end_due_us:
            actions += self._replayed_end(now_us)
        return actions

    def _end_due_us(self) -> int | None:
        """When the upstream's own end is due; None before everything else was sent."""
        end = self._script.end
        if end.from_client is not False or self._queue or self._order.gate is not None or self._paused:
            return None
        return self._queue.due_us(self._script.end_us) if end.kind in (EndKind.CLOSED, EndKind.EOF) else None

    def _replayed_end(self, now_us: int) -> list[Action]:
        end = self._script.end
        if end.kind is EndKind.EOF:
            return self._end(Abort(), now_us, "the upstream ended TCP, as recorded")
        code = "no code" if end.code is None else f"code {end.code}"
        return self._end(Close(end.code, end.reason), now_us, f"the upstream closed with {code}, as recorded")

    def _end(self, action: Action, now_us: int, how: str) -> list[Action]:
        self._over = True
        self._note(EntryKind.ENDED, now_us, detail=how)
        return [action]

    def _stall_due_us(self) -> int | None:
        held = self._order.held_push()
        if held is None or held == self._stalled or (self._queue and not self._queue.timed):
            return None
        since_us = max(self._gate_since_us, self._queue.due_us(self._script.time_us(held)))
        return since_us + self._settings.stall_us

    def _note_stall(self, now_us: int) -> None:
        held, cause = self._order.held_push(), self._order.held_by()
        assert held is not None
        assert cause is not None
        self._stalled = held
        waited_for = self._script.requests[cause]
        detail = f"waits for message {waited_for.seq}: {waited_for.excerpt}"
        self._note(EntryKind.HELD, now_us, seq=self._script.seq(held), detail=detail)
        self._stalls.add(f"{self._script.session.id} message {self._script.seq(held)} {detail}")

    def _note_relaxed(self, match: Match, payload: bytes, now_us: int) -> None:
        scripted = self._script.requests[match.number]
        method = scripted.request.method
        detail = f"matched without {match.without}"
        self._note(EntryKind.RELAXED, now_us, seq=scripted.seq, method=method, detail=detail, payload=payload)
        if match.asked:
            return
        self._relaxed.add(f"{self._script.session.id} message {scripted.seq} {detail}: {excerpt(payload)}")

    def _note(
        self,
        kind: EntryKind,
        now_us: int,
        *,
        seq: int | None = None,
        last_seq: int | None = None,
        pushes: int | None = None,
        method: str = "",
        detail: str = "",
        payload: bytes = b"",
    ) -> None:
        text = excerpt(payload) if payload else ""
        at_us = now_us - self._opened_us
        session = self._script.session.id
        self._add(Entry(kind, session, at_us, seq, last_seq, pushes, method, detail, text))

    def _add(self, entry: Entry) -> None:
        upstream = self._script.session.upstream.name
        self._journal.add(entry._replace(upstream=upstream, connection=self._connection))
