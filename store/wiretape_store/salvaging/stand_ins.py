"""What takes the place of a session, an upstream or a recording that is lost while others belong to it."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from wiretape_protocols import DEFAULT_PROTOCOL
from wiretape_store.recording_rows import BEING_PRUNED
from wiretape_store.schema import chunk, event, message, recording, session, upstream


def session_numbers(connection: Connection) -> list[int]:
    """All sessions of which there is a row or bytes; without either nothing of one can be saved."""
    numbers = set(connection.scalars(select(session.c.id)))
    numbers.update(connection.scalars(select(chunk.c.session_id).distinct()))
    return sorted(numbers)


def being_pruned(connection: Connection) -> set[int]:
    """Sessions of recordings that are being pruned: no reader sees them."""
    its = select(session.c.id).join(upstream, upstream.c.id == session.c.upstream_id)
    its = its.join(recording, recording.c.id == upstream.c.recording_id)
    return set(connection.scalars(its.where(recording.c.pinned == BEING_PRUNED)))


def drop_strays(connection: Connection) -> Iterator[str]:
    """Drop what belongs to no session of which there is a row or bytes; say how much that was."""
    known = select(session.c.id).union(select(chunk.c.session_id))
    for table, word in ((message, "messages"), (event, "events")):
        strays = connection.execute(delete(table).where(table.c.session_id.not_in(known))).rowcount
        if strays:
            yield f"{strays} {word} of sessions of which nothing else is left"


def stand_in(connection: Connection, numbers: list[int]) -> Iterator[str]:
    """Put something where sessions, upstreams and recordings are missing that others belong to; say what is lost."""
    known = set(connection.scalars(select(session.c.id)))
    lost = [number for number in numbers if number not in known]
    upstreams = set(connection.scalars(select(upstream.c.id)))
    of_lost = max([0, *upstreams, *connection.scalars(select(session.c.upstream_id))]) + 1
    for place, number in enumerate(lost):
        connection.execute(insert(session), _session_values(number, of_lost, place))
        yield f"who session s{number} talked to, when, and how it ended"
    for number in sorted(set(connection.scalars(select(session.c.upstream_id))) - upstreams):
        connection.execute(insert(upstream), _upstream_values(connection, number))
        if number != of_lost:
            yield f"the name, protocol and URL of upstream {number}"
    recordings = set(connection.scalars(select(recording.c.id)))
    for number in sorted(set(connection.scalars(select(upstream.c.recording_id))) - recordings):
        connection.execute(insert(recording), _recording_values(connection, number))
        yield f"the name of recording r{number}, which is called repaired-r{number} now"


def _session_values(number: int, upstream_id: int, place: int) -> dict[str, Any]:
    return {
        "id": number,
        "upstream_id": upstream_id,
        "number": place,
        "started_at_us": 0,
        "target": "/",
        "request_headers": "[]",
        "status": 101,
        "response_headers": "[]",
        "body": b"",
        "messages_from_client": 0,
        "messages_from_upstream": 0,
        "exchanges": 0,
        "pushes": 0,
        "wire_bytes": 0,
        "last_at_us": 0,
    }


def _upstream_values(connection: Connection, number: int) -> dict[str, Any]:
    """A stand-in of an upstream, in the only recording that it can have belonged to, or in one of its own."""
    recordings = list(connection.scalars(select(recording.c.id)))
    referred = set(connection.scalars(select(upstream.c.recording_id))) | set(recordings)
    return {
        "id": number,
        "recording_id": recordings[0] if len(recordings) == 1 else max([0, *referred]) + 1,
        "name": f"lost-{number}",
        "protocol": DEFAULT_PROTOCOL,
        "url": "ws://lost.invalid",
        "listen": "127.0.0.1:0",
    }


def _recording_values(connection: Connection, number: int) -> dict[str, Any]:
    began = select(func.min(session.c.started_at_us)).join(upstream, upstream.c.id == session.c.upstream_id)
    return {
        "id": number,
        "name": f"repaired-r{number}",
        "started_at_us": connection.scalar(began.where(upstream.c.recording_id == number)) or 0,
        "host": "",
        "pid": 0,
        "born": "",
        "redaction_rules": "[]",
    }
