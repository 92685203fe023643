"""
What a token looks like, wherever it came from: telling tokens from other text, and making them alike.

How a secret becomes a token is for `redaction`, which has the key.
"""

import re
from collections.abc import Iterator

from wiretape_protocols.json_spans import Span

MARK = b"wt-"
TOKEN_DIGITS = 32
BLIND_TOKEN = MARK + b"0" * TOKEN_DIGITS
"""Stands for every secret of a recording whose key nobody knows."""

_TOKEN = re.compile(MARK + rb"[0-9a-f]{%d}" % TOKEN_DIGITS)


def is_token(text: bytes) -> bool:
    """Whether a text is one token and nothing else."""
    return _TOKEN.fullmatch(text) is not None


def token_spans(text: bytes) -> list[Span]:
    """Where tokens stand in a text, in order."""
    return [found.span() for found in _TOKEN.finditer(text)] if MARK in text else []


def with_equal_tokens(text: bytes) -> bytes:
    """A text in which every token is the same one: all that can be compared without their key."""
    return _TOKEN.sub(BLIND_TOKEN, text) if MARK in text else text


def outside(spans: list[Span], others: list[Span]) -> Iterator[int]:
    """The positions in `spans` of those that share no byte with any of `others`; both in order."""
    start_at = 0
    for index, (start, stop) in enumerate(spans):
        while start_at < len(others) and others[start_at][1] <= start:
            start_at += 1
        if start_at == len(others) or others[start_at][0] >= stop:
            yield index
