"""`wiretape export`: a recording or a session as a file of another format."""

import sys
from functools import partial

import click

from wiretape.chosen import ChosenReader
from wiretape.drafts import write_whole
from wiretape.formats import STDOUT, WRITTEN, format_to_write
from wiretape.leaks import refuse_secrets
from wiretape.options import store_option
from wiretape.progress import ProgressLine
from wiretape.sources import opened_by
from wiretape.tally import Tally
from wiretape.text import bytes_text

_SUFFIXES = ", ".join(f"{each.name} ({' '.join(each.suffixes)})" for each in WRITTEN)


@click.command(
    "export",
    short_help="Write a recording to a file: a tape, a HAR, a flow file, a table.",
    epilog=f"Formats: {_SUFFIXES}.",
)
@click.argument("what")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@store_option
@click.option(
    "--session", "sessions", multiple=True, metavar="ID", help="Only this session of WHAT; may be repeated."
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice([each.name for each in WRITTEN]),
    help="Instead of what FILE's suffix says.",
)
@click.option("--force", is_flag=True, help="Export also what looks like a secret.")
def command(
    what: str, file: str, store: str, sessions: tuple[str, ...], format_name: str | None, force: bool
) -> None:
    """
    Write WHAT (a recording, a session or a tape file) to FILE, or to stdout for `-`.

    The text formats are searched for what looks like a secret before FILE gets its name.
    """
    chosen = format_to_write(file, format_name)
    if file == STDOUT and not chosen.is_text and sys.stdout.isatty():
        raise click.UsageError(f"{chosen.name} is nothing for a terminal: name a file, or pipe it on")
    write = chosen.write()
    with ProgressLine() as line:
        tally = Tally(line)
        by = partial(ChosenReader, chosen=sessions, on_message=tally.count)
        with opened_by(by, store, what) as (reader, name):
            found = reader.sessions(name)
            check = partial(refuse_secrets, file) if chosen.is_text and not force else None
            size_bytes = write_whole(file, partial(write, reader, name), check)
    messages = sum(each.messages_from_client + each.messages_from_upstream for each in found)
    counts = f"{len(found)} sessions, {messages} messages, {bytes_text(size_bytes)}"
    click.echo(f"wrote {what} to {file} as {chosen.name}: {counts}", err=True)
