"""What Hotbit's messages mean, from what its clients and servers put on the wire."""

import json
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wiretape_protocols import hotbit
from wiretape_protocols.adapter import Conversation, Reply, Request, Role
from wiretape_protocols.codecs import CodecKind
from wiretape_protocols.hotbit import HotbitProtocol
from wiretape_protocols.messages import Opcode
from wiretape_protocols.outstanding import Outstanding

HOTBIT = HotbitProtocol()

DOCUMENTED_METHODS = """
    server.ping system.time server.time server.auth kline.query price.query state.query today.query
    deals.query depth.query order.query order.history asset.query asset.history
    kline.subscribe kline.unsubscribe price.subscribe price.unsubscribe state.subscribe state.unsubscribe
    today.subscribe today.unsubscribe deals.subscribe deals.unsubscribe depth.subscribe depths.subscribe
    depth.unsubscribe order.subscribe order.unsubscribe asset.subscribe asset.unsubscribe
"""
DOCUMENTED_PUSHES = """
    kline.update price.update state.update today.update deals.update depth.update order.update asset.update
"""
UNDOCUMENTED = """
    server.auth2 server.sign state.subscribeall state.querys balance.query state.updateall depths.unsubscribe
"""
STREAMS = ("kline", "price", "state", "today", "deals", "depth", "order", "asset")


def a_call(method: str, params: object = (), **others: object) -> bytes:
    return json.dumps({"method": method, "params": params, "id": 1} | others).encode()


def an_answer(result: object, id_: object = 1, error: object = None) -> bytes:
    return json.dumps({"error": error, "result": result, "id": id_}).encode()


def client(conversation: Conversation, payload: bytes, seq: int = 0) -> Request:
    return conversation.client(payload, Opcode.TEXT, seq)


def upstream(conversation: Conversation, payload: bytes) -> Reply:
    return conversation.upstream(payload, Opcode.BINARY)


def read(payload: bytes) -> Request:
    return client(HOTBIT.conversation(correlate=False), payload)


def key(method: str, params: object = ()) -> str:
    return read(a_call(method, params)).key


def test_every_documented_method_and_push_is_in_the_table_and_marked_so() -> None:
    table = {method.name for method in HOTBIT.methods() if method.documented}
    assert table == {*DOCUMENTED_METHODS.split(), *DOCUMENTED_PUSHES.split()}


def test_what_only_the_wire_shows_is_in_the_table_and_marked_so() -> None:
    assert {method.name for method in HOTBIT.methods() if not method.documented} == set(UNDOCUMENTED.split())


def test_the_upstream_sends_gzip_in_binary_messages() -> None:
    assert (HOTBIT.opcode, HOTBIT.codec.kind, HOTBIT.codec.level) == (Opcode.BINARY, CodecKind.GZIP, 6)


@pytest.mark.parametrize(
    ("method", "role"),
    [
        ("server.ping", Role.BACKGROUND),
        ("server.time", Role.CALL),
        ("server.auth", Role.AUTH),
        ("server.auth2", Role.AUTH),
        ("server.sign", Role.AUTH),
        ("deals.subscribe", Role.SUBSCRIBE),
        ("depths.subscribe", Role.SUBSCRIBE),
        ("state.subscribeall", Role.SUBSCRIBE),
        ("deals.unsubscribe", Role.UNSUBSCRIBE),
        ("asset.history", Role.CALL),
        ("no.such.method", Role.CALL),
    ],
)
def test_the_role_of_a_request_is_that_of_its_method(method: str, role: Role) -> None:
    request = read(a_call(method, ["x"]))
    assert (request.role, request.method, request.effects) == (role, method, False)


