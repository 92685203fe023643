"""
What secrets are called and what they look like: names of headers, parameters and members.

Owns the guesses alone; what is done about a secret is for `redaction` and `secret_scan`.
"""

import re

# A name is one of a secret when one of its words is here: api_key, X-Auth-Token, listenKey.
_SECRET_WORD = re.compile(
    r"apikey|auth|authorization|bearer|credentials?|jwt|key|passphrase|passwd|password|pwd|"
    r"secret|session|sid|sign|signature|token"
)
# Or when it ends so, for names written in one word: accesstoken, apisecret.
_SECRET_ENDING = re.compile(
    r"(?:apikey|passphrase|passwd|password|secret|secretkey|sessid|sessionid|signature|token)\Z"
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

_LEARNED_CHARS = 8
_LONG_CHARS = 16
_RANDOM_SEGMENT = re.compile(r"[\w~+=-]{32,}")
_SWITCH = re.compile(r"(?<=[0-9])[A-Za-z]|(?<=[A-Za-z])[0-9]")
_SWITCHES = 3


def words_of(name: str) -> list[str]:
    """The words of a name in lower case: `listenKey` has listen and key."""
    return [word.lower() for word in _WORD.findall(name)]


def names_secret(name: str) -> bool:
    """Whether a header, a parameter or a member of this name holds a secret."""
    words = words_of(name)
    return any(map(_SECRET_WORD.fullmatch, words)) or _SECRET_ENDING.search("".join(words)) is not None


def looks_random(text: str) -> bool:
    """Whether a text is long and changes between digits and letters as no name or word does."""
    if not _RANDOM_SEGMENT.fullmatch(text):
        return False
    return sum(1 for _ in _SWITCH.finditer(text)) >= _SWITCHES


def worth_finding(secret: bytes) -> bool:
    """
    Whether a secret is so peculiar that the same bytes elsewhere are the same secret.

    `BTCUSDT` or `2024` may stand where a secret is expected and mean nothing where they stand else.
    """
    if len(secret) >= _LONG_CHARS:
        return True
    has_digit = any(48 <= byte <= 57 for byte in secret)
    return len(secret) >= _LEARNED_CHARS and has_digit and not secret.isdigit()
