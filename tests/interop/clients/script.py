"""What the plain clients ask the exchange; the library they ask with is what differs."""

import json

REQUESTS = [
    '{"method": "server.ping", "params": [], "id": 0}',
    '{"method": "server.time", "params": [], "id": 100}',
    '{"method": "depth.query", "params": ["BTCUSDT", 5, "0"], "id": 100}',
    '{"method": "kline.query", "params": ["BTCUSDT", 1513131540, 1513135140, 60], "id": 1}',
    '{"method": "price.subscribe", "params": ["BTCUSDT", "ETHBTC"], "id": 2}',
    '{"method": "server.time", "params": [], "id": 3}',
    '{"method": "price.unsubscribe", "params": [], "id": 4}',
]


def is_last(text: str) -> bool:
    """Whether a message is an answer, and not a push."""
    return "method" not in json.loads(text)
