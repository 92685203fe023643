"""`wiretape unpin`: lets a pinned recording be pruned again."""

import click

from wiretape.options import store_option
from wiretape.sources import no_tape
from wiretape.text import printable
from wiretape_store.upkeep.prunable import pin


@click.command("unpin", short_help="Let a pinned recording be pruned again.")
@click.argument("recordings", nargs=-1, required=True, metavar="RECORDING...", callback=no_tape)
@store_option
def command(recordings: tuple[str, ...], store: str) -> None:
    """
    Let recordings, by name or id, be pruned again.
    """
    for name in pin(store, *recordings, pinned=False):
        click.echo(f"unpinned {printable(name)}")
