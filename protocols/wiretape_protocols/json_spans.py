"""
Where the values of a JSON text stand, byte by byte.

Owns reading RFC 8259 without building objects: the span of a member's value, of an array's
elements, and putting other bytes in their place. Nothing is ever parsed and written again, so
every byte outside a replaced span stays as it was. What the values mean is for the adapters.
"""

import json
import re
from collections.abc import Sequence

Span = tuple[int, int]
"""Offset of a value's first byte, and of the byte after its last."""

# Every repetition is possessive (`*+`): nothing is ever tried twice, so time and memory stay linear.
_SPACE = rb"[ \t\n\r]*+"
_STRING = (
    rb'"[^"\\\x00-\x1f]*+'
    rb'(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*+)*+"'
)
_NUMBER = rb"-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][-+]?+[0-9]++)?+"
# The number stands last: it is the only branch that cannot be ruled out by its first byte.
_SCALAR = _STRING + rb"|true|false|null|" + _NUMBER

# A member's value in the messages we know is nested three deep; each level doubles the pattern.
_PATTERN_DEPTH = 3


def _value_pattern(depth: int) -> bytes:
    """Spell out the values nested at most `depth` deep, as one alternation without groups to capture."""
    if depth == 0:
        return rb"(?:" + _SCALAR + rb")"
    inner = _value_pattern(depth - 1)
    elements = rb"(?:" + inner + _SPACE + rb"(?:," + _SPACE + rb"(?!\])|(?=\])))*+"
    member = _STRING + _SPACE + rb":" + _SPACE + inner + _SPACE
    members = rb"(?:" + member + rb"(?:," + _SPACE + rb"(?!\})|(?=\})))*+"
    array = rb"\[" + _SPACE + elements + rb"\]"
    obj = rb"\{" + _SPACE + members + rb"\}"
    return rb"(?:" + array + rb"|" + obj + rb"|" + _SCALAR + rb")"


_VALUE_TEXT = _value_pattern(_PATTERN_DEPTH)
_KEY = rb"(" + _STRING + rb")" + _SPACE + rb":" + _SPACE

_SPACES = re.compile(_SPACE)
_SHALLOW_VALUE = re.compile(_VALUE_TEXT)
_OPEN = re.compile(rb"([\[{])" + _SPACE)
_NEXT = re.compile(_SPACE + rb"([],}])" + _SPACE)
_MEMBER_KEY = re.compile(_KEY)
_SHALLOW_MEMBER = re.compile(_KEY + rb"(" + _VALUE_TEXT + rb")" + _SPACE + rb"([,}])" + _SPACE)


def member_span(text: bytes, name: str) -> Span | None:
    """
    Find the value of the member `name` of the object that `text` is.

    Of members with the same name the last one counts, as it does for every parser of our peers; a
    name is the same however it is escaped. None when the object has no such member, and when
    `text` is anything but one complete JSON object in UTF-8.
    """
    if not _is_utf8(text):
        return None
    start = _skip_space(text, 0)
    if text[start : start + 1] != b"{":
        return None
    found, end = _find_member(text, start, name)
    return found if end >= 0 and _skip_space(text, end) == len(text) else None


def value_span(text: bytes, path: Sequence[str | int]) -> Span | None:
    """
    Find the value at `path`: a name for each object on the way, an index from 0 for each array.

    The empty path is the whole value, which need not be an object, without the space around it.
    None when there is no such value, and when `text` is not one complete JSON text in UTF-8.
    """
    if not _is_utf8(text):
        return None
    start = _skip_space(text, 0)
    end = _skip_value(text, start)
    if end < 0 or _skip_space(text, end) != len(text):
        return None
    span: Span | None = (start, end)
    for step in path:
        if span is None:
            return None
        span = _child_span(text, span, step)
    return span


def element_spans(text: bytes, span: Span) -> list[Span]:
    """
    Find the elements of the array at `span`, in order; none where the value is not an array.

    `span` comes from this module: the array is not checked again beyond what finding takes.
    """
    start = span[0]
    if text[start : start + 1] != b"[":
        return []
    at = _skip_space(text, start + 1)
    elements: list[Span] = []
    while (end := _skip_value(text, at)) >= 0:
        elements.append((at, end))
        follower = _NEXT.match(text, end)
        if follower is None or follower[1] != b",":
            break
        at = follower.end()
    return elements


