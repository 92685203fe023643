"""
What a replay must send, worked out as plainly as can be: a model to hold the engine against.

It is written from DESIGN.md section 5 and docs/replay.md, knows nothing of the engine, and works
everything out anew from the whole history whenever it is asked. It is as slow as it looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from replay_builders import TINY
from replay_lines import (
    Asked,
    Ended,
    Happening,
    Injected,
    Line,
    Paused,
    Said,
    Waited,
    is_background,
    is_read,
    read_lines,
)

from wiretape_protocols import Opcode, Request
from wiretape_replay import OnMiss, Order, Pace, Repeats, ReplaySettings, Step
from wiretape_store.records import EndKind, Message, Session


@dataclass
class Outcome:
    """What must have come of a history."""

    sent: list[tuple[int, str]] = field(default_factory=list)
    """Each message that went out, with its time; the end as well."""
    journal: list[tuple[str, int | None]] = field(default_factory=list)
    """What was said of the client's messages, background left out, and the recorded ones they met."""
    pushed: int = 0
    """The pushes that wait for the client no more, those that are out included."""
    dropped: list[int] = field(default_factory=list)
    held: list[tuple[int, int]] = field(default_factory=list)
    """The messages that stalled, and those that they wait for."""
    unused: int = 0
    misses: int = 0
    relaxed: int = 0
    ended: bool = False


class Model:
    """One connection to a recorded session."""

    def __init__(self, session: Session, messages: Sequence[Message], settings: ReplaySettings) -> None:
        self.session = session
        self.settings = settings
        self.lines = read_lines(messages)
        background = {line.seq for line in self.lines if line.request and is_background(line.request)}
        self.calls = [line for line in self.lines if line.request and line.seq not in background]
        self.beats = [line for line in self.lines if line.seq in background]
        self.upstream = [line for line in self.lines if not line.request and line.answers not in background]
        self.pushes = [line for line in self.upstream if line.is_push]

    def outcome(self, opened_us: int, history: Sequence[Happening]) -> Outcome:
        """What must have come of it, with the connection opened then."""
        return _Story(self, opened_us, history).outcome

    def answers_to(self, line: Line) -> list[Line]:
        return [answer for answer in self.lines if answer.answers == line.seq]


