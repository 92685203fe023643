"""`wiretape compact`: packs ended sessions better, and gives room back."""

import json

import click

from wiretape.options import json_option, keep_wire_option, store_option
from wiretape.progress import ProgressLine
from wiretape.sources import no_tape
from wiretape.status import DONE, FAILED
from wiretape.stopping import stop_asked
from wiretape.text import bytes_text, printable
from wiretape_store.settling import KeepWire
from wiretape_store.upkeep.compacting import Compaction, Compactor, Progress


@click.command("compact", short_help="Pack ended sessions better, and give room back.")
@click.argument("what", required=False, callback=no_tape)
@store_option
@keep_wire_option
@json_option
def command(what: str | None, store: str, keep_wire: str, as_json: bool) -> int:
    """
    Pack the messages of ended sessions better: of the whole store, or of the recording or session WHAT.
    The store may be in use. Ctrl-C stops it; the next time it goes on where it was.

    With --keep-wire never, messages whose exact bytes cannot be packed anew keep their payload only.
    """
    with (
        stop_asked() as stopped,
        ProgressLine() as line,
        Compactor(store, keep_wire=KeepWire(keep_wire)) as compactor,
    ):
        done = compactor.run(what, progress=lambda at: line.show(_progress_text(at)), stopped=stopped)
    for damaged in done.damaged:
        last = damaged.first_seq + damaged.messages - 1
        where = f"session {damaged.session}, messages {damaged.first_seq} to {last}"
        click.echo(f"wiretape: {where}: damaged, left as it is ({printable(damaged.what)})", err=True)
    if not done.finished:
        click.echo("wiretape: stopped before the end; call it again to go on", err=True)
    if as_json:
        click.echo(json.dumps(_object(done), indent=2))
    else:
        click.echo(_summary(done))
    return DONE if done.finished and not done.damaged else FAILED


def _progress_text(at: Progress) -> str:
    done, total = min(at.done_bytes, at.total_bytes), at.total_bytes
    return f"compacted {bytes_text(done)} of {bytes_text(total)}, saved {bytes_text(max(0, at.saved_bytes))}"


def _summary(done: Compaction) -> str:
    given_up = f"; {done.given_up} messages gave up their wire bytes" if done.given_up else ""
    return (
        f"compacted {done.sessions} sessions, {done.messages} messages: {bytes_text(done.bytes_before)} packed "
        f"to {bytes_text(done.bytes_after)}{given_up}; the store takes {bytes_text(done.used_after)} instead of "
        f"{bytes_text(done.used_before)}"
    )


def _object(done: Compaction) -> dict[str, object]:
    return {
        "finished": done.finished,
        "sessions": done.sessions,
        "messages": done.messages,
        "chunk_bytes_before": done.bytes_before,
        "chunk_bytes_after": done.bytes_after,
        "store_bytes_before": done.used_before,
        "store_bytes_after": done.used_after,
        "wire_given_up": done.given_up,
        "damaged": [
            {
                "session": one.session,
                "first_seq": one.first_seq,
                "messages": one.messages,
                "what": one.what,
            }
            for one in done.damaged
        ],
    }
