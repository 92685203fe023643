"""
JSON pointers (RFC 6901) with one addition: the segment `*` stands for every element and every member.

Owns reading a pointer and finding where the values that it points to stand, byte by byte.
"""

import re
from dataclasses import dataclass

from wiretape_protocols.json_spans import Span, element_spans, member_spans, value_span

ANY = "*"
_BAD_ESCAPE = re.compile(r"~(?![01])")
_INDEX = re.compile(r"0|[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class Pointer:
    """The way to one value, or with `*` to many."""

    segments: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Pointer":
        """Read `/params/0/name`; the empty text is the whole value. Raises ValueError with the reason."""
        if text and not text.startswith("/"):
            message = "a JSON pointer begins with /"
            raise ValueError(message)
        if _BAD_ESCAPE.search(text):
            message = "~ is written ~0 in a JSON pointer"
            raise ValueError(message)
        segments = text.split("/")[1:]
        return cls(tuple(segment.replace("~1", "/").replace("~0", "~") for segment in segments))

    def spans(self, text: bytes) -> list[Span] | None:
        """
        Where the values stand, in order and none within another; None where `text` is not JSON.

        Of members with the same name each is found: who reads the text may take any of them.
        """
        whole = value_span(text, ())
        if whole is None:
            return None
        found = [whole]
        for segment in self.segments:
            found = [child for span in found for child in _children(text, span, segment)]
        return found


def _children(text: bytes, span: Span, segment: str) -> list[Span]:
    if text[span[0] : span[0] + 1] == b"[":
        elements = element_spans(text, span)
        if segment == ANY:
            return elements
        index = int(segment) if _INDEX.fullmatch(segment) and len(segment) < len(str(2**31)) else -1
        return elements[index : index + 1] if index >= 0 else []
    return [value for name, value in member_spans(text, span) if segment in (ANY, name)]
