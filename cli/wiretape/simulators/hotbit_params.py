"""
Reading the ``params`` array of a request to the simulated Hotbit exchange.

Every reader raises RefusedError 1, "invalid argument", for what the exchange would not take.
"""

from decimal import Decimal, InvalidOperation

from wiretape.simulators.hotbit_exchange import RefusedError
from wiretape.simulators.hotbit_wire import Json

#: A parsed request value. Real numbers come as Decimal, so that no interval is rounded.
type Param = bool | int | str | Decimal | list[Param] | dict[str, Param] | None

#: ViaBTC's gateway keeps names in buffers of this size, the closing zero included.
NAME_LIMIT = 16
#: The deepest book and the longest page of records that may be asked for.
PAGE_LIMIT = 101
DEPTH_LIMITS = (1, 5, 10, 20, 30, 50, 100)
DEPTH_INTERVALS = (Decimal(0), *(Decimal(10) ** -places for places in range(8, 0, -1)))
WIDEST_INTERVAL = Decimal(1000)


def expect(params: list[Param], *counts: int) -> None:
    """Refuse another number of params than one of `counts`."""
    if len(params) not in counts:
        raise RefusedError(1)


def name(value: Param) -> str:
    """Read a market or an asset. Whether it exists is not asked here."""
    if not isinstance(value, str) or len(value) >= NAME_LIMIT:
        raise RefusedError(1)
    return value


def integer(value: Param, *, least: int = 0, most: int | None = None) -> int:
    """Read an integer between two bounds, both included."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise RefusedError(1)
    if value < least or (most is not None and value > most):
        raise RefusedError(1)
    return value


def decimal(value: Param) -> Decimal:
    """Read a merge interval: text as documented, or a number as some clients send it."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise RefusedError(1)
    try:
        number = Decimal(value)
    except InvalidOperation as exc:
        raise RefusedError(1) from exc
    if not number.is_finite() or number < 0 or number > WIDEST_INTERVAL:
        raise RefusedError(1)
    return number


def depth_feed(params: Param) -> tuple[str, int, Decimal]:
    """Read market, limit and interval of a depth subscription; only listed steps are pushed."""
    if not isinstance(params, list):
        raise RefusedError(1)
    expect(params, 3)
    market, limit, interval = name(params[0]), integer(params[1]), decimal(params[2])
    if limit not in DEPTH_LIMITS or interval not in DEPTH_INTERVALS:
        raise RefusedError(1)
    return market, limit, interval


def sign_text(value: Param) -> Json:
    """Read a credential: any text, to be compared."""
    if not isinstance(value, str):
        raise RefusedError(1)
    return value
