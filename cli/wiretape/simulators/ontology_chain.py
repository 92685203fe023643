"""
The simulated chain: blocks grown from a seed, the pool of unmined transactions, balances and storage.

It knows no clock: block times follow from heights. It has no consensus and checks no signature.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from wiretape.simulators.ontology_address import Draw, digest, from_base58, reversed_hex
from wiretape.simulators.ontology_transactions import (
    ONG,
    ONT,
    Receipt,
    Transaction,
    run,
    var_bytes,
    var_uint,
)
from wiretape.simulators.ontology_world import Contract, World

GENESIS_TIME_S: Final = 1_530_316_800
BLOCK_TIME_S: Final = 6
STORAGE_KEY: Final = b"height"  # the sample contract stores the height of the last block here
# The value the API's documentation shows; it fits uint64 but no signed 64-bit integer.
DOCUMENTED_CONSENSUS_DATA: Final = 18_012_644_264_110_396_442


@dataclass(frozen=True)
class Block:
    """A block with the receipts of its transactions, in the same order."""

    height: int
    previous: bytes
    transactions_root: bytes
    block_root: bytes
    consensus_data: int
    consensus_payload: bytes
    bookkeeper: bytes
    signature: bytes
    next_bookkeeper: bytes
    transactions: tuple[Transaction, ...]
    receipts: tuple[Receipt, ...]

    @property
    def timestamp_s(self) -> int:
        """Seconds since 1970, made up from the height."""
        return GENESIS_TIME_S + BLOCK_TIME_S * self.height

    @property
    def digest(self) -> bytes:
        """The 32 bytes of the hash, in memory order."""
        return digest(self._unsigned_header())

    @property
    def hash(self) -> str:
        """The hash as the node prints it."""
        return reversed_hex(self.digest)

    def raw(self) -> bytes:
        """Serialize the block: header, signatures, transactions."""
        signatures = var_uint(1) + var_bytes(self.bookkeeper) + var_uint(1) + var_bytes(self.signature)
        count = struct.pack("<I", len(self.transactions))
        return self._unsigned_header() + signatures + count + b"".join(tx.raw for tx in self.transactions)

    def _unsigned_header(self) -> bytes:
        roots = struct.pack("<I32s32s32s", 0, self.previous, self.transactions_root, self.block_root)
        numbers = struct.pack("<IIQ", self.timestamp_s, self.height, self.consensus_data)
        return roots + numbers + var_bytes(self.consensus_payload) + self.next_bookkeeper


@dataclass
class Chain:
    """
    A chain that grows one block per `mine`, the same blocks for the same seed and the same submissions.

    `evm` adds EIP-155 transactions to the traffic.
    """

    seed: int
    evm: bool = True
    initial_height: int = 100
    blocks: list[Block] = field(default_factory=list)
    # Unmined transactions by hash, in the order of arrival.
    mempool: dict[str, Transaction] = field(default_factory=dict)
    storage: dict[tuple[bytes, bytes], bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.draw = Draw(self.seed)
        self.world = World(self.draw, self.evm)
        self.contracts: dict[bytes, Contract] = self.world.contracts()
        self._balances = self.world.balances()
        self._block_heights: dict[str, int] = {}
        self._mined: dict[str, tuple[int, int]] = {}  # transaction hash to height and position
        while len(self.blocks) <= self.initial_height:
            self.mine()

    @property
    def height(self) -> int:
        """The height of the newest block; the first block has height 0."""
        return len(self.blocks) - 1

    def block_at(self, height: int) -> Block | None:
        """Return the block at a height, None beyond the newest."""
        return self.blocks[height] if 0 <= height < len(self.blocks) else None

    def block_with(self, block_hash: str) -> Block | None:
        """Return the block with a hash (lower case), None when there is none."""
        height = self._block_heights.get(block_hash)
        return None if height is None else self.blocks[height]

    def find(self, tx_hash: str) -> tuple[Block, Transaction, Receipt] | None:
        """Return a mined transaction (lower-case hash) with its block and receipt."""
        if tx_hash not in self._mined:
            return None
        height, position = self._mined[tx_hash]
        block = self.blocks[height]
        return block, block.transactions[position], block.receipts[position]

    def balance(self, asset: bytes, address: bytes) -> int:
        """Return what an address holds of ONT or ONG."""
        return self._balances[asset].get(address, 0)

    def allowance(self, asset: bytes, owner: bytes, spender: bytes) -> int:
        """Return an invented allowance, the same for ever."""
        return self.draw.below(f"allowance/{asset.hex()}/{owner.hex()}/{spender.hex()}", 10**9)

    def proof(self, height: int) -> list[bytes]:
        """Return as many hashes as a proof of that block would have; they prove nothing."""
        size = max(1, (self.height - height).bit_length())
        return [self.draw.octets(f"proof/{height}/{self.height}/{index}") for index in range(size)]

    def mine(self) -> Block:
        """Append a block: its own traffic first, then the pool in the order of arrival."""
        height = len(self.blocks)
        entries = self.world.traffic(height)
        for transaction in self.mempool.values():
            entries.append((transaction, run(transaction, self.world.sample_contract, len(entries))))
        self.mempool.clear()
        block = self._seal(height, entries)
        self.blocks.append(block)
        self._block_heights[block.hash] = height
        for position, (transaction, receipt) in enumerate(entries):
            self._mined[transaction.hash] = (height, position)
            self._settle(receipt)
        self.storage[self.world.sample_contract, STORAGE_KEY] = struct.pack("<Q", height)
        return block

    def _seal(self, height: int, entries: list[tuple[Transaction, Receipt]]) -> Block:
        last = self.blocks[-1] if self.blocks else None
        root = _merkle_root([transaction.digest for transaction, _ in entries])
        drawn = self.draw.below(f"consensus/{height}", 1 << 63) | 1 << 63
        payload = f'{{"leader":{height % 7},"vrf_value":"{self.draw.octets(f"vrf/{height}").hex()}"}}'
        return Block(
            height=height,
            previous=last.digest if last else bytes(32),
            transactions_root=root,
            block_root=digest((last.block_root if last else bytes(32)) + root),
            consensus_data=DOCUMENTED_CONSENSUS_DATA if height % 2 else drawn,
            consensus_payload=payload.encode(),
            bookkeeper=b"\x02" + self.draw.octets(f"bookkeeper/{height % 7}"),
            signature=self.draw.octets(f"seal/{height}", 64),
            next_bookkeeper=self.draw.address("bookkeepers"),
            transactions=tuple(transaction for transaction, _ in entries),
            receipts=tuple(receipt for _, receipt in entries),
        )

    def _settle(self, receipt: Receipt) -> None:
        for event in receipt.notify:
            if event.contract in (ONT, ONG) and isinstance(event.states, list):
                _, payer, payee, amount = event.states[:4]
                book = self._balances[event.contract]
                book[from_base58(payer)] = max(0, book.get(from_base58(payer), 0) - amount)
                book[from_base58(payee)] = book.get(from_base58(payee), 0) + amount


def _merkle_root(level: list[bytes]) -> bytes:
    if not level:
        return bytes(32)
    while len(level) > 1:
        level = [*level, level[-1]] if len(level) % 2 else level
        level = [digest(left + right) for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]