@pytest.mark.parametrize("stream", STREAMS)
def test_a_subscription_opens_its_stream_and_its_pushes_belong_to_it(stream: str) -> None:
    conversation = HOTBIT.conversation()
    opened = client(conversation, a_call(f"{stream}.subscribe", ["BTCUSDT"]))
    pushed = upstream(
        conversation, json.dumps({"method": f"{stream}.update", "params": [], "id": None}).encode()
    )
    closed = client(conversation, a_call(f"{stream}.unsubscribe"), seq=2)
    assert (opened.opens, opened.closes) == ((stream,), ())
    assert pushed == Reply(Role.PUSH, f"{stream}.update", stream=stream)
    assert (closed.opens, closed.closes) == ((), (stream,))


@pytest.mark.parametrize(
    ("method", "params", "opens", "closes"),
    [
        pytest.param("price.subscribe", [], (), ("price",), id="empty-list-ends"),
        pytest.param("depths.subscribe", [], (), ("depth",), id="empty-list-of-books-ends"),
        pytest.param("depths.subscribe", [["A", 5, "0"]], ("depth",), (), id="depths-opens-depth"),
        pytest.param("depths.unsubscribe", [], (), ("depth",), id="depths-closes-depth"),
        pytest.param("state.subscribeall", [], ("state",), (), id="all-needs-no-params"),
        pytest.param("state.querys", [], (), (), id="a-query-opens-nothing"),
    ],
)
def test_streams_are_named_by_kind(
    method: str, params: object, opens: tuple[str, ...], closes: tuple[str, ...]
) -> None:
    request = read(a_call(method, params))
    assert (request.opens, request.closes) == (opens, closes)


def test_a_message_without_an_id_is_a_notice_that_no_call_matches() -> None:
    notice = read(b'{"method": "price.subscribe", "params": ["BTCUSDT"]}')
    assert (notice.role, notice.id_text, notice.opens) == (Role.NOTICE, None, ("price",))
    assert notice.key != key("price.subscribe", ["BTCUSDT"])


def test_a_ping_without_an_id_is_background_all_the_same() -> None:
    request = read(b'{"method": "server.ping", "params": []}')
    assert (request.role, HOTBIT.background_answer(request)) == (Role.BACKGROUND, None)


def test_an_id_of_null_is_an_id() -> None:
    conversation = HOTBIT.conversation()
    request = client(conversation, b'{"method": "server.time", "params": [], "id": null}', seq=4)
    assert (request.role, request.id_text) == (Role.CALL, b"null")
    assert upstream(conversation, an_answer(5, None)).answers == 4


@pytest.mark.parametrize(
    "spelling", [b"0", b"100", b"-7", b"1.0", b"1e2", b'"a\\u0041"', b"9223372036854775808", b'{"a": [1]}']
)
def test_the_id_is_kept_as_the_client_spelled_it(spelling: bytes) -> None:
    assert read(b'{"id": %s , "method": "server.time"}' % spelling).id_text == spelling


@pytest.mark.parametrize(
    ("method", "one", "other"),
    [
        pytest.param("price.subscribe", ["A", "B"], ["B", "A"], id="price-set"),
        pytest.param("state.subscribe", ["A", "B"], ["B", "A", "A"], id="state-set"),
        pytest.param("today.subscribe", ["A", "B"], ["B", "A"], id="today-set"),
        pytest.param("deals.subscribe", ["A", "B"], ["B", "A"], id="deals-set"),
        pytest.param("order.subscribe", ["A", "B"], ["B", "A"], id="order-set"),
        pytest.param("asset.subscribe", ["A", "B"], ["B", "A"], id="asset-set"),
        pytest.param("asset.query", ["A", "B"], ["B", "A"], id="asset-query-set"),
        pytest.param("depth.subscribe", ["A", 5, "0.10"], ["A", 5, "0.1"], id="interval-by-value"),
        pytest.param("depth.subscribe", ["A", 5, "0"], ["A", 5, 0], id="csharp-sends-the-number-0"),
        pytest.param("depth.query", ["A", 5, "1e-8"], ["A", 5, "0.00000001"], id="interval-exponent"),
        pytest.param("depths.subscribe", [["A", 5, "0.10"]], [["A", 5, 0.1]], id="interval-in-a-list"),
        pytest.param("price.unsubscribe", ["A"], [], id="unsubscribe-ignores-params"),
        pytest.param("server.time", [1], [], id="time-ignores-params"),
        pytest.param("server.auth2", [1, 2, "web", "x"], [1, 3, "web", "y"], id="auth2-by-method"),
        pytest.param("server.sign", ["a", "b", 1], ["a", "c", 2], id="sign-by-method"),
        pytest.param("price.query", [1.50], [1.5], id="numbers-by-value"),
        pytest.param("no.such.method", {"b": 1, "a": 2}, {"a": 2, "b": 1}, id="member-order"),
    ],
)
def test_requests_that_ask_the_same_have_equal_keys(method: str, one: object, other: object) -> None:
    assert key(method, one) == key(method, other)


