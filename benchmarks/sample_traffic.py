"""
Sample traffics for the benchmarks of the store: made up from a seeded generator, shaped like the real ones.

Each is a list of (from the client, bytes on the wire, role, method, stream).
"""

import gzip
import json
import random
from collections.abc import Callable, Iterator
from itertools import islice

from store_layout import MARKETS, SEED, pushes

from wiretape_protocols import Role

Sample = tuple[bool, bytes, Role, str, str]
_VERSION = "1.0.0"


def pushes_gzip(count: int) -> Iterator[Sample]:
    """Deals, prices and depths, each gzipped."""
    for stream, text in pushes(count):
        yield False, gzip.compress(text, 6, mtime=0), Role.PUSH, stream.partition(":")[0] + ".update", stream


def pushes_timed_gzip(count: int) -> Iterator[Sample]:
    """The same, from a server whose gzip headers hold the time: 200 messages a second."""
    for seq, (stream, text) in enumerate(pushes(count)):
        wire = gzip.compress(text, 6, mtime=1_564_617_600 + seq // 200)
        yield False, wire, Role.PUSH, stream.partition(":")[0] + ".update", stream


def pushes_text(count: int) -> Iterator[Sample]:
    """The same as plain JSON."""
    for stream, text in pushes(count):
        yield False, text, Role.PUSH, stream.partition(":")[0] + ".update", stream


def calls(count: int) -> Iterator[Sample]:
    """A client that asks for prices, books and states: plain JSON, answered with gzip."""
    randomness = random.Random(SEED)
    for number in range(count // 2):
        market = randomness.choice(MARKETS)
        method, params, result = _call(randomness, market)
        call = json.dumps({"method": method, "params": params, "id": number})
        yield True, call.encode(), Role.CALL, method, ""
        answer = json.dumps({"error": None, "result": result, "id": number})
        yield False, gzip.compress(answer.encode(), 6, mtime=0), Role.ANSWER, method, ""


def _call(randomness: random.Random, market: str) -> tuple[str, list[object], object]:
    price = randomness.uniform(100, 10_000)
    if randomness.random() < 0.5:
        return "price.query", [market], f"{price:.8f}"
    if randomness.random() < 0.5:
        levels = [
            [f"{price * randomness.gauss(1, 0.001):.8f}", f"{randomness.expovariate(0.1):.6f}"]
            for _ in range(10)
        ]
        return "depth.query", [market, 5, "0"], {"asks": levels[:5], "bids": levels[5:]}
    state = {
        "period": 86400,
        "last": f"{price:.8f}",
        "open": f"{price * 1.01:.8f}",
        "volume": f"{randomness.expovariate(0.0001):.8f}",
    }
    return "state.query", [market, 86400], state


def heartbeats(count: int) -> Iterator[Sample]:
    """Nothing but a client that asks whether the exchange is there."""
    for number in range(count // 2):
        ping = json.dumps({"method": "server.ping", "params": [], "id": number})
        yield True, ping.encode(), Role.BACKGROUND, "server.ping", ""
        pong = json.dumps({"error": None, "result": "pong", "id": number})
        yield False, gzip.compress(pong.encode(), 6, mtime=0), Role.BACKGROUND, "server.ping", ""


def node_heartbeats(count: int) -> Iterator[Sample]:
    """Nothing but the heartbeats of a client of an Ontology node."""
    for number in range(count // 2):
        yield (
            True,
            _json({"Action": "heartbeat", "Id": number, "Version": _VERSION}),
            Role.BACKGROUND,
            "heartbeat",
            "",
        )
        flags = {
            "ContractsFilter": None,
            "SubscribeEvent": False,
            "SubscribeJsonBlock": True,
            "SubscribeRawBlock": False,
            "SubscribeBlockTxHashs": False,
        }
        reply = {"Action": "heartbeat", "Desc": "SUCCESS", "Error": 0, "Id": number, "Result": flags}
        yield False, _json(reply | {"Version": _VERSION}), Role.BACKGROUND, "heartbeat", ""  # fmt: skip


def node_blocks(_: int) -> Iterator[Sample]:
    """Blocks of an Ontology node with up to three transactions, and their events: plain JSON, mostly hashes."""
    randomness = random.Random(SEED)
    previous, height = _hash(randomness), 17_000_000
    keys = [randomness.randbytes(33).hex() for _ in range(7)]
    while True:
        height += 1
        transactions = [_transaction(randomness, height) for _ in range(randomness.randrange(4))]
        block_hash = _hash(randomness)
        header = {
            "Version": 0,
            "PrevBlockHash": previous,
            "TransactionsRoot": _hash(randomness),
            "BlockRoot": _hash(randomness),
            "Timestamp": 1_650_000_000 + height,
            "Height": height,
            "ConsensusData": randomness.getrandbits(64),
            "ConsensusPayload": randomness.randbytes(60).hex(),
            "NextBookkeeper": "AFmseVrdL9f9oyCzZefL9tG6UbvhPbdYzM",
            "Bookkeepers": keys,
            "SigData": [randomness.randbytes(64).hex() for _ in keys],
            "Hash": block_hash,
        }
        for transaction in transactions:
            yield False, _event(randomness, transaction), Role.PUSH, "Notify", "events"
        result = {"Hash": block_hash, "Size": 981, "Header": header, "Transactions": transactions}
        yield False, _answer("sendjsonblock", result), Role.PUSH, "sendjsonblock", "blocks"
        previous = block_hash


def _transaction(randomness: random.Random, height: int) -> dict[str, object]:
    return {
        "Version": 0,
        "Nonce": randomness.getrandbits(32),
        "GasPrice": 2500,
        "GasLimit": 20000,
        "Payer": f"A{randomness.choice(range(50)):033d}",
        "TxType": 209,
        "Payload": {"Code": randomness.randbytes(60).hex()},
        "Attributes": [],
        "Sigs": [
            {"PubKeys": [randomness.randbytes(33).hex()], "M": 1, "SigData": [randomness.randbytes(65).hex()]}
        ],
        "Hash": _hash(randomness),
        "Height": height,
    }


def _event(randomness: random.Random, transaction: dict[str, object]) -> bytes:
    transfer = [
        "transfer",
        transaction["Payer"],
        f"A{randomness.choice(range(50)):033d}",
        randomness.randrange(10**9),
    ]
    notify = [{"ContractAddress": "0200000000000000000000000000000000000000", "States": transfer}]
    result = {"TxHash": transaction["Hash"], "State": 1, "GasConsumed": 10_000_000, "Notify": notify}
    return _answer("Notify", result)


def _answer(action: str, result: object) -> bytes:
    return _json({"Action": action, "Desc": "SUCCESS", "Error": 0, "Result": result, "Version": _VERSION})


def _hash(randomness: random.Random) -> str:
    return randomness.randbytes(32).hex()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


SAMPLES: dict[str, Callable[[int], Iterator[Sample]]] = {
    "exchange pushes, gzip": pushes_gzip,
    "exchange pushes, gzip with the time": pushes_timed_gzip,
    "exchange pushes, text": pushes_text,
    "exchange calls and answers": calls,
    "exchange heartbeats": heartbeats,
    "node heartbeats, text": node_heartbeats,
    "node blocks and events, text": node_blocks,
}


def sample(name: str, count: int) -> list[Sample]:
    """So many messages of a sample."""
    return list(islice(SAMPLES[name](count), count))
