"""The engine against the plain model, through any interleaving of what a client and a clock can do."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from replay_builders import OPEN, TINY, Stage, a_session, messages
from replay_lines import Asked, Ended, Happening, Injected, Paused, Said, Waited
from replay_model import Model

from wiretape_replay import (
    Action,
    NothingToStepError,
    OnMiss,
    Order,
    Pace,
    Repeats,
    ReplaySettings,
    Step,
    compile_script,
)
from wiretape_store.records import End, EndKind, Message

IDS = ("1", "2", '"x"')
STREAMS = ("deals", "depth")
ASKED = (
    "call {} price",
    "call {} time",
    "range {} 10 20",
    "range {} 15 25",
    "order {} buy",
    "auth {} key",
    "own {} balance",
    *(f"sub {{}} {stream}" for stream in STREAMS),
    "sub {} deals all",
    *(f"unsub {{}} {stream}" for stream in STREAMS),
    "beat {}",
)
UNASKED = ("note - hi", "\x00junk")
ENDS = (
    OPEN,
    End(EndKind.CLOSED, from_client=True, code=1000),
    End(EndKind.CLOSED, from_client=False, code=4001, reason="bye"),
    End(EndKind.EOF, from_client=False),
)
PACES = ("asap", "step", "realtime", "x2", "x0.5")
GAPS_US = st.sampled_from([0, 1000, 2000, 10_000])
STALL_US = 7_000

said = st.one_of(
    st.builds(str.format, st.sampled_from(ASKED), st.sampled_from(IDS)), st.sampled_from(UNASKED)
)
pushed = st.sampled_from(["< push ", *(f"< push {stream}:" for stream in STREAMS)])
answered = st.integers(0, 3)


@st.composite
def episodes(draw: st.DrawFn) -> list[str | int]:
    """A subscription, what comes of it, and perhaps its end, with other things in between."""
    stream = draw(st.sampled_from(STREAMS))
    pushes: st.SearchStrategy[str | int] = st.sampled_from([f"< push {stream}:"] * 2 + ["> call 1 price"])
    ends: list[str | int] = [f"> unsub 2 {stream}", 0]
    return [
        f"> sub 1 {stream}{draw(st.sampled_from(['', ' all']))}",
        0,
        *draw(st.lists(pushes, max_size=3)),
        *draw(st.sampled_from([[], ends, [ends[0], f"< push {stream}:", 0]])),
    ]


steps = st.lists(
    st.one_of(
        said.map(lambda text: [f"> {text}"]),
        answered.map(lambda n: [n]),
        pushed.map(lambda p: [p]),
        episodes(),
    ),
    max_size=8,
).map(lambda groups: [step for group in groups for step in group])


def recorded(steps: Sequence[str | int], gaps_us: Sequence[int]) -> list[Message]:
    """
    A session of these steps: a line, or a number, which answers one of the calls that wait.

    Every upstream message is told apart from every other.
    """
    lines: list[str] = []
    waiting: list[str] = []
    for number, step in enumerate(steps):
        if isinstance(step, str):
            lines.append(step if step.startswith(">") else f"{step}{number}")
            if step.startswith("> ") and step[2:] not in UNASKED:
                waiting.append(step[2:])
        elif waiting:
            verb, identity, *_ = waiting.pop(step % len(waiting)).split(" ")
            lines.append(f"< {'beaten' if verb == 'beat' else 'answer'} {identity} {number}")
    at_us = 0
    made = []
    for message, gap_us in zip(messages(lines), itertools.cycle(gaps_us), strict=False):
        at_us += gap_us
        made.append(replace(message, at_us=at_us))
    return made


class ReplayMachine(RuleBasedStateMachine):
    @initialize(
        steps=steps,
        gaps_us=st.lists(GAPS_US, min_size=1, max_size=8),
        end=st.sampled_from(ENDS),
        pace=st.sampled_from(PACES),
        on_miss=st.sampled_from([OnMiss.ERROR, OnMiss.ERROR, OnMiss.CLOSE]),
        order=st.sampled_from(Order),
        repeats=st.sampled_from([Repeats.READS, Repeats.READS, Repeats.NEVER]),
    )
    def begin(
        self,
        steps: list[str | int],
        gaps_us: list[int],
        end: End,
        pace: str,
        on_miss: OnMiss,
        order: Order,
        repeats: Repeats,
    ) -> None:
        made = recorded(steps, gaps_us)
        self.texts = [message.payload.decode() for message in made if message.from_client]
        last_us = made[-1].at_us if made else 0
        session = a_session(end=end, ended_at_us=last_us + 3_000)
        self.settings = ReplaySettings(order, Pace.parse(pace), on_miss, repeats=repeats, stall_us=STALL_US)
        self.script = compile_script(session, made, TINY)
        self.model = Model(session, made, self.settings)
        self.now_us = 0
        self.connect()

    def connect(self) -> None:
        self.stage = Stage(self.script, self.settings)
        self.stage.now_us = self.opened_us = self.now_us
        self.history: list[Happening] = []
        self.heard: list[tuple[int | None, str]] = []
        self.note(self.stage.open())

    def note(self, texts: list[str], at_us: int | None = None) -> None:
        self.heard += [(self.now_us if at_us is None else None, text) for text in texts]

    def pass_time(self, until_us: int) -> None:
        """The driver's part: tick whenever the session asks for it."""
        woken = 0
        while (wake_us := self.stage.session.next_wake_us) is not None and wake_us <= until_us:
            woken += 1
            assert woken < 100, "the session wants to be woken for ever"
            self.now_us = self.stage.now_us = max(self.now_us, wake_us)
            self.note(self.stage._played(self.stage.session.tick(self.now_us)))
        self.now_us = self.stage.now_us = until_us
        self.history.append(Waited(until_us))

    def say(self, text: str) -> None:
        self.note(self.stage.say(text))
        self.history.append(Said(self.now_us, text))

    @rule(number=st.integers(0, 20), other_id=st.none() | st.sampled_from(["1", "77", '"y"']))
    def say_what_was_recorded(self, number: int, other_id: str | None) -> None:
        if self.texts:
            verb, *rest = self.texts[number % len(self.texts)].split(" ", 2)
            if other_id is not None and verb != "note" and rest:
                rest[0] = other_id
            self.say(" ".join([verb, *rest]))

    @rule()
    def say_what_comes_next(self) -> None:
        received = {seq for _, seq in self.model.outcome(self.opened_us, self.history).journal}
        rest = [call for call in self.model.calls if call.seq not in received]
        if rest:
            self.say(rest[0].text)

    @rule(text=said)
    def say_something(self, text: str) -> None:
        self.say(text)

    @rule(texts=st.lists(said, min_size=2, max_size=3))
    def say_at_once(self, texts: list[str]) -> None:
        for text in texts:
            self.say(text)

    @rule(gap_us=st.sampled_from([1_000, 4_000, 20_000]))
    def wait(self, gap_us: int) -> None:
        self.pass_time(self.now_us + gap_us)

    def ask(self, what: Step | Pace | Paused | Injected | Ended, actions: list[Action]) -> None:
        """Something that was asked of the run, and what came of it."""
        self.note(self.stage.perform(actions))
        self.history.append(Asked(self.now_us, what))

    @rule(
        step=st.one_of(
            st.builds(Step, messages=st.integers(1, 4)),
            st.builds(Step, stream=st.sampled_from(STREAMS)),
            st.builds(Step, method=st.just("push")),
            st.builds(Step, until_us=st.sampled_from([0, 1_000, 5_000, 20_000])),
        )
    )
    def let_pushes_go(self, step: Step) -> None:
        try:
            actions, _ = self.stage.session.step(step, self.now_us)
        except NothingToStepError:
            event("nothing to step")
            return
        self.ask(step, actions)

    @rule(pace=st.sampled_from(PACES).map(Pace.parse))
    def change_the_pace(self, pace: Pace) -> None:
        self.ask(pace, self.stage.session.set_pace(pace, self.now_us))

    @rule()
    def pause(self) -> None:
        self.ask(Paused(on=True), self.stage.session.pause(self.now_us))

    @rule()
    def resume(self) -> None:
        self.ask(Paused(on=False), self.stage.session.resume(self.now_us))

    @rule()
    def push(self) -> None:
        self.ask(Injected("surprise"), self.stage.session.push(b"surprise", None, self.now_us))

    @rule(code=st.sampled_from([1012, None]))
    def disconnect(self, code: int | None) -> None:
        self.ask(Ended(code), self.stage.session.disconnect(code, "", self.now_us))

    @rule()
    def tick_without_need(self) -> None:
        self.note(self.stage._played(self.stage.session.tick(self.now_us)))

    @rule()
    def reconnect(self) -> None:
        self.stage.session.closed(self.now_us, "the client ended TCP")
        self.connect()

    @invariant()
    def check(self) -> None:
        if not hasattr(self, "stage"):
            return
        self.pass_time(self.now_us)
        expected = self.model.outcome(self.opened_us, self.history)
        assert [text for _, text in self.heard] == [text for _, text in expected.sent]
        for heard, sent in zip(self.heard, expected.sent, strict=True):
            assert heard[0] in (None, sent[0])
        entries = self.stage.journal.entries
        kinds = ("matched", "relaxed", "repeated", "missed")
        met = [(e.kind.value, None if e.kind == "missed" else e.seq) for e in entries if e.kind in kinds]
        assert met == expected.journal
        assert sum(entry.pushes or 0 for entry in entries if entry.kind == "pushed") == expected.pushed
        asked = [each for each in self.history if isinstance(each, Asked)]
        held = [(e.seq, e.detail.split(":")[0]) for e in entries if e.kind == "held"]
        strict = [(seq, f"waits for message {waits_for}") for seq, waits_for in expected.held]
        paces = [self.settings.pace, *(each.what for each in asked if isinstance(each.what, Pace))]
        # How long a push was held before the clock was stopped or changed is told nowhere.
        told = not asked or all(pace.factor is None for pace in paces)
        assert held == strict or not told
        verdict = self.stage.session.verdict()
        assert (verdict.misses.count, verdict.relaxed.count, verdict.stalls.count, verdict.unused.count) == (
            expected.misses,
            expected.relaxed,
            len(held),
            expected.unused,
        )


def test_the_engine_does_what_the_model_says() -> None:
    run_state_machine_as_test(
        ReplayMachine, settings=settings(max_examples=400, stateful_step_count=30, deadline=None)
    )
