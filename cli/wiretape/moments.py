"""How a time is written on the command line."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

import click

from wiretape_store.queries.grep import Moment

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_S = 10**11


def moment(text: str) -> Moment:
    """
    Read seconds since a session's start, or a date and time as ISO 8601 has it, in UTC unless it names a zone.

    Raises BadParameter.
    """
    try:
        seconds = Decimal(text)
    except InvalidOperation:
        pass
    else:
        if seconds.is_finite() and abs(seconds) < _LONGEST_S:
            return Moment(int(seconds * 1_000_000), since_start=True)
    try:
        read = datetime.fromisoformat(text)
    except ValueError as exc:
        advice = "write 2026-11-20T12:30:00, or 12.5 for seconds into the session"
        raise click.BadParameter(f"{text!r} is no time: {advice}") from exc
    at = read if read.tzinfo else read.replace(tzinfo=UTC)
    return Moment((at - _EPOCH) // timedelta(microseconds=1))