class _Story:
    """Goes through a history once, from its beginning."""

    def __init__(self, model: Model, opened_us: int, history: Sequence[Happening]) -> None:
        self.model = model
        self.order = model.settings.order
        self.outcome = Outcome()
        self.conversation = TINY.conversation(correlate=False)
        self.now_us = opened_us
        self.pace = model.settings.pace
        self.paused = False
        self.clocks: dict[int | None, tuple[int, Fraction]] = {None: (opened_us, Fraction(0))}
        """
        What time it was in the recording at which time, by each client message; None: by the handshake.
        """
        self.latest: int | None = None
        self.latest_sent_us = 0
        """Until when the messages that went out were recorded."""
        self.ids: dict[int, bytes | None] = {}
        """The recorded client messages that were received, under which ids."""
        self.beaten: set[int] = set()
        self.free: set[int] = set()
        """The upstream messages that wait for the client no more."""
        self.queue: list[Line] = []
        """Those of them that are not sent yet, in the order in which they came to be free."""
        self.steps: list[Step] = []
        self.open_streams: set[str] = set()
        self.awaited_since: dict[tuple[int, int], int] = {}
        """When each push came to be what is held, for want of which message of the client."""
        self.go_on()
        for happening in history:
            if isinstance(happening, Waited):
                self.wait(happening.at_us)
            if self.outcome.ended:
                continue
            if isinstance(happening, Said):
                self.hear(happening.text)
            elif isinstance(happening, Asked):
                self.obey(happening.what)
            self.go_on()
        self.outcome.unused = sum(line.seq not in self.ids for line in model.calls)

    # What the client's messages mean.

    def hear(self, text: str) -> None:
        request = self.conversation.client(text.encode(), Opcode.TEXT, 0)
        if is_background(request):
            self.beat(request)
            return
        exact = [line for line in self.model.calls if line.request and line.request.key == request.key]
        weaker = [line for line in self.model.calls if line.request and weaker_match(line.request, request)]
        for lines in (exact, weaker):
            for line in lines:
                if line.seq not in self.ids:
                    self.match(line, request)
                    return
        if (exact or weaker) and is_read(request) and self.model.settings.repeats is Repeats.READS:
            self.repeat(exact or weaker, request)
        else:
            self.miss(request)

    def met(self, line: Line, request: Request, how: str) -> None:
        if line.request and line.request.key != request.key:
            self.outcome.relaxed += 1
            self.outcome.journal.append(("relaxed", line.seq))
        self.outcome.journal.append((how, line.seq))

    def match(self, line: Line, request: Request) -> None:
        self.met(line, request, "matched")
        self.ids[line.seq] = request.id_text
        self.clocks[line.seq] = (self.now_us, Fraction(line.at_us))
        self.latest = line.seq
        self.open_streams |= set(request.opens)
        self.open_streams -= set(request.closes)
        if self.order is Order.FREE:
            for push in [
                each for each in self.queue if each.stream in request.closes and each.owner is not None
            ]:
                self.queue.remove(push)
                self.outcome.dropped.append(push.seq)

    def repeat(self, lines: list[Line], request: Request) -> None:
        """The last answer that was recorded; some calls have none."""
        line = next((line for line in reversed(lines) if self.model.answers_to(line)), lines[-1])
        self.met(line, request, "repeated")
        for answer in self.model.answers_to(line):
            self.send(respelled(answer.text, request.id_text))

    def miss(self, request: Request) -> None:
        self.outcome.journal.append(("missed", None))
        self.outcome.misses += 1
        if self.model.settings.on_miss is OnMiss.CLOSE:
            self.end(f"[close 1008 no recorded answer to {request.method or 'this message'}]")
        elif (refusal := TINY.refusal(request)) is not None:
            self.send(refusal.decode())

    def beat(self, request: Request) -> None:
        """Background is answered at once: as recorded, or as the protocol makes it up."""
        lines = [line for line in self.model.beats if line.request and line.request.key == request.key]
        answered = [line for line in lines if self.model.answers_to(line)]
        if not answered:
            made_up = TINY.background_answer(request)
            self.send(made_up.decode() if made_up else "")
            return
        line = next((line for line in answered if line.seq not in self.beaten), answered[-1])
        self.beaten.add(line.seq)
        for answer in self.model.answers_to(line):
            self.send(respelled(answer.text, request.id_text))

    # What is asked of the run.

    def obey(self, what: Step | Pace | Paused | Injected | Ended) -> None:
        match what:
            case Step():
                self.steps.append(what)
            case Pace():
                self.set_clocks()
                self.pace = what
                if not self.paused:
                    self.awaited_since.clear()
            case Paused(on):
                self.set_clocks()
                if self.paused and not on:
                    self.awaited_since.clear()
                self.paused = on
            case Injected(text):
                self.send(text)
            case Ended(code):
                self.end("[abort]" if code is None else f"[close {code}]")

    @property
    def is_held(self) -> bool:
        """Whether a push needs a step."""
        return self.paused or self.pace.stepped

    def let_go(self, push: Line) -> bool:
        """Whether a step lets this push go. One that it is too late for has done its duty."""
        while self.steps:
            step = self.steps[0]
            if step.until_us is not None:
                if push.at_us <= step.until_us:
                    return True
                self.steps.pop(0)
                continue
            if step.messages is not None and step.messages > 1:
                self.steps[0] = Step(messages=step.messages - 1)
            elif step.messages is not None or push.method == step.method or push.stream == step.stream:
                self.steps.pop(0)
            return True
        return False

    # What goes out, and when.

    def wait(self, until_us: int) -> None:
        """Let the time pass, from one moment at which something is due to the next."""
        while not self.outcome.ended and (due_us := self.next_due_us()) is not None and due_us <= until_us:
            self.pass_time(max(self.now_us, due_us))
            before = len(self.outcome.sent)
            self.go_on()
            assert len(self.outcome.sent) > before
        self.pass_time(until_us)

    def pass_time(self, until_us: int) -> None:
        self.stall(until_us)
        self.now_us = until_us

    def set_clocks(self) -> None:
        """From here on, the recorded time goes on from where the recording has come to."""
        for message, (live_us, recorded_us) in self.clocks.items():
            if self.pace.factor is None or self.paused:
                come_to = max(recorded_us, Fraction(self.latest_sent_us))
            else:
                come_to = recorded_us + (self.now_us - live_us) * Fraction(self.pace.factor)
            self.clocks[message] = (self.now_us, come_to)

    def go_on(self) -> None:
        if self.outcome.ended:
            return
        self.free_what_may_go()
        while (line := self.next_line()) is not None and self.is_due(line):
            if line.is_push and self.is_held and not self.let_go(line):
                break
            self.queue.remove(line)
            self.latest_sent_us = max(self.latest_sent_us, line.at_us)
            self.send(line.text if line.answers is None else respelled(line.text, self.ids[line.answers]))
        if self.may_end() and self.due(self.end_us, self.latest) <= self.now_us:
            end = self.model.session.end
            words = ("[close", str(end.code), end.reason or "")
            self.end("[abort]" if end.kind is EndKind.EOF else " ".join(filter(None, words)) + "]")

    def free_what_may_go(self) -> None:
        """
        In the recorded order, everything that waits for the client no more.

        That alone decides on the order in which it is sent: the pace says when, never what.
        """
        for line in self.model.upstream:
            if line.seq in self.free or not self.may_go(line):
                continue
            self.free.add(line.seq)
            if line.is_push and line.owner is not None and line.stream not in self.open_streams:
                self.outcome.dropped.append(line.seq)
            else:
                self.outcome.pushed += line.is_push
                self.queue.append(line)

    def may_go(self, line: Line) -> bool:
        if line.answers is not None:
            return line.answers in self.ids
        if self.order is Order.RECORDED:
            return all(call.seq in self.ids for call in self.model.calls if call.seq < line.seq)
        return self.gate(line) in self.clocks

    def gate(self, line: Line) -> int | None:
        """In free order, the one client message that this one waits for."""
        return line.cause if line.answers is None else line.answers

    def next_line(self) -> Line | None:
        """What goes out next of what is free."""
        if self.order is Order.RECORDED:
            return self.queue[0] if self.queue else None
        able = [line for line in self.queue if not (line.is_push and self.is_held) or self.steps]
        return min(able, key=lambda line: (self.due_of(line), line.seq), default=None)

    def is_due(self, line: Line) -> bool:
        return self.is_held or self.due_of(line) <= self.now_us

    def due_of(self, line: Line) -> int:
        return self.due(line.at_us, self.latest if self.order is Order.RECORDED else self.gate(line))

    def due(self, recorded_us: int, clock: int | None) -> int:
        """With the recorded gaps, counted from this message of the client's."""
        if self.pace.factor is None or self.paused:
            return 0
        live_us, then_us = self.clocks[clock]
        return live_us + round((recorded_us - then_us) / Fraction(self.pace.factor))

    def next_due_us(self) -> int | None:
        line = self.next_line()
        if line is not None:
            return None if self.is_held else self.due_of(line)
        return self.due(self.end_us, self.latest) if self.may_end() else None

    def may_end(self) -> bool:
        end = self.model.session.end
        upstream_ends = end.kind in {EndKind.CLOSED, EndKind.EOF} and end.from_client is False
        everything_heard = all(line.seq in self.ids for line in self.model.calls)
        everything_sent = len(self.free) == len(self.model.upstream) and not self.queue
        return upstream_ends and everything_heard and everything_sent and not self.paused

    @property
    def end_us(self) -> int:
        session = self.model.session
        if session.ended_at_us is not None:
            return session.ended_at_us - session.started_at_us
        return max((line.at_us for line in self.model.lines), default=0)

    def send(self, text: str) -> None:
        self.outcome.sent.append((self.now_us, text))

    def end(self, text: str) -> None:
        self.send(text)
        self.outcome.ended = True

    # What should have come and did not.

    def stall(self, until_us: int) -> None:
        """Note the first push that waits for the client, once it has waited for longer than the limit."""
        held = next((push for push in self.model.pushes if push.seq not in self.free), None)
        if held is None or self.outcome.ended or held.seq in dict(self.outcome.held):
            return
        if self.order is Order.RECORDED:
            waits_for = next(call.seq for call in self.model.calls if call.seq not in self.ids)
            key, due = (0, waits_for), self.due(held.at_us, self.latest)
        else:
            gate = self.gate(held)
            assert gate is not None
            waits_for, key, due = gate, (held.seq, gate), self.due(held.at_us, self.latest)
        if self.is_held and any(line.is_push for line in self.queue):
            self.awaited_since.pop(key, None)  # it is not the client's turn
            return
        since_us = self.awaited_since.setdefault(key, self.now_us)
        if self.pace.factor is not None and not self.paused:
            # Until then the pace holds it; the client's latest message may have pulled it along.
            since_us = max(since_us, due, self.clocks[self.latest][0])
        if until_us >= since_us + self.model.settings.stall_us:
            self.outcome.held.append((held.seq, waits_for))


def weaker_match(recorded: Request, sent: Request) -> bool:
    return any(one.key == other.key for one in recorded.relaxed for other in sent.relaxed)


def respelled(text: str, id_text: bytes | None) -> str:
    """An answer under the id of the live call."""
    return TINY.with_id(text.encode(), id_text).decode()
