"""
The tables of a store and the numbers that mark a file as one; not how they are read or written.

Whoever changes a table raises SCHEMA_VERSION, writes the step to it in `migrations`, and keeps a
store of the old version beside the tests.
"""

import re

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
)

SCHEMA_VERSION = 2
"""Kept in SQLite's `user_version`; in PostgreSQL in table meta."""
APPLICATION_ID = 0x77746170
"""`wtap`, kept in SQLite's `application_id`, where file(1) finds it."""


# What text in PostgreSQL cannot hold, and the character that it is spelled with.
_UNTELLABLE = re.compile("[\x00\x1a\ud800-\udfff]")
_TOLD = re.compile("\x1a([0-9a-f]{4})")


class AnyText(TypeDecorator[str]):
    r"""
    Text as a peer may send it, lone surrogates included.

    A JSON string may spell `"\ud800"`, which no UTF-8 text can hold. SQLite stores such a value as a
    blob, everything else as text that plain SQL can search. PostgreSQL has a type for each column and
    knows no NUL besides: there what it cannot hold is spelled as U+001A and four hexadecimal digits.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | bytes | None:
        """Give UTF-8 to the database as it is, and anything beyond it in its own way."""
        if value is not None and dialect.name == "postgresql":
            return _UNTELLABLE.sub(lambda found: f"\x1a{ord(found[0]):04x}", value)
        if value is None or value.isascii():
            return value
        data = value.encode("utf-8", "surrogatepass")
        try:
            data.decode()
        except UnicodeDecodeError:
            return data
        return value

    def process_result_value(self, value: str | bytes | None, dialect: Dialect) -> str | None:
        """Undo `process_bind_param`."""
        if isinstance(value, str) and dialect.name == "postgresql":
            return _TOLD.sub(lambda found: chr(int(found[1], 16)), value)
        return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value


_SMALL = Integer().with_variant(SmallInteger(), "postgresql")
"""Of a column with a few values and a row for every message; SQLite takes what a number needs anyway."""

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column(
        "key",
        String,
        primary_key=True,
        comment="What the value is: `redaction_key`, `store_id`, or in PostgreSQL `schema_version`.",
    ),
    Column("value", LargeBinary, nullable=False, comment="The value."),
    comment="Facts about the store as a whole.",
)

recording = Table(
    "recording",
    metadata,
    Column("id", Integer, primary_key=True, comment="The number in the id `r3`."),
    Column("name", AnyText, nullable=False, unique=True, comment="What the user calls it."),
    Column("started_at_us", BigInteger, nullable=False, comment="Microseconds since 1970, UTC."),
    Column(
        "ended_at_us", BigInteger, comment="Microseconds since 1970, UTC; NULL until the recorder ends it."
    ),
    Column("host", String, nullable=False, comment="The machine the recorder runs on."),
    Column("pid", Integer, nullable=False, comment="The recorder's process number on that machine."),
    Column(
        "born",
        String,
        nullable=False,
        comment="When that process started, as its machine counts, to tell it from a later one with "
        "the same number; empty where the machine does not say.",
    ),
    Column(
        "pinned",
        Integer,
        nullable=False,
        server_default="0",
        comment="1 if pruning must leave it alone, -1 once pruning has begun to remove it, -2 while it is "
        "being imported.",
    ),
    Column(
        "origin",
        String,
        comment="Where it was copied from, as `store_id/r3`; NULL if it was recorded or imported here.",
    ),
    Column(
        "redaction_key",
        LargeBinary,
        comment="What its tokens were made with; NULL for the store's own key, empty where nobody knows.",
    ),
    Column(
        "redaction_rules",
        AnyText,
        nullable=False,
        server_default="[]",
        comment="JSON array of the rules by which the user added to the adapters' secrets.",
    ),
    comment="One run of the recorder: a named set of sessions.",
)

upstream = Table(
    "upstream",
    metadata,
    Column("id", Integer, primary_key=True, comment="Unique in the store."),
    Column(
        "recording_id", ForeignKey("recording.id"), nullable=False, comment="The recording it belongs to."
    ),
    Column("name", AnyText, nullable=False, comment="What the user calls it, for example `hotbit`."),
    Column("protocol", String, nullable=False, comment="The adapter that read its messages."),
    Column("url", AnyText, nullable=False, comment="Where it is, credentials replaced by tokens."),
    Column("listen", String, nullable=False, comment="The address, host:port, where clients reached it."),
    UniqueConstraint("recording_id", "name"),
    comment="A real server, as one recording knew it.",
)

session = Table(
    "session",
    metadata,
    Column("id", Integer, primary_key=True, comment="The number in the id `s12`."),
    Column("upstream_id", ForeignKey("upstream.id"), nullable=False, comment="Whom the client talked to."),
    Column(
        "number", Integer, nullable=False, comment="Counts the upstream's sessions in the recording, from 0."
    ),
    Column("started_at_us", BigInteger, nullable=False, comment="Microseconds since 1970, UTC."),
    Column("ended_at_us", BigInteger, comment="Microseconds since 1970, UTC; NULL while it is open."),
    Column("target", AnyText, nullable=False, comment="Path and query that the client asked for."),
    Column(
        "request_headers", String, nullable=False, comment="JSON array of [name, value], in the wire's order."
    ),
    Column("status", Integer, comment="HTTP status of the handshake's answer; NULL where none came."),
    Column(
        "response_headers",
        String,
        nullable=False,
        comment="JSON array of [name, value], in the wire's order.",
    ),
    Column("body", LargeBinary, nullable=False, comment="Body of a refused handshake, else empty."),
    Column("messages_from_client", Integer, nullable=False, comment="How many messages the client sent."),
    Column("messages_from_upstream", Integer, nullable=False, comment="How many messages the upstream sent."),
    Column(
        "exchanges",
        Integer,
        nullable=False,
        comment="How many of them answer a message; heartbeats do not count.",
    ),
    Column("pushes", Integer, nullable=False, comment="How many of them are pushes."),
    Column("wire_bytes", BigInteger, nullable=False, comment="Sum of all messages' wire_bytes."),
    Column(
        "last_at_us",
        BigInteger,
        nullable=False,
        comment="Time of the last message or event, in microseconds since the session's start.",
    ),
    Column(
        "end_kind",
        String,
        comment="closed, eof, refused, unreachable or interrupted; NULL while it is open, or when the "
        "recorder died and no other has opened the store since.",
    ),
    Column(
        "end_from_client",
        Integer,
        comment="1 where the client ended it, 0 where the upstream did, else NULL.",
    ),
    Column("end_code", Integer, comment="Close code, or the HTTP status of a refusal."),
    Column("end_reason", AnyText, comment="Close reason, or why there was no connection."),
    UniqueConstraint("upstream_id", "number"),
    comment="One client connection to one upstream, from handshake to end.",
)

Index("session_open", session.c.id, sqlite_where=session.c.end_kind.is_(None))

name = Table(
    "name",
    metadata,
    Column("id", Integer, primary_key=True, comment="What message rows refer to."),
    Column("text", AnyText, nullable=False, unique=True, comment="A method's or a stream's name."),
    comment="Names of methods and streams, each once.",
)

codec = Table(
    "codec",
    metadata,
    Column("id", Integer, primary_key=True, comment="What chunks refer to; never 0."),
    Column("text", String, nullable=False, comment="The codec's descriptor."),
    Column(
        "deflater",
        String,
        nullable=False,
        comment="Which build of zlib proved that it gives the wire's bytes; empty where none is needed.",
    ),
    UniqueConstraint("text", "deflater"),
    comment="How payloads were packed on the wire, each way once.",
)

message = Table(
    "message",
    metadata,
    Column("session_id", ForeignKey("session.id"), primary_key=True, comment="The session it belongs to."),
    Column(
        "seq", Integer, primary_key=True, comment="Counts both sides' messages, from 0, in the wire's order."
    ),
    Column("at_us", BigInteger, nullable=False, comment="Microseconds since the session's start."),
    Column("from_client", _SMALL, nullable=False, comment="1 from the client, 0 from the upstream."),
    Column("opcode", _SMALL, nullable=False, comment="1 text, 2 binary (RFC 6455)."),
    Column(
        "role",
        _SMALL,
        nullable=False,
        comment="1 call, 2 subscribe, 3 unsubscribe, 4 auth, 5 background, 6 notice, 7 opaque, 8 answer, 9 push.",
    ),
    Column("method_id", ForeignKey("name.id"), comment="The protocol's name for it; NULL for none."),
    Column("answers", Integer, comment="The seq of the client message that it answers."),
    Column("stream_id", ForeignKey("name.id"), comment="The stream that a push belongs to; NULL for none."),
    Column("wire_bytes", Integer, nullable=False, comment="Its length on the wire, before any redaction."),
    Column(
        "deflated", _SMALL, nullable=False, comment="1 if it crossed under permessage-deflate (RFC 7692)."
    ),
    Column("redacted", _SMALL, nullable=False, comment="1 if a secret in it was replaced by a token."),
    comment="One WebSocket message; its bytes are in the chunk of its session that covers its seq.",
    sqlite_with_rowid=False,
)

chunk = Table(
    "chunk",
    metadata,
    Column("session_id", ForeignKey("session.id"), primary_key=True, comment="The session it belongs to."),
    Column("first_seq", Integer, primary_key=True, comment="The seq of its first message."),
    Column("count", Integer, nullable=False, comment="How many messages it holds; their seqs have no gaps."),
    Column(
        "settled",
        Integer,
        nullable=False,
        comment="0 while it holds the bytes of one commit, 1 once it is packed for good, 2 once compacted.",
    ),
    Column(
        "data",
        LargeBinary,
        nullable=False,
        comment="A zstd frame over little-endian 32-bit numbers, the count, each message's codec id "
        "(0: bytes as they were on the wire) and each one's length, then the messages' bytes; compacted "
        "ones as `grouped_chunks.lay_out` says.",
    ),
    comment="The bytes of consecutive messages of one session.",
)
Index("chunk_unsettled", chunk.c.session_id, chunk.c.first_seq, sqlite_where=chunk.c.settled == 0)

event = Table(
    "event",
    metadata,
    Column("session_id", ForeignKey("session.id"), primary_key=True, comment="The session it belongs to."),
    Column("ordinal", Integer, primary_key=True, comment="Counts the session's events, from 0."),
    Column("after_seq", Integer, nullable=False, comment="The seq of the message before it, -1 for none."),
    Column("at_us", BigInteger, nullable=False, comment="Microseconds since the session's start."),
    Column("from_client", Integer, nullable=False, comment="1 from the client, 0 from the upstream."),
    Column(
        "kind",
        String,
        nullable=False,
        comment="ping, pong, close, fragments, violation, undecodable or gap.",
    ),
    Column("data", LargeBinary, nullable=False, comment="The frame's payload, or words about the kind."),
    comment="What happened on a connection between its messages.",
    sqlite_with_rowid=False,
)
