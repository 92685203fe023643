"""Base58 with a checksum, which tells keys and addresses of blockchains from other text for certain."""

from hashlib import sha256

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS = {char: value for value, char in enumerate(_ALPHABET)}
_CHECKSUM_BYTES = 4
_LONGEST = 128


def checked(text: str) -> bytes | None:
    """The version and the data that a text spells; None where its checksum does not hold."""
    number = 0
    if len(text) > _LONGEST:
        return None
    for char in text:
        digit = _DIGITS.get(char)
        if digit is None:
            return None
        number = number * len(_ALPHABET) + digit
    zeros = len(text) - len(text.lstrip("1"))
    data = b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8)
    body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    return body if body and sha256(sha256(body).digest()).digest()[:_CHECKSUM_BYTES] == checksum else None
