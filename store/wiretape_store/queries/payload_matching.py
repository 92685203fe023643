"""
Whether a message's payload is what somebody looks for: a text, a pattern, a value in its JSON. Pure.

What can be ruled out by the payload's bytes is ruled out before anything is parsed; a payload that
matches is never ruled out.
"""

import re
from collections.abc import Callable, Iterator

from wiretape_protocols import WiretapeError
from wiretape_store.queries.json_pointer import MISSING, Pointer, text_of

Matcher = Callable[[bytes], bool]
"""Says of a payload whether it matches."""

# What JSON may or must spell as \x in a string, besides the \uXXXX that it may use for anything.
_ESCAPABLE = re.compile(r'["\\/\x00-\x1f]')


class PatternError(WiretapeError):
    """A text is not a regular expression."""

    usage = True

    def __init__(self, pattern: str, why: str) -> None:
        super().__init__(pattern, why)
        self.pattern = pattern
        self.why = why

    def __str__(self) -> str:
        """Name the pattern and say what is wrong with it."""
        return (
            f"{self.pattern!r} is not a regular expression ({self.why}): mend it, or take it as it is with -F"
        )


def text_matcher(pattern: str, *, fixed: bool = False, ignore_case: bool = False) -> Matcher:
    """
    Match the payloads in which a regular expression is found, or the text itself if it is `fixed`.

    A payload in UTF-8 is searched as text, another one as bytes. Raises PatternError.
    """
    if fixed and not ignore_case:
        needle = pattern.encode("utf-8", "surrogateescape")
        return lambda payload: needle in payload
    wanted = re.escape(pattern) if fixed else pattern
    flags = re.IGNORECASE if ignore_case else re.NOFLAG
    in_text = _compiled(wanted, flags)
    in_bytes = _bytes_pattern(wanted, flags)
    in_ascii = in_bytes if wanted.isascii() else None

    def matches(payload: bytes) -> bool:
        if in_ascii is not None and payload.isascii():
            return in_ascii.search(payload) is not None
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            return in_bytes is not None and in_bytes.search(payload) is not None
        return in_text.search(text) is not None

    return matches


def value_matcher(pointer: Pointer, value: str | None = None, text: Matcher | None = None) -> Matcher:
    """
    Match the payloads with a value at `pointer`; with one of the spelling `value`; in whose text `text` matches.

    A string's text is its characters, that of anything else is its JSON as it stands: `1.0` is not `1`.
    """
    needles = tuple(_needles(pointer, value))

    def matches(payload: bytes) -> bool:
        for needle, escape in needles:
            if needle not in payload and escape not in payload:
                return False
        found = pointer.value(payload)
        if found is MISSING:
            return False
        spelled = text_of(found)
        if value is not None and spelled != value:
            return False
        return text is None or text(spelled.encode("utf-8", "surrogatepass"))

    return matches


def inverted(matcher: Matcher) -> Matcher:
    """Match what `matcher` does not."""
    return lambda payload: not matcher(payload)


def _needles(pointer: Pointer, value: str | None) -> Iterator[tuple[bytes, bytes]]:
    """What a payload that matches contains, unless it contains the escape that could stand for it."""
    wanted = [(value, value)] if value else []
    wanted += [(token, f'"{token}"') for token in pointer.tokens if not token.isdigit()]
    for text, needle in wanted:
        try:
            yield needle.encode(), b"\\" if _ESCAPABLE.search(text) else b"\\u"
        except UnicodeEncodeError:
            continue  # A lone surrogate, which only an escape can spell.


def _compiled(pattern: str, flags: re.RegexFlag) -> re.Pattern[str]:
    try:
        return re.compile(pattern, flags)
    except (re.error, ValueError, RecursionError, OverflowError) as exc:
        raise PatternError(pattern, str(exc)) from exc


def _bytes_pattern(pattern: str, flags: re.RegexFlag) -> re.Pattern[bytes] | None:
    """The same for bytes; None for what only text can have, such as a character by its number."""
    try:
        return re.compile(pattern.encode("utf-8", "surrogateescape"), flags)
    except (re.error, ValueError, OverflowError):
        return None
