"""
One user of the simulated Hotbit exchange: balances, orders and their histories.

The user trades by himself, one seeded action per step. He does not touch the order book of the
market: the two only share the last price.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from enum import IntEnum

from wiretape.simulators.hotbit_book import Side, plain
from wiretape.simulators.hotbit_market import Market
from wiretape.simulators.hotbit_wire import Json

START_BALANCES = {"BTC": Decimal(2), "ETH": Decimal(25), "EOS": Decimal(900), "USDT": Decimal(20_000)}
#: The user puts no further order above this number of open ones.
OPEN_ORDERS_LIMIT = 8
#: Finished orders and asset changes that are remembered.
HISTORY_KEPT = 500
LIMIT_ORDER = 1
#: How often a step does nothing, and how often it puts an order where it could also fill one.
QUIET, PUT = 0.2, 0.4


class OrderEvent(IntEnum):
    """What happened to an order, as the first param of order.update says it."""

    PUT = 1
    UPDATE = 2
    FINISH = 3


@dataclass(slots=True)
class Order:
    """A limit order; `left` falls to zero while it is filled."""

    id: int
    user_id: int
    market: Market
    side: Side
    ctime: float
    mtime: float
    price: Decimal
    amount: Decimal
    left: Decimal
    deal_money: Decimal = Decimal(0)

    def as_json(self) -> dict[str, Json]:
        """Write the order; nothing traded yet is an exponent, as the exchange's decimals print it."""
        deal_stock = self.amount - self.left
        return {
            "id": self.id,
            "market": self.market.spec.name,
            "source": "web",
            "type": LIMIT_ORDER,
            "side": int(self.side),
            "user": self.user_id,
            "ctime": self.ctime,
            "mtime": self.mtime,
            "price": plain(self.price),
            "amount": plain(self.amount),
            "taker_fee": "0.002",
            "maker_fee": "0",
            "left": plain(self.left),
            "deal_stock": plain(deal_stock) if deal_stock else "0e-8",
            "deal_money": plain(self.deal_money) if deal_stock else "0e-16",
            "deal_fee": "0e-12",
        }


@dataclass(slots=True)
class Balance:
    """What a user owns of an asset."""

    available: Decimal
    freeze: Decimal = Decimal(0)

    def as_json(self, *, freeze_first: bool = False) -> dict[str, Json]:
        """Write the balance. The exchange's pushes have the two keys in either order."""
        members: list[tuple[str, Json]] = [
            ("available", plain(self.available)),
            ("freeze", plain(self.freeze)),
        ]
        return dict(reversed(members) if freeze_first else members)


@dataclass(frozen=True, slots=True)
class AccountChange:
    """What one step did: at most one order, written at that moment, and the assets it moved."""

    event: OrderEvent | None = None
    market: str = ""
    order: dict[str, Json] = field(default_factory=dict)
    assets: tuple[str, ...] = ()


class Account:
    """A seeded user. Nothing is created or lost but by trading: no fee is taken."""

    def __init__(self, user_id: int, seed: int, markets: Sequence[Market], now_s: float) -> None:
        self.user_id = user_id
        #: Asset name to balance; every asset of the exchange is present.
        self.balances = {asset: Balance(amount) for asset, amount in START_BALANCES.items()}
        #: Newest last.
        self.open_orders: list[Order] = []
        #: Newest last.
        self.finished_orders: list[Order] = []
        #: Records of asset.history, newest last.
        self.asset_changes: list[dict[str, Json]] = []
        # A stand-in for a trader, no secret depends on it.
        self._rng = random.Random(f"{seed}/account/{user_id}")
        self._markets = markets
        self._next_id = self._rng.randint(8_000_000, 9_000_000)
        for asset, balance in self.balances.items():
            time_s = now_s - self._rng.uniform(86_400, 864_000)
            self._note_change(asset, "deposit", balance.available, time_s)
        for _ in range(6):
            self.step(now_s)

    def step(self, now_s: float) -> AccountChange:
        """Put an order, fill one in part, fill one to the end, or do nothing."""
        chance = self._rng.random()
        if chance < QUIET:
            return AccountChange()
        if not self.open_orders or (chance < QUIET + PUT and len(self.open_orders) < OPEN_ORDERS_LIMIT):
            return self._put(now_s)
        return self._fill(self._rng.choice(self.open_orders), now_s)

    def _put(self, now_s: float) -> AccountChange:
        market = self._rng.choice(self._markets)
        side = self._rng.choice(tuple(Side))
        spec = market.spec
        price = market.last_price + side.away * spec.price_step * self._rng.randint(1, 50)
        asset = spec.stock if side is Side.ASK else spec.money
        budget = self.balances[asset].available * self._rng.randint(1, 10) / 100
        amount = (budget if side is Side.ASK else budget / price).quantize(spec.amount_step, ROUND_DOWN)
        if amount <= 0:
            return AccountChange()
        order = Order(self._take_id(), self.user_id, market, side, now_s, now_s, price, amount, amount)
        self.open_orders.append(order)
        frozen = amount if side is Side.ASK else amount * price
        self.balances[asset].available -= frozen
        self.balances[asset].freeze += frozen
        return AccountChange(OrderEvent.PUT, spec.name, order.as_json(), (asset,))

    def _fill(self, order: Order, now_s: float) -> AccountChange:
        spec = order.market.spec
        half = (order.left / 2).quantize(spec.amount_step, ROUND_DOWN)
        stock = self._rng.choice((half, order.left)) if half else order.left
        money = stock * order.price
        order.left -= stock
        order.deal_money += money
        order.mtime = now_s
        if order.side is Side.ASK:
            self._settle((spec.stock, stock), (spec.money, money), now_s)
        else:
            self._settle((spec.money, money), (spec.stock, stock), now_s)
        event = OrderEvent.UPDATE if order.left else OrderEvent.FINISH
        if event is OrderEvent.FINISH:
            self.open_orders.remove(order)
            self.finished_orders = [*self.finished_orders, order][-HISTORY_KEPT:]
        return AccountChange(event, spec.name, order.as_json(), (spec.stock, spec.money))

    def _settle(self, paid: tuple[str, Decimal], got: tuple[str, Decimal], now_s: float) -> None:
        self.balances[paid[0]].freeze -= paid[1]
        self.balances[got[0]].available += got[1]
        self._note_change(paid[0], "trade", -paid[1], now_s)
        self._note_change(got[0], "trade", got[1], now_s)

    def _note_change(self, asset: str, business: str, change: Decimal, time_s: float) -> None:
        balance = self.balances[asset]
        record: dict[str, Json] = {
            "time": time_s,
            "asset": asset,
            "business": business,
            "change": plain(change),
            "balance": plain(balance.available + balance.freeze),
            "detail": {"id": self._take_id()},
        }
        self.asset_changes = [*self.asset_changes, record][-HISTORY_KEPT:]

    def _take_id(self) -> int:
        self._next_id += 1
        return self._next_id
