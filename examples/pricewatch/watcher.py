"""Watch prices and deals over the exchange's WebSocket API."""

import asyncio
import itertools
import json
import logging
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

logger = logging.getLogger(__name__)

TOPICS = ("price", "deals")

type Closes = list[tuple[int, Decimal]]  # time and closing price of each candle


class HotbitError(Exception):
    """The server answered a request with an error."""


class Move(NamedTuple):
    """A price change beyond the threshold, since the last such change."""

    market: str
    before: Decimal
    after: Decimal


@dataclass
class Quote:
    """What is known of a market; `volume` sums up the deals seen so far."""

    price: Decimal | None = None
    volume: Decimal = Decimal(0)
    last_deal: int = 0
    reference: Decimal | None = None


async def wait_longer_each_time(attempt: int) -> None:
    await asyncio.sleep(min(2 ** (attempt - 1), 60))


def decode(frame: str | bytes) -> dict[str, Any]:
    if isinstance(frame, bytes):
        frame = zlib.decompress(frame, wbits=47).decode()  # 47: gzip or zlib
    message: dict[str, Any] = json.loads(frame, parse_float=Decimal)
    return message


@dataclass(eq=False)
class PriceWatcher:
    """Keep the latest price and the volume of some markets.

    Entering `async with` connects, catches up and subscribes; `run()` follows the
    markets until `stop()`; leaving unsubscribes and closes.

    Candles of `interval` seconds are fetched from `start` to `end` (Unix time).
    `on_move` is called when a price moved by the fraction `threshold` or more. The
    server is pinged after `ping_every` pushes and after `idle` seconds of silence.
    `backoff(attempt)` is awaited before each attempt to reconnect, from 1 on.
    """

    url: str
    markets: Sequence[str]
    interval: int = 60
    _: KW_ONLY
    start: int
    end: int
    threshold: Decimal = Decimal("0.01")
    on_move: Callable[[Move], object] = print
    deals_limit: int = 100
    ping_every: int = 50
    idle: float = 30.0
    timeout: float = 10.0
    backoff: Callable[[int], Awaitable[None]] = wait_longer_each_time

    server_time: int | None = field(init=False, default=None)
    closes: dict[str, Closes] = field(init=False, default_factory=dict)
    quotes: dict[str, Quote] = field(init=False)
    _ws: ClientConnection = field(init=False, repr=False)
    _last_id: int = field(init=False, default=0)
    _pushes: int = field(init=False, default=0)
    _stopping: bool = field(init=False, default=False)
    _waiting: asyncio.Future[Any] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.quotes = {market: Quote() for market in self.markets}

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except ConnectionClosed:
            await self._reconnect()
        return self

    async def __aexit__(self, exc_type: object, *_: object) -> None:
        try:
            if exc_type is None:
                for topic in TOPICS:
                    await self._call(f"{topic}.unsubscribe")
        except (ConnectionClosed, TimeoutError) as error:
            logger.warning("connection lost before unsubscribing: %r", error)
        finally:
            await self._ws.close()

    async def run(self) -> None:
        """Follow the markets until `stop()`, over as many connections as it takes."""
        while not self._stopping:
            try:
                await self._listen()
            except (ConnectionClosed, TimeoutError) as error:
                logger.warning("connection lost: %r", error)
                await self._ws.close()
                await self._reconnect()

    def stop(self) -> None:
        """Let `run()` return; `on_move` may call this too."""
        self._stopping = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def _open(self) -> None:
        # No WebSocket pings: the server's empty pongs would count as missing.
        self._ws = await connect(self.url, ping_interval=None, max_size=None)
        self._last_id = self._pushes = 0
        try:
            if not self.closes:
                await self._load_candles()
            await self._catch_up()
            for topic in TOPICS:
                await self._call(f"{topic}.subscribe", *self.markets)
        except BaseException:
            await self._ws.close()
            raise

    async def _reconnect(self) -> None:
        for attempt in itertools.count(1):
            await self._until_stop(self.backoff(attempt))
            if self._stopping:
                return
            try:
                await self._open()
                return
            except (OSError, WebSocketException) as error:
                logger.warning("attempt %d to reconnect failed: %r", attempt, error)

    async def _load_candles(self) -> None:
        self.server_time = await self._call("server.time")
        closes = {}
        for market in self.markets:
            params = (market, self.start, self.end, self.interval)
            candles = await self._call("kline.query", *params)
            closes[market] = [(candle[0], Decimal(candle[2])) for candle in candles]
        self.closes = closes

    async def _catch_up(self) -> None:
        for market in self.markets:
            last_id = self.quotes[market].last_deal
            deals = await self._call("deals.query", market, self.deals_limit, last_id)
            self._add_deals(market, deals)
            if deals:
                self._set_price(market, deals[0]["price"])

    async def _listen(self) -> None:
        while not self._stopping:
            try:
                async with asyncio.timeout(self.idle):
                    frame = await self._until_stop(self._ws.recv())
            except TimeoutError:
                await self._ping()
                continue
            if frame is not None:
                self._handle(decode(frame))
                if self._pushes >= self.ping_every:
                    await self._ping()

    async def _ping(self) -> None:
        self._pushes = 0
        await self._call("server.ping")

    async def _call(self, method: str, *params: object) -> Any:
        """Send a request and return its result; pushes that come first are handled."""
        self._last_id += 1
        request = {"method": method, "params": params, "id": self._last_id}
        await self._ws.send(json.dumps(request))
        async with asyncio.timeout(self.timeout):
            message = decode(await self._ws.recv())
            # A push may carry an id too, even one that equals ours.
            while "method" in message or message["id"] != request["id"]:
                self._handle(message)
                message = decode(await self._ws.recv())
        if message["error"] is not None:
            raise HotbitError(f"{method} failed: {message['error']}")
        return message["result"]

    def _handle(self, message: dict[str, Any]) -> None:
        match message:
            case {"method": "price.update", "params": [market, price]}:
                self._pushes += 1
                self._set_price(market, price)
            case {"method": "deals.update", "params": [market, deals]}:
                self._pushes += 1
                self._add_deals(market, deals)

    def _set_price(self, market: str, text: str) -> None:
        quote = self.quotes[market]
        before = quote.reference
        quote.price = price = Decimal(text)
        if before is None:
            quote.reference = price
        elif abs(price - before) >= self.threshold * before:
            quote.reference = price
            self.on_move(Move(market, before, price))

    def _add_deals(self, market: str, deals: list[dict[str, Any]]) -> None:
        quote = self.quotes[market]
        for deal in reversed(deals):  # the newest comes first
            if deal["id"] > quote.last_deal:
                quote.last_deal = deal["id"]
                quote.volume += Decimal(deal["amount"])

    async def _until_stop[T](self, work: Awaitable[T]) -> T | None:
        """Await something, but give up and return None once `stop()` is called."""
        self._waiting = waiting = asyncio.ensure_future(work)
        if self._stopping:
            waiting.cancel()
        try:
            return await waiting
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            return None