@pytest.mark.parametrize(
    ("method", "one", "other"),
    [
        pytest.param("kline.subscribe", ["A", 60], [60, "A"], id="kline-is-no-set"),
        pytest.param("depth.query", ["A", 5, "0.1"], ["A", 10, "0.1"], id="depth-limit"),
        pytest.param("depth.query", ["A", 5, "x"], ["A", 5, "y"], id="interval-that-is-no-number"),
        pytest.param("price.query", ["0.10"], ["0.1"], id="strings-are-not-numbers"),
        pytest.param("price.query", ["1"], [1], id="types-differ"),
        pytest.param("price.query", [2**64 + 1], [2**64 + 2], id="no-rounding"),
        pytest.param("price.query", [True], [1], id="true-is-not-1"),
        pytest.param("kline.query", ["A", 0, 60, 60.0], ["A", 0, 60, 60], id="a-real-is-no-integer"),
        pytest.param("depth.query", ["A", 5.0, "0"], ["A", 5, "0"], id="nor-is-a-depth"),
        pytest.param("server.auth", ["a", "b"], ["a", "c"], id="auth-by-its-tokens"),
        pytest.param("no.such.method", ["A"], ["B"], id="unknown-by-params"),
    ],
)
def test_requests_that_ask_something_else_have_other_keys(method: str, one: object, other: object) -> None:
    assert key(method, one) != key(method, other)


def test_spelling_member_order_and_unknown_members_do_not_change_a_key() -> None:
    spelled = b'{ "id":7,"params" :["EOSETH", 100,200 ,5], "x": 1, "method":"\\u006bline.query"}'
    assert read(spelled).key == key("kline.query", ["EOSETH", 100, 200, 5])


@pytest.mark.parametrize(
    "method",
    ["order.query", "order.subscribe", "order.unsubscribe", "asset.query", "asset.history", "balance.query"],
)
def test_a_private_request_has_another_key_after_logging_in(method: str) -> None:
    conversation = HOTBIT.conversation(correlate=False)
    before = client(conversation, a_call(method))
    client(conversation, a_call("server.auth", ["token", "token"]))
    after = client(conversation, a_call(method))
    assert before.key.removesuffix("before auth") == after.key.removesuffix("after auth")
    assert before.key != after.key


def test_a_public_request_has_the_same_key_after_logging_in() -> None:
    conversation = HOTBIT.conversation(correlate=False)
    before = client(conversation, a_call("price.query", ["A"])).key
    client(conversation, a_call("server.auth2", [1, 2, "web", "x"]))
    assert client(conversation, a_call("price.query", ["A"])).key == before


