"""Faults as values: what kinds there are, what each selects, and how they are written. Nothing here acts."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, NamedTuple, Self

from wiretape_replay.errors import SettingError

DEFAULT_OVERSIZE_BYTES = 16 * 1024 * 1024 + 1  # one more than the largest limit that clients commonly set
_LONGEST_REASON_BYTES = 123  # RFC 6455 section 5.5: a control frame holds 125 bytes, two of them are the code
_LARGEST_MESSAGE_BYTES = 2**63 - 1  # RFC 6455 section 5.2
_MOST_COPIES = 1000
_LONGEST_DELAY_S = 86_400


class FaultKind(StrEnum):
    """What goes wrong."""

    REFUSE = "refuse"
    """The handshake is answered with an HTTP status instead of 101, or TCP is reset where none is given."""
    DELAY_HANDSHAKE = "delay_handshake"
    """The answer to the handshake comes `delay_s` later."""
    DROP = "drop"
    DELAY = "delay"
    """The message and all behind it on its connection leave no earlier than `delay_s` after its time."""
    DUPLICATE = "duplicate"
    """`copies` more come right behind the message."""
    REORDER = "reorder"
    """The message goes behind the next one of its stream."""
    CORRUPT = "corrupt"
    """One byte is another one: the one at `byte`, else any."""
    TRUNCATE = "truncate"
    """Only the first `size_bytes` are sent, by default half of them; the frame is a whole one."""
    OVERSIZE = "oversize"
    """The message is filled up to `size_bytes`."""
    CLOSE = "close"
    """A close frame with `code` and `reason` comes instead of the message."""
    CUT = "cut"
    """TCP ends in the middle of the message's frame: with RST, or with FIN where `reset` is False."""
    STOP_READING = "stop_reading"
    """From the message on, or from the opening, nothing that the client sends is read."""
    STOP_PONGS = "stop_pongs"
    """From the message on, or from the opening, pings are not answered."""

    @property
    def of_handshake(self) -> bool:
        """Whether it strikes a handshake, before there are messages."""
        return self in (FaultKind.REFUSE, FaultKind.DELAY_HANDSHAKE)

    @property
    def lasting(self) -> bool:
        """Whether it goes on once it has struck, until it is cleared."""
        return self in (FaultKind.STOP_READING, FaultKind.STOP_PONGS)

    @property
    def ending(self) -> bool:
        """Whether nothing more is sent on its connection once it has struck."""
        return self in (FaultKind.CLOSE, FaultKind.CUT)


class FaultError(SettingError):
    """A fault that this version does not understand; `setting` is the member, `where` what it stands in."""

    def __init__(self, where: str, member: str, value: str, accepted: str) -> None:
        super().__init__(member, value, accepted)
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {self.setting}{' ' if self.value else ''}{self.value}; give {self.accepted}"


@dataclass(frozen=True, slots=True)
class Fault:
    """
    One fault of a run: its kind, what it selects, and the members of its kind.

    None stands for what is not given. `upstream`, `connection` (the nth to its upstream), `method` and
    `stream` select; of the selected messages (of handshakes, for faults of those) `nth`, `every` and
    `chance` pick, and `times` is the most that are struck. Raises FaultError for what does not fit.
    """

    kind: FaultKind
    upstream: str | None = None
    connection: int | None = None
    method: str | None = None
    stream: str | None = None
    nth: int | None = None
    every: int | None = None
    chance: float | None = None
    times: int | None = None
    status: int | None = None
    delay_s: float | None = None
    copies: int | None = None
    byte: int | None = None
    size_bytes: int | None = None
    """`bytes` where it is written."""
    code: int | None = None
    reason: str | None = None
    reset: bool | None = None

    def __post_init__(self) -> None:
        given = self.to_object()
        del given["kind"]
        _check(self.kind, given, f"the fault {self.kind}")

    @classmethod
    def from_object(cls, written: object, where: str = "the fault") -> Self:
        """Read a fault from parsed JSON; `where` says in errors which one it is."""
        if not isinstance(written, Mapping):
            raise FaultError(where, "is no object", "", 'one such as {"kind": "drop", "nth": 3}')
        given = dict(written)
        kind = _kind(given.pop("kind", None), where)
        _check(kind, given, where)
        if "bytes" in given:
            given["size_bytes"] = given.pop("bytes")
        return cls(kind, **given)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `drop,method=deals.update,nth=3`: the kind, then members; no value can hold a comma."""
        kind, *members = text.split(",")
        given: dict[str, object] = {"kind": kind.strip()}
        for member in members:
            name, equals, value = member.partition("=")
            name = name.strip()
            if not equals or not name:
                raise FaultError(f"--fault {text}", member, "is no member", "NAME=VALUE, such as nth=3")
            if name in given:
                raise FaultError(f"--fault {text}", name, "is there twice", "it once")
            given[name] = _from_text(name, value)
        return cls.from_object(given, f"--fault {text}")

    def to_object(self) -> dict[str, Any]:
        """The fault as JSON has it; what is not given is left out."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["kind"] = str(self.kind)
        values["bytes"] = values.pop("size_bytes")
        return {name: value for name, value in values.items() if value is not None}

    def concerns(self, upstream: str, connection: int) -> bool:
        """Whether it may strike on the nth connection to an upstream."""
        return self.upstream in (None, upstream) and self.connection in (None, connection)

    @property
    def from_opening(self) -> bool:
        """Whether it strikes as soon as a connection is open, waiting for no message."""
        picks = (self.method, self.stream, self.nth, self.every, self.chance)
        return self.kind.lasting and all(pick is None for pick in picks)


