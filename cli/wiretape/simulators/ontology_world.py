"""What the simulated chain starts with: accounts, contracts, storage, and the traffic of each block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wiretape.simulators.ontology_address import Draw
from wiretape.simulators.ontology_transactions import (
    GOVERNANCE,
    ONG,
    ONT,
    Event,
    Receipt,
    Transaction,
    TxType,
    sign_and_pack,
    transfer,
)

ACCOUNTS: Final = 4
_ONE_ONG: Final = 10**9
# Text that Go's encoder escapes, characters outside ASCII, and two bytes that are no UTF-8.
_LOG_MESSAGE: Final = 'moved <b>&</b> "π 🜁"\t'.encode() + b"\xff\xfe"


@dataclass(frozen=True)
class Contract:
    """A deployed contract."""

    code: bytes
    name: str
    description: str
    vm_type: int = 1
    version: str = "1.0"
    author: str = "Ontology Team"
    email: str = "contact@ont.io"


@dataclass(frozen=True)
class World:
    """The accounts and contracts that a seed stands for; `evm` tells whether the node knows EIP-155."""

    draw: Draw
    evm: bool

    @property
    def accounts(self) -> tuple[bytes, ...]:
        """The addresses that hold balances and trade with each other."""
        return tuple(self.draw.address(f"account/{index}") for index in range(ACCOUNTS))

    @property
    def sample_contract(self) -> bytes:
        """The address of the contract that logs, and whose storage changes with each block."""
        return self.draw.address("contract")

    def balances(self) -> dict[bytes, dict[bytes, int]]:
        """Return what each account holds at first, by asset."""
        return {
            ONT: {account: 1_000_000 + index for index, account in enumerate(self.accounts)},
            ONG: dict.fromkeys(self.accounts, 10**19),
        }

    def contracts(self) -> dict[bytes, Contract]:
        """Return the deployed contracts by address."""
        sample = Contract(self.draw.octets("code", 48), "Sample", "Counts <blocks> & logs", author="wiretape")
        return {
            ONT: Contract(ONT[::-1], "ONT", "Ontology Network ONT Token"),
            ONG: Contract(ONG[::-1], "ONG", "Ontology Network ONG Token"),
            self.sample_contract: sample,
        }

    def traffic(self, height: int) -> list[tuple[Transaction, Receipt]]:
        """Return the transactions a block holds besides those that clients sent; none in every fourth."""
        scenes = [self._transfer, self._transfer_v2, self._quiet, self._logging, self._failed]
        if self.evm:
            scenes.append(self._evm)
        return [scenes[(height + index) % len(scenes)](height, index) for index in range((height + 1) % 4)]

    def _pack(self, height: int, index: int, tx_type: TxType, code: bytes) -> Transaction:
        nonce = self.draw.below(f"nonce/{height}/{index}", 1 << 32)
        return sign_and_pack(tx_type, nonce, self._payer(height, index), code, self.draw)

    def _payer(self, height: int, index: int) -> bytes:
        return self.accounts[(height + index) % ACCOUNTS]

    def _transfer(self, height: int, index: int) -> tuple[Transaction, Receipt]:
        payer, payee = self._payer(height, index), self._payer(height, index + 1)
        transaction = self._pack(height, index, TxType.INVOKE_NEO, b"transfer" + payer + payee)
        # Above 2**53: doubles cannot hold it.
        amount = (1 << 53) + 1 + 2 * self.draw.below(f"amount/{height}/{index}", _ONE_ONG)
        moved, fee = transfer(ONG, payer, payee, amount), transfer(ONG, payer, GOVERNANCE, _ONE_ONG // 20)
        return transaction, Receipt(transaction.hash, (moved, fee), tx_index=index)

    def _transfer_v2(self, height: int, index: int) -> tuple[Transaction, Receipt]:
        payer, payee = self._payer(height, index), self._payer(height, index + 1)
        transaction = self._pack(height, index, TxType.INVOKE_NEO, b"transferV2" + payer + payee)
        fraction = 1 + self.draw.below(f"fraction/{height}/{index}", _ONE_ONG - 1)
        moved = transfer(ONT, payer, payee, 1, fraction)
        return transaction, Receipt(transaction.hash, (moved,), tx_index=index)

    def _quiet(self, height: int, index: int) -> tuple[Transaction, Receipt]:
        transaction = self._pack(height, index, TxType.INVOKE_WASM, b"quiet")
        return transaction, Receipt(transaction.hash, (), gas_consumed=0, tx_index=index)

    def _logging(self, height: int, index: int) -> tuple[Transaction, Receipt]:
        transaction = self._pack(height, index, TxType.INVOKE_NEO, b"System.Runtime.Log")
        counted = Event(self.sample_contract, ["counted", [str(height), {"deep": [None, True]}]])
        log = (self.sample_contract, _LOG_MESSAGE)
        return transaction, Receipt(transaction.hash, (counted,), tx_index=index, log=log)

    def _failed(self, height: int, index: int) -> tuple[Transaction, Receipt]:
        transaction = self._pack(height, index, TxType.INVOKE_NEO, b"failing")
        fee = transfer(ONG, transaction.payer, GOVERNANCE, _ONE_ONG // 20)
        return transaction, Receipt(transaction.hash, (fee,), state=0, tx_index=index)

    def _evm(self, height: int, index: int) -> tuple[Transaction, Receipt]:
        code = self.draw.octets(f"evm/{height}/{index}", 64)
        transaction = self._pack(height, index, TxType.EIP155, code)
        emitted = Event(self.sample_contract, "0x" + code.hex(), is_evm=True)
        return transaction, Receipt(transaction.hash, (emitted,), tx_index=index)
