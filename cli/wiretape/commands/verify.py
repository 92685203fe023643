"""`wiretape verify`: plays a recording against its own replay, run after run."""

import contextlib
import json
import os
from collections.abc import Callable

import click

from wiretape.options import json_option, store_option
from wiretape.progress import ProgressLine
from wiretape.sources import opened_to_replay
from wiretape.status import DIVERGENCE, DONE
from wiretape.verifying import Plan, tell_runs, verify_in_processes
from wiretape_replay.proof import Proof, verify_recording
from wiretape_replay.verification import RunFound, Verification

_SHOWN = 20  # differences that are printed, the others are counted
_WORTH_A_PROCESS = 50  # runs that take as long as a process takes to start


def _run_options(function: Callable[..., int]) -> Callable[..., int]:
    options = (
        click.option(
            "--runs",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="How often, each time with other timings and TCP cuts.",
        ),
        click.option(
            "--parallel",
            type=click.IntRange(min=1, max=256),
            default=8,
            show_default=True,
            help="How many runs go on at the same time in a process.",
        ),
        click.option(
            "--processes",
            type=click.IntRange(min=1, max=256),
            help="How many, each with another PYTHONHASHSEED. "
            f"[default: 1 below {2 * _WORTH_A_PROCESS} runs, else at least 2]",
        ),
        click.option(
            "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Other timings and cuts."
        ),
        # What one process tells another to do.
        click.option("--first", type=click.IntRange(min=0), default=0, hidden=True),
        click.option("--tell", "is_telling", is_flag=True, hidden=True),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.command("verify", short_help="Play a recording against its own replay and compare every byte.")
@click.argument("what")
@store_option
@_run_options
@json_option
def command(
    what: str,
    store: str,
    runs: int,
    parallel: int,
    processes: int | None,
    seed: int,
    first: int,
    is_telling: bool,
    as_json: bool,
) -> int:
    """
    Replay WHAT (a recording, a session or a tape file) to a client that does what was recorded, and
    compare every byte that comes back.

    Each run plays all upstreams at the same time, and every run must give the same SHA-256.
    """
    plan = Plan(runs, first, parallel, processes or _processes_for(runs), seed)
    if is_telling:
        with (
            opened_to_replay(store, what) as (reader, name),
            contextlib.closing(Proof(reader, name, os.environ, seed=seed)) as proof,
        ):
            return DONE if tell_runs(proof, plan) else DIVERGENCE
    with ProgressLine() as line:
        result = _verify(what, store, plan, _Watch(line, runs).see)
    _print(what, result, plan, as_json=as_json)
    return DONE if result.ok else DIVERGENCE


def _processes_for(runs: int) -> int:
    """More than one processor has is of no use, but one process alone has one hash seed."""
    return 1 if runs < 2 * _WORTH_A_PROCESS else max(2, min(os.cpu_count() or 1, runs // _WORTH_A_PROCESS))


def _verify(what: str, store: str, plan: Plan, on_run: Callable[[RunFound], object]) -> Verification:
    with opened_to_replay(store, what) as (reader, name):
        if plan.processes == 1:
            return verify_recording(
                reader,
                name,
                runs=plan.runs,
                seed=plan.seed,
                parallel=plan.parallel,
                environment=os.environ,
                on_run=on_run,
            )
    return verify_in_processes(what, store, plan, on_run)


class _Watch:
    """Shows how many runs are over."""

    def __init__(self, line: ProgressLine, runs: int) -> None:
        self._line = line
        self._runs = runs
        self._over = 0
        self._differing = 0

    def see(self, found: RunFound) -> None:
        self._over += 1
        self._differing += bool(found.differences)
        differing = f", {self._differing:,} differ" if self._differing else ""
        self._line.show(f"{self._over:,} of {self._runs:,} runs{differing}")


def _print(what: str, result: Verification, plan: Plan, *, as_json: bool) -> None:
    differences, digests = result.differences, result.digests
    if as_json:
        summary = {
            "what": what,
            "runs": len(result.found),
            "processes": plan.processes,
            "seed": plan.seed,
            "sessions": result.sessions,
            "messages": result.messages,
            "ok": result.ok,
            "digests": sorted(set(digests)),
            "differences": differences,
        }
        click.echo(json.dumps(summary, indent=2))
        return
    for difference in differences[:_SHOWN]:
        click.echo(difference)
    if len(differences) > _SHOWN:
        click.echo(f"and {len(differences) - _SHOWN} more")
    verdict = "the same bytes every time" if result.ok else f"{len(differences)} differences"
    processes = f" in {plan.processes} processes" if plan.processes > 1 else ""
    click.echo(
        f"{what}: {result.sessions} sessions, {result.messages} upstream messages, "
        f"{len(result.found)} runs{processes}: {verdict} (sha256 {digests[0][:16]})"
    )