@pytest.mark.parametrize(
    ("method", "at_noon", "an_hour_later", "longer"),
    [
        pytest.param("kline.query", ["A", 100, 160, 5], ["A", 3700, 3760, 5], ["A", 0, 160, 5], id="kline"),
        pytest.param("order.history", ["A", 1, 2, 0, 50], ["A", 3, 4, 0, 50], ["A", 1, 9, 0, 50], id="order"),
        pytest.param(
            "asset.history", ["A", "b", 1, 2, 0], ["A", "b", 3, 4, 0], ["A", "b", 1, 9, 0], id="asset"
        ),
        pytest.param("kline.query", ["A", 0.5, 1.25, 5], ["A", 2, 2.75, 5], ["A", 2, 3, 5], id="fractions"),
    ],
)
def test_a_range_of_time_matches_exactly_then_by_its_length_then_anyhow(
    method: str, at_noon: object, an_hour_later: object, longer: object
) -> None:
    first, second, third = (read(a_call(method, params)) for params in (at_noon, an_hour_later, longer))
    assert len({first.key, second.key, third.key}) == 3
    assert [loose.without for loose in first.relaxed] == ["start", "start and end"]
    assert first.relaxed == second.relaxed
    assert first.relaxed[0] != third.relaxed[0]
    assert first.relaxed[1] == third.relaxed[1]


@pytest.mark.parametrize("params", [["A", "1", "2", 5], ["A", 1e30, 2e30, 5], ["A", None, 2, 5]])
def test_a_range_without_plain_numbers_has_no_length(params: object) -> None:
    assert [loose.without for loose in read(a_call("kline.query", params)).relaxed] == ["start and end"]


@pytest.mark.parametrize("params", [["A", 1], [], {}, None])
def test_a_range_that_is_incomplete_is_not_relaxed(params: object) -> None:
    assert read(a_call("kline.query", params)).relaxed == ()


def test_deals_are_asked_for_again_with_another_last_id() -> None:
    first, second = (read(a_call("deals.query", ["A", 5, last_id])) for last_id in (1, 27))
    assert first.key != second.key
    assert first.relaxed == second.relaxed
    assert first.relaxed[0].without == "last_id"


def test_three_requests_with_id_100_are_answered_in_turn_where_results_look_alike() -> None:
    conversation = HOTBIT.conversation()
    for seq in (10, 11, 12):
        client(conversation, a_call("price.query", ["A"], id=100), seq)
    assert [upstream(conversation, an_answer("8000.0", 100)).answers for _ in range(4)] == [10, 11, 12, None]


def test_among_equal_ids_the_oldest_request_is_answered_whose_result_looks_like_it() -> None:
    conversation = HOTBIT.conversation()
    requests = {
        "deals.query": [{"id": 26}],
        "depth.query": {"asks": None, "bids": []},
        "server.ping": "pong",
        "server.time": 1511941406,
        "price.subscribe": {"status": "success"},
        "today.query": {"last": "8000"},
        "price.query": "8000.00",
    }
    for seq, method in enumerate(requests):
        client(conversation, a_call(method, ["A"], id=100), seq)
    answered = [upstream(conversation, an_answer(result, 100)) for result in reversed(requests.values())]
    assert [reply.answers for reply in answered] == [6, 5, 4, 3, 2, 1, 0]
    assert [reply.method for reply in answered] == [*reversed(requests)]
    assert answered[4].role is Role.BACKGROUND
    assert {reply.role for reply in answered[:4]} == {Role.ANSWER}


@pytest.mark.parametrize(
    ("result", "error"),
    [
        pytest.param(None, {"code": 1, "message": "invalid argument"}, id="error"),
        pytest.param(None, None, id="null"),
        pytest.param([], None, id="a-shape-nobody-waits-for"),
    ],
)
def test_an_answer_that_fits_no_request_in_particular_goes_to_the_oldest(
    result: object, error: object
) -> None:
    conversation = HOTBIT.conversation()
    client(conversation, a_call("server.time"), 0)
    client(conversation, a_call("price.query", ["A"]), 1)
    assert upstream(conversation, an_answer(result, error=error)).answers == 0


