"""`wiretape import`: brings a tape, a HAR or a flow file into a store."""

import json
import os
import time
from pathlib import Path

import click

from wiretape.formats import READ, format_to_read
from wiretape.options import json_option, recording_name, store_option
from wiretape.progress import ProgressLine
from wiretape.tally import Tally
from wiretape_store import StoreWriter, import_recording


def _protocols(_context: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Read NAME=PROTOCOL, each."""
    pairs = [text.partition("=") for text in texts]
    for name, equals, protocol in pairs:
        if not (name and equals and protocol):
            raise click.BadParameter("write NAME=PROTOCOL, such as hotbit=hotbit")
    return {name: protocol for name, _, protocol in pairs}


@click.command("import", short_help="Bring a tape, a HAR or a flow file into a store.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@store_option
@click.option(
    "--format",
    "format_name",
    type=click.Choice([each.name for each in READ]),
    help="Instead of what FILE's suffix or its beginning says.",
)
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    metavar="NAME=PROTOCOL",
    callback=_protocols,
    help="What an upstream of a HAR or a flow file speaks; may be repeated.  [as its host's name tells]",
)
@click.option(
    "--recording",
    "name",
    metavar="NAME",
    callback=recording_name,
    help="Call the recording so.  [as FILE says]",
)
@json_option
def command(
    file: Path,
    store: str,
    format_name: str | None,
    protocols: dict[str, str],
    name: str | None,
    as_json: bool,
) -> None:
    """
    Store what FILE holds as a recording, all of it or nothing, and print the recording's name.

    Secrets in FILE are replaced by tokens, as when recording.
    """
    incoming = format_to_read(file, format_name).read(file, protocols)
    with ProgressLine() as line, StoreWriter(store, clock_us=lambda: time.time_ns() // 1000) as writer:
        tally = Tally(line)
        recording = import_recording(writer, tally.of(incoming), name, environment=os.environ)
    for note in incoming.notes:
        click.echo(f"{file}: {note}", err=True)
    click.echo(f"imported {tally.sessions} sessions, {tally.messages} messages from {file}", err=True)
    if as_json:
        counts = {"sessions": tally.sessions, "messages": tally.messages}
        click.echo(json.dumps({"recording": recording.name, "id": recording.id} | counts, indent=2))
        return
    click.echo(recording.name)
