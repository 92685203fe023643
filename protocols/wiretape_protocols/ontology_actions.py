"""
The actions and pushes of the Ontology node, as tables, and how the node reads their params.

Owns what tells one request from another. The published document has all actions but those marked,
and none of the pushes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from wiretape_protocols.adapter import Role
from wiretape_protocols.json_values import Json, Number, canonical, match_key, plain_number

type Members = dict[str, Json]

_WHOLE = re.compile(r"[-+]?[0-9]{1,18}")
_INT64_LIMIT = 2**63
_ABSENT = "-"
# The node checks these before it looks at anything else, in every action that it knows.
_CHECKED = ("Hash", "Addr", "Assetid")
_ENVELOPE = frozenset(("Id", "Version"))


class Reading(Enum):
    """How the node reads one param; the value is what the documentation says."""

    EXACT = "{}"
    LOWER = "lower({})"
    HEIGHT = "int({})"
    """A number or a string of digits; a fraction is cut off."""
    IS_ONE = '{} is 1 or "1"'
    IS_STRING_ONE = '{} is "1", not 1'
    """The number 1 is something else: it does not make a transaction a trial."""


@dataclass(frozen=True, slots=True)
class Action:
    """What is known of one action."""

    name: str
    params: tuple[tuple[str, Reading], ...] = ()
    role: Role = Role.CALL
    documented: bool = True

    def match(self) -> str:
        """What the documentation says of the match key."""
        return ", ".join(reading.value.format(name) for name, reading in self.params) or "action only"


@dataclass(frozen=True, slots=True)
class Push:
    """What is known of one push."""

    name: str
    stream: str


_HEIGHT, _HASH = ("Height", Reading.HEIGHT), ("Hash", Reading.LOWER)
_ADDR, _RAW = ("Addr", Reading.EXACT), ("Raw", Reading.IS_ONE)
_CONTRACT = ("Hash", Reading.EXACT)
_ALLOWANCE = (("Asset", Reading.LOWER), ("From", Reading.EXACT), ("To", Reading.EXACT))

# heartbeat and subscribe depend on the connection's subscriptions; `ontology` makes their keys.
_ALL = (
    Action("heartbeat", role=Role.BACKGROUND),
    Action("subscribe", role=Role.SUBSCRIBE),
    Action("getconnectioncount"),
    Action("getblocktxsbyheight", (_HEIGHT,)),
    Action("getblockbyheight", (_HEIGHT, _RAW)),
    Action("getblockbyhash", (_HASH, _RAW)),
    Action("getblockheight"),
    Action("getblockhash", (_HEIGHT,)),
    Action("gettransaction", (_HASH, _RAW)),
    Action("sendrawtransaction", (("Data", Reading.LOWER), ("PreExec", Reading.IS_STRING_ONE))),
    Action("getstorage", (_CONTRACT, ("Key", Reading.LOWER))),
    Action("getbalance", (_ADDR,)),
    Action("getbalancev2", (_ADDR,), documented=False),
    Action("getcontract", (_CONTRACT, _RAW)),
    Action("getsmartcodeeventbyheight", (_HEIGHT,)),
    Action("getsmartcodeeventbyhash", (_HASH,)),
    Action("getblockheightbytxhash", (_HASH,)),
    Action("getmerkleproof", (_HASH,)),
    Action("getsessioncount"),
    Action("getgasprice"),
    Action("getallowance", _ALLOWANCE),
    Action("getallowancev2", _ALLOWANCE, documented=False),
    Action("getunboundong", (_ADDR,)),
    Action("getmempooltxstate", (_HASH,)),
    Action("getmempooltxcount"),
    Action("getmempooltxhashlist", documented=False),
    Action("getversion"),
    Action("getnetworkid"),
    Action("getgrantong", (_ADDR,)),
)

ACTIONS = {action.name: action for action in _ALL}

PUSHES = (
    Push("Notify", "event"),
    Push("Log", "event"),
    Push("sendrawblock", "rawblock"),
    Push("sendjsonblock", "jsonblock"),
    Push("sendblocktxhashs", "blocktxhashs"),
)


def refused_early(message: Members) -> bool:
    """Whether the node refuses a request before its action sees it, without naming action or id."""
    return any(not isinstance(message.get(name), str | None) for name in _CHECKED)


def changes_world(message: Members) -> bool:
    """Whether the node broadcasts the transaction: only the string "1" makes it a trial."""
    return message.get("Action") == "sendrawtransaction" and message.get("PreExec") != "1"


def action_key(action: Action, message: Members) -> str:
    """The match key of a request that the action itself answers, whatever it answers."""
    return match_key(
        action.name, *(_spell(name, reading, message.get(name)) for name, reading in action.params)
    )


def members_key(message: Members) -> str:
    """The match key of a request of which no more is known than what it says."""
    members = {name: value for name, value in message.items() if name not in _ENVELOPE}
    return match_key(canonical(members))


def _spell(name: str, reading: Reading, value: Json) -> str:
    """One param as the key shows it; null is the same as none."""
    if reading is Reading.IS_ONE:
        return name if value == "1" or _truncated(value) == "1" else ""
    if reading is Reading.IS_STRING_ONE:
        return name if value == "1" else ""
    return f"{name}={_ABSENT if value is None else _READERS[reading](value)}"


def _height(value: Json) -> str:
    if isinstance(value, str):
        return str(int(value)) if value.isascii() and _WHOLE.fullmatch(value) else canonical(value)
    return _truncated(value) or canonical(value)


def _truncated(value: Json) -> str:
    """A number as the node turns it into a string; empty for what is none, or none that it can hold."""
    if not isinstance(value, Number):
        return ""
    approximate = float(value.text)
    return str(int(approximate)) if abs(approximate) < _INT64_LIMIT else plain_number(value.text)


def _lower(value: Json) -> str:
    return canonical(value.lower() if isinstance(value, str) else value)


_READERS: dict[Reading, Callable[[Json], str]] = {
    Reading.EXACT: canonical,
    Reading.LOWER: _lower,
    Reading.HEIGHT: _height,
}
