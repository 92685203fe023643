"""The JSON form of blocks, transactions, events and contracts, keys in the order of the node's structs."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from wiretape.simulators.ontology_address import reversed_hex, to_base58

if TYPE_CHECKING:
    from wiretape.simulators.ontology_chain import Block
    from wiretape.simulators.ontology_transactions import Event, Receipt, Transaction
    from wiretape.simulators.ontology_world import Contract

type Struct = dict[str, object]


class Generation(StrEnum):
    """Which node is imitated; the published document describes the older one."""

    CURRENT = "current"
    V1_0 = "v1.0"

    @property
    def filter_key(self) -> str:
        """The key of the contract filter; the other generation's key is ignored."""
        return "ContractsFilter" if self is Generation.CURRENT else "ConstractsFilter"

    @property
    def is_current(self) -> bool:
        """Whether the fields and actions added since v1.0 are there."""
        return self is Generation.CURRENT


def block_info(block: Block, generation: Generation) -> Struct:
    """Describe a block in full."""
    info: Struct = {"Hash": block.hash}
    if generation.is_current:
        info["Size"] = len(block.raw())
    transactions = [transaction_info(transaction, block.height) for transaction in block.transactions]
    return info | {"Header": _header(block), "Transactions": transactions}


def _header(block: Block) -> Struct:
    return {
        "Version": 0,
        "PrevBlockHash": reversed_hex(block.previous),
        "TransactionsRoot": reversed_hex(block.transactions_root),
        "BlockRoot": reversed_hex(block.block_root),
        "Timestamp": block.timestamp_s,
        "Height": block.height,
        "ConsensusData": block.consensus_data,
        "ConsensusPayload": block.consensus_payload.hex(),
        "NextBookkeeper": to_base58(block.next_bookkeeper),
        "Bookkeepers": [block.bookkeeper.hex()],
        "SigData": [block.signature.hex()],
        "Hash": block.hash,
    }


def block_transactions(block: Block) -> Struct:
    """Describe a block by the hashes of its transactions."""
    hashes = [transaction.hash for transaction in block.transactions]
    return {"Hash": block.hash, "Height": block.height, "Transactions": hashes}


def transaction_info(transaction: Transaction, height: int) -> Struct:
    """Describe a transaction mined at a height."""
    sigs: list[Struct] = []
    if transaction.signed:
        key, signature = transaction.signed
        sigs.append({"PubKeys": [key.hex()], "M": 1, "SigData": [signature.hex()]})
    return {
        "Version": 0,
        "Nonce": transaction.nonce,
        "GasPrice": transaction.gas_price,
        "GasLimit": transaction.gas_limit,
        "Payer": to_base58(transaction.payer),
        "TxType": transaction.tx_type,
        "Payload": transaction.payload,
        "Attributes": [],
        "Sigs": sigs,
        "Hash": transaction.hash,
        "Height": height,
    }


def event_info(event: Event, generation: Generation) -> Struct:
    """Describe one notification."""
    info: Struct = {"ContractAddress": reversed_hex(event.contract), "States": event.states}
    return info | {"IsEvm": event.is_evm} if generation.is_current else info


def execute_notify(receipt: Receipt, generation: Generation) -> Struct:
    """Describe what a transaction emitted; a Go nil slice, so null, when it emitted nothing."""
    info: Struct = {
        "TxHash": receipt.tx_hash,
        "State": receipt.state,
        "GasConsumed": receipt.gas_consumed,
        "Notify": [event_info(event, generation) for event in receipt.notify] or None,
    }
    if generation.is_current:
        info |= {
            "GasStepUsed": receipt.gas_step_used,
            "TxIndex": receipt.tx_index,
            "CreatedContract": reversed_hex(bytes(20)),
        }
    return info


def log_event(tx_hash: str, contract: bytes, message: bytes) -> Struct:
    """Describe a log message, whose bytes need not be UTF-8."""
    text = message.decode("utf-8", "surrogateescape")
    return {"TxHash": tx_hash, "ContractAddress": reversed_hex(contract), "Message": text}


def contract_info(contract: Contract, generation: Generation) -> Struct:
    """Describe a deployed contract; VmType replaced NeedStorage."""
    kind: Struct = {"VmType": contract.vm_type} if generation.is_current else {"NeedStorage": True}
    return {
        "Code": contract.code.hex(),
        **kind,
        "Name": contract.name,
        "CodeVersion": contract.version,
        "Author": contract.author,
        "Email": contract.email,
        "Description": contract.description,
    }
