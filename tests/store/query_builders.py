"""A store with something to ask for: calls and pushes of two upstreams, in every packing."""

from pathlib import Path

from store_builders import DEAD, HANDSHAKE, HOTBIT, ONTOLOGY, START_US, Clock, a_writer, packed

from wiretape_protocols import Opcode, Role, decode
from wiretape_store import End, EndKind, NewMessage, StoreWriter
from wiretape_store.queries.query import Cell, open_query

CALL = b'{"method": "price.query", "params": ["BTCUSDT"], "id": 1}'
ANSWER = b'{"error": null, "result": "7998.01000000", "id": 1}'
UPDATE = (
    '{"method": "price.update", "params": ["€URO", "10234.5", 12345678901234567890], "id": null}'.encode()
)


def a_conversation(url: Path | str, *, settled: bool = True) -> None:
    """
    A recording `tuesday`: s1 to Hotbit, s2 to Ontology, which its recorder never ended.

    s1: two calls at 0 and 10 ms, one answered twice, after 2.5 and 30 ms; a background message and its
    answer; pushes in every packing, one a second from 1 s on; the message 40 after a gap.
    """
    writer = a_writer(url, Clock(), process=DEAD)
    hotbit, ontology = writer.begin_recording("tuesday", [HOTBIT, ONTOLOGY]).upstreams
    session = writer.begin_session(hotbit.id, START_US, HANDSHAKE)
    add(writer, session, 0, CALL, Role.CALL, at_us=0, method="price.query")
    add(writer, session, 1, ANSWER, Role.ANSWER, at_us=2500, method="price.query", answers=0)
    add(writer, session, 2, CALL, Role.AUTH, at_us=10_000, method="server.auth")
    add(writer, session, 3, ANSWER, Role.ANSWER, at_us=30_000, method="price.query", answers=0)
    add(writer, session, 4, b'{"method": "server.ping"}', Role.BACKGROUND, at_us=31_000, method="server.ping")
    add(writer, session, 5, b"pong", Role.BACKGROUND, at_us=32_000, answers=4, from_client=False)
    for number, wire in enumerate(packed(UPDATE).values()):
        at_us = 1_000_000 * (number + 1)
        add(writer, session, 6 + number, wire, Role.PUSH, at_us=at_us, method="price.update", stream="price")
    add(writer, session, 40, b"\xff\x00 bytes", Role.PUSH, at_us=60_000_000)
    writer.end_session(session, START_US + 61_000_000, End(EndKind.CLOSED, True, 1000, "bye"))
    other = writer.begin_session(ontology.id, START_US + 5_000_000, HANDSHAKE)
    add(writer, other, 0, b'{"Action": "getblockheight"}', Role.CALL, at_us=7_000, method="getblockheight")
    writer.commit()
    while settled and writer.settle():
        pass
    writer.abandon()


def add(
    writer: StoreWriter,
    session: int,
    seq: int,
    wire: bytes,
    role: Role,
    *,
    at_us: int,
    method: str = "",
    stream: str = "",
    answers: int | None = None,
    from_client: bool | None = None,
) -> None:
    decoded = decode(wire)
    opcode = Opcode.TEXT if decoded.payload == wire else Opcode.BINARY
    is_request = role not in {Role.ANSWER, Role.PUSH} if from_client is None else from_client
    writer.add(
        session,
        NewMessage(seq, is_request, opcode, at_us, wire, decoded, role, method, answers, stream),
    )


def ask(url: Path | str, statement: str) -> list[tuple[Cell, ...]]:
    """The rows that a statement of a user gives."""
    with open_query(str(url)) as query:
        return list(query.run(statement).rows)
