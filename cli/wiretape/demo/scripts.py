"""
What the demo's clients do on each upstream, as data: every call, every subscription, and what goes wrong.

Told from the upstreams' documents, apart from the adapters: what those misread shows here.
"""

import json
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any


class EndBy(Enum):
    """How a visit ends."""

    CLIENT_CLOSES = auto()
    UPSTREAM_DROPS = auto()
    """TCP ends without a close frame; while recording, the demo makes the simulator do so."""


@dataclass(frozen=True, slots=True)
class Say:
    """Send these texts at once, then wait for as many answers."""

    texts: tuple[str, ...]
    answers: int


@dataclass(frozen=True, slots=True)
class Happen:
    """The world moves on: while recording, the demo makes the simulator take so many steps."""

    steps: int


@dataclass(frozen=True, slots=True)
class Visit:
    """One connection."""

    steps: tuple[Say | Happen, ...]
    end: EndBy = EndBy.CLIENT_CLOSES


_MARKETS = ["BTCUSDT", "ETHBTC"]
_NOW = 1_513_135_140


def _call(method: str, params: list[Any], call_id: int | str = 100, *, answers: int = 1) -> Say:
    return Say((json.dumps({"method": method, "params": params, "id": call_id}),), answers)


def hotbit_visits(api_key: str, sign: str) -> tuple[Visit, ...]:
    """Two connections to the exchange; the second is dropped by it."""
    market = _MARKETS[0]
    inquiries = (
        _call("server.ping", [], 0),
        _call("server.time", []),
        _call("kline.query", [market, _NOW - 3600, _NOW, 60], 1),
        _call("price.query", [market], 2),
        _call("state.query", [market, 86400], 3),
        _call("state.querys", _MARKETS, 4),
        _call("today.query", [market], 5),
        _call("deals.query", [market, 5, 0], 6),
        _call("depth.query", [market, 10, "0.1"], 7),
        # Private before the authentication: an error. The same question after it has an answer.
        _call("asset.query", ["BTC"], 8),
        _call("server.auth", [api_key, sign], 9),
        _call("asset.query", ["BTC"], 8),
        _call("asset.history", ["BTC", "deposit", 0, _NOW, 0, 10], 10),
        _call("order.query", [[market], 0, 10], 11),
        _call("order.history", [market, 0, _NOW, 0, 10], 12),
        _call("balance.query", [], 13),
        _call("price.query", ["no such market"], 14),
        # Three questions in flight with one id.
        Say(
            tuple(
                json.dumps({"method": method, "params": params, "id": 100})
                for method, params in (
                    ("server.time", []),
                    ("price.query", [market]),
                    ("depth.query", [market, 5, "0"]),
                )
            ),
            3,
        ),
    )
    subscriptions = (
        _call("kline.subscribe", [market, 60]),
        _call("price.subscribe", _MARKETS),
        _call("state.subscribe", _MARKETS),
        _call("today.subscribe", _MARKETS),
        _call("deals.subscribe", [market]),
        _call("depth.subscribe", [market, 10, "0"]),
        _call("order.subscribe", [market]),
        _call("asset.subscribe", ["BTC", "USDT"]),
        Happen(4),
        _call("server.time", []),
        _call("depths.subscribe", [[market, 10, "0"], [_MARKETS[1], 5, "0"]]),
        _call("state.subscribeall", []),
        Happen(4),
        _call("server.time", []),
    )
    kinds = ("kline", "price", "state", "today", "deals", "depth", "order", "asset")
    goodbye = tuple(_call(f"{kind}.unsubscribe", []) for kind in kinds)
    again = (
        _call("deals.subscribe", [_MARKETS[1]], 1),
        Happen(3),
        _call("server.time", [], 1),
    )
    return Visit((*inquiries, *subscriptions, *goodbye)), Visit(again, EndBy.UPSTREAM_DROPS)


_NATIVE = "0200000000000000000000000000000000000000"
_RAW_TRANSACTION = "00d1d6a3c65ff401000000000000204e000000000000"


def _action(action: str, action_id: Any = 7157218555092573833, **members: Any) -> Say:
    return Say((json.dumps({"Action": action, "Id": action_id, "Version": "1.0.0", **members}),), 1)


def _ontology_calls(account: str, contract: str, block_hash: str, tx_hash: str) -> tuple[Say | Happen, ...]:
    """Every action but subscribe, and every kind of error that a client can cause."""
    parties = {"Asset": "ong", "From": account, "To": account}
    return (
        _action("heartbeat"),
        _action("getconnectioncount", "a string id"),
        _action("getsessioncount", 0),
        _action("getblockheight", 1),
        _action("getblockhash", 2, Height=100),
        _action("getblockbyheight", 3, Height="100"),
        _action("getblockbyheight", 4, Height=100, Raw="1"),
        _action("getblockbyhash", 5, Hash=block_hash),
        _action("getblocktxsbyheight", 6, Height=100),
        _action("gettransaction", 7, Hash=tx_hash),
        _action("getstorage", 8, Hash=contract, Key="00"),
        _action("getbalance", 9, Addr=account),
        _action("getbalancev2", 10, Addr=account),
        _action("getallowance", 11, **parties),
        _action("getallowancev2", 12, **parties),
        _action("getunboundong", 13, Addr=account),
        _action("getgrantong", 14, Addr=account),
        _action("getcontract", 15, Hash=_NATIVE),
        _action("getsmartcodeeventbyheight", 16, Height=100),
        _action("getsmartcodeeventbyhash", 17, Hash=tx_hash),
        _action("getblockheightbytxhash", 18, Hash=tx_hash),
        _action("getmerkleproof", 19, Hash=tx_hash),
        _action("getgasprice", 20),
        _action("getmempooltxcount", 21),
        _action("getmempooltxhashlist", 22),
        _action("getmempooltxstate", 23, Hash=tx_hash),
        _action("getversion", 24),
        _action("getnetworkid", {"an": "object id"}),
        # Errors: one with its id, two that the node answers without any.
        _action("getblockhash", 26, Height=99_999_999),
        _action("nosuchaction", 27),
        Say(("this is not JSON",), 1),
        _action("sendrawtransaction", 28, Data=_RAW_TRANSACTION, PreExec="1"),
        _action("sendrawtransaction", 29, Data=_RAW_TRANSACTION),
        # The event of one's own transaction comes without a subscription.
        Happen(2),
        _action("getblockheight", 30),
    )


def ontology_visits(account: str, contract: str, block_hash: str, tx_hash: str) -> tuple[Visit, ...]:
    """Two connections to the node; the second is dropped by it."""
    calls = _ontology_calls(account, contract, block_hash, tx_hash)
    subscriptions = (
        _action("subscribe", 31, SubscribeEvent=True, SubscribeJsonBlock=True),
        Happen(2),
        _action("getblockheight", 32),
        _action(
            "subscribe", 33, SubscribeRawBlock=True, SubscribeBlockTxHashs=True, ContractsFilter=[_NATIVE]
        ),
        Happen(2),
        _action("getblockheight", 34),
        _action(
            "subscribe",
            35,
            SubscribeEvent=False,
            SubscribeJsonBlock=False,
            SubscribeRawBlock=False,
            SubscribeBlockTxHashs=False,
        ),
    )
    again = (
        _action("subscribe", 1, SubscribeBlockTxHashs=True),
        Happen(3),
        _action("getblockheight", 1),
    )
    return Visit((*calls, *subscriptions)), Visit(again, EndBy.UPSTREAM_DROPS)
