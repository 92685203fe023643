"""The JSON of the control API, as JSON Schema: what a body may hold, and what an answer holds."""

from typing import Any

from wiretape_replay.faults import FaultKind
from wiretape_replay.journal import EntryKind
from wiretape_replay.settings import OnMiss, Order, Reconnect, Repeats

Schema = dict[str, Any]

_LARGEST = (1 << 63) - 1
_MOST_COUNTED = 1 << 53
MOST_FAULTS = 1000
"""Of a run: each is asked about each message."""
_LONGEST_NAME = 200
MOST_ENTRIES = 10_000
"""Entries in one answer."""
LONGEST_WAIT_S = 60
LONGEST_REASON = 123
"""Bytes; a control frame holds 125, and the code takes two (RFC 6455 section 5.5)."""


def _object(properties: Schema, *, required: tuple[str, ...] = (), about: str = "", **more: Any) -> Schema:
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if about:
        schema["description"] = about
    if required:
        schema["required"] = list(required)
    return schema | more


def _answer(properties: Schema, about: str = "", *, optional: tuple[str, ...] = ()) -> Schema:
    """An object that is sent: whoever reads it must expect members that come later."""
    schema: Schema = {"type": "object", "properties": properties}
    if about:
        schema["description"] = about
    return schema | {"required": [name for name in properties if name not in optional]}


def _text(about: str = "", **more: Any) -> Schema:
    return {"type": "string"} | ({"description": about} if about else {}) | more


def _whole(about: str = "", least: int = 0, most: int = _LARGEST, **more: Any) -> Schema:
    words = {"description": about} if about else {}
    return {"type": "integer", "minimum": least, "maximum": most} | words | more


def _number(about: str, most: float) -> Schema:
    return {"type": "number", "minimum": 0, "maximum": most, "description": about}


def _one_of(
    values: type[EntryKind | FaultKind | OnMiss | Order | Reconnect | Repeats], about: str = ""
) -> Schema:
    return _text(about, enum=[each.value for each in values])


def _flag(about: str = "", **more: Any) -> Schema:
    return {"type": "boolean"} | ({"description": about} if about else {}) | more


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items} | more


