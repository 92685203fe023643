"""
One market of the simulated Hotbit exchange: its deals and what is computed from them.

Owns deals, candles and the 24-hour and calendar-day statistics; the order book is ``hotbit_book``.
Time is passed in, in seconds since the epoch, and never read from a clock.
"""

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from wiretape.simulators.hotbit_book import OrderBook, Side, plain
from wiretape.simulators.hotbit_wire import Json

DAY_S = 86_400
#: Deals that the market remembers; older ones leave the candles too.
DEALS_KEPT = 5_000
#: Deals that lie before the start of the simulation.
DEALS_BEFORE_START = 150
#: How strongly the market leans back to its start price: at 2 % away, nine changes in ten do.
PULL = 20.0
#: The most candles in one reply; of a longer span the newest are returned.
CANDLES_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class MarketSpec:
    """What a market trades and in which steps."""

    name: str
    stock: str
    money: str
    start_price: Decimal
    price_step: Decimal
    amount_step: Decimal


#: Every market of the exchange, in the order in which "all markets" are listed.
MARKETS = (
    MarketSpec("BTCUSDT", "BTC", "USDT", Decimal(8000), Decimal("0.01"), Decimal("0.0001")),
    MarketSpec("ETHUSDT", "ETH", "USDT", Decimal("612.4"), Decimal("0.01"), Decimal("0.001")),
    MarketSpec("ETHBTC", "ETH", "BTC", Decimal("0.07655"), Decimal("0.000001"), Decimal("0.001")),
    MarketSpec("EOSUSDT", "EOS", "USDT", Decimal("12.97"), Decimal("0.0001"), Decimal("0.01")),
)


@dataclass(frozen=True, slots=True)
class Deal:
    """A trade that both sides agreed on."""

    id: int
    time: float
    price: Decimal
    amount: Decimal
    taker_buys: bool

    def as_json(self) -> dict[str, Json]:
        """Write the deal as deals.query and deals.update list it."""
        return {
            "id": self.id,
            "time": self.time,
            "price": plain(self.price),
            "amount": plain(self.amount),
            "type": "buy" if self.taker_buys else "sell",
        }


@dataclass(frozen=True, slots=True)
class _Summary:
    """The figures of a span of deals, as a candle and both kinds of statistics need them."""

    open: Decimal = Decimal(0)
    close: Decimal = Decimal(0)
    high: Decimal = Decimal(0)
    low: Decimal = Decimal(0)
    volume: Decimal = Decimal(0)
    deal: Decimal = Decimal(0)

    @classmethod
    def of(cls, deals: list[Deal], *, otherwise: Decimal = Decimal(0)) -> "_Summary":
        """Sum deals up, oldest first; without any, every price is `otherwise`."""
        if not deals:
            return cls(otherwise, otherwise, otherwise, otherwise)
        prices = [deal.price for deal in deals]
        volume = sum((deal.amount for deal in deals), Decimal(0))
        turnover = sum((deal.amount * deal.price for deal in deals), Decimal(0))
        return cls(prices[0], prices[-1], max(prices), min(prices), volume, turnover)


