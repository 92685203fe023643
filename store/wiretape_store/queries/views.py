"""
The views that `wiretape sql` offers, column by column; they are made on the connection, never stored.

So they fit the code that reads them, whichever wiretape wrote the store. The text is SQL that SQLite
and PostgreSQL both read; where they differ, `Words` has the word of each.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from wiretape_protocols import Opcode, Role
from wiretape_store.locking import ALIVE_CLASS
from wiretape_store.recording_rows import BEING_PRUNED


@dataclass(frozen=True, slots=True)
class Words:
    """How one kind of database says what the others say differently."""

    moment: str
    """Microseconds since 1970, `{}`, as ISO 8601."""
    recorder_lives: str
    """Whether the process that a row of `recording` names may be alive, as a condition."""


SQLITE = Words(
    moment="strftime('%Y-%m-%dT%H:%M:%S', ({0}) / 1000000, 'unixepoch') || printf('.%06dZ', ({0}) % 1000000)",
    recorder_lives="recorder_lives(recording.host, recording.pid, recording.born)",
)
POSTGRESQL = Words(
    moment="to_char(timestamp 'epoch' + ({0}) * interval '1 microsecond', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    # Each holds a lock while it is connected; see `locking`.
    recorder_lives=(
        "exists (select 1 from pg_locks where locktype = 'advisory' and granted and objid::bigint = recording.id "  # noqa: S608 (constants)
        "and database = (select oid from pg_database where datname = current_database()) and classid = "
        + str(ALIVE_CLASS)
        + ")"
    ),
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a view."""

    name: str
    text: str
    """What it is made of, as SQL."""
    meaning: str


