"""`wiretape demo`: records and replays two simulated upstreams, and says whether all was the same."""

from pathlib import Path

import click

from wiretape.status import DIVERGENCE, DONE
from wiretape.text import bytes_text, table


@click.command("demo", short_help="Record and replay two simulated upstreams.")
@click.option(
    "--store",
    default="demo.db",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the recording is left.",
)
def command(store: Path) -> int:
    """
    Record a client of a simulated exchange and of a simulated node, stop both, replay the recording
    to the same client, and compare what it saw. Ends with status 3 when anything differs.
    """
    from wiretape.demo.run import RECORDING, run_demo

    rows = run_demo(store, click.echo)
    headings = ("upstream", "sessions", "exchanges", "pushes", "on the wire", "packed", "verdict")
    click.echo()
    click.echo(
        table(
            headings,
            [
                (
                    row.upstream,
                    str(row.sessions),
                    str(row.exchanges),
                    str(row.pushes),
                    bytes_text(row.wire_bytes),
                    bytes_text(row.stored_bytes),
                    "different" if row.differences else "the same",
                )
                for row in rows
            ],
        )
    )
    for row in rows:
        for difference in row.differences:
            click.echo(f"{row.upstream}: {difference}", err=True)
    if any(row.differences for row in rows):
        return DIVERGENCE
    click.echo(
        f"""
The recording {RECORDING!r} is in {store} ({bytes_text(store.stat().st_size)} in all). Look around:
  wiretape sessions --store {store}
  wiretape show s1 --store {store}
  wiretape verify {RECORDING} --store {store} --runs 5
  wiretape replay {RECORDING} --store {store} --listen 127.0.0.1:8081"""
    )
    return DONE
