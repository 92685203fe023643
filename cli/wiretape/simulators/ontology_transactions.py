"""
Transactions of the simulated chain: their bytes, and what running one leaves behind.

A transaction that a client sends may be any bytes. No virtual machine runs them: the events are made up
from the bytes, and code that names ``Runtime.Log`` logs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from wiretape.simulators.ontology_address import ADDRESS_BYTES, Draw, digest, reversed_hex, to_base58

ONT: Final = bytes(19) + b"\x01"
ONG: Final = bytes(19) + b"\x02"
GOVERNANCE: Final = bytes(19) + b"\x07"  # receives the fees

GAS_PRICE: Final = 2500
GAS_LIMIT: Final = 20000
_HEAD: Final = struct.Struct("<BBIQQ20s")
_LONG: Final = 0xFD  # a first length byte from here on announces a longer length


class TxType(IntEnum):
    """Transaction kinds with their number on the wire."""

    DEPLOY = 208
    INVOKE_NEO = 209
    INVOKE_WASM = 210
    EIP155 = 211


@dataclass(frozen=True)
class Event:
    """One notification of a contract; `states` is any JSON value."""

    contract: bytes
    states: object
    is_evm: bool = False


@dataclass(frozen=True)
class Transaction:
    """A transaction as the node knows it; `payload` is its JSON form."""

    raw: bytes
    tx_type: int
    nonce: int
    payer: bytes
    payload: object
    gas_price: int = GAS_PRICE
    gas_limit: int = GAS_LIMIT
    # Public key and signature; None for what a client sent, whose signatures are not taken apart.
    signed: tuple[bytes, bytes] | None = None

    @property
    def digest(self) -> bytes:
        """The 32 bytes of the hash, in memory order."""
        return digest(self.raw)

    @property
    def hash(self) -> str:
        """The hash as the node prints it."""
        return reversed_hex(self.digest)


@dataclass(frozen=True)
class Receipt:
    """What running a transaction left behind: a possible log message, then the notifications."""

    tx_hash: str
    notify: tuple[Event, ...]
    state: int = 1
    gas_consumed: int = GAS_PRICE * GAS_LIMIT
    gas_step_used: int = GAS_LIMIT
    tx_index: int = 0
    log: tuple[bytes, bytes] | None = None  # contract and message, whose bytes may be no UTF-8


def var_uint(number: int) -> bytes:
    """Write a length the way the chain's serialization does."""
    if number < _LONG:
        return bytes([number])
    return b"\xfd" + struct.pack("<H", number) if number < 1 << 16 else b"\xfe" + struct.pack("<I", number)


def var_bytes(data: bytes) -> bytes:
    """Write bytes after their length."""
    return var_uint(len(data)) + data


def sign_and_pack(tx_type: int, nonce: int, payer: bytes, code: bytes, draw: Draw) -> Transaction:
    """Build a seeded transaction with real bytes and an invented signature."""
    head = _HEAD.pack(0, tx_type, nonce, GAS_PRICE, GAS_LIMIT, payer)
    key = b"\x03" + draw.octets(f"key/{payer.hex()}")
    signature = b"\x01" + draw.octets(f"signature/{nonce}", 64)
    sigs = var_bytes(var_bytes(signature)) + var_bytes(var_bytes(key) + b"\xac")
    raw = head + var_bytes(code) + b"\x00\x01" + sigs
    return Transaction(raw, tx_type, nonce, payer, _payload(tx_type, code), signed=(key, signature))


def from_client(raw: bytes) -> Transaction:
    """Take a transaction from any bytes: parsed when they have the form, else invented from their hash."""
    if len(raw) > _HEAD.size and raw[1] in set(TxType):
        _, tx_type, nonce, gas_price, gas_limit, payer = _HEAD.unpack_from(raw)
        payload = _payload(tx_type, _read_var_bytes(raw[_HEAD.size :]))
        return Transaction(raw, tx_type, nonce, payer, payload, gas_price, gas_limit)
    seed = digest(raw)
    payer, nonce = seed[:ADDRESS_BYTES], int.from_bytes(seed[-4:])
    return Transaction(raw, TxType.INVOKE_NEO, nonce, payer, {"Code": raw.hex()})


def transfer(asset: bytes, payer: bytes, payee: bytes, amount: int, *extra: int) -> Event:
    """Describe a transfer; `extra` is the fraction that a V2 transfer appends."""
    return Event(asset, ["transfer", to_base58(payer), to_base58(payee), amount, *extra])


def run(transaction: Transaction, logger: bytes, index: int = 0) -> Receipt:
    """Run what a client sent: one ONT moves, the fee is paid, `logger` logs when the code says so."""
    fee = min(transaction.gas_price * transaction.gas_limit, (1 << 64) - 1)
    moved = transfer(ONT, transaction.payer, GOVERNANCE, 1)
    paid = transfer(ONG, transaction.payer, GOVERNANCE, fee)
    message = b"logged by " + transaction.hash[:8].encode()
    log = (logger, message) if b"Runtime.Log" in transaction.raw else None
    return Receipt(transaction.hash, (moved, paid), gas_consumed=fee, tx_index=index, log=log)


def _payload(tx_type: int, code: bytes) -> object:
    return code.hex() if tx_type == TxType.EIP155 else {"Code": code.hex()}


def _read_var_bytes(data: bytes) -> bytes:
    if data[0] < _LONG:
        return data[1 : 1 + data[0]]
    width = 2 << (data[0] - _LONG)
    size = int.from_bytes(data[1 : 1 + width], "little")
    return data[1 + width : 1 + width + size]
