"""
Guessing that a word is a secret, by the name it has or by how random it is.

Owns telling credentials from the long words that public messages are full of.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from wiretape_protocols import base58
from wiretape_protocols.secret_names import names_secret, words_of

_PASSWORD_CHARS = 6
_RANDOM_CHARS = 16
_RANDOM_BITS = 3.8
_SHORT_WORD_BITS = 0.85
# Names that mean a secret for certain; a mere `key` or `token` may be that of a record or a coin.
_STRONG = re.compile(
    r"(?:passw(?:or)?d|passphrase|pwd|secret(?:key)?|apikey|apisecret|(?:access|private|signing)key|privkey|"
    r"(?:access|auth|refresh|bearer|session|api)token|credentials?|wif|mnemonic|seedphrase|authorization|"
    r"(?:proxy|set)?cookie)\Z"
)
NAME_PARTS = (
    "auth", "bearer", "cookie", "cred", "jwt", "key", "mnemonic", "pass", "pwd", "secret", "seed", "sess",
    "sid", "sign", "token", "wif",
)  # fmt: skip
"""In lower case; a name without any of these is not one of a secret."""
_PLACEHOLDER = re.compile(
    r"(.)\1*|<.*>|\$\{.*\}|%\(?\w+\)?s?|(?i:null|none|true|false|redacted|required|optional)"
)
# A word with everything that may stand in base64, so that a part of some is not taken for a whole word.
_LONG_WORD = re.compile(r"[\w+/=.%-]{28,}+")
_RANDOM = re.compile(r"(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z])[\w-]{28,160}")
_SWITCH = re.compile(r"(?<=[0-9])[A-Za-z]|(?<=[A-Za-z])[0-9]")
_SWITCHES = 4
_HEX = re.compile(r"(?:0x)?[0-9a-fA-F]+")
# The version bytes of a private key in base58, main and test net; and extended keys (BIP 32).
_WIF = re.compile(r"[5KLc9][1-9A-HJ-NP-Za-km-z]{50,51}")
_WIF_VERSIONS = frozenset((0x80, 0xEF))
_EXTENDED_KEY = re.compile(r"[xyzt]prv[1-9A-HJ-NP-Za-km-z]{107}")


def is_named_secret(name: str, value: str) -> bool:
    """Whether a member, a header or a parameter of this name has a secret as its value."""
    names_one, for_certain = _says(name)
    if not names_one or value.startswith("wt-"):
        return False
    if not for_certain:
        return is_random(value)
    lower, bare = name.lower(), value
    if lower.endswith("authorization"):
        bare = value.partition(" ")[2] or value
    elif lower.endswith("cookie"):
        bare = value.partition(";")[0].partition("=")[2]
    return is_spelled_out(bare)


def is_spelled_out(value: str) -> bool:
    """Whether what stands where a secret belongs is one: long enough, no token, no placeholder."""
    return (
        len(value) >= _PASSWORD_CHARS
        and not value.startswith("wt-")
        and _PLACEHOLDER.fullmatch(value) is None
    )


def in_words(text: str) -> Iterator[tuple[str, str, str]]:
    """The long words of a text that are keys of a blockchain, or too random to mean anything else, last."""
    for word in _LONG_WORD.findall(text):
        if _is_private_key(word):
            yield "private-key", "base58", word
        elif _RANDOM.fullmatch(word) and is_random(word):
            yield "random-token", "", word


def is_random(value: str) -> bool:
    """Whether a word is long, of many characters, and no hash or address."""
    if len(value) < _RANDOM_CHARS or not value.isascii() or _HEX.fullmatch(value):
        return False
    if sum(1 for _ in _SWITCH.finditer(value)) < _SWITCHES or base58.checked(value) is not None:
        return False
    counts = Counter(value)
    bits = -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())
    return bits >= min(_RANDOM_BITS, _SHORT_WORD_BITS * math.log2(len(value)))


# A text has few different names.
@lru_cache(maxsize=4096)
def _says(name: str) -> tuple[bool, bool]:
    """Whether a name is that of a secret, and whether for certain."""
    strong = _STRONG.search("".join(words_of(name))) is not None
    handshake = name.lower().startswith("sec-websocket-")
    return (strong or names_secret(name)) and not handshake, strong


def _is_private_key(word: str) -> bool:
    if _EXTENDED_KEY.fullmatch(word):
        return base58.checked(word) is not None
    body = base58.checked(word) if _WIF.fullmatch(word) else None
    return body is not None and body[0] in _WIF_VERSIONS
