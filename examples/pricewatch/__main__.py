"""Print the price moves of the markets named in a configuration file."""

import argparse
import asyncio
import logging
import signal
import tomllib
from decimal import Decimal
from pathlib import Path

from pricewatch.watcher import PriceWatcher


async def watch(args: argparse.Namespace) -> None:
    config = tomllib.loads(args.config.read_text(), parse_float=Decimal)
    watcher = PriceWatcher(args.url, **config, start=args.start, end=args.end)
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, watcher.stop)
    async with watcher:
        print(f"server time {watcher.server_time}")
        for market, closes in watcher.closes.items():
            price = watcher.quotes[market].price
            print(f"{market}: {len(closes)} candles, price {price}", flush=True)
        await watcher.run()
    for market, quote in watcher.quotes.items():
        print(f"{market}: price {quote.price}, volume {quote.volume}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="pricewatch", description=__doc__)
    parser.add_argument("url", help="the exchange, for example wss://ws.hotbit.io")
    parser.add_argument("config", type=Path, help="a TOML file like pricewatch.toml")
    parser.add_argument("--start", type=int, required=True, help="Unix time")
    parser.add_argument("--end", type=int, required=True, help="Unix time")
    logging.basicConfig(format="%(levelname)s %(message)s")
    asyncio.run(watch(parser.parse_args()))


if __name__ == "__main__":
    main()
