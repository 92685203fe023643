"""
The simulated node's actions: what each answers, refuses, or dies of.

Sockets, envelopes and pushes are elsewhere; a handler gets a `Call` and returns the answer's Result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from wiretape.simulators import ontology_render as render
from wiretape.simulators.ontology_address import (
    from_base58,
    parse_address,
    parse_hash,
    parse_hex,
    reversed_hex,
)
from wiretape.simulators.ontology_transactions import (
    ONG,
    ONT,
    Receipt,
    Transaction,
    TxType,
    from_client,
    run,
    var_bytes,
)
from wiretape.simulators.ontology_wire import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from wiretape.simulators.ontology_chain import Block, Chain
    from wiretape.simulators.ontology_sessions import Subscription

CONNECTED_NODES: Final = 4
NETWORK_ID: Final = 2  # the Polaris test net
GAS_PRICE_WINDOW: Final = 100  # blocks that getgasprice looks back
V2_SCALE: Final = 10**9  # the v2 actions count both assets in units 10**9 times smaller
ASSETS: Final = {"ont": ONT, "ong": ONG}
_DECIMAL: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)


class RefusalError(Exception):
    """The handler answers an error code; `result` is the text that goes with it."""

    def __init__(self, code: int, result: object = "") -> None:
        super().__init__(code)
        self.code = code
        self.result = result


class HandlerPanicError(Exception):
    """The handler dies; the node recovers and drops the connection without an answer."""


@dataclass
class Call:
    """One request with what its handler may look at."""

    request: dict[str, object]
    chain: Chain
    generation: render.Generation
    subscription: Subscription
    session_count: int
    # Receipts of a pre-execution, whose log message is pushed although nothing reaches the chain.
    pre_executed: list[Receipt] = field(default_factory=list)

    def text(self, key: str) -> str:
        """Return a string parameter; refuses anything else."""
        value = self.request.get(key)
        if not isinstance(value, str):
            raise RefusalError(ErrorCode.INVALID_PARAMS)
        return value

    def unchecked_text(self, key: str) -> str:
        """Return a string parameter that the node takes for granted; panics for anything else."""
        value = self.request.get(key)
        if not isinstance(value, str):
            raise HandlerPanicError(key)
        return value

    def height(self) -> int:
        """Return the Height parameter, wrapped to 32 bits."""
        text = self.text("Height")
        if not _DECIMAL.fullmatch(text) or not -(1 << 63) <= int(text[:32]) < 1 << 63:
            raise RefusalError(ErrorCode.INVALID_PARAMS)
        return int(text) % (1 << 32)

    def wants_raw(self) -> bool:
        """Tell whether the serialized form is asked for."""
        return self.request.get("Raw") == "1"

    def parsed[T](self, parse: Callable[[str], T], text: str) -> T:
        """Return what a parser makes of a parameter; refuses what it rejects."""
        try:
            return parse(text)
        except ValueError:
            raise RefusalError(ErrorCode.INVALID_PARAMS) from None

    def hash(self) -> str:
        """Return the Hash parameter as a lower-case hash."""
        return reversed_hex(self.parsed(parse_hash, self.text("Hash")))


type Handler = Callable[[Call], object]


def coerce(request: dict[str, object]) -> dict[str, object]:
    """Turn a numeric Height or Raw into its decimal string, as the node does before any handler."""
    numbers = {key: value for key in ("Height", "Raw") if isinstance(value := request.get(key), float)}
    return request | {key: str(_int64(number)) for key, number in numbers.items()}


def _int64(number: float) -> int:
    # Go's conversion of a float outside the range, on amd64.
    return int(number) if -(2.0**63) <= number < 2.0**63 else -(1 << 63)


def _heartbeat(call: Call) -> object:
    return call.subscription.state(call.generation.filter_key)


def _subscribe(call: Call) -> object:
    call.subscription.merge(call.request, call.generation.filter_key)
    return call.subscription.state(call.generation.filter_key)


def _block_or_refuse(block: Block | None, code: ErrorCode, result: object = "") -> Block:
    if block is None:
        raise RefusalError(code, result)
    return block


def _describe_block(call: Call, block: Block) -> object:
    return block.raw().hex() if call.wants_raw() else render.block_info(block, call.generation)


def _getblockbyheight(call: Call) -> object:
    block = _block_or_refuse(call.chain.block_at(call.height()), ErrorCode.UNKNOWN_BLOCK)
    return _describe_block(call, block)


def _getblockbyhash(call: Call) -> object:
    text = call.unchecked_text("Hash")
    block_hash = reversed_hex(call.parsed(parse_hash, text))
    block = _block_or_refuse(call.chain.block_with(block_hash), ErrorCode.UNKNOWN_BLOCK, None)
    return _describe_block(call, block)


def _getblockhash(call: Call) -> object:
    return _block_or_refuse(call.chain.block_at(call.height()), ErrorCode.UNKNOWN_BLOCK).hash


def _getblocktxsbyheight(call: Call) -> object:
    block = _block_or_refuse(call.chain.block_at(call.height()), ErrorCode.INVALID_PARAMS)
    return render.block_transactions(block)


def _find_or_refuse(call: Call, code: ErrorCode) -> tuple[Block, Transaction, Receipt]:
    found = call.chain.find(call.hash())
    if found is None:
        raise RefusalError(code)
    return found


def _gettransaction(call: Call) -> object:
    block, transaction, _ = _find_or_refuse(call, ErrorCode.UNKNOWN_TRANSACTION)
    return transaction.raw.hex() if call.wants_raw() else render.transaction_info(transaction, block.height)


def _getblockheightbytxhash(call: Call) -> object:
    return _find_or_refuse(call, ErrorCode.INTERNAL_ERROR)[0].height


def _getmerkleproof(call: Call) -> object:
    block, _, _ = _find_or_refuse(call, ErrorCode.INVALID_PARAMS)
    newest = call.chain.blocks[-1]
    return {
        "Type": "MerkleProof",
        "TransactionsRoot": reversed_hex(block.transactions_root),
        "BlockHeight": block.height,
        "CurBlockRoot": reversed_hex(newest.block_root),
        "CurBlockHeight": newest.height,
        "TargetHashes": [reversed_hex(target) for target in call.chain.proof(block.height)],
    }


def _getsmartcodeeventbyheight(call: Call) -> object:
    block = call.chain.block_at(call.height())
    receipts = block.receipts if block else ()
    return [render.execute_notify(receipt, call.generation) for receipt in receipts] or ""


def _getsmartcodeeventbyhash(call: Call) -> object:
    found = call.chain.find(call.hash())
    return render.execute_notify(found[2], call.generation) if found else ""


def _sendrawtransaction(call: Call) -> object:
    raw = call.parsed(parse_hex, call.text("Data"))
    if not raw:
        raise RefusalError(ErrorCode.INVALID_TRANSACTION)
    transaction = from_client(raw)
    if call.request.get("PreExec") == "1" and transaction.tx_type != TxType.EIP155:
        return _pre_execute(call, transaction)
    if transaction.hash in call.chain.mempool:
        raise RefusalError(ErrorCode.DUPLICATE_INPUT, f"{transaction.hash} is in the pool")
    if call.chain.find(transaction.hash):
        raise RefusalError(ErrorCode.DUPLICATED_TX, f"{transaction.hash} is in a block")
    call.chain.mempool[transaction.hash] = transaction
    return transaction.hash


def _pre_execute(call: Call, transaction: Transaction) -> object:
    receipt = run(transaction, call.chain.world.sample_contract)
    call.pre_executed.append(receipt)
    moved = render.event_info(receipt.notify[0], call.generation)  # no fee is paid
    return {"State": 1, "Gas": transaction.gas_limit, "Result": "01", "Notify": [moved]}


def _getstorage(call: Call) -> object:
    address = call.parsed(parse_address, call.text("Hash"))
    key = call.parsed(parse_hex, call.unchecked_text("Key"))
    return call.chain.storage.get((address, key), b"").hex()


def _balance(call: Call, scale: int) -> object:
    address = call.parsed(from_base58, call.text("Addr"))
    balances: render.Struct = {
        name: str(scale * call.chain.balance(asset, address)) for name, asset in ASSETS.items()
    }
    return balances | {"height": str(call.chain.height)} if call.generation.is_current else balances


def _getbalance(call: Call) -> object:
    return _balance(call, 1)


def _getbalancev2(call: Call) -> object:
    return _balance(call, V2_SCALE)


def _allowance(call: Call, scale: int) -> object:
    texts = [call.text(key) for key in ("Asset", "From", "To")]
    owner, spender = (call.parsed(parse_address, text) for text in texts[1:])
    asset = ASSETS.get(texts[0].lower())
    if asset is None:
        raise RefusalError(ErrorCode.INVALID_PARAMS)
    return str(scale * call.chain.allowance(asset, owner, spender))


def _getallowance(call: Call) -> object:
    return _allowance(call, 1)


def _getallowancev2(call: Call) -> object:
    return _allowance(call, V2_SCALE)


def _getunboundong(call: Call) -> object:
    address = call.parsed(parse_address, call.text("Addr"))
    return str(call.chain.allowance(ONG, ONT, address))


def _getgrantong(call: Call) -> object:
    # The node counts by its clock; here the newest block's time keeps the answer reproducible.
    address = call.parsed(parse_address, call.text("Addr"))
    return str(call.chain.balance(ONT, address) * call.chain.height)


def _getcontract(call: Call) -> object:
    contract = call.chain.contracts.get(call.parsed(parse_address, call.text("Hash")))
    if contract is None:
        raise RefusalError(ErrorCode.UNKNOWN_CONTRACT)
    if not call.wants_raw():
        return render.contract_info(contract, call.generation)
    words = (contract.name, contract.version, contract.author, contract.email, contract.description)
    tail = b"".join(var_bytes(word.encode()) for word in words)
    return (var_bytes(contract.code) + bytes([contract.vm_type]) + tail).hex()


def _getgasprice(call: Call) -> object:
    for block in reversed(call.chain.blocks[-GAS_PRICE_WINDOW - 1 :]):
        prices = [transaction.gas_price for transaction in block.transactions]
        if prices:
            return {"gasprice": sum(prices) // len(prices), "height": block.height}
    return {"gasprice": 0, "height": 0}


def _getmempooltxcount(call: Call) -> object:
    return [len(call.chain.mempool), 0]  # verified, waiting for verification


def _getmempooltxhashlist(call: Call) -> object:
    # [32]byte has no text form in Go: each hash is a list of its bytes, not reversed.
    return [list(transaction.digest) for transaction in call.chain.mempool.values()] or None


def _getmempooltxstate(call: Call) -> object:
    transaction = call.chain.mempool.get(call.hash())
    if transaction is None:
        raise RefusalError(ErrorCode.UNKNOWN_TRANSACTION)
    stateful = {"Height": call.chain.height, "Type": 1, "ErrCode": 0}
    state: render.Struct = {"State": [stateful, {"Height": 0, "Type": 0, "ErrCode": 0}]}
    return state | {"Raw": transaction.raw.hex()} if call.generation.is_current else state


def _getversion(call: Call) -> object:
    return "v2.5.9" if call.generation.is_current else "v1.0.5"


# The actions that the published document lists.
_DOCUMENTED: Final[dict[str, Handler]] = {
    "heartbeat": _heartbeat,
    "subscribe": _subscribe,
    "getconnectioncount": lambda _: CONNECTED_NODES,
    "getblocktxsbyheight": _getblocktxsbyheight,
    "getblockbyheight": _getblockbyheight,
    "getblockbyhash": _getblockbyhash,
    "getblockheight": lambda call: call.chain.height,
    "getblockhash": _getblockhash,
    "gettransaction": _gettransaction,
    "sendrawtransaction": _sendrawtransaction,
    "getstorage": _getstorage,
    "getbalance": _getbalance,
    "getcontract": _getcontract,
    "getsmartcodeeventbyheight": _getsmartcodeeventbyheight,
    "getsmartcodeeventbyhash": _getsmartcodeeventbyhash,
    "getblockheightbytxhash": _getblockheightbytxhash,
    "getmerkleproof": _getmerkleproof,
    "getsessioncount": lambda call: call.session_count,
    "getgasprice": _getgasprice,
    "getallowance": _getallowance,
    "getunboundong": _getunboundong,
    "getmempooltxstate": _getmempooltxstate,
    "getmempooltxcount": _getmempooltxcount,
    "getversion": _getversion,
    "getnetworkid": lambda _: NETWORK_ID,
    "getgrantong": _getgrantong,
}
_SINCE_V1_0: Final[dict[str, Handler]] = {
    "getbalancev2": _getbalancev2,
    "getallowancev2": _getallowancev2,
    "getmempooltxhashlist": _getmempooltxhashlist,
}


def actions(generation: render.Generation) -> dict[str, Handler]:
    """Return the handlers of a node by Action, which is case-sensitive."""
    return _DOCUMENTED | _SINCE_V1_0 if generation.is_current else _DOCUMENTED
