"""Stands in for one upstream within a run: hands its sessions out, one a connection, and keeps how they went."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple
from typing import Protocol as Interface

from wiretape_replay.actions import Action
from wiretape_replay.engine import ReplaySession
from wiretape_replay.fault_plan import FaultPlan, HandshakeFate
from wiretape_replay.fault_selection import ArmedFault
from wiretape_replay.journal import Entry, EntryKind, Journal
from wiretape_replay.recordings import ReplayedUpstream
from wiretape_replay.relaxing import RelaxingProtocol
from wiretape_replay.script import Script
from wiretape_replay.settings import Pace, Reconnect, ReplaySettings
from wiretape_replay.stepping import Step
from wiretape_replay.transcripts import Transcript
from wiretape_replay.verdict import Verdict, merged
from wiretape_store.records import Headers, Session


class Driver(Interface):
    """What a run needs of the connections of its clients."""

    @property
    def is_open(self) -> bool:
        """Whether its handshake is done and its session goes on."""

    def act(self, ask: Callable[[ReplaySession, int], list[Action]]) -> None:
        """Let the session do something now (its time is given), and send what comes of it."""

    def step(self, step: Step) -> tuple[int, int]:
        """As `Run.step`."""

    def set_faults(self, faults: tuple[ArmedFault, ...]) -> None:
        """Go on with these faults of messages."""

    def going_away(self) -> None:
        """End with code 1001."""

    def abort(self) -> None:
        """Cut."""


class Admission(NamedTuple):
    """What a connection gets."""

    number: int
    """Counts the connections to the upstream in this run, from 1."""
    session: Session | None
    """None where no session is left."""


class Stand:
    """The upstream's side of a run, for any number of connections."""

    def __init__(
        self,
        replayed: ReplayedUpstream,
        what: str,
        settings: ReplaySettings,
        journal: Journal,
        opened: Callable[["Stand", Driver], None],
        plan: FaultPlan,
    ) -> None:
        if settings.relax:
            replayed = replayed.with_protocol(RelaxingProtocol(replayed.protocol, settings.relax))
        replayed.prepare()
        self.replayed = replayed
        self.settings = settings
        self.pace = settings.pace
        self.paused = False
        self._what = what
        self._journal = journal
        self._tell_opened = opened
        self._plan = plan
        self._aside: dict[int, int] = {}
        """The sessions that wait for delayed handshakes, by number of the connection."""
        self._left = dict(enumerate(replayed.sessions))
        """The sessions that no connection has got yet in this round, in the order of their recording."""
        self._unopened = dict(self._left)
        """Those that no connection has got at all."""
        self._admitted = 0
        self._sessions: dict[Driver, ReplaySession] = {}
        self._verdict = Verdict()
        """Of the connections that are gone, and what did not happen within a session."""
        self.live_url = replayed.upstream.url
        """Where messages go that the recording cannot answer."""
        self.transcripts: list[Transcript] = []
        """Of the connections so far, where the run records."""
        self.live: dict[int, Driver] = {}
        """The connections that are open, by number."""
        self.connections: dict[Driver, None] = {}
        """Those that are there, in their handshakes or after, oldest first."""
        self.empty = asyncio.Event()
        self.empty.set()

    @property
    def name(self) -> str:
        """The upstream's name."""
        return self.replayed.upstream.name

    def admit(self, target: str) -> Admission:
        """
        Choose the session that a handshake for this path and query gets; it is taken by what follows.

        That is the first one left of this path and query, or else the first one left, or else what the
        run says of connections after the last.
        """
        if not self._left and self.settings.reconnect is Reconnect.CYCLE:
            self._left = dict(enumerate(self.replayed.sessions))
        asked = self.replayed.redact_target(target)
        same = (
            session
            for session in self._left.values()
            if self.replayed.redact_target(session.handshake.target) == asked
        )
        session = next(same, None) or next(iter(self._left.values()), None)
        if session is None and self.settings.reconnect is Reconnect.LAST and self.replayed.sessions:
            session = self.replayed.sessions[-1]
        return Admission(self._admitted + 1, session)

    def fate(self, admission: Admission, at_us: int) -> HandshakeFate:
        """
        What faults do to a valid handshake; ask once for each.

        Its number is used up by that. Its session is set aside for it where the answer is delayed, so
        that later connections get later ones, and stays for others where the handshake is refused.
        """
        self._admitted = admission.number
        fate = self._plan.handshake(self.name, admission.number)
        for detail in fate.details():
            self._note(EntryKind.FAULT, admission._replace(session=None), detail, at_us)
        if fate.delay_us and fate.refusal is None and admission.session is not None:
            index = self._index(admission.session)
            if self._left.pop(index, None) is not None:
                self._aside[admission.number] = index
        return fate

    def give_back(self, admission: Admission) -> None:
        """The client of a delayed handshake has gone: its session is there for others."""
        index = self._aside.pop(admission.number, None)
        if index is not None:
            left = {*self._left, index}
            self._left = {each: self.replayed.sessions[each] for each in sorted(left)}

    def faults(self, admission: Admission) -> tuple[ArmedFault, ...]:
        """What may strike messages of an admitted connection."""
        return self._plan.armed(self.name, admission.number)

    def set_faults(self) -> None:
        """The plan has changed: go on with that."""
        for number, driver in self.live.items():
            driver.set_faults(self._plan.armed(self.name, number))

    def describe(self) -> tuple[str, str, int]:
        """What is replayed, the upstream's name, and how many sessions it has."""
        return self._what, self.name, len(self.replayed.sessions)

    def begin(
        self, driver: Driver, admission: Admission, target: str, headers: Headers
    ) -> tuple[Script, ReplaySession]:
        """Take the session of an admission for an accepted handshake."""
        session = admission.session
        assert session is not None
        self._admit(admission)
        script = self.replayed.script(self._take(session))
        asked, recorded = map(self.replayed.redact_target, (target, session.handshake.target))
        if asked != recorded:
            detail = f"asked for {asked}, recorded for {recorded}"
            self._verdict.relaxed.add(f"{session.id}: {detail}")
            self._note(EntryKind.RELAXED, admission, detail)
        run = ReplaySession(
            script,
            self.replayed.protocol,
            replace(self.settings, pace=self.pace),
            self._journal,
            self.replayed.redaction(target, headers),
            connection=admission.number,
            paused=self.paused,
        )
        self._sessions[driver] = run
        self.live[admission.number] = driver
        return script, run

    def opened(self, driver: Driver) -> None:
        """The session has sent what comes first."""
        self._tell_opened(self, driver)

    def refused(self, why: str, admission: Admission) -> None:
        """The handshake was refused: as the session's own was, or because none is left."""
        self._admit(admission)
        if admission.session is not None:
            self._take(admission.session)
        else:
            self._verdict.misses.add(f"a connection to {self.name}: {why}")
        self._note(EntryKind.REFUSED, admission, f"{self.name}: {why}")

    def add(self, driver: Driver) -> None:
        """A connection has begun."""
        self.connections[driver] = None
        self.empty.clear()

    def discard(self, driver: Driver) -> None:
        """A connection is gone: what remains of it is its part of the verdict."""
        if (session := self._sessions.pop(driver, None)) is not None:
            self._verdict = merged([self._verdict, session.verdict()])
            self.live = {number: other for number, other in self.live.items() if other is not driver}
        self.connections.pop(driver, None)
        if not self.connections:
            self.empty.set()

    def pause(self) -> None:
        """Push nothing, on all connections."""
        self.paused = True
        for driver in self.live.values():
            driver.act(lambda session, now_us: session.pause(now_us))

    def resume(self) -> None:
        """Go on."""
        self.paused = False
        for driver in self.live.values():
            driver.act(lambda session, now_us: session.resume(now_us))

    def set_pace(self, pace: Pace) -> None:
        """Go on at another pace."""
        self.pace = pace
        for driver in self.live.values():
            driver.act(lambda session, now_us: session.set_pace(pace, now_us))

    def verdict(self) -> Verdict:
        """How it went so far."""
        unopened = Verdict()
        for session in self._unopened.values():
            nth = f"connection {session.number + 1}"
            unopened.unused.add(f"{session.id}, {nth} to {session.upstream.name}, was not opened")
        return merged([self._verdict, *(run.verdict() for run in self._sessions.values()), unopened])

    def _admit(self, admission: Admission) -> None:
        # A delayed handshake is answered after later ones have come.
        self._admitted = max(self._admitted, admission.number)
        self._aside.pop(admission.number, None)

    def _take(self, session: Session) -> int:
        index = self._index(session)
        self._left.pop(index, None)
        self._unopened.pop(index, None)
        return index

    def _index(self, session: Session) -> int:
        return next(index for index, each in enumerate(self.replayed.sessions) if each is session)

    def _note(self, kind: EntryKind, admission: Admission, detail: str, at_us: int = 0) -> None:
        session = "" if admission.session is None else admission.session.id
        self._journal.add(
            Entry(kind, session, at_us, detail=detail, upstream=self.name, connection=admission.number)
        )