def member_spans(text: bytes, span: Span) -> list[tuple[str, Span]]:
    """
    Find the members of the object at `span`, in order, each of a repeated name; none for any other value.

    `span` comes from this module: the object is not checked again beyond what finding takes.
    """
    if text[span[0] : span[0] + 1] != b"{":
        return []
    members: list[tuple[str, Span]] = []
    at = _skip_space(text, span[0] + 1)
    while (key := _MEMBER_KEY.match(text, at)) and (end := _skip_value(text, key.end())) >= 0:
        members.append((json.loads(key[1]), (key.end(), end)))
        follower = _NEXT.match(text, end)
        if follower is None or follower[1] != b",":
            break
        at = follower.end()
    return members


def splice(text: bytes, replacements: Sequence[tuple[Span, bytes]]) -> bytes:
    """
    Put other bytes in the place of spans, and leave every byte between them as it is.

    The replacements may come in any order. Raises ValueError when spans overlap or lie outside the
    text, which is a mistake of the caller.
    """
    pieces: list[bytes] = []
    done = 0
    for (start, end), new in sorted(replacements):
        if not done <= start <= end <= len(text):
            message = f"span {start}:{end} overlaps another or lies outside the text of {len(text)} bytes"
            raise ValueError(message)
        pieces += (text[done:start], new)
        done = end
    pieces.append(text[done:])
    return b"".join(pieces)


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _skip_space(text: bytes, at: int) -> int:
    spaces = _SPACES.match(text, at)
    return spaces.end() if spaces else at


def _child_span(text: bytes, span: Span, step: str | int) -> Span | None:
    if isinstance(step, str):
        is_object = text[span[0] : span[0] + 1] == b"{"
        return _find_member(text, span[0], step)[0] if is_object else None
    elements = element_spans(text, span)
    return elements[step] if 0 <= step < len(elements) else None


def _find_member(text: bytes, start: int, name: str) -> tuple[Span | None, int]:
    """Go over the object that begins at `start`: the last value of `name`, and the object's end or -1."""
    raw = b'"' + name.encode("utf-8", "surrogatepass") + b'"'
    found: Span | None = None
    at = _skip_space(text, start + 1)
    if text[at : at + 1] == b"}":
        return None, at + 1
    while True:
        member = _SHALLOW_MEMBER.match(text, at)
        if member is not None:
            key, separator = member.group(1, 3)
            span, at = member.span(2), member.end()
        else:
            key, separator, span, at = _deep_member(text, at)
        if (json.loads(key) == name) if b"\\" in key else key == raw:
            found = span
        if separator == b"}":
            return found, at
        if separator != b",":
            return None, -1


def _deep_member(text: bytes, at: int) -> tuple[bytes, bytes, Span, int]:
    """
    Read a member whose value is nested too deep for the pattern, or which is no member at all.

    Returns its key, what separates it from the next (empty where the text is broken), the span of
    its value, and where the next begins.
    """
    key = _MEMBER_KEY.match(text, at)
    end = _skip_value(text, key.end()) if key else -1
    follower = _NEXT.match(text, end) if end >= 0 else None
    if key is None or follower is None:
        return b"", b"", (at, at), -1
    return key[1], follower[1], (key.end(), end), follower.end()


def _skip_value(text: bytes, at: int) -> int:
    """
    Step over the value that begins at `at`: its end, or -1 where there is none.

    What is nested too deep for the pattern is opened level by level, with a stack of our own
    instead of recursion: a peer may nest as deep as its message is long.
    """
    closers = bytearray()
    while True:
        shallow = _SHALLOW_VALUE.match(text, at)
        if shallow is None:
            at = _open(text, at, closers)
        else:
            at = _close(text, shallow.end(), closers)
            if not closers:
                return at
        if at < 0:
            return -1


def _open(text: bytes, at: int, closers: bytearray) -> int:
    """Enter the container at `at`, note what will close it, and go to its first value; -1 for neither."""
    opening = _OPEN.match(text, at)
    if opening is None:
        return -1
    if opening[1] == b"[":
        closers += b"]"
        return opening.end()
    closers += b"}"
    key = _MEMBER_KEY.match(text, opening.end())
    return key.end() if key else -1


def _close(text: bytes, at: int, closers: bytearray) -> int:
    """
    Leave the containers that end after the value which ended at `at`, and go to the next value.

    With no container left open, that is `at` or the end of the last one; -1 for broken text.
    """
    while closers:
        follower = _NEXT.match(text, at)
        if follower is None:
            return -1
        if follower[1] == b",":
            at = follower.end()
            if closers.endswith(b"]"):
                return at
            key = _MEMBER_KEY.match(text, at)
            return key.end() if key else -1
        if follower[1][0] != closers.pop():
            return -1
        at = follower.end(1)
    return at
