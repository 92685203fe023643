"""`wiretape verify`: plays a recording against its own replay."""

import json
import os

import click

from wiretape.options import json_option, store_option
from wiretape.sources import opened_to_replay
from wiretape.status import DIVERGENCE, DONE
from wiretape_replay.verification import verify_recording


@click.command("verify", short_help="Play a recording against its own replay and compare every byte.")
@click.argument("what")
@store_option
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How often, each time with other timings and TCP cuts.",
)
@json_option
def command(what: str, store: str, runs: int, as_json: bool) -> int:
    """
    Replay WHAT (a recording, a session or a tape file) to a client that does what was recorded, and
    compare every byte that comes back.
    """
    with opened_to_replay(store, what) as (reader, name):
        result = verify_recording(reader, name, runs=runs, environment=os.environ)
    if as_json:
        summary = {
            "what": what,
            "runs": runs,
            "sessions": result.sessions,
            "messages": result.messages,
            "ok": result.ok,
            "digests": sorted(set(result.digests)),
            "differences": result.differences,
        }
        click.echo(json.dumps(summary, indent=2))
    else:
        for difference in result.differences:
            click.echo(difference)
        verdict = "the same bytes every time" if result.ok else f"{len(result.differences)} differences"
        click.echo(
            f"{what}: {result.sessions} sessions, {result.messages} upstream messages, {runs} runs: {verdict}"
            f" (sha256 {result.digests[0][:16]})"
        )
    return DONE if result.ok else DIVERGENCE
