"""
What one connection to the simulated Hotbit exchange is subscribed to, and the pushes it gets.

A subscription replaces the connection's earlier one of the same kind. Every feed remembers what it
sent last and pushes only changes, so a new feed starts with a snapshot by itself. Replies are not
written here but in ``hotbit_session``.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from wiretape.simulators.hotbit_account import AccountChange
from wiretape.simulators.hotbit_book import Depth
from wiretape.simulators.hotbit_exchange import Exchange, Step
from wiretape.simulators.hotbit_market import DAY_S, Market
from wiretape.simulators.hotbit_params import Param, depth_feed, expect, integer, name
from wiretape.simulators.hotbit_wire import Json, push

#: Deals in one deals.update at most.
DEALS_LIMIT = 100
#: A changed book is sent in full again after this time.
CLEAN_INTERVAL_S = 60
#: Kinds whose subscription and unsubscription need a user.
PRIVATE_KINDS = frozenset({"order", "asset"})

#: Kinds that push one value per market whenever it differs from the last one.
VALUES: MappingProxyType[str, Callable[[Market, float], Json]] = MappingProxyType(
    {
        "price": lambda market, _: market.price_text(),
        "state": lambda market, now_s: market.state(DAY_S, now_s),
        "today": lambda market, now_s: market.today(now_s),
    }
)


@dataclass(slots=True)
class _KlineFeed:
    market: Market
    interval_s: int
    #: The newest candle that the client knows, or that it was too late to be told.
    last: list[Json]


@dataclass(slots=True)
class _DepthFeed:
    limit: int
    interval: Decimal
    #: What the client's book holds; None before the first push.
    sent: Depth | None = None
    clean_at_s: float = 0.0


class Subscriptions:
    """The feeds of one connection. Call `pushes` once after every step of the exchange."""

    def __init__(self, exchange: Exchange, rng: random.Random) -> None:
        self._exchange = exchange
        self._rng = rng
        self._kline: _KlineFeed | None = None
        #: Kind to market to the value pushed last; None before the first push.
        self._values: dict[str, dict[str, Json]] = {kind: {} for kind in VALUES}
        #: Market to the id of the newest deal pushed.
        self._deals: dict[str, int] = {}
        self._depth: dict[str, _DepthFeed] = {}
        #: Market names and asset names, in the order of the request.
        self._names: dict[str, list[str]] = {kind: [] for kind in sorted(PRIVATE_KINDS)}
        self._all_states: bool = False
        self._all_states_sent: Json = None

    def subscribe(self, method: str, params: list[Param], now_s: float) -> list[str]:
        """
        Carry out a ``*.subscribe`` and return the snapshots that follow its reply.

        Raises RefusedError for a bad element; the elements before it stay subscribed, as they do
        in ViaBTC. An unknown market is accepted and never heard of.
        """
        kind = method.partition(".")[0]
        if method == "state.subscribeall":
            self._all_states, self._all_states_sent = True, None
            return list(self._push_all_states(now_s))
        if kind == "kline":
            self._subscribe_kline(params, now_s)
            return []
        if kind in PRIVATE_KINDS:
            self._names[kind] = []
            for param in params:
                self._names[kind].append(name(param))
            return []
        if kind in VALUES:
            self._values[kind] = {}
            for param in params:
                self._values[kind][name(param)] = None
            return list(self._push_values(kind, now_s))
        if kind == "deals":
            self._deals = {}
            for param in params:
                self._deals[name(param)] = 0
            return list(self._push_deals(now_s))
        self._subscribe_depth(method, params)
        return list(self._push_depth(now_s))

    def unsubscribe(self, kind: str) -> None:
        """End every feed of a kind."""
        if kind == "kline":
            self._kline = None
        elif kind in PRIVATE_KINDS:
            self._names[kind] = []
        elif kind == "deals":
            self._deals = {}
        elif kind in ("depth", "depths"):
            self._depth = {}
        else:
            self._values[kind] = {}
            self._all_states = self._all_states and kind != "state"

    def forget_user(self) -> None:
        """End the feeds about the user, because the connection now belongs to another one."""
        for kind in sorted(PRIVATE_KINDS):
            self._names[kind] = []

    def pushes(self, now_s: float, step: Step, user_id: int | None) -> list[str]:
        """Return what one step of the exchange tells this connection."""
        texts = [*self._push_kline(now_s)]
        for kind in VALUES:
            texts.extend(self._push_values(kind, now_s))
        texts.extend(self._push_all_states(now_s))
        texts.extend(self._push_deals(now_s))
        texts.extend(self._push_depth(now_s))
        change = step.changes.get(user_id) if user_id is not None else None
        if change is not None and user_id is not None:
            texts.extend(self._push_account(change, user_id, now_s))
        return texts

    def _subscribe_kline(self, params: list[Param], now_s: float) -> None:
        expect(params, 2)
        market_name, interval_s = name(params[0]), integer(params[1], least=1)
        market = self._exchange.markets.get(market_name)
        self._kline = None
        if market is not None:
            last = market.candles(int(now_s), int(now_s), interval_s)[-1]
            self._kline = _KlineFeed(market, interval_s, last)

    def _subscribe_depth(self, method: str, params: list[Param]) -> None:
        if method == "depth.subscribe":
            market, limit, interval = depth_feed(params)
            self._depth = {market: _DepthFeed(limit, interval)}
            return
        self._depth = {}
        for element in params:
            market, limit, interval = depth_feed(element)
            self._depth[market] = _DepthFeed(limit, interval)

    def _push_kline(self, now_s: float) -> Iterator[str]:
        feed = self._kline
        if feed is None:
            return
        start = feed.last[0]
        if not isinstance(start, int):  # pragma: no cover - a candle starts with its time
            raise TypeError(start)
        candles = feed.market.candles(start, int(now_s), feed.interval_s)
        changed = [candle for candle in candles if candle != feed.last]
        if changed:
            feed.last = changed[-1]
            yield push("kline.update", changed)

    def _push_values(self, kind: str, now_s: float) -> Iterator[str]:
        sent = self._values[kind]
        for market_name, last in sent.items():
            market = self._exchange.markets.get(market_name)
            value = VALUES[kind](market, now_s) if market is not None else None
            if value != last:
                sent[market_name] = value
                yield push(f"{kind}.update", [market_name, value])

    def _push_all_states(self, now_s: float) -> Iterator[str]:
        if not self._all_states:
            return
        markets = self._exchange.markets
        states = {market_name: market.state(DAY_S, now_s) for market_name, market in markets.items()}
        if states != self._all_states_sent:
            self._all_states_sent = states
            yield push("state.updateall", [states], push_id=0)

    def _push_deals(self, now_s: float) -> Iterator[str]:
        for market_name, last_id in self._deals.items():
            market = self._exchange.markets.get(market_name)
            deals = market.deals(DEALS_LIMIT, last_id) if market is not None else []
            if deals:
                self._deals[market_name] = deals[0].id
                rows = [deal.as_json() for deal in deals]
                yield push("deals.update", [market_name, rows], ts=int(now_s))

    def _push_depth(self, now_s: float) -> Iterator[str]:
        for market_name, feed in self._depth.items():
            market = self._exchange.markets.get(market_name)
            if market is None:
                continue
            depth = market.book.merged(feed.limit, feed.interval)
            if depth == feed.sent:
                continue
            clean = feed.sent is None or now_s - feed.clean_at_s >= CLEAN_INTERVAL_S
            sides = _full(depth) if clean or feed.sent is None else _difference(feed.sent, depth)
            feed.sent = depth
            feed.clean_at_s = now_s if clean else feed.clean_at_s
            yield push("depth.update", [clean, sides, market_name])

    def _push_account(self, change: AccountChange, user_id: int, now_s: float) -> Iterator[str]:
        if change.event is not None and change.market in self._names["order"]:
            yield push("order.update", [int(change.event), change.order], ts=int(now_s))
        balances = self._exchange.account(user_id, now_s).balances
        for asset in change.assets:
            if asset in self._names["asset"]:
                balance = balances[asset].as_json(freeze_first=self._rng.random() < 0.5)
                yield push("asset.update", [{asset: balance}], ieo_use="0")


def _full(depth: Depth) -> dict[str, Json]:
    return {
        "asks": [[price, amount] for price, amount in depth.asks.items()],
        "bids": [[price, amount] for price, amount in depth.bids.items()],
    }


def _difference(old: Depth, new: Depth) -> dict[str, Json]:
    """List changed levels with the new amount and removed ones with "0"; leave an equal side out."""
    sides: dict[str, Json] = {}
    if old.asks != new.asks:
        sides["asks"] = _changed_levels(old.asks, new.asks, descending=False)
    if old.bids != new.bids:
        sides["bids"] = _changed_levels(old.bids, new.bids, descending=True)
    return sides


def _changed_levels(old: dict[str, str], new: dict[str, str], *, descending: bool) -> list[list[str]]:
    prices = {price for price in (*old, *new) if old.get(price) != new.get(price)}
    ordered = sorted(prices, key=Decimal, reverse=descending)
    return [[price, new.get(price, "0")] for price in ordered]
