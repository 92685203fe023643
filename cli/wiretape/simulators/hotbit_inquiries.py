"""
The ``*.query`` and ``*.history`` methods of the simulated Hotbit exchange.

Each takes the exchange, the params, the time and the account of the connection and returns the
result of its reply; RefusedError says which error is replied instead. `INQUIRIES` lists them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from wiretape.simulators.hotbit_account import Account, Order
from wiretape.simulators.hotbit_exchange import Exchange, RefusedError
from wiretape.simulators.hotbit_market import Market
from wiretape.simulators.hotbit_params import PAGE_LIMIT, Param, decimal, expect, integer, name
from wiretape.simulators.hotbit_wire import Json

#: The finest merge step of an order book, apart from none at all.
FINEST_INTERVAL = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What an inquiry may look at."""

    exchange: Exchange
    params: list[Param]
    now_s: float

    def market(self, position: int) -> Market:
        """Return the market that a param names."""
        market = self.exchange.markets.get(name(self.params[position]))
        if market is None:
            raise RefusedError(1)
        return market


def _kline(inquiry: Inquiry) -> Json:
    expect(inquiry.params, 4)
    start, end = integer(inquiry.params[1]), integer(inquiry.params[2])
    interval = integer(inquiry.params[3], least=1)
    if start > end:
        raise RefusedError(1)
    return inquiry.market(0).candles(start, min(end, int(inquiry.now_s)), interval)


def _price(inquiry: Inquiry) -> Json:
    expect(inquiry.params, 1)
    return inquiry.market(0).price_text()


def _state(inquiry: Inquiry) -> Json:
    expect(inquiry.params, 2)
    return inquiry.market(0).state(integer(inquiry.params[1], least=1), inquiry.now_s)


def _states(inquiry: Inquiry) -> Json:
    # Undocumented: the list of states with their market in them is our own reading.
    period_s = 86_400
    markets = [inquiry.market(position) for position in range(len(inquiry.params))]
    return [
        {"market": market.spec.name, **market.state(period_s, inquiry.now_s)}
        for market in markets or inquiry.exchange.markets.values()
    ]


def _today(inquiry: Inquiry) -> Json:
    expect(inquiry.params, 1)
    return inquiry.market(0).today(inquiry.now_s)


def _deals(inquiry: Inquiry) -> Json:
    expect(inquiry.params, 3)
    limit, last_id = integer(inquiry.params[1], least=1), integer(inquiry.params[2])
    return [deal.as_json() for deal in inquiry.market(0).deals(limit, last_id)]


def _depth(inquiry: Inquiry) -> Json:
    expect(inquiry.params, 3)
    limit, interval = integer(inquiry.params[1], least=1, most=PAGE_LIMIT), decimal(inquiry.params[2])
    if 0 < interval < FINEST_INTERVAL:
        raise RefusedError(1)
    depth = inquiry.market(0).book.merged(limit, interval)
    asks = [[price, amount] for price, amount in depth.asks.items()]
    bids = [[price, amount] for price, amount in depth.bids.items()]
    return {"asks": asks, "bids": bids}


def _orders(inquiry: Inquiry, account: Account) -> Json:
    expect(inquiry.params, 3)
    offset, limit = integer(inquiry.params[1]), integer(inquiry.params[2], most=PAGE_LIMIT)
    wanted = inquiry.params[0]
    if not isinstance(wanted, list):
        return _page(_of_market(account.open_orders, name(wanted)), offset, limit)
    names = [name(market) for market in wanted] or list(inquiry.exchange.markets)
    return {market: _page(_of_market(account.open_orders, market), offset, limit) for market in names}


def _order_history(inquiry: Inquiry, account: Account) -> Json:
    # ViaBTC wants a sixth param, the side; Hotbit's document knows five.
    expect(inquiry.params, 5, 6)
    market = name(inquiry.params[0])
    offset, limit = integer(inquiry.params[3]), integer(inquiry.params[4], most=PAGE_LIMIT)
    side = integer(inquiry.params[5], most=2) if len(inquiry.params) > 5 else 0
    start_s, end_s = integer(inquiry.params[1]), integer(inquiry.params[2])
    orders = [
        order
        for order in _of_market(account.finished_orders, market)
        if _within(start_s, order.ctime, end_s) and side in (0, order.side)
    ]
    return _page(orders, offset, limit)


def _assets(inquiry: Inquiry, account: Account) -> Json:
    names = [name(asset) for asset in inquiry.params] or list(account.balances)
    if not all(asset in account.balances for asset in names):
        raise RefusedError(1)
    return {asset: account.balances[asset].as_json() for asset in names}


def _asset_history(inquiry: Inquiry, account: Account) -> Json:
    expect(inquiry.params, 6)
    asset = name(inquiry.params[0] or "")
    business = name(inquiry.params[1] or "")
    offset, limit = integer(inquiry.params[4]), integer(inquiry.params[5], most=PAGE_LIMIT)
    start_s, end_s = integer(inquiry.params[2]), integer(inquiry.params[3])
    records = [
        record
        for record in reversed(account.asset_changes)
        if asset in ("", record["asset"])
        and business in ("", record["business"])
        and _within(start_s, record["time"], end_s)
    ]
    return {"offset": offset, "limit": limit, "records": records[offset : offset + limit]}


def _balances(_: Inquiry, account: Account) -> Json:
    return {asset: balance.as_json() for asset, balance in account.balances.items()}


def _of_market(orders: Sequence[Order], market: str) -> list[Order]:
    return [order for order in reversed(orders) if order.market.spec.name == market]


def _page(orders: Sequence[Order], offset: int, limit: int) -> dict[str, Json]:
    records = [order.as_json() for order in orders[offset : offset + limit]]
    return {"limit": limit, "offset": offset, "total": len(orders), "records": records}


def _within(start_s: int, time_s: Json, end_s: int) -> bool:
    """Tell whether a record lies in a span; an end of 0 leaves the span open."""
    return isinstance(time_s, float) and start_s <= time_s and (end_s == 0 or time_s <= end_s)


#: Inquiries that anybody may make.
INQUIRIES: MappingProxyType[str, Callable[[Inquiry], Json]] = MappingProxyType(
    {
        "kline.query": _kline,
        "price.query": _price,
        "state.query": _state,
        "state.querys": _states,
        "today.query": _today,
        "deals.query": _deals,
        "depth.query": _depth,
    }
)
#: Inquiries about the user of the connection.
PRIVATE_INQUIRIES: MappingProxyType[str, Callable[[Inquiry, Account], Json]] = MappingProxyType(
    {
        "order.query": _orders,
        "order.history": _order_history,
        "asset.query": _assets,
        "asset.history": _asset_history,
        "balance.query": _balances,
    }
)
