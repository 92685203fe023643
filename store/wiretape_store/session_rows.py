"""Between the records of a session and the columns that hold them; no SQL is run here."""

import json
from typing import Any

from sqlalchemy import Row

from wiretape_store.recorder_process import RecorderProcess
from wiretape_store.records import End, EndKind, Handshake, Headers, Session, Upstream

COUNTED = ("messages_from_client", "messages_from_upstream", "exchanges", "pushes", "wire_bytes")
"""The columns that count what a session holds."""


def handshake_values(handshake: Handshake) -> dict[str, Any]:
    """Make the values of the columns that describe the handshake."""
    return {
        "target": handshake.target,
        "request_headers": _headers_text(handshake.request_headers),
        "status": handshake.status,
        "response_headers": _headers_text(handshake.response_headers),
        "body": handshake.body,
    }


def end_values(ended_at_us: int, end: End) -> dict[str, Any]:
    """Make the values of the columns that describe the end."""
    return {
        "ended_at_us": ended_at_us,
        "end_kind": end.kind.value,
        "end_from_client": None if end.from_client is None else int(end.from_client),
        "end_code": end.code,
        "end_reason": end.reason,
    }


def upstream_of(row: "Row[*tuple[Any, ...]]") -> Upstream:
    """Read the columns that `upstream_columns` selects."""
    return Upstream(row.upstream_id, row.name, row.protocol, row.url, row.listen)


def is_without_recorder(row: "Row[*tuple[Any, ...]]", alive: set[int] | None = None) -> bool:
    """
    Tell whether a session has no end on record and nobody is left to write one.

    `alive` is what `locking.announced` tells.
    """
    if row.end_kind is not None:
        return False
    if row.recording_ended_at_us is not None:
        return True
    if alive is None:
        return not RecorderProcess(row.host, row.pid, row.born).may_be_alive()
    return row.recording_id not in alive


def session_of(row: "Row[*tuple[Any, ...]]", alive: set[int] | None = None) -> Session:
    """Read a row of session, joined to its upstream and its recording."""
    interrupted = is_without_recorder(row, alive)
    return Session(
        id=f"s{row.id}",
        recording=row.recording,
        upstream=upstream_of(row),
        number=row.number,
        started_at_us=row.started_at_us,
        ended_at_us=row.started_at_us + row.last_at_us if interrupted else row.ended_at_us,
        handshake=Handshake(
            target=row.target,
            request_headers=_headers_of(row.request_headers),
            status=row.status,
            response_headers=_headers_of(row.response_headers),
            body=row.body,
        ),
        messages_from_client=row.messages_from_client,
        messages_from_upstream=row.messages_from_upstream,
        exchanges=row.exchanges,
        pushes=row.pushes,
        wire_bytes=row.wire_bytes,
        end=End(EndKind.INTERRUPTED) if interrupted else _end_of(row),
    )


def _end_of(row: "Row[*tuple[Any, ...]]") -> End:
    if row.end_kind is None:
        return End(EndKind.OPEN)
    from_client = None if row.end_from_client is None else bool(row.end_from_client)
    return End(EndKind(row.end_kind), from_client, row.end_code, row.end_reason)


def _headers_text(headers: Headers) -> str:
    return json.dumps(headers, separators=(",", ":"))  # ASCII, so any str survives.


def _headers_of(text: str) -> Headers:
    return tuple((name, value) for name, value in json.loads(text))
