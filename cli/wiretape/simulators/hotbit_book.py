"""
One market's order book in the simulated Hotbit exchange: seeded levels that trade and churn.

Knows prices and amounts only. Deals, candles and statistics are made from it in ``hotbit_market``.
"""

import random
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from enum import Enum, IntEnum

#: Levels kept on each side: the deepest subscription is 100 levels.
LEVELS = 120
#: How far from the best price the book changes, in levels.
TOP = 10
#: The most price steps between two levels that were never traded at.
WIDEST_GAP = 40
#: How far from the other side's best price a new level is put at most, in price steps.
WIDEST_SPREAD = 50


class Side(IntEnum):
    """A side of the book, numbered as orders are on the wire."""

    ASK = 1
    BID = 2

    @property
    def opposite(self) -> "Side":
        """The side that a taker from this one trades against."""
        return Side.BID if self is Side.ASK else Side.ASK

    @property
    def away(self) -> int:
        """The sign of a price step that leads away from the spread."""
        return 1 if self is Side.ASK else -1


class Action(Enum):
    """What can happen to a level other than a deal."""

    INSERT = "insert"
    REMOVE = "remove"
    CHANGE = "change"


#: What `OrderBook.churn` draws from. Insertions make up for what removals and deals take away.
ACTIONS = (Action.INSERT,) * 5 + (Action.REMOVE,) * 2 + (Action.CHANGE,) * 2


@dataclass(frozen=True, slots=True)
class Depth:
    """Merged levels, best first: price to amount, both as they are written on the wire."""

    asks: dict[str, str] = field(default_factory=dict)
    bids: dict[str, str] = field(default_factory=dict)


def plain(value: Decimal) -> str:
    """Write an amount or a price without exponent and trailing zeros."""
    return format(value.normalize(), "f")


class OrderBook:
    """
    The open levels of one market, changed by `take` and `churn` in the order of the seed.

    The best ask stays above the best bid, and both sides keep about `LEVELS` levels.
    """

    def __init__(
        self, rng: random.Random, middle: Decimal, price_step: Decimal, amount_step: Decimal
    ) -> None:
        self._rng = rng
        self._price_step = price_step
        self._amount_step = amount_step
        #: Price to amount; unordered, `_prices` sorts.
        self._levels: dict[Side, dict[Decimal, Decimal]] = {}
        for side in Side:
            self._levels[side] = {middle + side.away * price_step: self._amount()}
            self._refill(side)

    def take(self, side: Side) -> tuple[Decimal, Decimal]:
        """Trade against the best level of a side and return the price and the amount traded."""
        levels = self._levels[side]
        price = self._prices(side)[0]
        share = self._rng.choice((Decimal("0.25"), Decimal("0.5"), Decimal(1)))
        amount = max((levels[price] * share).quantize(self._amount_step, ROUND_DOWN), self._amount_step)
        if amount >= levels[price]:
            del levels[price]
            self._refill(side)
        else:
            levels[price] -= amount
        return price, amount

    def churn(self, chance_to_rise: float) -> None:
        """
        Change, remove or insert one level near the top of one side.

        `chance_to_rise`, 0 to 1, is how often a removal or an insertion moves the middle upwards.
        """
        rises = self._rng.random() < chance_to_rise
        action = self._rng.choice(ACTIONS)
        side = Side.BID if rises is (action is Action.INSERT) else Side.ASK
        if action is Action.INSERT:
            self._levels[side][self._price_for_a_new_level(side)] = self._amount()
        elif action is Action.REMOVE:
            del self._levels[side][self._rng.choice(self._prices(side)[:TOP])]
        else:
            self._levels[side][self._rng.choice(self._prices(side)[:TOP])] = self._amount()
        self._refill(side)

    def merged(self, limit: int, interval: Decimal) -> Depth:
        """
        Sum the levels into steps of `interval` and return the best `limit` of each side.

        Asks are rounded up to the step and bids down, so that the sides never meet. An interval of
        0 leaves the levels as they are.
        """
        return Depth(self._merge(Side.ASK, limit, interval), self._merge(Side.BID, limit, interval))

    def _merge(self, side: Side, limit: int, interval: Decimal) -> dict[str, str]:
        rounding = ROUND_CEILING if side is Side.ASK else ROUND_FLOOR
        sums: dict[Decimal, Decimal] = {}
        for price in self._prices(side):
            step = (price / interval).to_integral_value(rounding) * interval if interval else price
            if step not in sums and len(sums) == limit:
                break
            sums[step] = sums.get(step, Decimal(0)) + self._levels[side][price]
        return {plain(price): plain(amount) for price, amount in sums.items()}

    def _prices(self, side: Side) -> list[Decimal]:
        return sorted(self._levels[side], reverse=side is Side.BID)

    def _price_for_a_new_level(self, side: Side) -> Decimal:
        nearest = self._prices(side.opposite)[0] + side.away * self._price_step
        steps_to_best = int((self._prices(side)[0] - nearest) / self._price_step) * side.away
        steps = self._rng.randint(0, min(steps_to_best, WIDEST_SPREAD) + TOP)
        return nearest + side.away * self._price_step * steps

    def _refill(self, side: Side) -> None:
        levels = self._levels[side]
        prices = self._prices(side)
        for price in prices[LEVELS:]:
            del levels[price]
        price = prices[-1]
        while len(levels) < LEVELS:
            price += side.away * self._price_step * self._rng.randint(1, WIDEST_GAP)
            levels[price] = self._amount()

    def _amount(self) -> Decimal:
        return self._amount_step * self._rng.randint(1, 40_000)
