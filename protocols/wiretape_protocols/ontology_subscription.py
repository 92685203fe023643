"""
What an Ontology connection has subscribed to, and how one message changes that.

Owns the merging of `subscribe` requests, as the node does it, and the text of the result that the
node answers to `subscribe` and `heartbeat`.
"""

import json
import re
from dataclasses import dataclass, field

from wiretape_protocols.json_values import Json

FILTER = "ContractsFilter"
OLD_FILTER = "ConstractsFilter"
"""The key up to node v1.5.3, and still in the published document; later nodes ignore it."""

STREAMS = {
    "SubscribeEvent": "event",
    "SubscribeJsonBlock": "jsonblock",
    "SubscribeRawBlock": "rawblock",
    "SubscribeBlockTxHashs": "blocktxhashs",
}
"""The switches in the order of the node's result, and the streams that they open and close."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_GO_ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


@dataclass(frozen=True, slots=True)
class Change:
    """
    What one `subscribe` message says: the members that are there and of the right type.

    The node ignores all others: the string "true" switches nothing.
    """

    switches: dict[str, bool]
    filters: dict[str, tuple[str, ...]]

    @classmethod
    def read(cls, message: dict[str, Json]) -> "Change":
        """Take from a message what the node takes."""
        switches = {name: value for name in STREAMS if isinstance(value := message.get(name), bool)}
        filters = {
            name: tuple(item for item in value if isinstance(item, str))
            for name in (FILTER, OLD_FILTER)
            if isinstance(value := message.get(name), list)
        }
        return cls(switches, filters)

    def key(self, *, one_filter: bool = False) -> str:
        """The change as a match key shows it; with `one_filter` both names of the filter are one."""
        parts = [f"{name}={go_json(value)}" for name, value in self.switches.items()]
        parts += [
            f"{'filter' if one_filter else name}={go_json(value)}" for name, value in self.filters.items()
        ]
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Subscription:
    """The state of one connection; each starts with everything off and no filter."""

    on: frozenset[str] = frozenset()
    filters: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def merged(self, change: Change) -> "Subscription":
        """What is not mentioned stays; a filter is replaced as a whole."""
        kept = self.on - change.switches.keys()
        added = {name for name, value in change.switches.items() if value}
        return Subscription(kept | added, self.filters | change.filters)

    def opened(self, change: Change) -> tuple[str, ...]:
        """The streams that begin (again) with a change that was merged into this state."""
        names = [name for name, value in change.switches.items() if value]
        if change.filters and "SubscribeEvent" in self.on and "SubscribeEvent" not in names:
            names.insert(0, "SubscribeEvent")
        return tuple(STREAMS[name] for name in names)

    def closed(self, change: Change) -> tuple[str, ...]:
        """The streams that a change ends which is about to be merged into this state."""
        return tuple(
            STREAMS[name] for name, value in change.switches.items() if not value and name in self.on
        )

    def result(self) -> str:
        """The result as the node spells it: its members' order, no space, null for a filter never set."""
        members = {FILTER: self.filters.get(FILTER)} | {name: name in self.on for name in STREAMS}
        return go_json(members)

    def key(self) -> str:
        """The state as a heartbeat's match key shows it: the result, then the filter of old nodes."""
        old = self.filters.get(OLD_FILTER)
        return self.result() if old is None else f"{self.result()} {OLD_FILTER}={go_json(old)}"


def go_json(value: object) -> str:
    """Spell a value as Go's encoding/json does: no space, UTF-8 as it is, HTML's characters escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_GO_ESCAPES)
    return _LONE_SURROGATE.sub("\ufffd", text)