@dataclass(frozen=True, slots=True)
class View:
    """A view."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    source: str
    """What follows `from`, as SQL."""

    def create(self) -> str:
        """The statement that makes it."""
        columns = ", ".join(f'{column.text} as "{column.name}"' for column in self.columns)
        return f'create temporary view "{self.name}" as select {columns} from {self.source}'  # noqa: S608 (constants)


def views(words: Words) -> tuple[View, ...]:
    """All views, in the order of the documentation."""
    return (_sessions(words), _messages(words), _calls(words), _pushes(words))


# Left joins, though no row is without: the ones that a query does not use are left out of its plan.
_OWNERS = (
    "left join upstream on upstream.id = session.upstream_id "
    "left join recording on recording.id = upstream.recording_id"
)
_MESSAGE_SOURCE = (
    f"message as m left join session on session.id = m.session_id {_OWNERS} "
    "left join name as method on method.id = m.method_id left join name as stream on stream.id = m.stream_id"
)
_PRUNED = (
    "select session.id from session join upstream on upstream.id = session.upstream_id "
    "join recording on recording.id = upstream.recording_id where recording.pinned <= "
)
_IS_THERE = f"m.session_id not in ({_PRUNED}{BEING_PRUNED})"
"""What is being pruned is not there any more; mostly there is none, and this costs nothing."""
_HANDLE = "'s' || m.session_id || '/' || m.seq"
_ASKING = (Role.CALL, Role.SUBSCRIBE, Role.UNSUBSCRIBE, Role.AUTH)
"""The roles of the messages that expect an answer, heartbeats excepted."""


def _case(column: str, names: type[Role] | type[Opcode]) -> str:
    cases = " ".join(f"when {each.value} then '{each.name.lower()}'" for each in names)
    return f"case {column} {cases} end"


def _words_of(names: type[Role] | type[Opcode] | tuple[Role, ...]) -> str:
    return ", ".join(each.name.lower() for each in names)


def _sessions(words: Words) -> View:
    dead = f"(recording.ended_at_us is not null or not {words.recorder_lives})"
    ended_us = (
        "case when session.end_kind is not null then session.ended_at_us "
        f"when {dead} then session.started_at_us + session.last_at_us end"
    )
    counters = {
        "messages_from_client": "How many messages the client sent.",
        "messages_from_upstream": "How many messages the upstream sent.",
        "exchanges": "How many of them answer a message; heartbeats do not count.",
        "pushes": "How many of them are pushes.",
        "wire_bytes": "Sum of all messages' bytes on the wire.",
    }
    columns = (
        Column("id", "'s' || session.id", "The session's id, `s1`."),
        *_owner_columns(),
        Column("protocol", "upstream.protocol", "The adapter that read its messages."),
        Column("url", "upstream.url", "Where the upstream is, credentials replaced by tokens."),
        Column(
            "number", "session.number", "Counts the upstream's sessions in the recording, from 0: the nth connection."
        ),
        Column("target", "session.target", "Path and query that the client asked for."),
        Column("status", "session.status", "HTTP status of the handshake's answer; NULL where none came."),
        Column("started_at", words.moment.format("session.started_at_us"), "When it began, ISO 8601, UTC."),
        Column("ended_at", words.moment.format(ended_us), "When it ended, ISO 8601, UTC; NULL while it is open."),
        Column("seconds", f"({ended_us} - session.started_at_us) / 1000000.0", "How long it took; NULL while open."),
        *(Column(name, f"session.{name}", meaning) for name, meaning in counters.items()),
        Column(
            "end_kind",
            f"case when session.end_kind is not null then session.end_kind when {dead} then 'interrupted' else 'open' end",
            "How it ended: closed, eof, refused, unreachable or interrupted; or open.",
        ),
        Column("end_from_client", "session.end_from_client", "1 where the client ended it, 0 the upstream, else NULL."),
        Column("end_code", "session.end_code", "Close code, or the HTTP status of a refusal."),
        Column("end_reason", "session.end_reason", "Close reason, or why there was no connection."),
        Column("session_id", "session.id", "The session's number, as the tables have it."),
    )  # fmt: skip
    return View(
        "sessions",
        "One client connection to one upstream.",
        columns,
        f"session {_OWNERS} where recording.pinned > {BEING_PRUNED}",
    )


def _messages(words: Words) -> View:
    columns = (
        *_place_columns(words),
        Column("from_client", "m.from_client", "1 from the client, 0 from the upstream."),
        Column("opcode", _case("m.opcode", Opcode), f"How it was sent: {_words_of(Opcode)}."),
        Column("role", _case("m.role", Role), f"What it is for: {_words_of(Role)}."),
        Column("method", "method.text", "The protocol's name for it; NULL for none."),
        Column("answers", "m.answers", "The seq of the client message that it answers; NULL for none."),
        Column("stream", "stream.text", "The stream that a push belongs to; NULL for none."),
        Column("wire_bytes", "m.wire_bytes", "Its length on the wire."),
        Column("redacted", "m.redacted", "1 if a secret in it was replaced by a token."),
        Column("session_id", "m.session_id", "The session's number, as the tables have it."),
    )
    return View("messages", "One WebSocket message.", columns, f"{_MESSAGE_SOURCE} where {_IS_THERE}")


def _calls(words: Words) -> View:
    columns = (
        *_place_columns(words),
        Column("role", _case("m.role", Role), f"What it is for: {_words_of(_ASKING)}."),
        Column("method", "method.text", "The protocol's name for it; NULL for none."),
        Column("answered", "case when a.seq is null then 0 else 1 end", "1 if an answer came."),
        Column(
            "answer",
            "'s' || a.session_id || '/' || a.seq",
            "The first answer, for `payload()` and `json()`; NULL for none.",
        ),
        Column("took_ms", "(a.at_us - m.at_us) / 1000.0", "Milliseconds until that answer came; NULL for none."),
        Column("wire_bytes", "m.wire_bytes", "The call's length on the wire."),
        Column("answer_wire_bytes", "a.wire_bytes", "The answer's length on the wire; NULL for none."),
        Column("redacted", "m.redacted", "1 if a secret in the call was replaced by a token."),
        Column("session_id", "m.session_id", "The session's number, as the tables have it."),
    )  # fmt: skip
    answers = (
        "left join (select session_id, answers, min(seq) as seq from message where answers is not null "
        "group by session_id, answers) as first_answer "
        "on first_answer.session_id = m.session_id and first_answer.answers = m.seq "
        "left join message as a on a.session_id = first_answer.session_id and a.seq = first_answer.seq"
    )
    asking = ", ".join(str(role.value) for role in _ASKING)
    source = f"{_MESSAGE_SOURCE} {answers} where m.role in ({asking}) and {_IS_THERE}"
    return View("calls", "A client message that expects an answer, and its first answer.", columns, source)


def _pushes(words: Words) -> View:
    columns = (
        *_place_columns(words),
        Column("method", "method.text", "The protocol's name for it; NULL for none."),
        Column("stream", "stream.text", "The stream that it belongs to; NULL for none."),
        Column("wire_bytes", "m.wire_bytes", "Its length on the wire."),
        Column("redacted", "m.redacted", "1 if a secret in it was replaced by a token."),
        Column("session_id", "m.session_id", "The session's number, as the tables have it."),
    )
    meaning = "An upstream message that answers nothing."
    return View(
        "pushes", meaning, columns, f"{_MESSAGE_SOURCE} where m.role = {Role.PUSH.value} and {_IS_THERE}"
    )


def _owner_columns() -> Iterator[Column]:
    yield Column("recording", "recording.name", "The recording's name.")
    yield Column("upstream", "upstream.name", "The upstream's name.")


def _place_columns(words: Words) -> Iterator[Column]:
    """Which message it is, where and when."""
    yield Column("message", _HANDLE, "The message, `s1/34`: what `payload()` and `json()` take.")
    yield Column("session", "'s' || m.session_id", "The session's id, `s1`.")
    yield from _owner_columns()
    yield Column("seq", "m.seq", "Counts the session's messages in both directions, from 0.")
    yield Column(
        "at", words.moment.format("session.started_at_us + m.at_us"), "When it passed, ISO 8601, UTC."
    )
    yield Column("at_us", "m.at_us", "Microseconds since the session's start.")