@pytest.mark.parametrize(
    ("asked", "answered", "expected"),
    [
        pytest.param(0, 0, True, id="zero"),
        pytest.param(1, 1.0, True, id="by-value"),
        pytest.param(1, "1", False, id="by-type"),
        pytest.param("a", "a", True, id="string"),
        pytest.param(1, True, False, id="true-is-not-1"),
        pytest.param(2**63 + 1, 2**63 + 1, True, id="beyond-64-bits"),
        pytest.param(2**63 + 1, 2**63 + 2, False, id="no-rounding"),
        pytest.param([1], [1], True, id="list"),
    ],
)
def test_ids_are_compared_by_value_and_type(asked: object, answered: object, expected: bool) -> None:
    conversation = HOTBIT.conversation()
    client(conversation, a_call("server.time", id=asked), 3)
    assert (upstream(conversation, an_answer(1, answered)).answers == 3) is expected


@pytest.mark.parametrize("id_", [102, 100, 0, None, "x"])
def test_a_push_is_known_by_its_method_whatever_its_id(id_: object) -> None:
    conversation = HOTBIT.conversation()
    client(conversation, a_call("order.query", id=id_), 0)
    push = json.dumps({"method": "order.update", "params": [1, {}], "id": id_, "ts": 1623179097}).encode()
    assert upstream(conversation, push) == Reply(Role.PUSH, "order.update", stream="order")
    assert upstream(conversation, an_answer({}, id_)).answers == 0


@pytest.mark.parametrize(
    ("payload", "method"),
    [
        pytest.param(
            b'{"method": "notice.update", "params": [], "id": null}', "notice.update", id="unknown-push"
        ),
        pytest.param(b'{"method": 5, "id": 1}', "", id="method-that-is-no-string"),
        pytest.param(b'{"error": null, "result": "pong", "id": 77}', "", id="answer-to-nothing"),
        pytest.param(b'{"last": "8000"}', "", id="no-envelope"),
    ],
)
def test_what_answers_nothing_is_a_push_without_a_stream(payload: bytes, method: str) -> None:
    assert upstream(HOTBIT.conversation(), payload) == Reply(Role.PUSH, method)


def test_the_state_of_everything_is_pushed_into_the_stream_of_states() -> None:
    push = b'{"method": "state.updateall", "params": [], "id": 0}'
    assert upstream(HOTBIT.conversation(), push).stream == "state"


def test_a_request_without_a_method_is_still_answered_by_its_id() -> None:
    conversation = HOTBIT.conversation()
    request = client(conversation, b'{"params": [1], "id": 5}', 2)
    assert (request.role, request.method) == (Role.CALL, "")
    assert request.key != read(b'{"params": [2], "id": 5}').key
    assert upstream(conversation, an_answer(None, 5, {"code": 1})).answers == 2


@pytest.mark.parametrize(
    ("method", "params", "secret"),
    [
        pytest.param("server.auth", ["KEY", "SIGN"], ['"KEY"', '"SIGN"'], id="auth"),
        pytest.param("server.auth", ["KEY"], ['"KEY"'], id="auth-cut-short"),
        pytest.param("server.auth", [["KEY", "SIGN"]], ['["KEY", "SIGN"]'], id="auth-nested"),
        pytest.param("server.auth", {"api_key": "KEY"}, ['{"api_key": "KEY"}'], id="auth-by-name"),
        pytest.param("server.auth2", [5, 1700000000, "web", "SIGN"], ["5", '"SIGN"'], id="auth2"),
        pytest.param("server.sign", ["ID", "AUTH", 1700000000000], ['"ID"', '"AUTH"'], id="sign"),
        pytest.param("server.ping", ["x"], [], id="ping"),
        pytest.param("order.query", [["A"], 0, 50], [], id="order"),
    ],
)
def test_the_params_that_log_in_are_secret(method: str, params: object, secret: list[str]) -> None:
    payload = a_call(method, params)
    spans = HOTBIT.secrets(payload, from_client=True)
    assert [payload[start:end].decode() for start, end in spans] == secret


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b'{"method": "server.auth", "params": ["KEY", "SIGN"],}', id="trailing-comma"),
        pytest.param(b'{"method": "server.auth", "params": ["KEY", "SI', id="cut"),
        pytest.param(b'{"method": "server.sign", "params": ["KEY"], "id": NaN}', id="nan"),
        pytest.param(b'[{"method": "server.auth", "params": ["KEY"], "id": 1}]', id="batch"),
        pytest.param(b'{"method": "server.auth", "params": ["KEY"], "params": []}', id="params-twice"),
        pytest.param(
            b'{"method": "server.auth", "params": ["KEY"], "method": "server.ping"}', id="method-twice"
        ),
    ],
)
def test_a_login_that_cannot_be_read_is_secret_as_a_whole(payload: bytes) -> None:
    assert HOTBIT.secrets(payload, from_client=True) == [(0, len(payload))]


