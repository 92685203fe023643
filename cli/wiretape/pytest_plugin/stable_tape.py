"""
Keeps the diff of a tape that is recorded anew as small as what has changed.

Two recordings of one conversation differ in times, ports, keys of handshakes, the tokens of secrets and
the order of sessions. Where a line of the new tape says what one of the old tape said, the old line
stays; the same conversation gives the same file. The format is that of docs/tape.md: only members before
the payload are touched, except for tokens.
"""

import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

_MOST_COMPARED = 4_000
"""Lines between what is equal at both ends; aligning more would take minutes."""
_AT = re.compile(r'\A\{"at_us": (\d+)')
_SESSION = re.compile(r'\A\{"session": "((?:[^"\\]|\\.)*)"')
_VOLATILE = re.compile(
    r'(?P<since>"(?:started|ended)_at_us": )\d+'
    r"|(?P<host>\b(?:127\.0\.0\.1|localhost|\[::1\])):\d+"
    r'|(?P<key>\["Sec-WebSocket-(?:Key|Accept)", )"[^"]*"',
    re.IGNORECASE,
)
_TOKEN = re.compile(r"wt-[0-9a-f]{32}")


def stable_tape(new: str, old: str = "") -> str:
    """The tape `new`, spelled as `old` wherever they say the same."""
    head, *sessions = _sessions(_lines(_named_tokens(new)))
    # In the order of upstreams, because which of two connections was first is chance.
    sessions.sort(key=_upstream_of)
    lines = [*head, *(line for session in sessions for line in session)]
    return "".join(_in_order_of_time(_merged(lines, _lines(old))))


def _lines(text: str) -> list[str]:
    # Not splitlines, which would break payloads at other characters too.
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _sessions(lines: Iterable[str]) -> list[list[str]]:
    """What stands before the first session, and then each session's lines."""
    blocks: list[list[str]] = [[]]
    for line in lines:
        if _SESSION.match(line):
            blocks.append([])
        blocks[-1].append(line)
    return blocks


def _upstream_of(session: Sequence[str]) -> str:
    match = _SESSION.match(session[0])
    return match.group(1) if match else ""


def _named_tokens(tape: str) -> str:
    """
    Name the tokens of secrets by the order in which they come, not by a key that nobody keeps.

    A tape carries no key, so all that a token says is which others are equal to it.
    """
    numbers: dict[str, int] = {}

    def named(match: re.Match[str]) -> str:
        number = numbers.setdefault(match.group(), len(numbers) + 1)
        return f"wt-{hashlib.sha256(f'secret {number}'.encode()).hexdigest()[:32]}"

    return _TOKEN.sub(named, tape)


def _merged(new: list[str], old: list[str]) -> Iterator[tuple[str, bool]]:
    """The lines of `new`, each as it was in `old` if it says the same; and whether it was there."""
    mine, theirs = _meanings(new), _meanings(old)
    first = _common(mine, theirs)
    last = _common(mine[first:][::-1], theirs[first:][::-1])
    yield from ((line, True) for line in old[:first])
    middle = slice(first, len(new) - last), slice(first, len(old) - last)
    yield from _aligned(new[middle[0]], old[middle[1]], mine[middle[0]], theirs[middle[1]])
    yield from ((line, True) for line in old[len(old) - last :])


def _aligned(
    new: list[str], old: list[str], mine: list[str], theirs: list[str]
) -> Iterator[tuple[str, bool]]:
    if max(len(new), len(old)) > _MOST_COMPARED:
        yield from ((line, False) for line in new)
        return
    matcher = difflib.SequenceMatcher(None, mine, theirs, autojunk=False)
    for tag, first, last, kept, after in matcher.get_opcodes():
        if tag == "equal":
            yield from ((line, True) for line in old[kept:after])
        else:
            yield from ((line, False) for line in new[first:last])


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """With how many equal lines both begin."""
    pairs = zip(one, other, strict=False)
    return next((number for number, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _meanings(lines: Iterable[str]) -> list[str]:
    """What lines say, without what differs between two recordings of the same."""
    return [_meaning(_TOKEN.sub("wt-", line)) for line in lines]


def _meaning(line: str) -> str:
    if _AT.match(line):
        return _AT.sub('{"at_us": 0', line)
    return _VOLATILE.sub(_constant, line)


def _constant(match: re.Match[str]) -> str:
    return next(text for text in match.groups() if text is not None) + "0"


def _in_order_of_time(lines: Iterable[tuple[str, bool]]) -> Iterator[str]:
    """Lines whose times never go back: what is new is put between the times of what is old."""
    pending: list[str] = []
    at_us = 0
    for line, is_old in lines:
        match = _AT.match(line)
        if match is None:
            yield from _spread(pending, at_us, None)
            pending, at_us = [], 0
            yield line
        elif is_old:
            yield from _spread(pending, at_us, int(match.group(1)))
            pending, at_us = [], max(at_us, int(match.group(1)))
            yield _at(line, at_us)
        else:
            pending.append(line)
    yield from _spread(pending, at_us, None)


def _spread(lines: list[str], after_us: int, before_us: int | None) -> Iterator[str]:
    """Lines with their own times, moved as far as need be to lie between two others."""
    for line in lines:
        match = _AT.match(line)
        own_us = int(match.group(1)) if match else 0
        at_us = max(own_us, after_us)
        yield _at(line, at_us if before_us is None else max(after_us, min(at_us, before_us)))
        after_us = at_us if before_us is None else max(after_us, min(at_us, before_us))


def _at(line: str, at_us: int) -> str:
    return _AT.sub(f'{{"at_us": {at_us}', line, count=1)
