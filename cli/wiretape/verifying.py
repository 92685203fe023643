"""
Verifies a recording in several processes, each with another seed for Python's hashes.

The order of a set and the like depend on that seed, and must show in no byte. Each process is a
`wiretape verify` that plays some of the runs and tells about each, a line of JSON as it ends.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import click

from wiretape.status import DIVERGENCE, DONE
from wiretape_protocols import WiretapeError
from wiretape_replay.proof import Proof
from wiretape_replay.verification import RunFound, Verification

_HEARTBEAT_S = 1.0
_SILENT_S = 60.0
"""A process that has said nothing for so long, not even that it is alive, hangs."""
_LONGEST_LINE = 64 * 1024 * 1024
_SEEDS = 2**32


@dataclass(frozen=True, slots=True)
class Plan:
    """Which runs are played, and how."""

    runs: int
    first: int = 0
    """The number of the first; its manner depends on it."""
    parallel: int = 1
    """How many at the same time, in each process."""
    processes: int = 1
    seed: int = 0

    def shares(self) -> Iterator["Plan"]:
        """What each process plays."""
        first = 0
        for left in range(self.processes, 0, -1):
            share = (self.runs - first) // left
            if share:
                yield Plan(share, first, self.parallel, seed=self.seed)
            first += share


class VerifierError(WiretapeError):
    """A process ended early or hangs; the text says which, and what it said."""


def tell_runs(proof: Proof, plan: Plan) -> bool:
    """Play, and print what the process that asked wants to hear. Returns whether all was well."""
    differs = False

    def tell(found: RunFound) -> None:
        nonlocal differs
        differs |= bool(found.differences)
        click.echo(json.dumps(found))

    async def live() -> None:
        while True:
            click.echo("null")
            await asyncio.sleep(_HEARTBEAT_S)

    async def play() -> None:
        living = asyncio.create_task(live())
        await proof.play_all(range(plan.first, plan.first + plan.runs), tell, parallel=plan.parallel)
        living.cancel()

    click.echo(json.dumps({"sessions": proof.sessions, "messages": proof.messages}))
    asyncio.run(play())
    return not differs


def verify_in_processes(
    what: str, store: str, plan: Plan, on_run: Callable[[RunFound], object]
) -> Verification:
    """Spread the runs over processes. Raises VerifierError where one fails or hangs."""
    result = Verification(what, plan.runs, 0, 0)
    verifiers = [
        _Verifier(number, what, store, share, result, on_run) for number, share in enumerate(plan.shares(), 1)
    ]
    failures: list[VerifierError] = []

    async def watch(verifier: _Verifier) -> None:
        try:
            await verifier.run()
        except VerifierError as exc:
            failures.append(exc)
            for other in verifiers:
                other.end()

    async def verify() -> None:
        async with asyncio.TaskGroup() as tasks:
            for verifier in verifiers:
                tasks.create_task(watch(verifier))

    asyncio.run(verify())
    if failures:
        raise failures[0]
    return result


class _Verifier:
    """One process."""

    def __init__(
        self,
        number: int,
        what: str,
        store: str,
        share: Plan,
        result: Verification,
        on_run: Callable[[RunFound], object],
    ) -> None:
        self._number = number
        self._arguments = [
            what, "--tell", "--first", str(share.first), "--runs", str(share.runs), "--processes", "1",
            "--parallel", str(share.parallel), "--seed", str(share.seed),
        ]  # fmt: skip
        # Not among the arguments, which everybody on the machine can read: a URL may hold a password.
        self._environment = {
            "WIRETAPE_STORE": store,
            "PYTHONHASHSEED": str((share.seed + number) % _SEEDS),
        }
        self._result = result
        self._on_run = on_run
        self._process: asyncio.subprocess.Process | None = None
        self._is_over = False
        """Nobody wants to hear any more of it."""

    async def run(self) -> None:
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "wiretape",
            "verify",
            *self._arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | self._environment,
            limit=_LONGEST_LINE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        if self._is_over:
            self.end()
        talking = asyncio.create_task(process.stderr.read())
        try:
            await self._read(process.stdout)
        except BaseException:
            self.end()
            raise
        finally:
            await process.stdout.read()
            said = (await talking).decode(errors="replace").strip()
            status = await process.wait()
        if status not in {DONE, DIVERGENCE}:
            why = said.splitlines()[-1].removeprefix("wiretape: ") if said else "it said nothing"
            raise VerifierError(
                f"process {self._number} of the verification ended with status {status}: {why}"
            )

    def end(self) -> None:
        """Kill it, as soon as there is one."""
        self._is_over = True
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def _read(self, lines: asyncio.StreamReader) -> None:
        silent_s = None  # reading the recording may take long, and a run begins after that
        while line := await self._next_line(lines, silent_s):
            silent_s = _SILENT_S
            match json.loads(line):
                case {"sessions": sessions, "messages": messages}:
                    self._result.sessions, self._result.messages = sessions, messages
                case [run, digest, differences, hangs]:
                    found = RunFound(run, digest, tuple(differences), hangs)
                    self._result.found.append(found)
                    self._on_run(found)

    async def _next_line(self, lines: asyncio.StreamReader, silent_s: float | None) -> bytes:
        try:
            async with asyncio.timeout(silent_s):
                return await lines.readline()
        except TimeoutError:
            raise VerifierError(
                f"process {self._number} of the verification hangs: no sign of life for {silent_s:.0f} s"
            ) from None
