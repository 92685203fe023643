"""
One isolated replay of a recording: its own position, pace, journal and verdict.

Owns what somebody may ask of a run while clients talk to it. Where it listens is for `server`.
"""

from collections.abc import Callable, Iterable, Mapping

from wiretape_protocols import Opcode
from wiretape_replay.actions import Action
from wiretape_replay.engine import ReplaySession
from wiretape_replay.errors import (
    NoConnectionError,
    NotPossibleError,
    SettingError,
    UnknownUpstreamError,
)
from wiretape_replay.fault_plan import FaultPlan
from wiretape_replay.faults import Fault
from wiretape_replay.journal import Journal
from wiretape_replay.recordings import ReplayedRecording
from wiretape_replay.settings import Pace, ReplaySettings
from wiretape_replay.stand import Driver, Stand
from wiretape_replay.stepping import Step
from wiretape_replay.verdict import Verdict, merged
from wiretape_store import IncomingRecording, UpstreamSpec

_MOST_EARLY_STEPS = 10_000


class Run:
    """
    A recording, replayed once; any number of runs may share one recording.

    Everything is called in the thread of the event loop that serves the clients. `live_urls` says by
    upstream where messages go that the recording cannot answer, if not to where it was recorded.
    """

    def __init__(
        self,
        recording: ReplayedRecording,
        settings: ReplaySettings | None = None,
        journal: Journal | None = None,
        *,
        live_urls: Mapping[str, str] | None = None,
    ) -> None:
        self.recording = recording
        self.settings = settings if settings is not None else ReplaySettings()
        self.journal = journal if journal is not None else Journal()
        self._plan = FaultPlan(self.settings.faults, self.settings.seed)
        self.stands = tuple(
            Stand(upstream, recording.what, self.settings, self.journal, self._opened, self._plan)
            for upstream in recording.upstreams
        )
        """One for each upstream of the recording, in its order."""
        for name, url in (live_urls or {}).items():
            self._named(name)[0].live_url = url
        self._early: list[tuple[str | None, Step]] = []
        """Steps that were asked for before there was a connection to take them."""
        self._check(self.settings.faults)

    @property
    def pace(self) -> Pace:
        """The pace of now; `settings` has that of the beginning."""
        return self.stands[0].pace

    @property
    def paused(self) -> bool:
        """Whether nothing is pushed until `resume`."""
        return self.stands[0].paused

    def step(
        self, step: Step, *, upstream: str | None = None, connection: int | None = None
    ) -> tuple[int, int]:
        """
        Let pushes go that a stepped pace, or a pause, holds; also those that become free later.

        Without a connection yet, the next one to the upstream takes the step. Returns how many pushes
        went at once, and how many may still go for steps that count them. Raises UnknownUpstreamError,
        NoConnectionError for a connection that is not open, NothingToStepError, and NotPossibleError
        where it is not clear which connection is meant.
        """
        if not self.paused and not self.pace.stepped:
            raise NotPossibleError(
                "nothing waits for a step: the pace is "
                f"{self.pace}; start the run with pace step, or pause it"
            )
        found = self._connections(upstream, connection)
        if len(found) > 1:
            raise NotPossibleError(
                f"{len(found)} connections are open, so a step must say which: name its upstream, and its "
                "connection where there are several"
            )
        if found:
            return found[0].step(step)
        if len(self._early) >= _MOST_EARLY_STEPS:
            raise NotPossibleError(f"{len(self._early)} steps wait for a connection already")
        self._early.append((upstream, step))
        return 0, sum(step.messages or 0 for _, step in self._early)

    def pause(self) -> None:
        """Push nothing until `resume`; answers keep their places."""
        for stand in self.stands:
            stand.pause()

    def resume(self) -> None:
        """Go on at the pace from before the pause."""
        for stand in self.stands:
            stand.resume()

    def set_pace(self, pace: Pace) -> None:
        """Go on at another pace, on all connections that are open and to come."""
        for stand in self.stands:
            stand.set_pace(pace)

    def push(
        self, upstream: str, payload: bytes, opcode: Opcode | None = None, *, connection: int | None = None
    ) -> int:
        """
        Send a message that is not in the recording, on one or all open connections to an upstream.

        Without an opcode it is packed as the upstream packs its own. Returns how many connections got
        it. Raises UnknownUpstreamError and NoConnectionError.
        """
        return self._each(upstream, connection, lambda session, now_us: session.push(payload, opcode, now_us))

    def disconnect(
        self,
        upstream: str | None = None,
        code: int | None = 1000,
        reason: str = "",
        *,
        connection: int | None = None,
    ) -> int:
        """
        End connections: with a close frame of this code, or TCP without one where it is None.

        Returns how many. Raises UnknownUpstreamError, NoConnectionError and SettingError.
        """
        if code is not None and not 1000 <= code <= 4999:
            raise SettingError("code", str(code), "a close code from 1000 to 4999 (RFC 6455 section 7.4)")
        return self._each(
            upstream, connection, lambda session, now_us: session.disconnect(code, reason, now_us)
        )

    def conversation(self, name: str, now_us: int) -> IncomingRecording:
        """
        What passed in a run that records, replayed or live, as a recording that a store can take.

        `now_us` is the time of now, since 1970, UTC. Call it when the run has ended.
        """
        transcripts = sorted(
            (transcript for stand in self.stands for transcript in stand.transcripts),
            key=lambda transcript: transcript.started_at_us,
        )
        started_at_us = transcripts[0].started_at_us if transcripts else now_us
        redaction = self.recording.redaction
        return IncomingRecording(
            name,
            started_at_us,
            now_us,
            tuple(
                UpstreamSpec(upstream.name, upstream.protocol, upstream.url, upstream.listen)
                for upstream in (stand.replayed.upstream for stand in self.stands)
            ),
            [transcript.incoming() for transcript in transcripts],
            redaction.rules,
            redaction.key,
        )

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What goes wrong now; `settings` has what did in the beginning."""
        return self._plan.faults

    def set_faults(self, faults: Iterable[Fault]) -> None:
        """
        Put other faults in place of all there are, on connections that are open and to come.

        One that stays at its place goes on counting. Without the fault that delays it or holds it
        back, a message goes at once. Raises UnknownUpstreamError, and then all stay.
        """
        replaced = tuple(faults)
        self._check(replaced)
        self._plan.faults = replaced
        for stand in self.stands:
            stand.set_faults()

    def verdict(self) -> Verdict:
        """How the run compares with the recording so far, over all upstreams and sessions."""
        return merged(stand.verdict() for stand in self.stands)

    def _each(
        self,
        upstream: str | None,
        connection: int | None,
        ask: Callable[[ReplaySession, int], list[Action]],
    ) -> int:
        found = self._connections(upstream, connection)
        if not found:
            raise NoConnectionError(upstream, connection)
        for each in found:
            each.act(ask)
        return len(found)

    def _connections(self, upstream: str | None, connection: int | None) -> list[Driver]:
        """Those that are meant; raises where a named one is not there."""
        found = [
            live
            for stand in self._named(upstream)
            for number, live in stand.live.items()
            if connection in (None, number) and live.is_open
        ]
        if connection is not None and not found:
            raise NoConnectionError(upstream, connection)
        return found

    def _check(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            self._named(fault.upstream)

    def _named(self, upstream: str | None) -> tuple[Stand, ...]:
        if upstream is None:
            return self.stands
        for stand in self.stands:
            if stand.name == upstream:
                return (stand,)
        raise UnknownUpstreamError(upstream, [stand.name for stand in self.stands])

    def _opened(self, stand: Stand, live: Driver) -> None:
        """A connection is open: it takes the steps that were asked for before."""
        taken = [(name, step) for name, step in self._early if name in (None, stand.name)]
        self._early = [early for early in self._early if early not in taken]
        for _, step in taken:
            try:
                live.step(step)
            except NotPossibleError:
                # Who asked has its answer already; the journal of the session shows that nothing went.
                continue
