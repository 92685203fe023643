"""
The methods and pushes of the Hotbit exchange, as tables.

Owns which there are and what tells one request from another. The published document has all but
those marked; the rest was seen on the wire or belongs to ViaBTC's server, whose protocol this is.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum

from wiretape_protocols.adapter import Role


class Shape(IntEnum):
    """What the result of a method looks like: all there is to tell answers with equal ids apart."""

    PONG = 1
    TIME = 2
    STATUS = 3
    BOOK = 4
    LIST = 5
    DICT = 6
    STRING = 7
    ANY = 8


class Params(Enum):
    """How the params of a method enter its match key; the value is what the documentation says."""

    EXACT = "params"
    IGNORED = "method only"
    SET = "params as a set"
    DEPTH = "params, interval by its numeric value"
    RANGE = "params; then the same span of time; then any time"
    DEALS = "params; then any last_id"


@dataclass(frozen=True, slots=True)
class Method:
    """What is known of one method."""

    name: str
    role: Role
    params: Params
    shape: Shape
    stream: str = ""
    start: int = 1
    """Where the params have the beginning of a range of time; the next has its end."""
    needs_auth: bool = False
    """The result depends on who is logged in, so the key says whether anybody tried."""
    secrets: tuple[int, ...] = ()
    """Which params are secret, counted from 0."""
    plain: tuple[int, ...] = ()
    """Which params of a login are no secret; all that nobody knows of are."""
    documented: bool = True


@dataclass(frozen=True, slots=True)
class Push:
    """What is known of one push."""

    name: str
    stream: str
    documented: bool = True


_CALL, _SUBSCRIBE, _UNSUBSCRIBE = Role.CALL, Role.SUBSCRIBE, Role.UNSUBSCRIBE
_SET, _STATUS = Params.SET, Shape.STATUS

_ALL = (
    Method("server.ping", Role.BACKGROUND, Params.IGNORED, Shape.PONG),
    Method("server.time", _CALL, Params.IGNORED, Shape.TIME),
    # The document's heading for server.time; its own sample has the name above.
    Method("system.time", _CALL, Params.IGNORED, Shape.TIME),
    Method("server.auth", Role.AUTH, Params.EXACT, _STATUS, secrets=(0, 1)),
    Method(
        "server.auth2", Role.AUTH, Params.IGNORED, _STATUS, secrets=(0, 3), plain=(1, 2), documented=False
    ),
    Method("server.sign", Role.AUTH, Params.IGNORED, _STATUS, secrets=(0, 1), plain=(2,), documented=False),
    Method("kline.query", _CALL, Params.RANGE, Shape.LIST),
    Method("price.query", _CALL, Params.EXACT, Shape.STRING),
    Method("state.query", _CALL, Params.EXACT, Shape.DICT),
    Method("state.querys", _CALL, Params.EXACT, Shape.LIST, documented=False),
    Method("today.query", _CALL, Params.EXACT, Shape.DICT),
    Method("deals.query", _CALL, Params.DEALS, Shape.LIST),
    Method("depth.query", _CALL, Params.DEPTH, Shape.BOOK),
    Method("order.query", _CALL, Params.EXACT, Shape.DICT, needs_auth=True),
    Method("order.history", _CALL, Params.RANGE, Shape.DICT, needs_auth=True),
    Method("asset.query", _CALL, _SET, Shape.DICT, needs_auth=True),
    Method("asset.history", _CALL, Params.RANGE, Shape.DICT, start=2, needs_auth=True),
    Method("balance.query", _CALL, Params.IGNORED, Shape.ANY, needs_auth=True, documented=False),
    Method("kline.subscribe", _SUBSCRIBE, Params.EXACT, _STATUS, "kline"),
    Method("kline.unsubscribe", _UNSUBSCRIBE, Params.IGNORED, _STATUS, "kline"),
    Method("price.subscribe", _SUBSCRIBE, _SET, _STATUS, "price"),
    Method("price.unsubscribe", _UNSUBSCRIBE, Params.IGNORED, _STATUS, "price"),
    Method("state.subscribe", _SUBSCRIBE, _SET, _STATUS, "state"),
    Method("state.subscribeall", _SUBSCRIBE, Params.IGNORED, _STATUS, "state", documented=False),
    Method("state.unsubscribe", _UNSUBSCRIBE, Params.IGNORED, _STATUS, "state"),
    Method("today.subscribe", _SUBSCRIBE, _SET, _STATUS, "today"),
    Method("today.unsubscribe", _UNSUBSCRIBE, Params.IGNORED, _STATUS, "today"),
    Method("deals.subscribe", _SUBSCRIBE, _SET, _STATUS, "deals"),
    Method("deals.unsubscribe", _UNSUBSCRIBE, Params.IGNORED, _STATUS, "deals"),
    Method("depth.subscribe", _SUBSCRIBE, Params.DEPTH, _STATUS, "depth"),
    Method("depths.subscribe", _SUBSCRIBE, Params.DEPTH, _STATUS, "depth"),
    Method("depth.unsubscribe", _UNSUBSCRIBE, Params.IGNORED, _STATUS, "depth"),
    Method("depths.unsubscribe", _UNSUBSCRIBE, Params.IGNORED, _STATUS, "depth", documented=False),
    Method("order.subscribe", _SUBSCRIBE, _SET, _STATUS, "order", needs_auth=True),
    Method("order.unsubscribe", _UNSUBSCRIBE, Params.IGNORED, _STATUS, "order", needs_auth=True),
    Method("asset.subscribe", _SUBSCRIBE, _SET, _STATUS, "asset", needs_auth=True),
    Method("asset.unsubscribe", _UNSUBSCRIBE, Params.IGNORED, _STATUS, "asset", needs_auth=True),
)

METHODS = {method.name: method for method in _ALL}

PUSHES = (
    Push("kline.update", "kline"),
    Push("price.update", "price"),
    Push("state.update", "state"),
    Push("state.updateall", "state", documented=False),
    Push("today.update", "today"),
    Push("deals.update", "deals"),
    Push("depth.update", "depth"),
    Push("order.update", "order"),
    Push("asset.update", "asset"),
)


def unknown(name: str) -> Method:
    """A method that is in no table: a call that its params tell apart, with a result of any shape."""
    return Method(name, Role.CALL, Params.EXACT, Shape.ANY, documented=False)