class Market:
    """A seeded market. The same seed and the same times of `step` give the same deals."""

    def __init__(self, spec: MarketSpec, seed: int, now_s: float) -> None:
        self.spec = spec
        # A stand-in for a market, no secret depends on it.
        self._rng = random.Random(f"{seed}/market/{spec.name}")
        self.book = OrderBook(self._rng, spec.start_price, spec.price_step, spec.amount_step)
        self._deals: deque[Deal] = deque(maxlen=DEALS_KEPT)
        self._next_deal_id = self._rng.randint(1_000, 9_000)
        gaps = [self._rng.uniform(5, 90) for _ in range(DEALS_BEFORE_START)]
        time_s = now_s - sum(gaps)
        for gap in gaps:
            self._trade(time_s)
            self.book.churn(self._chance_to_rise())
            time_s += gap
        self._stepped_at_s = now_s

    @property
    def last_price(self) -> Decimal:
        """The price of the newest deal."""
        return self._deals[-1].price

    def step(self, now_s: float) -> None:
        """Move the market on to `now_s`: none to two deals, one to three changes of the book."""
        times = sorted(self._rng.uniform(self._stepped_at_s, now_s) for _ in range(self._rng.randint(0, 2)))
        for time_s in times:
            self._trade(time_s)
        for _ in range(self._rng.randint(1, 3)):
            self.book.churn(self._chance_to_rise())
        self._stepped_at_s = now_s

    def deals(self, limit: int, after_id: int) -> list[Deal]:
        """Return the newest deals with an id above `after_id`, newest first."""
        newest = [deal for deal in reversed(self._deals) if deal.id > after_id]
        return newest[:limit]

    def price_text(self) -> str:
        """Write the last price with the eight places that price.query always has."""
        return format(self.last_price, ".8f")

    def state(self, period_s: int, now_s: float) -> dict[str, Json]:
        """Sum up the last `period_s` seconds, as state.query does; all zero without a deal."""
        span = _Summary.of(self._since(now_s - period_s))
        return {
            "period": period_s,
            "last": plain(self.last_price),
            "open": plain(span.open),
            "close": plain(span.close),
            "high": plain(span.high),
            "low": plain(span.low),
            "volume": plain(span.volume),
            "deal": plain(span.deal),
        }

    def today(self, now_s: float) -> dict[str, Json]:
        """Sum up the calendar day in UTC, as today.query does."""
        span = _Summary.of(self._since(now_s // DAY_S * DAY_S))
        return {
            "open": plain(span.open),
            "last": plain(self.last_price),
            "high": plain(span.high),
            "low": plain(span.low),
            "volume": plain(span.volume),
            "deal": plain(span.deal),
        }

    def candles(self, start_s: int, end_s: int, interval_s: int) -> list[list[Json]]:
        """
        Return the candles of a span, oldest first, the candle of `end_s` included.

        A candle without deals repeats the price before it with no volume.
        """
        last = end_s // interval_s * interval_s
        oldest = int(self._deals[0].time) // interval_s * interval_s
        first = max(start_s // interval_s * interval_s, oldest, last - (CANDLES_LIMIT - 1) * interval_s)
        buckets: dict[int, list[Deal]] = {}
        for deal in self._since(first):
            buckets.setdefault(int(deal.time) // interval_s * interval_s, []).append(deal)
        return list(self._rows(range(first, last + 1, interval_s), buckets))

    def _rows(self, starts: range, buckets: dict[int, list[Deal]]) -> Iterator[list[Json]]:
        before = [deal.price for deal in self._deals if deal.time < starts.start]
        close = before[-1] if before else self._deals[0].price
        for start in starts:
            candle = _Summary.of(buckets.get(start, []), otherwise=close)
            close = candle.close
            figures = (candle.open, candle.close, candle.high, candle.low, candle.volume, candle.deal)
            yield [start, *map(plain, figures), self.spec.name]

    def _trade(self, time_s: float) -> None:
        side = Side.ASK if self._rng.random() < self._chance_to_rise() else Side.BID
        price, amount = self.book.take(side)
        self._deals.append(Deal(self._next_deal_id, time_s, price, amount, taker_buys=side is Side.ASK))
        self._next_deal_id += 1

    def _chance_to_rise(self) -> float:
        """Lean against the way the price has gone, so that no market runs away in a long demo."""
        if not self._deals:
            return 0.5
        fallen = float((self.spec.start_price - self.last_price) / self.spec.start_price)
        return 0.5 + min(max(fallen * PULL, -0.4), 0.4)

    def _since(self, start_s: float) -> list[Deal]:
        return [deal for deal in self._deals if deal.time >= start_s]