def test_what_a_login_has_besides_is_secret_too() -> None:
    payload = b'{"method": "server.auth", "api_key": "KEY", "params": ["A", "B", "C"], "id": 1}'
    spans = HOTBIT.secrets(payload, from_client=True)
    assert [payload[start:end] for start, end in spans] == [b'"KEY"', b'"A"', b'"B"', b'"C"']


def test_a_secret_is_found_behind_an_escaped_method() -> None:
    payload = b'{"id": 1, "method": "\\u0073erver.auth", "params": ["KEY", "SIGN"]}'
    assert len(HOTBIT.secrets(payload, from_client=True)) == 2


@pytest.mark.parametrize("payload", [b'{"server.auth": 1}', b'{"method": "server.auth"}', b"{", b"\\"])
def test_there_is_no_secret_where_nobody_logs_in(payload: bytes) -> None:
    assert HOTBIT.secrets(payload, from_client=True) == []


def test_the_upstream_sends_no_secrets() -> None:
    assert HOTBIT.secrets(a_call("server.auth", ["KEY", "SIGN"]), from_client=False) == []


@pytest.mark.parametrize(
    ("recorded", "live", "sent"),
    [
        pytest.param(
            b'{"result": {"id": 1},\n    "id": 100}',
            b'"x"',
            b'{"result": {"id": 1},\n    "id": "x"}',
            id="only-top-level",
        ),
        pytest.param(b'{"error": null}', b"5", b'{"error": null}', id="no-id"),
        pytest.param(b'{"id": 1}', None, b'{"id": 1}', id="no-live-id"),
        pytest.param(
            b'{"a": "\\"id\\": 5}", "id" : 5 }\n', b"7", b'{"a": "\\"id\\": 5}", "id" : 7 }\n', id="last"
        ),
        pytest.param(
            b'{"id": 5, "a": {"id": 5}}', b"7", b'{"id": 7, "a": {"id": 5}}', id="an-object-at-the-end"
        ),
        pytest.param(b'{"x\\"id": 5}', b"7", b'{"x\\"id": 5}', id="a-name-that-ends-like-it"),
        pytest.param(b'{"id": 1, "id": 5}', b"7", b'{"id": 1, "id": 7}', id="twice"),
        pytest.param(b'{"id": 1.50, "x": 1e5}', b"0", b'{"id": 0, "x": 1e5}', id="nothing-else-changes"),
    ],
)
def test_the_live_id_takes_the_place_of_the_recorded_one(
    recorded: bytes, live: bytes | None, sent: bytes
) -> None:
    assert HOTBIT.with_id(recorded, live) == sent


def test_a_refusal_is_spelled_as_the_server_spells_errors() -> None:
    refusal = HOTBIT.refusal(read(a_call("price.query", ["A"], id="q7")))
    assert refusal == b'{"error": {"code": 3, "message": "service unavailable"}, "result": null, "id": "q7"}'


def test_a_notice_is_never_refused() -> None:
    assert HOTBIT.refusal(read(b'{"method": "price.query", "params": []}')) is None


def test_a_ping_is_answered_by_a_pong_with_its_id() -> None:
    assert HOTBIT.background_answer(read(a_call("server.ping", id=0))) == (
        b'{"error": null, "result": "pong", "id": 0}'
    )
    assert HOTBIT.background_answer(read(a_call("server.time"))) is None