def _the(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _exactly_one(*names: str) -> list[Schema]:
    return [{"required": [name]} for name in names]


_UPSTREAM = _text(
    "An upstream's name; may be left out where the run has one upstream.", maxLength=_LONGEST_NAME
)
_ANY_UPSTREAM = _text("An upstream's name; without it all of them.", maxLength=_LONGEST_NAME)
_CONNECTION = _whole("The nth connection to the upstream in this run; without it all that are open.", 1)
_FAULTS = _list(_the("Fault"), maxItems=MOST_FAULTS)
_PACE = _text("asap, realtime, a factor such as x10, or step.", maxLength=20)

_BODIES: dict[str, Schema] = {
    "NewRun": _object(
        {
            "recording": _text(
                "A recording's name or id, or a session's id.", minLength=1, maxLength=_LONGEST_NAME
            ),
            "tape": _text("The text of a tape.", minLength=1),
            "addresses": _text(
                "A port for each upstream, or a path on the port that runs share.",
                enum=["ports", "paths"],
                default="ports",
            ),
            "settings": _the("Settings"),
            "live_urls": {
                "type": "object",
                "additionalProperties": _text(maxLength=2000),
                "description": "By upstream: where it is now, for on_miss forward and record. Without it "
                "they go where the recording was made.",
            },
        },
        about="What to replay, and how.",
        oneOf=_exactly_one("recording", "tape"),
    ),
    "Settings": _object(
        {
            "order": _one_of(Order, "What a push waits for."),
            "pace": _PACE,
            "on_miss": _one_of(OnMiss, "What a message gets that the recording cannot answer."),
            "reconnect": _one_of(Reconnect, "What a connection gets after the last recorded session."),
            "repeats": _one_of(Repeats, "What a message gets whose recorded ones are used up."),
            "relax": _list(_text(minLength=1, maxLength=1000), maxItems=1000)
            | {"description": "What need not be equal for a match, such as kline.query:/params/1."},
            "stall_s": {
                "type": "number",
                "minimum": 0,
                "maximum": 86_400,
                "description": "A message that waits longer than this for the client is a stall.",
            },
            "strict": _flag("Whoever asked for the run fails it unless its verdict is ok."),
            "allow_effects": _flag("Whether messages that change the world may be forwarded."),
            "faults": _FAULTS,
            "seed": _whole("What the chances of faults are drawn from."),
        },
        about="Every member may be left out.",
    ),
    "Step": _object(
        {
            "messages": _whole("So many pushes.", 1, 1_000_000_000),
            "method": _text("Up to and including the next push of this method.", minLength=1, maxLength=1000),
            "stream": _text("Up to and including the next push of this stream.", minLength=1, maxLength=1000),
            "until_us": _whole("Up to this time of the session."),
            "upstream": _ANY_UPSTREAM,
            "connection": _whole("The nth connection to the upstream; needed where several are open.", 1),
        },
        about="Which pushes may go.",
        oneOf=_exactly_one("messages", "method", "stream", "until_us"),
    ),
    "NewPace": _object({"pace": _PACE}, required=("pace",)),
    "Push": _object(
        {
            "upstream": _UPSTREAM,
            "payload": _text("The payload as text."),
            "payload_base64": _text("The payload as base64."),
            "opcode": _text(
                "Sent as it is, as a message of this kind. Without it the payload is packed as the "
                "upstream packs its own.",
                enum=["text", "binary"],
            ),
            "connection": _CONNECTION,
        },
        about="A message that is not in the recording.",
        oneOf=_exactly_one("payload", "payload_base64"),
    ),
    "Disconnect": _object(
        {
            "upstream": _ANY_UPSTREAM,
            "code": {
                "type": ["integer", "null"],
                "minimum": 1000,
                "maximum": 4999,
                "default": 1000,
                "description": "The close frame's code; null: TCP ends without a close frame.",
            },
            "reason": _text("The close frame's reason.", maxLength=LONGEST_REASON),
            "connection": _CONNECTION,
        }
    ),
    "NewFaults": _object({"faults": _FAULTS}, required=("faults",)),
    "Fault": _object(
        {
            "kind": _one_of(FaultKind),
            "upstream": _text("Only connections to this upstream.", minLength=1, maxLength=_LONGEST_NAME),
            "connection": _whole("Only its nth connection in the run.", 1, _MOST_COUNTED),
            "method": _text("Only messages of this method.", minLength=1, maxLength=1000),
            "stream": _text("Only pushes of this stream.", minLength=1, maxLength=1000),
            "nth": _whole("Only the nth of these.", 1, _MOST_COUNTED),
            "every": _whole("Each nth of these.", 1, _MOST_COUNTED),
            "chance": _number("Each with this likelihood, above 0.", 1),
            "times": _whole("At most so many.", 1, _MOST_COUNTED),
            "status": _whole("Of refuse: the HTTP status; without it TCP is reset.", 200, 599),
            "delay_s": _number("Of delay and delay_handshake: seconds, above 0.", 86_400),
            "copies": _whole("Of duplicate.", 1, 1000, default=1),
            "byte": _whole("Of corrupt: which one, counted from 0; without it any."),
            "bytes": _whole("Of truncate: how many are kept. Of oversize: how many there are."),
            "code": _whole("Of close.", 0, 65_535, default=1001),
            "reason": _text("Of close.", maxLength=LONGEST_REASON),
            "reset": _flag("Of cut: TCP ends with a reset.", default=True),
        },
        required=("kind",),
        about="Something that goes wrong; docs/faults.md says which kind takes which members.",
    ),
    "Nothing": _object({}, about="No body, or an empty object."),
}

_FINDINGS = _answer(
    {"count": _whole(), "named": _list(_text())}, "How often, and the first hundred in words."
)

_ANSWERS: dict[str, Schema] = {
    "Faults": _answer({"faults": _list(_the("Fault"))}, "All that are set now, in their order."),
    "Health": _answer({"version": _text("Of wiretape."), "runs": _whole()}),
    "Run": _answer(
        {
            "id": _text(),
            "recording": _text("What is replayed."),
            "pace": _text(),
            "paused": _flag(),
            "settings": _the("Settings"),
            "faults": _list(_the("Fault")),
            "urls": {
                "type": "object",
                "additionalProperties": _text(),
                "description": "By upstream: where its clients connect.",
            },
            "doubts": _list(_text()) | {"description": "What keeps live messages from matching."},
            "upstreams": _list(_the("Upstream")),
        }
    ),
    "Upstream": _answer(
        {
            "name": _text(),
            "protocol": _text(),
            "url": _text("Where it was recorded."),
            "sessions": _whole("How many were recorded."),
            "connections": _list(_the("Connection")),
        }
    ),
    "Connection": _answer(
        {"number": _whole(), "session": _text("The recorded session that it got."), "open": _flag()}
    ),
    "Runs": _answer({"runs": _list(_the("Run"))}),
    "Ended": _answer(
        {
            "verdict": _the("Verdict"),
            "tape": _text("Of a run with on_miss record: the tape of all that passed, secrets replaced."),
        },
        optional=("tape",),
    ),
    "Verdict": _answer(
        {
            "ok": _flag("Whether the client did what it did when it was recorded."),
            "misses": _FINDINGS,
            "unused": _FINDINGS,
            "stalls": _FINDINGS,
            "relaxed": _FINDINGS,
        }
    ),
    "Stepped": _answer(
        {
            "pushed": _whole("Pushes that went at once."),
            "owed": _whole("Pushes that go as soon as they are free."),
        }
    ),
    "Reached": _answer({"connections": _whole("How many connections it reached.")}),
    "Entry": _answer(
        {
            "number": _whole("Counts the journal's entries, from 1."),
            "kind": _one_of(EntryKind),
            "upstream": _text(),
            "connection": _whole("Counts the connections to the upstream, from 1."),
            "session": _text(),
            "at_us": _whole("Since the connection opened."),
            "seq": _whole("The recorded message."),
            "last_seq": _whole(),
            "pushes": _whole(),
            "method": _text(),
            "detail": _text(),
            "payload": _text("The beginning of the client's message, redacted."),
            "nearest": _text("Of a miss: the beginning of the recorded message that comes nearest."),
            "differs": _list(_the("Difference")),
            "why": _text("Of a miss: different, used up, or nothing left."),
        },
        "What does not apply is left out.",
        optional=(
            "upstream", "connection", "session", "seq", "last_seq", "pushes", "method", "detail", "payload",
            "nearest", "differs", "why",
        ),
    ),
    "Difference": _answer(
        {
            "pointer": _text("JSON pointer of the member; empty for messages as a whole."),
            "recorded": {"type": ["string", "null"]},
            "sent": {"type": ["string", "null"]},
        }
    ),
    "Journal": _answer({"entries": _list(_the("Entry")), "last": _whole("The number of the run's latest entry.")}),
    "Waited": _answer({"entries": _list(_the("Entry"))}),
    "Count": _answer({"count": _whole()}),
    "Error": _answer(
        {
            "error": _answer(
                {"code": _text("For programs."), "message": _text("One sentence: what, where, what to do.")}
            )
        }
    ),
}  # fmt: skip

SCHEMAS: dict[str, Schema] = _BODIES | _ANSWERS
"""By name, as in the OpenAPI document."""

PARAMETERS: dict[str, Schema] = {
    "kind": _list(_one_of(EntryKind)) | {"description": "Entries of this kind; may be given several times."},
    "upstream": _text("Entries of this upstream.", maxLength=_LONGEST_NAME),
    "method": _text("Entries about this method.", maxLength=1000),
    "session": _text("Entries about this recorded session.", maxLength=_LONGEST_NAME),
    "connection": _whole("Entries of the nth connection to its upstream.", 1),
    "after": _whole("Entries with a higher number.", default=0),
    "limit": _whole("At most so many, the earliest.", 1, MOST_ENTRIES, default=1000),
    "count": _whole("How many entries are waited for.", 1, MOST_ENTRIES, default=1),
    "timeout_s": {
        "type": "number",
        "minimum": 0,
        "maximum": LONGEST_WAIT_S,
        "default": 10,
        "description": "How long to wait for them.",
    },
}
"""What may stand in a query, as an operation names it."""
