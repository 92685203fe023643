"""Putting the times of a session's messages right where damage made them go backwards."""

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection, func, select, update

from wiretape_store.schema import message


def mend_times(connection: Connection, number: int) -> int:
    """See that no message of session `number` has a time before that of the one before it; say how many had."""
    of_session = message.c.session_id == number
    before = func.lag(message.c.at_us).over(order_by=message.c.seq).label("before")
    timed = select(message.c.at_us, before).where(of_session).subquery()
    if not connection.scalar(select(func.count()).select_from(timed).where(timed.c.at_us < timed.c.before)):
        return 0
    rows = connection.execute(
        select(message.c.seq, message.c.at_us).where(of_session).order_by(message.c.seq)
    )
    changes = list(straightened((seq, at_us) for seq, at_us in rows))
    for seq, at_us in changes:
        connection.execute(update(message).where(of_session, message.c.seq == seq).values(at_us=at_us))
    return len(changes)


def straightened(times: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """
    Say which of the times, given as (number, time), are to change, and to what.

    One that is alone in being wrong takes the time of the one before it, not the others its own.
    """
    iterator = iter(times)
    current = next(iterator, None)
    floor_us = 0
    while current is not None:
        following = next(iterator, None)
        number, at_us = current
        is_spike = following is not None and floor_us <= following[1] < at_us
        if at_us < floor_us or is_spike:
            yield number, floor_us
        else:
            floor_us = at_us
        current = following
