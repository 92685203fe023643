"""
What a flow of mitmproxy has no place for: JSON in its metadata, under a key of our own.

mitmproxy keeps metadata as it is and does not look into it.
"""

import json
import sys
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from wiretape_protocols import Codec, CodecError
from wiretape_store import Event, Message, Session
from wiretape_store.exports.chosen import Chosen
from wiretape_store.exports.extras import recording_object, recording_of, session_object, session_of
from wiretape_store.tapes.errors import LineError
from wiretape_store.tapes.parsing import Header, SessionEnd, SessionStart

KEY = "wiretape"


@dataclass(frozen=True, slots=True)
class Extras:
    """What a flow of ours says besides what mitmproxy shows."""

    header: Header
    start: SessionStart
    events: tuple[Event, ...]
    end: SessionEnd
    deflated: tuple[tuple[int, int], ...]
    """The messages that crossed under permessage-deflate: first and last seq of each run of them, in order."""
    redacted: dict[int, Codec]
    """How the messages with tokens are packed, by seq."""

    def is_deflated(self, seq: int) -> bool:
        """Whether a message crossed under permessage-deflate."""
        run = bisect_right(self.deflated, (seq, sys.maxsize)) - 1
        return run >= 0 and seq <= self.deflated[run][1]


class Marks:
    """Collects what is to be said of messages while they are written."""

    def __init__(self) -> None:
        self._deflated: list[list[int]] = []
        self._redacted: dict[str, str] = {}

    def add(self, number: int, message: Message) -> None:
        """Note the message that is the flow's number `number`, from 0."""
        if message.deflated:
            if self._deflated and self._deflated[-1][1] == number - 1:
                self._deflated[-1][1] = number
            else:
                self._deflated.append([number, number])
        if message.redacted:
            self._redacted[str(number)] = str(message.codec)

    def text(self, chosen: Chosen, session: Session, events: list[Event]) -> str:
        """All of it, for the flow of `session`."""
        what = recording_object(chosen)
        marks = {"deflated": self._deflated, "redacted": self._redacted}
        return json.dumps({"recording": what, **session_object(session, events), **marks})


def extras_of(metadata: dict[str, Any]) -> Extras | None:
    """Read what a flow's metadata has of ours; None for nothing. Raises LineError."""
    if KEY not in metadata:
        return None
    try:
        value = json.loads(metadata[KEY])
    except (TypeError, ValueError, RecursionError) as exc:
        raise LineError("it is not JSON") from exc
    if not isinstance(value, dict):
        raise LineError("it is not a JSON object")
    start, events, end = session_of({name: value.get(name) for name in ("session", "events", "end")})
    try:
        deflated = tuple(sorted((int(first), int(last)) for first, last in value["deflated"]))
        redacted = {int(seq): Codec.parse(text) for seq, text in value["redacted"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, CodecError) as exc:
        raise LineError("its members 'deflated' and 'redacted' cannot be read") from exc
    return Extras(recording_of(value.get("recording")), start, tuple(events), end, deflated, redacted)


def common_header(extras: Iterable[Extras | None]) -> Header | None:
    """The recording that all flows of a file are of; None where they are of several or of none."""
    headers = [each.header if each else None for each in extras]
    return headers[0] if headers and all(each == headers[0] for each in headers) else None
