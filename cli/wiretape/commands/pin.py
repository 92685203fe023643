"""`wiretape pin`: keeps a recording from being pruned."""

import click

from wiretape.options import store_option
from wiretape.sources import no_tape
from wiretape.text import printable
from wiretape_store.upkeep.prunable import pin


@click.command("pin", short_help="Keep a recording from being pruned.")
@click.argument("recordings", nargs=-1, required=True, metavar="RECORDING...", callback=no_tape)
@store_option
def command(recordings: tuple[str, ...], store: str) -> None:
    """
    Keep recordings, by name or id, from being pruned, until 'wiretape unpin'.
    """
    for name in pin(store, *recordings, pinned=True):
        click.echo(f"pinned {printable(name)}")
