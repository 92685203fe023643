"""`wiretape show`: the messages of one session."""

import json
import shutil
import sys

import click

from wiretape.options import json_option, store_option
from wiretape.sources import opened
from wiretape.text import end_text, message_line, message_object, printable
from wiretape_store import Event, Session, header_value


@click.command("show", short_help="Print the messages of a session.")
@click.argument("session")
@store_option
@json_option
@click.option("--raw", is_flag=True, help="As --json, with the exact bytes of each message added.")
def command(session: str, store: str, as_json: bool, raw: bool) -> None:
    """
    Print the messages of SESSION, decoded, with what else happened between them.

    SESSION may be a tape file of one session; of several, `--store TAPE` lets one be named.
    """
    with opened(store, session) as (reader, name):
        found = _only_session(reader.sessions(name), session)
        session = found.id
        if as_json or raw:
            for message in reader.messages(session):
                click.echo(json.dumps(message_object(message, raw=raw), ensure_ascii=False))
            return
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        click.echo(_handshake_line(found))
        events = reader.events(session)
        for message in reader.messages(session):
            while events and events[0].after_seq < message.seq:
                click.echo(_event_line(events.pop(0)))
            click.echo(message_line(message, width=width))
        for event in events:
            click.echo(_event_line(event))
        click.echo(f"{'':5} {'':10} {end_text(found.end)}")


def _only_session(sessions: list[Session], what: str) -> Session:
    if len(sessions) != 1:
        ids = ", ".join(session.id for session in sessions[:10]) + (" ..." if len(sessions) > 10 else "")
        raise click.UsageError(
            f"{what} holds {len(sessions)} sessions: name one of {ids} (of a tape with --store {what})"
        )
    return sessions[0]


def _handshake_line(session: Session) -> str:
    handshake = session.handshake
    answer = "no answer" if handshake.status is None else str(handshake.status)
    protocol = header_value(handshake.response_headers, "sec-websocket-protocol")
    said = f" {handshake.body[:200].decode('utf-8', 'replace')}" if handshake.body else ""
    target = handshake.target or "(connection)"
    return printable(f"{'':5} {0:10.6f} -> {target} <- {answer}{f' {protocol}' if protocol else ''}{said}")


def _event_line(event: Event) -> str:
    arrow = "->" if event.from_client else "<-"
    text = event.data.decode("utf-8", "backslashreplace")
    if event.kind.value == "close" and len(event.data) >= 2:
        text = f"{int.from_bytes(event.data[:2], 'big')} {event.data[2:].decode('utf-8', 'replace')}"
    return f"{'':5} {event.at_us / 1e6:10.6f} {arrow} ({event.kind.value}) {printable(text)}".rstrip()
