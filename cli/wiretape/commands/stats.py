"""`wiretape stats`: what a store holds, and what room it takes."""

import json
from typing import Any

import click

from wiretape.options import json_option, store_option
from wiretape.progress import ProgressLine
from wiretape.sources import no_tape
from wiretape.text import bytes_text, counted, printable, table, time_text
from wiretape_store.upkeep.statistics import Amount, Holding, RecordingHolding, Statistics, statistics
from wiretape_store.urls import shown


@click.command("stats", short_help="Say what a store holds, and what room it takes.")
@click.argument("what", required=False, callback=no_tape)
@store_option
@json_option
def command(what: str | None, store: str, as_json: bool) -> None:
    """
    Count messages and bytes of a store, or of the recording or session WHAT: on the wire, unpacked, and
    in the store, by recording and upstream.

    'stored' and 'ratio', which is stored / wire, leave out what an empty store takes as well.
    'kept' counts the messages whose bytes are kept as they were on the wire, because packing them anew
    would not give the same; 'hot' those that are not settled yet.
    """
    with ProgressLine() as line:
        found = statistics(
            store, what, progress=lambda done, of: line.show(f"counted {done:,} of {of:,} messages")
        )
    if as_json:
        click.echo(json.dumps(_object(store, found), indent=2))
        return
    if not found.recordings:
        click.echo(f"no recordings in {shown(store)} yet", err=True)
    else:
        click.echo(table(_HEADINGS, list(_rows(found))))
        click.echo()
        click.echo(table(("codec", "messages", "payload"), _codec_rows(found.total)))
        click.echo()
    click.echo(_room_text(store, found))


_HEADINGS = (
    "recording", "upstream", "sessions", "messages", "wire", "payload", "stored", "ratio", "kept", "hot", "note",
)  # fmt: skip


def _rows(found: Statistics) -> list[tuple[str, ...]]:
    rows = []
    for one in found.recordings:
        notes = [word for word, so in (("pinned", one.recording.pinned), ("recording", one.live)) if so]
        if rules := len(one.recording.redaction_rules):
            notes.append(counted(rules, "redaction rule"))
        if len(one.upstreams) != 1:
            rows.append(_row(one.recording.name, "", one.holding, found, notes))
            notes = []
        rows += [
            _row(one.recording.name, name, holding, found, notes) for name, holding in one.upstreams.items()
        ]
    if len(rows) > 1:
        rows.append(_row("(all)", "", found.total, found, []))
    return rows


def _row(
    recording: str, upstream: str, holding: Holding, found: Statistics, notes: list[str]
) -> tuple[str, ...]:
    damaged = [counted(holding.damaged_chunks, "damaged chunk")] if holding.damaged_chunks else []
    ratio = _ratio(holding, found)
    return (
        printable(recording),
        printable(upstream),
        str(holding.sessions),
        str(holding.messages),
        bytes_text(holding.wire_bytes),
        bytes_text(holding.payload_bytes),
        bytes_text(holding.stored_bytes(found.row_bytes)),
        "" if ratio is None else f"{ratio:.2f}",
        _amount_text(holding.kept_wire),
        _amount_text(holding.hot),
        ", ".join(notes + damaged),
    )


def _amount_text(amount: Amount) -> str:
    return f"{amount.messages} ({bytes_text(amount.size_bytes)})" if amount.messages else "0"


def _codec_rows(holding: Holding) -> list[tuple[str, ...]]:
    return [
        (codec, str(amount.messages), bytes_text(amount.size_bytes))
        for codec, amount in sorted(holding.codecs.items())
    ]


def _room_text(store: str, found: Statistics) -> str:
    room = found.room
    log = f", of it {bytes_text(room.log)} log" if room.log else ""
    return (
        f"{shown(store)}: {bytes_text(room.on_disk)} on disk{log}; {bytes_text(room.chunks)} of messages' bytes, "
        f"{bytes_text(room.rows)} of their rows, {bytes_text(room.other)} of everything else; "
        f"{bytes_text(room.fixed)} that an empty store takes as well, {bytes_text(room.free)} free"
    )


def _ratio(holding: Holding, found: Statistics) -> float | None:
    """Stored bytes for each byte on the wire."""
    return holding.stored_bytes(found.row_bytes) / holding.wire_bytes if holding.wire_bytes else None


def _object(store: str, found: Statistics) -> dict[str, Any]:
    room = found.room
    return {
        "store": shown(store),
        "room": {
            "on_disk_bytes": room.on_disk,
            "log_bytes": room.log,
            "chunk_bytes": room.chunks,
            "row_bytes": room.rows,
            "other_bytes": room.other,
            "fixed_bytes": room.fixed,
            "free_bytes": room.free,
        },
        "recordings": [_recording_object(one, found) for one in found.recordings],
        "total": _holding_object(found.total, found),
    }


def _recording_object(one: RecordingHolding, found: Statistics) -> dict[str, Any]:
    recording = one.recording
    return {
        "id": recording.id,
        "name": recording.name,
        "started_at": time_text(recording.started_at_us),
        "ended_at": None if recording.ended_at_us is None else time_text(recording.ended_at_us),
        "pinned": recording.pinned,
        "redaction_rules": list(recording.redaction_rules),
        "live": one.live,
        **_holding_object(one.holding, found),
        "upstreams": [
            {"name": name, **_holding_object(holding, found)} for name, holding in one.upstreams.items()
        ],
    }


def _holding_object(holding: Holding, found: Statistics) -> dict[str, Any]:
    return {
        "sessions": holding.sessions,
        "messages": holding.messages,
        "wire_bytes": holding.wire_bytes,
        "payload_bytes": holding.payload_bytes,
        "chunk_bytes": holding.chunk_bytes,
        "stored_bytes": holding.stored_bytes(found.row_bytes),
        "ratio": _ratio(holding, found),
        "kept_wire": _amount_object(holding.kept_wire),
        "hot": _amount_object(holding.hot),
        "compacted": _amount_object(holding.compacted),
        "damaged_chunks": holding.damaged_chunks,
        "codecs": [
            {"codec": codec, **_amount_object(amount)} for codec, amount in sorted(holding.codecs.items())
        ],
    }


def _amount_object(amount: Amount) -> dict[str, int]:
    return {"messages": amount.messages, "bytes": amount.size_bytes}
