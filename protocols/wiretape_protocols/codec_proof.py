"""
Finding the parameters under which packing a payload anew gives the bytes that were on the wire.

A packed message does not say how hard its writer tried. What can be told from its header narrows
the search, what worked for the last message of the same writer comes first, and a writer whose
bytes zlib cannot give (Go's, Java's own, zopfli) is searched for ever more rarely.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from wiretape_protocols import gzip_header
from wiretape_protocols.codecs import (
    DEFAULT_LEVEL,
    DEFAULT_MEMORY_LEVEL,
    DEFAULT_STRATEGY,
    DEFAULT_WINDOW_BITS,
    Codec,
    CodecKind,
    Decoded,
    encode,
)

# Each in the order of being tried: the usual first, then by how often it is met.
_LEVELS = (6, 9, 1, 5, 4, 3, 2, 7, 8, 0)
_MEMORY_LEVELS = (8, 9, 1, 2, 3, 4, 5, 6, 7)
_WINDOWS = (15, 14, 13, 12, 11, 10, 9)
_STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED)

# FLEVEL of a zlib header for each level, from 0; from Z_HUFFMAN_ONLY on it is 0 (zlib, deflate.c).
_LEVEL_CLASSES = (0, 0, 1, 1, 1, 1, 2, 3, 3, 3)
# deflate.c, MIN_LOOKAHEAD: so much shorter than the window is the furthest distance of a match.
_LOOKAHEAD_BYTES = 262

_REMEMBERED = 4
_SHAPES = 64
_LONGEST_REST = 1 << 20

# Preparing to deflate takes about as long as deflating so many bytes.
_SETUP_BYTES = 1500
# What one search may deflate in all: for small messages every combination, for 1 MiB the likely 8.
_SEARCH_BYTES = 8 * 1024 * 1024


class Parameters(NamedTuple):
    """What deflateInit2 of zlib.h takes."""

    level: int
    memory_level: int
    window_bits: int
    strategy: int


_USUAL = Parameters(DEFAULT_LEVEL, DEFAULT_MEMORY_LEVEL, DEFAULT_WINDOW_BITS, DEFAULT_STRATEGY)


@dataclass(slots=True)
class _Experience:
    """What the messages of one shape have taught."""

    recent: list[Parameters] = field(default_factory=list)
    """What worked, the latest first."""
    failures: int = 0
    """Searches in vain, ever."""
    rest: int = 0
    """Messages to let pass before the next search."""


class Prover:
    """
    Finds the parameters of packed messages, and remembers what worked for others of their shape.

    Given the same messages in the same order it answers the same. Whether a message is proven may
    depend on those before it; what is proven is right in any case. It belongs to one thread.
    """

    def __init__(self) -> None:
        # Keyed by what a message shows of its writer; the shape seen longest ago comes first.
        self._shapes: dict[tuple[CodecKind, bytes], _Experience] = {}

    def prove(self, wire: bytes, decoded: Decoded) -> Codec:
        """
        Find a codec under which `encode(decoded.payload, codec)` is `wire`, for `decode(wire)`'s result.

        Returns it with `exact` set; where none is found, the codec of `decoded`, not exact.
        """
        if decoded.codec.kind is CodecKind.IDENTITY:
            return decoded.codec
        known = self._experience(_shape(decoded.codec, wire))
        resting = known.rest > 0
        guesses = known.recent[:1] if resting else known.recent
        found = _first_exact(wire, decoded, guesses)
        if found is None and resting:
            known.rest -= 1
        elif found is None:
            found = _first_exact(wire, decoded, _affordable(decoded))
            if found is None:
                known.rest = min(1 << known.failures, _LONGEST_REST)
                known.failures += 1
        if found is None:
            return decoded.codec
        _remember(known.recent, found)
        return _proven(decoded.codec, found)

    def _experience(self, shape: tuple[CodecKind, bytes]) -> _Experience:
        known = self._shapes.pop(shape, None) or _Experience()
        if len(self._shapes) >= _SHAPES:
            del self._shapes[next(iter(self._shapes))]
        self._shapes[shape] = known
        return known


def _shape(codec: Codec, wire: bytes) -> tuple[CodecKind, bytes]:
    if codec.kind is CodecKind.GZIP:
        return codec.kind, gzip_header.writer_traits(codec.header)
    return codec.kind, wire[:2] if codec.kind is CodecKind.ZLIB else b""


def _first_exact(wire: bytes, decoded: Decoded, guesses: Iterable[Parameters]) -> Parameters | None:
    for guess in guesses:
        if encode(decoded.payload, _proven(decoded.codec, guess)) == wire:
            return guess
    return None


def _remember(recent: list[Parameters], found: Parameters) -> None:
    if recent[:1] == [found]:
        return
    if found in recent:
        recent.remove(found)
    recent.insert(0, found)
    del recent[_REMEMBERED:]


@lru_cache(maxsize=256)
def _proven(codec: Codec, found: Parameters) -> Codec:
    return replace(codec, **found._asdict(), exact=True)


def _affordable(decoded: Decoded) -> Iterable[Parameters]:
    """List the combinations worth trying for a message, likely ones first, as many as its length allows."""
    codec = decoded.codec
    length = len(decoded.payload)
    if codec.kind is CodecKind.ZLIB:
        windows: tuple[int, ...] = (codec.window_bits,)
        level_class = _LEVEL_CLASSES[codec.level]
    else:
        # A window that holds the whole payload gives the same bytes as any larger one.
        windows = tuple(
            w for w in _WINDOWS if w == DEFAULT_WINDOW_BITS or length > (1 << w) - _LOOKAHEAD_BYTES
        )
        level_class = None
    return _combinations(windows, level_class)[: 1 + _SEARCH_BYTES // (_SETUP_BYTES + length)]


@lru_cache(maxsize=64)
def _combinations(windows: tuple[int, ...], level_class: int | None) -> tuple[Parameters, ...]:
    """List what zlib can be told, the fewest unusual parameters first."""
    ranks = (_LEVELS, _MEMORY_LEVELS, windows, _STRATEGIES)

    def unusual(parameters: Parameters) -> tuple[int, list[int]]:
        places = [rank.index(value) for rank, value in zip(ranks, parameters, strict=True)]
        # Any level is usual; among equally unusual ones the strategy weighs most, then the window.
        return sum(place > 0 for place in places[1:]), places[::-1]

    every = (Parameters(*values) for values in product(*ranks))
    return tuple(sorted((p for p in every if _is_distinct(p, level_class)), key=unusual))


def _is_distinct(parameters: Parameters, level_class: int | None) -> bool:
    """Whether no combination tried before gives the same bytes, and the header allows this one."""
    level, _, _, strategy = parameters
    if strategy != zlib.Z_DEFAULT_STRATEGY and level == 0:
        return False
    if strategy in (zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE) and level != DEFAULT_LEVEL:
        return False
    written = 0 if strategy >= zlib.Z_HUFFMAN_ONLY else _LEVEL_CLASSES[level]
    return level_class is None or level_class == written
