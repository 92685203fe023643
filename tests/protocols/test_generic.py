"""What the generic adapter makes of JSON traffic that nobody described to it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiretape_protocols.adapter import Conversation, Reply, Request, Role
from wiretape_protocols.generic import GenericProtocol
from wiretape_protocols.generic_names import ID_NAMES, METHOD_NAMES
from wiretape_protocols.messages import Opcode

GENERIC = GenericProtocol()


def client(conversation: Conversation, payload: bytes, seq: int = 0) -> Request:
    return conversation.client(payload, Opcode.TEXT, seq)


def upstream(conversation: Conversation, payload: bytes) -> Reply:
    return conversation.upstream(payload, Opcode.TEXT)


def read(payload: bytes) -> Request:
    return client(GENERIC.conversation(correlate=False), payload)


@pytest.mark.parametrize("id_name", ID_NAMES)
@pytest.mark.parametrize("method_name", METHOD_NAMES)
def test_a_message_with_an_id_is_a_call_whatever_its_members_are_called(
    id_name: str, method_name: str
) -> None:
    request = read(json.dumps({id_name: 7, method_name: "getTicker"}).encode())
    assert (request.role, request.method, request.id_text) == (Role.CALL, "getTicker", b"7")


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b'{"op": "trade"}', id="no-id"),
        pytest.param(b'{"op": "trade", "id": null}', id="null"),
        pytest.param(b'{"op": "trade", "id": true}', id="true"),
        pytest.param(b'{"op": "trade", "id": {"a": 1}}', id="object"),
    ],
)
def test_a_message_without_an_id_is_a_notice(payload: bytes) -> None:
    request = read(payload)
    assert (request.role, request.id_text) == (Role.NOTICE, None)


def test_equal_ids_are_answered_in_order_and_then_no_more() -> None:
    conversation = GENERIC.conversation()
    client(conversation, b'{"id": 1, "op": "a"}', 0)
    client(conversation, b'{"id": 1, "op": "b"}', 1)
    assert [upstream(conversation, b'{"id": 1, "data": 5}') for _ in range(3)] == [
        Reply(Role.ANSWER, "a", answers=0),
        Reply(Role.ANSWER, "b", answers=1),
        Reply(Role.PUSH, ""),
    ]


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [
        pytest.param(b'{"id": 1}', b'{"id": 1.0}', True, id="by-value"),
        pytest.param(b'{"id": 1}', b'{"id": "1"}', False, id="by-type"),
        pytest.param(b'{"id": 0}', b'{"id": 0}', True, id="zero"),
        pytest.param(b'{"req_id": 1}', b'{"id": 1}', False, id="by-name"),
        pytest.param(b'{"id": 1}', b'{"id": 1, "req_id": 2}', True, id="beside-another"),
        pytest.param(b'{"id": 1, "req_id": 2}', b'{"req_id": 2}', True, id="request-id-first"),
        pytest.param(
            b'{"id": 1}', b'{"jsonrpc": "2.0", "id": 1, "method": "ask"}', False, id="servers-own-request"
        ),
        pytest.param(b'{"id": 1}', b'{"jsonrpc": "2.0", "id": 1, "error": {}}', True, id="json-rpc-error"),
        pytest.param(
            b'{"id": 1}', b'{"id": 1, "method": "subscribe"}', True, id="answer-that-echoes-its-method"
        ),
        pytest.param(b'{"id": 1}', b'[{"id": 1}]', False, id="batch"),
    ],
)
def test_an_answer_has_the_equal_id_under_the_same_name(asked: bytes, answered: bytes, same: bool) -> None:
    conversation = GENERIC.conversation()
    client(conversation, asked, 3)
    assert (upstream(conversation, answered).answers == 3) is same


def test_a_message_with_an_id_that_nobody_asked_with_is_a_push() -> None:
    push = b'{"event": "trade", "id": 26}'
    assert upstream(GENERIC.conversation(), push) == Reply(Role.PUSH, "trade")


def test_keys_leave_out_the_id_and_the_spelling_alone() -> None:
    assert (
        read(b'{"id": 1, "op": "x", "args": [1.0]}').key == read(b'{"args":[1],"op":"\\u0078","id":"q"}').key
    )
    assert read(b'{"id": 1, "op": "x"}').key != read(b'{"id": 1, "op": "x", "ts": 5}').key
    assert read(b'{"id": 1, "op": "x"}').key != read(b'{"op": "x"}').key


@pytest.mark.parametrize(
    ("method", "role", "effects"),
    [
        ("subscribe", Role.SUBSCRIBE, False),
        ("market.unsubscribe", Role.UNSUBSCRIBE, False),
        ("login", Role.AUTH, False),
        ("eth_getBalance", Role.CALL, False),
        ("GetServerTime", Role.CALL, False),
        ("kline.query", Role.CALL, False),
        ("order.place", Role.CALL, True),
        ("get_or_create", Role.CALL, True),
        ("eth_call", Role.CALL, True),
        ("", Role.CALL, True),
    ],
)
def test_a_method_is_judged_by_its_words_and_feared_in_doubt(method: str, role: Role, effects: bool) -> None:
    request = read(json.dumps({"id": 1, "method": method}).encode())
    assert (request.role, request.effects) == (role, effects)


@pytest.mark.parametrize(
    ("ping", "pong"),
    [
        (b"ping", b"pong"),
        (b" PING\n", b"pong"),
        (b'{"type": "ping"}', b'{"type":"pong"}'),
        (b'{"op": "ping", "ts": 17}', b'{"op":"pong"}'),
        (b'{"event": "ping", "args": []}', b'{"event":"pong"}'),
    ],
)
def test_a_ping_that_says_nothing_else_is_background_and_answered_in_kind(ping: bytes, pong: bytes) -> None:
    conversation = GENERIC.conversation()
    request = client(conversation, ping, 5)
    assert (request.role, GENERIC.background_answer(request)) == (Role.BACKGROUND, pong)
    assert upstream(conversation, pong) == Reply(Role.BACKGROUND, "ping", answers=5)


def test_pings_are_matched_without_their_time() -> None:
    assert read(b'{"op": "ping", "ts": 17}').key == read(b'{"op": "ping", "ts": 18}').key
    assert read(b'{"op": "ping", "id": 1}').key == read(b'{"op": "ping", "id": 2}').key
    assert read(b'{"op": "ping", "id": 1}').key != read(b'{"op": "ping"}').key


def test_a_ping_with_an_id_is_answered_by_its_id_alone() -> None:
    conversation = GENERIC.conversation()
    request = client(conversation, b'{"id": 4, "method": "ping"}', 5)
    assert (request.role, GENERIC.background_answer(request)) == (Role.BACKGROUND, None)
    assert upstream(conversation, b'{"id": 4, "result": "x"}') == Reply(Role.BACKGROUND, "ping", answers=5)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"op": "ping", "symbol": "A"}',
        b'{"op": "ping", "args": [1]}',
        b'{"op": "pinging"}',
        b'{"x": "ping"}',
    ],
)
def test_a_message_that_says_more_is_no_ping(payload: bytes) -> None:
    assert read(payload).role is Role.NOTICE


@pytest.mark.parametrize("pong", [b"pong", b'{"type": "pong"}'])
def test_the_clients_own_pong_is_background_without_an_answer(pong: bytes) -> None:
    request = read(pong)
    assert (request.role, GENERIC.background_answer(request)) == (Role.BACKGROUND, None)


def test_a_pong_that_nobody_asked_for_answers_nothing() -> None:
    assert upstream(GENERIC.conversation(), b'{"type": "pong"}') == Reply(Role.PUSH, "pong")
    assert upstream(GENERIC.conversation(), b"pong") == Reply(Role.OPAQUE, "")


@pytest.mark.parametrize(
    ("recorded", "live", "sent"),
    [
        pytest.param(b'{"id":1,"x":{"id":1}}', b'"q"', b'{"id":"q","x":{"id":1}}', id="id"),
        pytest.param(b'{"id":1,"req_id":2}', b"5", b'{"id":1,"req_id":5}', id="request-id-first"),
        pytest.param(b'{"id":1}', None, b'{"id":1}', id="no-live-id"),
        pytest.param(b'{"x":1}', b"5", b'{"x":1}', id="no-id"),
        pytest.param(b"pong", b"5", b"pong", id="text"),
    ],
)
def test_the_live_id_takes_the_place_of_the_recorded_one(
    recorded: bytes, live: bytes | None, sent: bytes
) -> None:
    assert GENERIC.with_id(recorded, live) == sent


def test_only_json_rpc_has_a_refusal_that_everybody_knows() -> None:
    refusal = GENERIC.refusal(read(b'{"jsonrpc":"2.0","id":"a","method":"x","params":[]}'))
    assert refusal == b'{"jsonrpc":"2.0","error":{"code":-32000,"message":"Server error"},"id":"a"}'
    assert GENERIC.refusal(read(b'{"id": 1, "method": "x"}')) is None
    assert GENERIC.refusal(read(b'{"jsonrpc":"2.0","method":"x"}')) is None


@pytest.mark.parametrize("payload", [b"", b"hello", b"\xff\x00", b'[{"id": 1}]', b"5", b'{"id": NaN}'])
def test_what_is_no_object_is_opaque_both_ways(payload: bytes) -> None:
    conversation = GENERIC.conversation()
    request = client(conversation, payload)
    assert (request.role, request.effects) == (Role.OPAQUE, True)
    assert upstream(conversation, payload) == Reply(Role.OPAQUE, "")


MESSAGE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["ping", "pong"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)
MEMBERS = (*ID_NAMES, *METHOD_NAMES, "jsonrpc", "result", "ts", "params")
PAYLOAD = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"ping", b"pong"]),
    st.builds(
        lambda members: json.dumps(members).encode(),
        st.dictionaries(st.sampled_from(MEMBERS), MESSAGE, max_size=4),
    ),
)


@given(st.lists(st.tuples(st.booleans(), PAYLOAD), max_size=12))
def test_no_message_of_a_peer_raises(messages: list[tuple[bool, bytes]]) -> None:
    conversation = GENERIC.conversation()
    asked = set()
    for seq, (from_client, payload) in enumerate(messages):
        if from_client:
            request = client(conversation, payload, seq)
            asked.add(seq)
            GENERIC.refusal(request)
            GENERIC.background_answer(request)
        else:
            reply = upstream(conversation, payload)
            assert reply.answers is None or reply.answers in asked
            asked.discard(-1 if reply.answers is None else reply.answers)
            GENERIC.with_id(payload, b"1")
