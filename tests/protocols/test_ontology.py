"""What the Ontology node's messages mean, from what the node and its SDKs put on the wire."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiretape_protocols import ontology
from wiretape_protocols.adapter import Conversation, Reply, Request, Role
from wiretape_protocols.codecs import CodecKind
from wiretape_protocols.messages import Opcode
from wiretape_protocols.ontology import OntologyProtocol
from wiretape_protocols.ontology_errors import ERROR_CODES

ONTOLOGY = OntologyProtocol()

DOCUMENTED_ACTIONS = """
    heartbeat subscribe getconnectioncount getblocktxsbyheight getblockbyheight getblockbyhash
    getblockheight getblockhash gettransaction sendrawtransaction getstorage getbalance getcontract
    getsmartcodeeventbyheight getsmartcodeeventbyhash getblockheightbytxhash getmerkleproof
    getsessioncount getgasprice getallowance getunboundong getmempooltxstate getmempooltxcount
    getversion getnetworkid getgrantong
"""
UNDOCUMENTED = """
    getbalancev2 getallowancev2 getmempooltxhashlist
    Notify Log sendrawblock sendjsonblock sendblocktxhashs
"""
DOCUMENTED_CODES = (
    *(0, 41001, 41002, 41003, 41004, 42001, 42002, 43001, 43002, 43003, 44001, 44002, 44003),
    *(45001, 47001),
)
PYSDK_ID = 7157218555092573833
EARLY_ERROR = b'{"Action":"","Desc":"INVALID PARAMS","Error":42002,"Result":"","Version":"1.0.0"}'
SESSION_EXPIRED = b'{"Action":"","Desc":"SESSION EXPIRED","Error":41001,"Result":"","Version":"1.0.0"}'
ALL_OFF = (
    '{"ContractsFilter":null,"SubscribeEvent":false,"SubscribeJsonBlock":false,"SubscribeRawBlock":false,'
    '"SubscribeBlockTxHashs":false}'
)


def a_call(action: object, **members: object) -> bytes:
    return json.dumps({"Action": action, "Id": 1, "Version": "1.0.0"} | members).encode()


def an_answer(action: str, id_: object = 1, result: object = "", error: int = 0) -> bytes:
    members = {"Action": action, "Desc": "SUCCESS", "Error": error, "Id": id_, "Result": result}
    return json.dumps(members | {"Version": "1.0.0"}, separators=(",", ":")).encode()


def a_push(action: str) -> bytes:
    return b'{"Action":"%s","Desc":"SUCCESS","Error":0,"Result":{},"Version":"1.0.0"}' % action.encode()


def client(conversation: Conversation, payload: bytes, seq: int = 0) -> Request:
    return conversation.client(payload, Opcode.TEXT, seq)


def upstream(conversation: Conversation, payload: bytes) -> Reply:
    return conversation.upstream(payload, Opcode.TEXT)


def read(payload: bytes) -> Request:
    return client(ONTOLOGY.conversation(correlate=False), payload)


def key(action: str, **members: object) -> str:
    return read(a_call(action, **members)).key


def test_every_documented_action_is_in_the_table_and_marked_so() -> None:
    table = {action.name for action in ONTOLOGY.methods() if action.documented}
    assert table == set(DOCUMENTED_ACTIONS.split())
    assert len(table) == 26


def test_what_only_the_node_knows_is_in_the_table_and_marked_so() -> None:
    assert {action.name for action in ONTOLOGY.methods() if not action.documented} == set(
        UNDOCUMENTED.split()
    )


def test_every_documented_error_code_is_in_the_table() -> None:
    assert {code.code for code in ERROR_CODES if code.documented} == set(DOCUMENTED_CODES)
    assert len({code.code for code in ERROR_CODES}) == len(ERROR_CODES)


@pytest.mark.parametrize(
    ("code", "desc"),
    [(41001, "SESSION EXPIRED"), (44004, "UNKNOWN CONTRACT"), (47001, "SMARTCODE EXEC ERROR"), (45016, "")],
)
def test_an_error_code_has_the_text_that_the_node_sends(code: int, desc: str) -> None:
    assert {error.code: error.desc for error in ERROR_CODES}[code] == desc


def test_the_node_sends_plain_text() -> None:
    assert (ONTOLOGY.opcode, ONTOLOGY.codec.kind) == (Opcode.TEXT, CodecKind.IDENTITY)


@pytest.mark.parametrize(
    ("action", "one", "other"),
    [
        pytest.param("getblockhash", {"Height": 100}, {"Height": 100.9}, id="height-cut"),
        pytest.param("getblockhash", {"Height": 100}, {"Height": "100"}, id="height-string"),
        pytest.param("getblockbyheight", {"Height": 1}, {"Height": 1, "Raw": "0"}, id="raw-0-is-no-raw"),
        pytest.param("getblockbyheight", {"Height": 1, "Raw": 1}, {"Height": 1, "Raw": "1"}, id="raw-number"),
        pytest.param("getblockbyheight", {"Height": 1, "Raw": True}, {"Height": 1}, id="raw-true-is-no-raw"),
        pytest.param("gettransaction", {"Hash": "AB"}, {"Hash": "ab"}, id="hash-case"),
        pytest.param("getblockbyhash", {"Hash": "AB"}, {"Hash": "ab"}, id="block-hash-case"),
        pytest.param("getstorage", {"Hash": "a", "Key": "FF"}, {"Hash": "a", "Key": "ff"}, id="key-case"),
        pytest.param("getallowance", {"Asset": "ONT"}, {"Asset": "ont"}, id="asset-case"),
        pytest.param("getbalance", {"Addr": "A"}, {"Addr": "A", "Other": 1}, id="unknown-members"),
        pytest.param("getbalance", {"Addr": "A", "Id": 5}, {"Addr": "A", "Id": "x"}, id="id"),
        pytest.param("getversion", {"Version": "1.0.0"}, {"Version": "V1.0.0"}, id="version"),
        pytest.param("getblockhash", {}, {"Height": None}, id="null-is-absent"),
        pytest.param(
            "sendrawtransaction", {"Data": "FF"}, {"Data": "ff", "PreExec": 1}, id="number-1-broadcasts"
        ),
        pytest.param("sendrawtransaction", {"Data": "FF"}, {"Data": "ff", "PreExec": "0"}, id="string-0"),
        pytest.param(
            "subscribe",
            {"SubscribeEvent": True},
            {"SubscribeEvent": True, "SubscribeRawBlock": "true"},
            id="strings-switch-nothing",
        ),
        pytest.param("nosuch", {"B": 1.0, "A": [2]}, {"A": [2], "B": 1, "Id": "q"}, id="unknown-action"),
    ],
)
def test_requests_that_ask_the_same_have_equal_keys(
    action: str, one: dict[str, object], other: dict[str, object]
) -> None:
    assert key(action, **one) == key(action, **other)


@pytest.mark.parametrize(
    ("action", "one", "other"),
    [
        pytest.param("getblockhash", {"Height": 100}, {"Height": 101}, id="height"),
        pytest.param("getblockhash", {"Height": 100}, {"Height": "1e2"}, id="height-no-digits"),
        pytest.param("getblockhash", {"Height": 2**64}, {"Height": 2**64 + 1}, id="height-beyond-int64"),
        pytest.param("getblockhash", {"Height": True}, {"Height": 1}, id="height-true"),
        pytest.param("getblockbyheight", {"Height": 1}, {"Height": 1, "Raw": "1"}, id="raw"),
        pytest.param("getstorage", {"Hash": "A", "Key": "f"}, {"Hash": "a", "Key": "f"}, id="contract-case"),
        pytest.param("getbalance", {"Addr": "A"}, {"Addr": "a"}, id="address-case"),
        pytest.param(
            "getallowance", {"Asset": "ont", "From": "A"}, {"Asset": "ont", "To": "A"}, id="from-to"
        ),
        pytest.param(
            "sendrawtransaction", {"Data": "f", "PreExec": "1"}, {"Data": "f", "PreExec": 1}, id="trial"
        ),
        pytest.param("subscribe", {"SubscribeEvent": True}, {"SubscribeEvent": False}, id="switch"),
        pytest.param("subscribe", {"ContractsFilter": ["a"]}, {"ContractsFilter": ["b"]}, id="filter"),
        pytest.param("subscribe", {"ContractsFilter": ["a"]}, {"ConstractsFilter": ["a"]}, id="old-filter"),
        pytest.param("subscribe", {"ContractsFilter": []}, {}, id="empty-filter-is-one"),
        pytest.param("getbalance", {"Addr": 5}, {"Addr": 6}, id="refused-early"),
        pytest.param("nosuch", {"A": 1}, {"A": 2}, id="unknown-action"),
    ],
)
def test_requests_that_ask_something_else_have_other_keys(
    action: str, one: dict[str, object], other: dict[str, object]
) -> None:
    assert key(action, **one) != key(action, **other)


def test_both_names_of_the_filter_match_loosely() -> None:
    new, old = (
        read(a_call("subscribe", **{name: ["a"]})) for name in ("ContractsFilter", "ConstractsFilter")
    )
    assert new.relaxed == old.relaxed
    assert new.relaxed[0].without == "the spelling of ContractsFilter"
    assert read(a_call("subscribe", SubscribeEvent=True)).relaxed == ()


@pytest.mark.parametrize(
    ("members", "effects"),
    [
        pytest.param({}, True, id="absent"),
        pytest.param({"PreExec": 0}, True, id="number-0"),
        pytest.param({"PreExec": 1}, True, id="number-1-really-broadcasts"),
        pytest.param({"PreExec": "0"}, True, id="string-0"),
        pytest.param({"PreExec": "1"}, False, id="string-1"),
        pytest.param({"PreExec": True}, True, id="true"),
        pytest.param({"Hash": 5}, False, id="refused-before-it-is-sent"),
    ],
)
def test_a_transaction_changes_the_world_unless_it_is_a_trial(
    members: dict[str, object], effects: bool
) -> None:
    assert read(a_call("sendrawtransaction", Data="00", **members)).effects is effects


@pytest.mark.parametrize("action", sorted({*DOCUMENTED_ACTIONS.split(), "nosuch"} - {"sendrawtransaction"}))
def test_no_other_action_changes_the_world(action: str) -> None:
    assert not read(a_call(action)).effects


@pytest.mark.parametrize(
    ("members", "role", "opens", "closes"),
    [
        pytest.param({"SubscribeEvent": True}, Role.SUBSCRIBE, ("event",), (), id="event"),
        pytest.param({"SubscribeJsonBlock": True}, Role.SUBSCRIBE, ("jsonblock",), (), id="json"),
        pytest.param({"SubscribeBlockTxHashs": True}, Role.SUBSCRIBE, ("blocktxhashs",), (), id="hashes"),
        pytest.param({"SubscribeRawBlock": False}, Role.UNSUBSCRIBE, (), ("rawblock",), id="off"),
        pytest.param({"SubscribeEvent": False}, Role.UNSUBSCRIBE, (), (), id="off-already"),
        pytest.param(
            {"SubscribeEvent": True, "SubscribeRawBlock": False},
            Role.SUBSCRIBE,
            ("event",),
            ("rawblock",),
            id="both",
        ),
        pytest.param({}, Role.SUBSCRIBE, (), (), id="nothing"),
        pytest.param({"SubscribeRawBlock": "false"}, Role.SUBSCRIBE, (), (), id="string"),
        pytest.param({"ContractsFilter": []}, Role.SUBSCRIBE, (), (), id="filter-without-events"),
    ],
)
def test_subscribing_merges_into_what_is_subscribed(
    members: dict[str, object], role: Role, opens: tuple[str, ...], closes: tuple[str, ...]
) -> None:
    conversation = ONTOLOGY.conversation()
    client(conversation, a_call("subscribe", SubscribeRawBlock=True))
    request = client(conversation, a_call("subscribe", **members), 1)
    assert (request.role, request.opens, request.closes) == (role, opens, closes)


def test_a_new_filter_begins_the_events_again() -> None:
    conversation = ONTOLOGY.conversation()
    client(conversation, a_call("subscribe", SubscribeEvent=True))
    assert client(conversation, a_call("subscribe", ContractsFilter=["a"]), 1).opens == ("event",)


def test_a_refused_subscription_changes_nothing() -> None:
    conversation = ONTOLOGY.conversation()
    request = client(conversation, a_call("subscribe", SubscribeEvent=True, Hash=5))
    assert (request.role, request.opens) == (Role.CALL, ())
    assert client(conversation, a_call("heartbeat"), 1).key == key("heartbeat")


def test_a_heartbeat_is_matched_by_what_is_subscribed() -> None:
    conversation = ONTOLOGY.conversation()
    before = client(conversation, a_call("heartbeat"))
    client(conversation, a_call("subscribe", SubscribeEvent=True, ContractsFilter=["a"]), 1)
    after = client(conversation, a_call("heartbeat"), 2)
    client(conversation, a_call("subscribe", ConstractsFilter=["a"]), 3)
    older = client(conversation, a_call("heartbeat"), 4)
    assert (before.role, before.opens) == (Role.BACKGROUND, ())
    assert len({before.key, after.key, older.key}) == 3


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        pytest.param([], ALL_OFF, id="nothing"),
        pytest.param([{"SubscribeEvent": "true"}], ALL_OFF, id="string"),
        pytest.param([{"ConstractsFilter": ["a"]}], ALL_OFF, id="the-documents-filter-is-ignored"),
        pytest.param(
            [{"SubscribeEvent": True, "ContractsFilter": ["a", 5, "<é>"]}, {"SubscribeRawBlock": True}],
            '{"ContractsFilter":["a","\\u003cé\\u003e"],"SubscribeEvent":true,"SubscribeJsonBlock":false,'
            '"SubscribeRawBlock":true,"SubscribeBlockTxHashs":false}',
            id="merged",
        ),
        pytest.param(
            [
                {"SubscribeEvent": True, "ContractsFilter": ["a"]},
                {"SubscribeEvent": False, "ContractsFilter": []},
            ],
            ALL_OFF.replace("null", "[]"),
            id="off-again",
        ),
        pytest.param(
            [{"ContractsFilter": ["} x {", "a" * 5000]}],
            ALL_OFF.replace("null", f'["}} x {{","{"a" * 5000}"]'),
            id="a-long-filter",
        ),
    ],
)
def test_a_heartbeat_is_answered_with_what_is_subscribed(
    changes: list[dict[str, object]], result: str
) -> None:
    conversation = ONTOLOGY.conversation(correlate=False)
    for change in changes:
        client(conversation, a_call("subscribe", **change))
    answer = ONTOLOGY.background_answer(client(conversation, b'{"Action":"heartbeat","Id": "q1"}'))
    expected = '{"Action":"heartbeat","Desc":"SUCCESS","Error":0,"Id":"q1","Result":%s,"Version":"1.0.0"}'
    assert answer == (expected % result).encode()


@pytest.mark.parametrize("payload", [a_call("getversion"), a_call("heartbeat", Hash=5)])
def test_only_a_heartbeat_that_the_node_accepts_is_answered(payload: bytes) -> None:
    assert ONTOLOGY.background_answer(read(payload)) is None


def test_equal_ids_are_answered_in_order() -> None:
    conversation = ONTOLOGY.conversation()
    for seq in range(3):
        client(conversation, a_call("getbalance", Id=PYSDK_ID, Addr=f"A{seq}"), seq)
    rounded = an_answer("getbalance", 7157218555092574000)
    assert [upstream(conversation, rounded) for _ in range(4)] == [
        *(Reply(Role.ANSWER, "getbalance", answers=seq) for seq in range(3)),
        Reply(Role.PUSH, ""),
    ]


@pytest.mark.parametrize(
    ("sent", "came_back", "same"),
    [
        pytest.param(b"7157218555092573833", b"7157218555092574000", True, id="rounded"),
        pytest.param(b"1.0", b"1", True, id="spelling"),
        pytest.param(b"-0", b"0", True, id="minus-zero"),
        pytest.param(b"1" * 400, b"1" * 400, True, id="no-float-holds-it"),
        pytest.param(b"12345", b"12346", False, id="another-number"),
        pytest.param(b"5", b'"5"', False, id="type"),
        pytest.param(b'"a"', b'"a"', True, id="string"),
        pytest.param(b'{"a":[9007199254740993]}', b'{"a":[9007199254740992]}', True, id="object"),
        pytest.param(b"null", b"null", True, id="null"),
        pytest.param(b"true", b"true", True, id="true"),
    ],
)
def test_an_id_comes_back_through_a_float(sent: bytes, came_back: bytes, same: bool) -> None:
    conversation = ONTOLOGY.conversation()
    client(conversation, b'{"Action":"getversion","Id":"other"}', 0)
    client(conversation, b'{"Action":"getversion","Id":%s}' % sent, 1)
    answer = b'{"Action":"getversion","Desc":"SUCCESS","Error":0,"Id":%s,"Result":"","Version":"1.0.0"}'
    assert upstream(conversation, answer % came_back).answers == (1 if same else 0)


def test_a_request_without_an_id_is_answered_with_null() -> None:
    conversation = ONTOLOGY.conversation()
    client(conversation, b'{"Action":"getversion","Id":5}', 0)
    client(conversation, b'{"Action":"getversion"}', 1)
    assert upstream(conversation, an_answer("getversion", None)).answers == 1


def test_an_answer_without_an_id_is_told_by_its_action() -> None:
    conversation = ONTOLOGY.conversation()
    client(conversation, a_call("getversion", Id=5), 0)
    client(conversation, a_call("getblockheight", Id=6), 1)
    assert upstream(conversation, a_push("getblockheight")).answers == 1


def test_an_error_without_action_and_id_answers_the_oldest_request() -> None:
    conversation = ONTOLOGY.conversation()
    client(conversation, b"not json", 0)
    client(conversation, a_call("getbalance", Addr=5), 1)
    client(conversation, b'{"Id": 1}', 2)
    client(conversation, a_call("getversion"), 3)
    early = [upstream(conversation, EARLY_ERROR).answers for _ in range(3)]
    assert [*early, upstream(conversation, an_answer("getversion")).answers] == [0, 1, 2, 3]
    assert upstream(conversation, EARLY_ERROR) == Reply(Role.PUSH, "")


def test_an_error_with_action_and_id_answers_its_own_request() -> None:
    conversation = ONTOLOGY.conversation()
    client(conversation, a_call("getsmartcodeeventbyhash", Hash="a"), 0)
    assert upstream(conversation, an_answer("getsmartcodeeventbyhash", 1, "", 42001)).answers == 0


def test_the_end_of_a_session_answers_nothing() -> None:
    conversation = ONTOLOGY.conversation()
    client(conversation, a_call("getversion"), 0)
    assert upstream(conversation, SESSION_EXPIRED) == Reply(Role.PUSH, "")
    assert upstream(conversation, an_answer("getversion")).answers == 0


@pytest.mark.parametrize(
    "unanswered",
    [a_call("getblockbyhash", Id=0), a_call("getstorage", Id=0, Hash="a"), a_call("getversion", Id=0)],
)
def test_a_request_that_never_gets_an_answer_is_given_up_when_a_later_one_does(unanswered: bytes) -> None:
    conversation = ONTOLOGY.conversation()
    client(conversation, unanswered, 0)
    client(conversation, a_call("getversion", Id=5), 1)
    client(conversation, a_call("getnetworkid", Id=5), 2)
    assert upstream(conversation, an_answer("getversion", 5)).answers == 1
    assert upstream(conversation, EARLY_ERROR).answers == 2


def test_an_answer_that_fits_no_request_gives_up_none() -> None:
    conversation = ONTOLOGY.conversation()
    client(conversation, a_call("getversion", Id=5), 0)
    assert upstream(conversation, an_answer("getnetworkid", 5)) == Reply(Role.PUSH, "")
    assert upstream(conversation, an_answer("getversion", 5)).answers == 0


def test_the_answer_to_a_heartbeat_is_background() -> None:
    conversation = ONTOLOGY.conversation()
    client(conversation, a_call("heartbeat"), 0)
    assert upstream(conversation, an_answer("heartbeat")) == Reply(Role.BACKGROUND, "heartbeat", answers=0)


@pytest.mark.parametrize(
    ("action", "stream"),
    [("sendrawblock", "rawblock"), ("sendjsonblock", "jsonblock"), ("sendblocktxhashs", "blocktxhashs")],
)
def test_a_block_is_pushed_into_its_own_stream(action: str, stream: str) -> None:
    conversation = ONTOLOGY.conversation()
    client(conversation, a_call("getversion"), 0)
    assert upstream(conversation, a_push(action)) == Reply(Role.PUSH, action, stream=stream)
    assert upstream(conversation, an_answer("getversion")).answers == 0


@pytest.mark.parametrize("action", ["Notify", "Log"])
def test_an_event_belongs_to_no_stream_until_events_are_subscribed(action: str) -> None:
    conversation = ONTOLOGY.conversation()
    client(conversation, a_call("sendrawtransaction", Data="00"), 0)
    assert upstream(conversation, a_push(action)) == Reply(Role.PUSH, action)
    client(conversation, a_call("subscribe", SubscribeEvent=True), 1)
    assert upstream(conversation, a_push(action)) == Reply(Role.PUSH, action, stream="event")


@pytest.mark.parametrize("id_", [5, 7.5, "q", None, {"a": 1}, [1]])
def test_a_refusal_names_action_and_id_as_the_node_would(id_: object) -> None:
    refusal = ONTOLOGY.refusal(read(a_call("getblockhash", Id=id_, Height=5)))
    assert refusal == (
        b'{"Action":"getblockhash","Desc":"INTERNAL ERROR","Error":45001,"Id":%s,"Result":"","Version":"1.0.0"}'
        % json.dumps(id_).encode()
    )


def test_a_refusal_of_a_request_without_an_id_has_null() -> None:
    refusal = ONTOLOGY.refusal(read(b'{"Action":"getversion"}'))
    assert refusal is not None
    assert json.loads(refusal)["Id"] is None


@pytest.mark.parametrize(
    ("recorded", "live", "sent"),
    [
        pytest.param(
            b'{"Action":"x","Id":7157218555092574000,"Result":{"Id":1}}',
            b"7157218555092573833",
            b'{"Action":"x","Id":7157218555092573833,"Result":{"Id":1}}',
            id="only-top-level",
        ),
        pytest.param(b'{"Id":5}', b'"5"', b'{"Id":"5"}', id="in-the-live-type"),
        pytest.param(
            b'{"Action":"x","Desc":"SUCCESS","Error":0,"Id":5,"Result":"","Version":"1.0.0"}',
            b"7",
            b'{"Action":"x","Desc":"SUCCESS","Error":0,"Id":7,"Result":"","Version":"1.0.0"}',
            id="as-a-node-spells-it",
        ),
        pytest.param(
            b'{"Action":"x","Desc":"SUCCESS","Error":0,"Id":5,"Result":"","Id":6}',
            b"7",
            b'{"Action":"x","Desc":"SUCCESS","Error":0,"Id":5,"Result":"","Id":7}',
            id="twice",
        ),
        pytest.param(b'{"Id":5}', None, b'{"Id":null}', id="no-live-id"),
        pytest.param(EARLY_ERROR, b"5", EARLY_ERROR, id="no-id-to-replace"),
        pytest.param(
            b'{"Id":1,"Result":{"ConsensusData":18012644264110396442}}',
            b"2",
            b'{"Id":2,"Result":{"ConsensusData":18012644264110396442}}',
            id="nothing-is-rounded",
        ),
    ],
)
def test_the_live_id_takes_the_place_of_the_recorded_one(
    recorded: bytes, live: bytes | None, sent: bytes
) -> None:
    assert ONTOLOGY.with_id(recorded, live) == sent


def test_the_protocol_has_no_secrets() -> None:
    assert ONTOLOGY.secrets(a_call("sendrawtransaction", Data="00"), from_client=True) == []


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[1]", id="array"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"Action": "getversion", "Id": Infinity}', id="infinity"),
        pytest.param(b'{"Action": "\xff"}', id="no-utf-8"),
        pytest.param(b'{"Id":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="deep"),
    ],
)
def test_what_cannot_be_read_is_opaque_and_may_do_anything(payload: bytes) -> None:
    conversation = ONTOLOGY.conversation()
    request = client(conversation, payload)
    assert (request.role, request.method, request.effects) == (Role.OPAQUE, "", True)
    assert upstream(conversation, payload) == Reply(Role.OPAQUE, "")


def test_an_id_that_nests_deep_is_no_ones() -> None:
    conversation = ONTOLOGY.conversation()
    client(conversation, a_call("getversion"))
    nested = b"[" * 500 + b"]" * 500
    assert upstream(conversation, b'{"Action":"getversion","Id":%s}' % nested) == Reply(Role.PUSH, "")


def test_requests_that_nobody_answers_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ontology, "OUTSTANDING_LIMIT", 3)
    conversation = ONTOLOGY.conversation()
    for seq in range(4):
        client(conversation, b'{"Action":"getversion","Id":1}', seq)
    assert upstream(conversation, an_answer("getversion")).answers == 1


MESSAGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)
MEMBERS = (
    "Id",
    "Error",
    "Result",
    "Height",
    "Raw",
    "Hash",
    "Key",
    "PreExec",
    "Data",
    "ContractsFilter",
    "SubscribeEvent",
)
PAYLOAD = st.one_of(
    st.binary(max_size=60),
    st.builds(
        lambda members: json.dumps(members).encode(),
        st.fixed_dictionaries(
            {"Action": MESSAGE | st.sampled_from(["", *(action.name for action in ONTOLOGY.methods())])},
            optional=dict.fromkeys(MEMBERS, MESSAGE),
        ),
    ),
)


@given(st.lists(st.tuples(st.booleans(), PAYLOAD), max_size=12))
def test_no_message_of_a_peer_raises(messages: list[tuple[bool, bytes]]) -> None:
    conversation = ONTOLOGY.conversation()
    asked = set()
    for seq, (from_client, payload) in enumerate(messages):
        if from_client:
            request = client(conversation, payload, seq)
            asked.add(seq)
            refusal = ONTOLOGY.refusal(request)
            assert refusal is not None
            assert json.loads(refusal)["Error"] == 45001
            ONTOLOGY.background_answer(request)
        else:
            reply = upstream(conversation, payload)
            assert reply.answers is None or reply.answers in asked
            asked.discard(-1 if reply.answers is None else reply.answers)
            ONTOLOGY.with_id(payload, b"1")
