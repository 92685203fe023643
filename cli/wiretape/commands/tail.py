"""`wiretape tail`: the messages of a running recording, as they are stored."""

import json
import shutil
import sys
import time
from collections.abc import Iterator

import click

from wiretape.options import json_option, store_option
from wiretape.sources import no_tape
from wiretape.text import message_line, message_object
from wiretape_store import EndKind, Message, Session, StoreReader, shown

# How often the store is asked for news; what was taken is there within the commit interval.
_LOOK_EVERY_S = 0.1


@click.command("tail", short_help="Follow a running recording, message by message.")
@click.argument("what", required=False, callback=no_tape)
@store_option
@json_option
def command(what: str | None, store: str, as_json: bool) -> None:
    """
    Print the messages of the recording WHAT (the newest one without it) as they are stored, from the
    first on, until the recording ends or Ctrl-C.
    """
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    with StoreReader(store) as reader:
        recordings = reader.recordings()
        if what is None and not recordings:
            raise click.ClickException(f"no recording in {shown(store)} yet: start one with wiretape record")
        name = recordings[-1].name if what is None else reader.recording(what).name
        try:
            for session, message in follow(reader, name):
                if as_json:
                    place = {"session": session.id, "upstream": session.upstream.name}
                    click.echo(json.dumps(place | message_object(message), ensure_ascii=False))
                else:
                    click.echo(
                        message_line(message, width=width, prefix=f"{session.upstream.name} {session.id}")
                    )
        except KeyboardInterrupt:
            return


def follow(reader: StoreReader, recording: str) -> Iterator[tuple[Session, Message]]:
    """Each message of a recording once, session by session, until the recording and its sessions end."""
    seen: dict[str, int] = {}
    while True:
        # Asked first: what was stored before the end is then read below.
        ended = reader.recording(recording).ended_at_us is not None
        sessions = reader.sessions(recording)
        for session in sessions:
            for message in reader.messages(session.id, seen.get(session.id, 0)):
                seen[session.id] = message.seq + 1
                yield session, message
        if ended or (sessions and all(session.end.kind is EndKind.INTERRUPTED for session in sessions)):
            return
        time.sleep(_LOOK_EVERY_S)
