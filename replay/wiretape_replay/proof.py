"""
Plays a recording against its own replay, run after run, and compares every byte with what was recorded.

The replay is the daemon's own: a registry of runs on loopback, with ports of their own or a path on the
port that they share. The client sends what was recorded, in another manner in each run, and several runs
go on beside each other.
"""

import asyncio
import hashlib
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from wiretape_replay.player import Manner, Player
from wiretape_replay.recordings import Reader, load_recording
from wiretape_replay.runs import Addresses, Runs, Wanted
from wiretape_replay.settings import ReplaySettings
from wiretape_replay.shared_port import SharedPort
from wiretape_replay.shelf import Shelf
from wiretape_replay.verification import Expectation, RunFound, SessionFound, Verification

DEADLINE_S = 10.0
_ONE_BY_ONE = 0.5
# A busy machine must not make a stall of a client that is only slow.
_SETTINGS = ReplaySettings(stall_us=3_600_000_000, handshake_us=60_000_000, closing_us=60_000_000)


class Proof:
    """A recording that is read and compiled once, and played any number of times; to be closed before its reader."""

    def __init__(
        self, reader: Reader, what: str, environment: Mapping[str, str] | None = None, *, seed: int = 0
    ) -> None:
        """Read it. `environment` is as in `load_recording`, whose errors are raised; `seed` decides on manners."""
        recording = load_recording(reader, what, environment)
        self.close = recording.close
        self._shelf = Shelf(lambda _: recording, lambda _: recording)
        self._wanted = Wanted(what=what, settings=_SETTINGS)
        self._seed = seed
        self.expected = {
            upstream.upstream.name: [
                Expectation.of(session, list(reader.messages(session.id))) for session in upstream.sessions
            ]
            for upstream in recording.upstreams
        }
        """By upstream, the sessions in the order of their connections."""

    @property
    def sessions(self) -> int:
        """How many there are."""
        return sum(map(len, self.expected.values()))

    @property
    def messages(self) -> int:
        """How many the upstreams send in one run."""
        return sum(
            not message.from_client
            for sessions in self.expected.values()
            for expected in sessions
            for message in expected.messages
        )

    async def play_all(
        self,
        runs: Sequence[int],
        on_run: Callable[[RunFound], object],
        *,
        parallel: int = 1,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """
        Play the runs of these numbers, so many at a time; `on_run` hears of each as it ends.

        Once one hangs no other is begun: all of them would, for a deadline each.
        """
        waiting = deque(runs)
        shared_port = SharedPort("127.0.0.1", 0)
        await shared_port.start()
        daemon = Runs(self._shelf, shared_port)

        async def play_some() -> None:
            while waiting:
                found = await self._play(daemon, waiting.popleft(), deadline_s)
                on_run(found)
                if found.hangs:
                    waiting.clear()

        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(parallel, len(runs))):
                    tasks.create_task(play_some())
        finally:
            shared_port.close()
            await daemon.end_all()

    async def _play(self, daemon: Runs, run: int, deadline_s: float) -> RunFound:
        """Play all sessions of all upstreams once."""
        seed = f"{self._seed} {run}"
        rng = random.Random(seed)  # noqa: S311 - timing, not secrecy
        live = await daemon.begin(replace(self._wanted, addresses=rng.choice(list(Addresses))))
        async with asyncio.TaskGroup() as upstreams:
            playing = [
                upstreams.create_task(_Upstream(live.urls[name], sessions, seed).play(deadline_s))
                for name, sessions in self.expected.items()
            ]
        await daemon.end(live.id)
        digest, differences, hangs = hashlib.sha256(), list[str](), False
        for played in (session for task in playing for session in task.result()):
            digest.update(played.digest)
            differences += [f"{played.session}, run {run + 1}: {text}" for text in played.differences]
            hangs |= played.hangs
        verdict = live.verdict()
        if not verdict.ok and not differences:
            differences += [f"run {run + 1}: the verdict says {line}" for line in verdict.lines()]
        return RunFound(run, digest.hexdigest(), tuple(differences), hangs)


class _Upstream:
    """The client's connections to one upstream, in one run."""

    def __init__(self, url: str, sessions: Sequence[Expectation], seed: str) -> None:
        self._url = url
        self._sessions = sessions
        self._seed = seed
        self._hangs = False

    async def play(self, deadline_s: float) -> list[SessionFound]:
        """Play one session after the other, or each as soon as the one before has its connection."""
        one_by_one = random.Random(f"{self._seed} order").random() < _ONE_BY_ONE  # noqa: S311 - as above
        playing: list[asyncio.Task[SessionFound]] = []
        async with asyncio.TaskGroup() as tasks:
            for expected in self._sessions:
                if self._hangs:
                    break
                manner = Manner.drawn(f"{self._seed} {expected.session.id}")
                player = Player(self._url, expected.session, expected.messages, manner)
                playing.append(tasks.create_task(self._play_one(player, expected, deadline_s)))
                await (playing[-1] if one_by_one else player.opened.wait())
        return [task.result() for task in playing]

    async def _play_one(self, player: Player, expected: Expectation, deadline_s: float) -> SessionFound:
        found = expected.compare(await player.play(deadline_s))
        self._hangs |= found.hangs
        return found


def verify_recording(
    reader: Reader,
    what: str,
    *,
    runs: int = 1,
    seed: int = 0,
    parallel: int = 1,
    deadline_s: float = DEADLINE_S,
    environment: Mapping[str, str] | None = None,
    on_run: Callable[[RunFound], object] = lambda _: None,
) -> Verification:
    """
    Play a recording or a session `runs` times, `parallel` at a time; never raises for a difference.

    Raises what `load_recording` raises.
    """
    with closing(Proof(reader, what, environment, seed=seed)) as proof:
        result = Verification(what, runs, proof.sessions, proof.messages)

        def add(found: RunFound) -> None:
            result.found.append(found)
            on_run(found)

        asyncio.run(proof.play_all(range(runs), add, parallel=parallel, deadline_s=deadline_s))
    return result
