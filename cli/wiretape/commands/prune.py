"""`wiretape prune`: removes recordings by age, by size or by name."""

import json
import time
from typing import Any

import click

from wiretape.amounts import age_us, size_bytes
from wiretape.options import json_option, store_option
from wiretape.progress import ProgressLine
from wiretape.status import DONE, FAILED
from wiretape.stopping import stop_asked
from wiretape.text import bytes_text, counted, printable, time_text
from wiretape_store.upkeep.prunable import Prunable
from wiretape_store.upkeep.pruning import Pruner, PruneRules, Pruning


@click.command("prune", short_help="Remove recordings by age, size or name.")
@store_option
@click.option(
    "--older-than", metavar="AGE", callback=age_us, help="Those that ended longer ago, such as 30d."
)
@click.option(
    "--max-size",
    metavar="SIZE",
    callback=size_bytes,
    help="The oldest, until the store is no larger, such as 2GB.",
)
@click.option(
    "--recording", "recordings", metavar="NAME", multiple=True, help="This one; may be given several times."
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@json_option
def command(
    store: str,
    older_than: int | None,
    max_size: int | None,
    recordings: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> int:
    """
    Remove whole recordings that any of the options names, and give their room back. It does not ask.

    Pinned recordings and those still being recorded stay. The store may be in use. Ctrl-C stops it; the
    next prune finishes what it had begun.
    """
    if older_than is None and max_size is None and not recordings:
        raise click.UsageError("say which recordings: --older-than, --max-size or --recording")
    rules = PruneRules(older_than, max_size, recordings)
    with Pruner(store, now_us=time.time_ns() // 1000) as pruner:
        done = pruner.plan(rules) if dry_run else _run(pruner, rules)
    if as_json:
        click.echo(json.dumps(_object(done, dry_run=dry_run), indent=2))
    else:
        _print(done, dry_run=dry_run)
    if not done.finished:
        click.echo("wiretape: stopped before the end; the next prune finishes it", err=True)
    if not done.fits:
        left = bytes_text(done.bytes_after)
        click.echo(f"wiretape: {left} are left: the others are pinned or still being recorded", err=True)
    return DONE if done.finished and done.fits else FAILED


def _run(pruner: Pruner, rules: PruneRules) -> Pruning:
    def show(done: Pruning, now: Prunable) -> None:
        line.show(f"{counted(len(done.removed), 'recording')} removed; removing {printable(now.name)}")

    with stop_asked() as stopped, ProgressLine() as line:
        return pruner.run(rules, progress=show, stopped=stopped)


def _print(done: Pruning, *, dry_run: bool) -> None:
    verb = "would remove" if dry_run else "removed"
    for one in done.removed:
        about = "about " if dry_run else ""
        click.echo(
            f"{verb} {one.id} {printable(one.name)}: {counted(one.sessions, 'session')}, "
            f"{counted(one.messages, 'message')}, "
            f"{about}{bytes_text(one.stored_bytes)}, ended {time_text(one.last_at_us)[:19]}Z"
        )
    if not done.removed:
        click.echo(f"{verb} nothing")
    click.echo(
        f"{counted(len(done.removed), 'recording')}; the store {'would take' if dry_run else 'takes'} "
        f"{bytes_text(max(0, done.bytes_after))} instead of {bytes_text(done.bytes_before)}"
    )


def _object(done: Pruning, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "finished": done.finished,
        "fits": done.fits,
        "store_bytes_before": done.bytes_before,
        "store_bytes_after": max(0, done.bytes_after),
        "removed": [
            {
                "id": one.id,
                "name": one.name,
                "ended_at": time_text(one.last_at_us),
                "sessions": one.sessions,
                "messages": one.messages,
                "stored_bytes": one.stored_bytes,
            }
            for one in done.removed
        ],
    }
