"""A price watcher for the Hotbit exchange."""

from pricewatch.watcher import HotbitError, Move, PriceWatcher, Quote

__all__ = ["HotbitError", "Move", "PriceWatcher", "Quote"]
