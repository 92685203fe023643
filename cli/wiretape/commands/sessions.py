"""`wiretape sessions`: what a store holds."""

import json
from typing import Any

import click

from wiretape.options import json_option, store_option
from wiretape.sources import opened
from wiretape.text import bytes_text, end_text, printable, table, time_text
from wiretape_store import Session, shown


@click.command("sessions", short_help="List recorded sessions.")
@click.argument("what", required=False)
@store_option
@json_option
def command(what: str | None, store: str, as_json: bool) -> None:
    """
    List the sessions of a store, or of WHAT (a recording, a session or a tape file).
    """
    with opened(store, what) as (reader, name):
        sessions = reader.sessions(name)
    if as_json:
        click.echo(json.dumps([session_object(session) for session in sessions], indent=2))
        return
    if not sessions:
        click.echo(f"no sessions in {shown(store)} yet", err=True)
        return
    click.echo(table(_HEADINGS, [_row(session) for session in sessions]))


_HEADINGS = (
    "session", "recording", "upstream", "path", "started", "sent", "received", "exchanges", "pushes", "wire", "end",
)  # fmt: skip


def session_object(session: Session) -> dict[str, Any]:
    """A session as the JSON that scripts rely on."""
    end = session.end
    return {
        "id": session.id,
        "recording": session.recording,
        "upstream": session.upstream.name,
        "protocol": session.upstream.protocol,
        "url": session.upstream.url,
        "started_at": time_text(session.started_at_us),
        "ended_at": None if session.ended_at_us is None else time_text(session.ended_at_us),
        "messages_from_client": session.messages_from_client,
        "messages_from_upstream": session.messages_from_upstream,
        "exchanges": session.exchanges,
        "pushes": session.pushes,
        "wire_bytes": session.wire_bytes,
        "end": {
            "kind": end.kind.value,
            "code": end.code,
            "reason": end.reason,
            "from_client": end.from_client,
        },
        "target": session.handshake.target,
    }


def _row(session: Session) -> tuple[str, ...]:
    return (
        session.id,
        session.recording,
        session.upstream.name,
        printable(session.handshake.target),
        time_text(session.started_at_us)[:19].replace("T", " "),
        str(session.messages_from_client),
        str(session.messages_from_upstream),
        str(session.exchanges),
        str(session.pushes),
        bytes_text(session.wire_bytes),
        end_text(session.end),
    )