UNREADABLE = [
    pytest.param(b"", id="empty"),
    pytest.param(b"[1]", id="array"),
    pytest.param(b'{"id": 1', id="cut"),
    pytest.param(b'{"id": NaN}', id="nan"),
    pytest.param(b'{"id": "\xff"}', id="no-utf-8"),
    pytest.param(b'{"id": 1, "x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="deep"),
    pytest.param(b"\x1f\x8b\x08", id="gzip"),
]


@pytest.mark.parametrize("payload", UNREADABLE)
def test_what_cannot_be_read_is_opaque_both_ways(payload: bytes) -> None:
    conversation = HOTBIT.conversation()
    request = client(conversation, payload)
    assert (request.role, request.method, request.id_text) == (Role.OPAQUE, "", None)
    assert request.key != client(conversation, payload + b" ", 1).key
    assert upstream(conversation, payload) == Reply(Role.OPAQUE, "")


def test_numbers_of_any_length_are_read_and_not_rounded() -> None:
    digits = b"7" * 5000
    request = read(b'{"method": "price.query", "params": [%s], "id": %s}' % (digits, digits))
    assert (request.role, request.id_text) == (Role.CALL, digits)
    assert request.key != read(b'{"method": "price.query", "params": [%s8], "id": 1}' % digits[:-1]).key


def test_a_method_is_fit_to_print_and_to_store() -> None:
    request = read(b'{"method": "a\\u0000\\ud800\\n", "id": 1}')
    assert request.method.isprintable()
    assert request.method.isascii()


def test_long_keys_are_bounded_and_still_differ() -> None:
    one, other = (key("price.subscribe", ["A" * 100_000 + last]) for last in "xy")
    assert one != other
    assert len(one) < 400


def test_requests_that_nobody_answers_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hotbit, "Outstanding", partial(Outstanding, 3))
    conversation = HOTBIT.conversation()
    for seq in range(4):
        client(conversation, b'{"id": 1, "method": "server.time"}', seq)
    assert upstream(conversation, an_answer(1)).answers == 1


MESSAGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)
PAYLOAD = st.one_of(
    st.binary(max_size=60),
    st.builds(
        lambda members: json.dumps(members).encode(),
        st.fixed_dictionaries(
            {},
            optional={
                "method": MESSAGE | st.sampled_from([method.name for method in HOTBIT.methods()]),
                "params": MESSAGE,
                "id": MESSAGE,
                "result": MESSAGE,
                "error": MESSAGE,
            },
        ),
    ),
)


@given(st.lists(st.tuples(st.booleans(), PAYLOAD), max_size=12))
@example([(True, b'{"method":"\\u00a1"}')])
def test_no_message_of_a_peer_raises(messages: list[tuple[bool, bytes]]) -> None:
    conversation = HOTBIT.conversation()
    asked = set()
    for seq, (from_client, payload) in enumerate(messages):
        if from_client:
            request = client(conversation, payload, seq)
            asked.add(seq)
            assert request.key.isprintable()
            spans = HOTBIT.secrets(payload, from_client=True)
            assert spans == sorted(spans)
            HOTBIT.refusal(request)
            HOTBIT.background_answer(request)
        else:
            reply = upstream(conversation, payload)
            assert reply.answers is None or reply.answers in asked
            asked.discard(-1 if reply.answers is None else reply.answers)
            HOTBIT.with_id(payload, b"1")


def test_an_id_of_more_digits_than_python_reads_finds_its_request() -> None:
    conversation = HotbitProtocol().conversation()
    number = b"9" * 10_000
    conversation.client(b'{"method": "server.ping", "params": [], "id": ' + number + b"}", Opcode.TEXT, 3)

    reply = conversation.upstream(b'{"error": null, "result": "pong", "id": ' + number + b"}", Opcode.BINARY)

    assert reply.answers == 3
