"""What every adapter owes to replay, held against all adapters of this package."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiretape_protocols.adapter import Protocol, Role
from wiretape_protocols.messages import Opcode
from wiretape_protocols.registry import BUILT_IN

METHODS = sorted(
    {method.name for protocol in BUILT_IN for method in protocol.methods()} | {"ping", "pong", "order.place"}
)
VALUES = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["1", "A", ""]) | st.just(["A"])
MEMBERS = (
    *("params", "id", "Id", "result", "error", "Error", "Height", "Raw", "Hash", "PreExec"),
    *("SubscribeEvent", "SubscribeRawBlock", "ContractsFilter"),
)
OBJECTS = st.fixed_dictionaries(
    {},
    optional={"method": st.sampled_from(METHODS), "Action": st.sampled_from(METHODS)}
    | dict.fromkeys(MEMBERS, VALUES),
)
PAYLOADS = OBJECTS.map(lambda members: json.dumps(members).encode()) | st.binary(max_size=10)
CONVERSATIONS = st.lists(st.tuples(st.booleans(), PAYLOADS), max_size=15)

pytestmark = pytest.mark.parametrize(
    "protocol", [pytest.param(protocol, id=protocol.name) for protocol in BUILT_IN]
)


@given(messages=CONVERSATIONS)
def test_a_request_means_the_same_where_only_the_client_is_heard(
    protocol: Protocol, messages: list[tuple[bool, bytes]]
) -> None:
    recorded, replayed = protocol.conversation(), protocol.conversation(correlate=False)
    for seq, (from_client, payload) in enumerate(messages):
        if from_client:
            assert recorded.client(payload, Opcode.TEXT, seq) == replayed.client(
                payload, Opcode.TEXT, 1000 + seq
            )
        else:
            recorded.upstream(payload, Opcode.TEXT)


@given(messages=CONVERSATIONS)
def test_a_message_is_answered_once_and_only_after_it_was_sent(
    protocol: Protocol, messages: list[tuple[bool, bytes]]
) -> None:
    conversation = protocol.conversation()
    waiting = set()
    for seq, (from_client, payload) in enumerate(messages):
        if from_client:
            conversation.client(payload, Opcode.TEXT, seq)
            waiting.add(seq)
        else:
            reply = conversation.upstream(payload, Opcode.TEXT)
            assert (reply.role in (Role.ANSWER, Role.BACKGROUND)) is (reply.answers is not None)
            if reply.answers is not None:
                waiting.remove(reply.answers)


@given(messages=CONVERSATIONS)
def test_a_stream_that_a_request_or_a_push_names_is_in_the_table(
    protocol: Protocol, messages: list[tuple[bool, bytes]]
) -> None:
    known = {stream for method in protocol.methods() for stream in method.stream.split(", ")} | {""}
    conversation = protocol.conversation()
    for seq, (from_client, payload) in enumerate(messages):
        if from_client:
            request = conversation.client(payload, Opcode.TEXT, seq)
            assert {*request.opens, *request.closes} <= known
            assert not {*request.opens} & {*request.closes}
        else:
            assert conversation.upstream(payload, Opcode.TEXT).stream in known


@given(payload=PAYLOADS, id_text=st.none() | st.sampled_from([b"0", b'"q"', b"18446744073709551616"]))
def test_a_live_id_changes_nothing_but_the_id(
    protocol: Protocol, payload: bytes, id_text: bytes | None
) -> None:
    sent = protocol.with_id(payload, id_text)
    try:
        before, after = json.loads(payload), json.loads(sent)
    except ValueError:
        assert sent == payload
        return
    if before != after:
        name = next(name for name in ("id", "Id") if before.get(name) != after.get(name))
        assert after == before | {name: json.loads(id_text or b"null")}


@given(payload=PAYLOADS)
def test_a_refusal_has_the_id_of_the_request_as_it_was_spelled(protocol: Protocol, payload: bytes) -> None:
    request = protocol.conversation(correlate=False).client(payload, Opcode.TEXT, 0)
    refusal = protocol.refusal(request)
    if refusal is not None:
        answer = json.loads(refusal)
        assert answer.get("id", answer.get("Id")) == json.loads(request.id_text or b"null")