def read_faults(text: str | bytes, where: str) -> tuple[Fault, ...]:
    """Read a file of faults: JSON, a list of them or an object with the one member `faults`."""
    try:
        written = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise FaultError(where, "is no JSON", f"({exc})", "a list of faults") from exc
    if isinstance(written, dict) and set(written) == {"faults"}:
        written = written["faults"]
    if not isinstance(written, list):
        raise FaultError(where, "holds no list", "", 'a list of faults, or {"faults": [...]}')
    return tuple(Fault.from_object(each, f"{where}[{place}]") for place, each in enumerate(written))


class _Member(NamedTuple):
    """What may stand in one member of a fault."""

    fits: Callable[[Any], bool]
    accepted: str
    textual: bool = False


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _number(value: object, most: float) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) and 0 < value <= most


def _text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _count(value: object) -> bool:
    return _whole(value, 1, 2**53)


def _reason(value: object) -> bool:
    return isinstance(value, str) and len(value.encode(errors="surrogatepass")) <= _LONGEST_REASON_BYTES


_COUNT = "a whole number, 1 or more"
_DELAY = _Member(
    lambda value: _number(value, _LONGEST_DELAY_S), "seconds above 0, such as 0.5; a day at most"
)
_SIZE = _Member(lambda value: _whole(value, 0, _LARGEST_MESSAGE_BYTES), "a whole number of bytes")
_MEMBERS = {
    "upstream": _Member(_text, "an upstream's name", textual=True),
    "connection": _Member(_count, f"{_COUNT}: 2 is the second connection to its upstream"),
    "method": _Member(_text, "a method's name", textual=True),
    "stream": _Member(_text, "a stream's name", textual=True),
    "nth": _Member(_count, _COUNT),
    "every": _Member(_count, _COUNT),
    "chance": _Member(lambda value: _number(value, 1), "a number above 0, 1 at most"),
    "times": _Member(_count, _COUNT),
    "status": _Member(lambda value: _whole(value, 200, 599), "an HTTP status from 200 to 599"),
    "delay_s": _DELAY,
    "copies": _Member(
        lambda value: _whole(value, 1, _MOST_COPIES), f"a whole number from 1 to {_MOST_COPIES}"
    ),
    "byte": _Member(
        lambda value: _whole(value, 0, _LARGEST_MESSAGE_BYTES), "a whole number: 0 is the first byte"
    ),
    "bytes": _SIZE,
    "code": _Member(lambda value: _whole(value, 0, 65535), "a whole number from 0 to 65535 (1005: no code)"),
    "reason": _Member(_reason, f"a text of at most {_LONGEST_REASON_BYTES} bytes", textual=True),
    "reset": _Member(lambda value: isinstance(value, bool), "true or false"),
}
_OF_ALL = ("upstream", "connection", "nth", "every", "chance", "times")
_OF_MESSAGES = ("method", "stream")
_OWN: dict[FaultKind, tuple[str, ...]] = {
    FaultKind.REFUSE: ("status",),
    FaultKind.DELAY_HANDSHAKE: ("delay_s",),
    FaultKind.DELAY: ("delay_s",),
    FaultKind.DUPLICATE: ("copies",),
    FaultKind.CORRUPT: ("byte",),
    FaultKind.TRUNCATE: ("bytes",),
    FaultKind.OVERSIZE: ("bytes",),
    FaultKind.CLOSE: ("code", "reason"),
    FaultKind.CUT: ("reset",),
}
_NEEDED: dict[FaultKind, tuple[str, ...]] = {
    FaultKind.DELAY_HANDSHAKE: ("delay_s",),
    FaultKind.DELAY: ("delay_s",),
}


def _kind(written: object, where: str) -> FaultKind:
    try:
        return FaultKind(written)  # type: ignore[arg-type]
    except ValueError as exc:
        kinds = "one of " + ", ".join(each.value for each in FaultKind)
        if written is None:
            raise FaultError(where, "kind", "is missing", kinds) from exc
        raise FaultError(where, "kind", f"{_shown(written)} is not known", kinds) from exc


def _check(kind: FaultKind, given: Mapping[str, object], where: str) -> None:
    """Raise FaultError unless each member is one of the kind's, and its value fits."""
    taken = _OF_ALL + (() if kind.of_handshake else _OF_MESSAGES) + _OWN.get(kind, ())
    for name, value in given.items():
        if name not in taken:
            raise FaultError(where, str(name), f"is no member of {kind}", ", ".join(taken))
        if not _MEMBERS[name].fits(value):
            raise FaultError(where, name, f"{_shown(value)} does not fit", _MEMBERS[name].accepted)
    for name in _NEEDED.get(kind, ()):
        if name not in given:
            raise FaultError(where, name, "is missing", _MEMBERS[name].accepted)
    if "nth" in given and "every" in given:
        raise FaultError(where, "nth and every", "exclude each other", "one of them")


def _from_text(name: str, text: str) -> object:
    """The value that a member's text stands for; the text itself where it is none, which then does not fit."""
    member = _MEMBERS.get(name)
    if member is None or member.textual:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _shown(value: object) -> str:
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= 60 else shown[:60] + "…"
