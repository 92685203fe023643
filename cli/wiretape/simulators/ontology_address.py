"""Ontology's hashes and addresses: their bytes and the two spellings (base58 and reversed hex)."""

from __future__ import annotations

import re
from hashlib import sha256, shake_256
from typing import Final, NamedTuple

ADDRESS_BYTES: Final = 20
HASH_BYTES: Final = 32
_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ADDRESS_VERSION: Final = 0x17  # makes every base58 address start with an A
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})*", re.ASCII)


class Draw(NamedTuple):
    """Where every invented byte comes from: the same seed and label give the same bytes."""

    seed: int

    def octets(self, label: str, size: int = HASH_BYTES) -> bytes:
        """Return `size` bytes that belong to a label."""
        return shake_256(f"ontology/{self.seed}/{label}".encode()).digest(size)

    def below(self, label: str, bound: int) -> int:
        """Return an integer in ``0 <= n < bound`` that belongs to a label."""
        return int.from_bytes(self.octets(label, 8)) % bound

    def address(self, label: str) -> bytes:
        """Return the 20 bytes of an address that belongs to a label."""
        return self.octets(label, ADDRESS_BYTES)


def digest(raw: bytes) -> bytes:
    """Hash twice with SHA-256, as transactions and blocks are."""
    return sha256(sha256(raw).digest()).digest()


def reversed_hex(raw: bytes) -> str:
    """Spell a hash or an address as the node prints it: lower-case hex of the reversed bytes."""
    return raw[::-1].hex()


def parse_hex(text: str) -> bytes:
    """Read hex of either case; raises ValueError for an odd length or another character."""
    if not _HEX.fullmatch(text):
        msg = "not hex"
        raise ValueError(msg)
    return bytes.fromhex(text)


def parse_hash(text: str) -> bytes:
    """Read a reversed 32-byte hash; raises ValueError for another length."""
    raw = parse_hex(text)
    if len(raw) != HASH_BYTES:
        msg = f"{len(raw)} bytes are no hash"
        raise ValueError(msg)
    return raw[::-1]


def to_base58(address: bytes) -> str:
    """Spell an address in base58 with version byte and checksum."""
    body = bytes([_ADDRESS_VERSION]) + address
    number = int.from_bytes(body + digest(body)[:4])
    letters = []
    while number:
        number, index = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return "".join(reversed(letters))


def from_base58(text: str) -> bytes:
    """Read a base58 address; raises ValueError when version, length or checksum are wrong."""
    number = 0
    for letter in text[:64]:
        number = number * len(_ALPHABET) + _ALPHABET.index(letter)
    address = number.to_bytes(64)[-4 - ADDRESS_BYTES : -4]
    if to_base58(address) != text:
        msg = "not a base58 address"
        raise ValueError(msg)
    return address


def parse_address(text: str) -> bytes:
    """Read an address in either spelling: 40 hex characters, or base58."""
    return parse_hex(text)[::-1] if len(text) == 2 * ADDRESS_BYTES else from_base58(text)
