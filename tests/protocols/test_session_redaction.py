"""One connection's redaction: rules, what was learned, and the same result at recording and at replay."""

import base64
import gzip
import json
import re
import zlib
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiretape_protocols import Opcode, RedactionRule, Redactor, SessionRedaction, protocol_named, rules_of
from wiretape_protocols.tokens import BLIND_TOKEN, is_token

KEY = b"the key of one store"
SECRET = 'p/a"ss wörd 123'
ALL_ESCAPED = "".join(f"\\u{ord(char):04x}" for char in SECRET)
MIXED_HEX = "".join(digits.upper() if at % 2 else digits for at, digits in enumerate(SECRET.encode().hex()))
AUTH = b'{"method": "server.auth", "params": ["my-api-key", "0A1B2C3D4E5F"], "id": 1}'


def a_session(
    *rules: RedactionRule,
    protocol: str = "hotbit",
    key: bytes = KEY,
    environment: dict[str, str] | None = None,
) -> SessionRedaction:
    return SessionRedaction(protocol_named(protocol), Redactor(key, rules, environment or {"SECRET": SECRET}))


def sent(session: SessionRedaction, payload: bytes) -> bytes:
    """A client's message as it is stored."""
    redacted = session.client(payload, Opcode.TEXT)
    return payload if redacted is None else redacted


def came(session: SessionRedaction, payload: bytes) -> bytes:
    """An upstream's message as it is stored; nothing was asked for before."""
    reading = protocol_named("hotbit").conversation()
    redacted, _ = session.upstream(payload, Opcode.TEXT, reading)
    return payload if redacted is None else redacted


def tok(secret: str) -> str:
    return Redactor(KEY).token(secret.encode()).decode()


def test_a_member_of_a_clients_message_is_replaced_for_its_method_alone() -> None:
    session = a_session(*rules_of(["sendrawtransaction:/Data"]), protocol="ontology")
    raw = b'{"Action":"%s","Data":"00d1ef","Id":7}'

    assert sent(session, raw % b"sendrawtransaction") == (
        b'{"Action":"sendrawtransaction","Data":"%s","Id":7}' % tok("00d1ef").encode()
    )
    assert sent(session, raw % b"getblockheight") == raw % b"getblockheight"


def test_a_member_of_a_push_and_of_an_answer_is_replaced() -> None:
    session = a_session(*rules_of(["asset.*:/params/*/*/available", "*:/x/*/pin"]))
    push = b'{"method": "asset.update", "params": [{"BTC": {"available": "1.5", "freeze": "0"}}], "id": null}'

    assert came(session, push) == push.replace(b"1.5", tok("1.5").encode())
    nested = b'{"result": 1, "x": [{"pin": "12"}, {"pin": "34"}, {"pin": null}]}'
    assert json.loads(came(session, nested))["x"] == [{"pin": tok("12")}, {"pin": tok("34")}, {"pin": None}]


def test_the_method_of_an_answer_is_that_of_its_call() -> None:
    session = a_session(*rules_of(["balance.query:/result/total"]))
    conversation = protocol_named("hotbit").conversation()
    call = b'{"method": "balance.query", "params": [], "id": 5}'
    assert session.client(call, Opcode.TEXT) is None
    conversation.client(call, Opcode.TEXT, 0)

    answer = b'{"error": null, "result": {"total": "77.5"}, "id": 5}'
    redacted, reply = session.upstream(answer, Opcode.TEXT, conversation)

    assert redacted == answer.replace(b"77.5", tok("77.5").encode())
    assert (reply.method, reply.answers) == ("balance.query", 0)


def test_a_message_that_cannot_be_read_is_hidden_whole_where_a_rule_could_mean_it() -> None:
    session = a_session(*rules_of(["sendrawtransaction:/Data"]), protocol="ontology")
    broken = b'{"Action":"sendrawtransaction","Data":"00d1ef\xff"}'

    assert sent(session, broken) == b'"%s"' % Redactor(KEY).token(broken)
    escaped = rb'{"Action":"sendrawtransaction","\u0044ata":"00d1ef"'
    assert sent(session, escaped) == b'"%s"' % Redactor(KEY).token(escaped)
    assert sent(session, b'{"Action":"getversion\xff"}') == b'{"Action":"getversion\xff"}'


@pytest.mark.parametrize(
    "spelled",
    [
        pytest.param(json.dumps(SECRET), id="json"),
        pytest.param(json.dumps(SECRET, ensure_ascii=False), id="json-in-utf-8"),
        pytest.param(json.dumps(SECRET).replace("/", "\\/"), id="escaped-slash"),
        pytest.param(json.dumps(json.dumps(SECRET)), id="json-in-json"),
        pytest.param('"' + "".join(f"\\u{ord(char):04x}" for char in SECRET) + '"', id="all-escaped"),
        pytest.param(f'"?a={quote(SECRET, safe="")}&b"', id="percent"),
        pytest.param(f'"?a={quote(SECRET).lower()}&b"', id="percent-in-lower-case"),
        pytest.param(f'"?a={quote(SECRET, safe=" ").replace(" ", "+")}&b"', id="form"),
        pytest.param(f'"{SECRET.encode().hex()}"', id="hexadecimal"),
        pytest.param(f'"{base64.b64encode(SECRET.encode()).decode()}"', id="base64"),
        pytest.param(f'"{base64.b64encode(b"user:" + SECRET.encode()).decode()}"', id="basic-credentials"),
        pytest.param(f'"{base64.urlsafe_b64encode(b"xy" + SECRET.encode()).decode()}"', id="base64-of-urls"),
        pytest.param(f'"{quote(ALL_ESCAPED)}"', id="escaped-in-percent"),
        pytest.param('"' + quote("".join(f"%{byte:02x}" for byte in SECRET.encode())) + '"', id="percent-twice"),
        pytest.param(f'"{MIXED_HEX}"', id="hexadecimal-in-both-cases"),
        pytest.param(json.dumps(base64.b64encode(json.dumps({"k": SECRET}).encode()).decode()), id="base64-of-json"),
        pytest.param(json.dumps(base64.b64encode(b"before it, " + SECRET.encode()).decode()[:21] + "\r\n"
            + base64.b64encode(b"before it, " + SECRET.encode()).decode()[21:]), id="base64-in-lines"),
    ],
)  # fmt: skip
def test_the_value_of_a_variable_is_found_in_every_spelling(spelled: str) -> None:
    session = a_session(*rules_of(variables=["SECRET"]))
    payload = b'{"method": "price.query", "params": [%s], "id": 1}' % spelled.encode()

    redacted = sent(session, payload)

    assert tok(SECRET).encode() in redacted
    assert json.loads(redacted)["id"] == 1
    assert sent(session, redacted) == redacted


def test_a_broken_line_of_base64_is_replaced_where_it_stands() -> None:
    session = a_session(*rules_of(variables=["SECRET"]))
    # Two bytes before it, so that it ends where a group of base64 does.
    encoded = base64.b64encode(b"xy" + SECRET.encode())

    assert session.text(encoded[:9] + b"\n" + encoded[9:18] + b"\n" + encoded[18:] + b"\nEnd") == (
        encoded[:3] + tok(SECRET).encode() + b"\nEnd"
    )


def test_a_value_that_stands_as_a_number_leaves_json_behind() -> None:
    session = a_session(*rules_of(variables=["UID"]), environment={"UID": "123456"})
    payload = b'{"method": "server.auth2", "params": [123456, 1234567, "x123456"], "id": 1, "uid": [123456]}'

    redacted = json.loads(came(session, payload))

    assert redacted["params"] == [tok("123456"), tok("1234567"), "x" + tok("123456")]
    assert redacted["uid"] == [tok("123456")]


def test_digits_of_an_escape_are_no_value() -> None:
    session = a_session(*rules_of(variables=["PIN"], patterns=["0 x"]), environment={"PIN": "0012"})

    assert sent(session, rb'{"a": "\u0012"}') == rb'{"a": "\u0012"}'
    # What a pattern cuts in the middle goes as a whole.
    assert json.loads(sent(session, rb'{"a": "\u0000 x"}'))["a"].startswith("wt-")


def test_a_pattern_replaces_its_groups_or_all_of_it() -> None:
    session = a_session(*rules_of(patterns=["acct-[0-9]+", 'pin=([0-9]+)|name=(?P<n>"[^"]*")']))

    assert (
        sent(session, b"acct-12 pin=34 acct- pin=x")
        == (f"{tok('acct-12')} pin={tok('34')} acct- pin=x").encode()
    )
    assert (
        sent(session, 'name="é" acct-1'.encode())
        == f"name={tok(chr(34) + 'é' + chr(34))} {tok('acct-1')}".encode()
    )


def test_a_pattern_that_hides_the_method_does_not_hide_the_login_from_its_adapter() -> None:
    session = a_session(*rules_of(patterns=["server.auth", "params[^a-z]+m"]))

    redacted = sent(session, AUTH)

    assert b"my-api-key" not in redacted
    assert b"y-api-key" not in redacted
    assert b"0A1B2C3D4E5F" not in redacted


def test_a_pattern_that_never_comes_to_an_end_makes_one_token_of_the_message() -> None:
    # Each round makes a token of the last x, and so the one before it the last.
    session = a_session(*rules_of(patterns=["x(?=wt-|$)"]))

    redacted = sent(session, b"x" * 40)

    assert is_token(redacted)
    assert session.replayed(redacted, Opcode.TEXT) == redacted


@given(
    st.text(alphabet='ab1{}[]":,\\/% wt-0', max_size=60),
    st.lists(
        st.sampled_from(["a", "b+", "[a1]{2}", "(a)b", "a(.)", ".{3}", '"[^"]*"', "w", "0+$", "^."]),
        max_size=3,
    ),
)
def test_what_is_stored_stays_as_it_is_at_replay(text: str, patterns: list[str]) -> None:
    rules = rules_of(["*:/*"], patterns=patterns, variables=["V"])
    recorded = sent(a_session(*rules, environment={"V": "ab1"}), text.encode())
    live = a_session(*rules, environment={"V": "ab1"})
    loaded = a_session(*rules, environment={"V": "ab1"})

    assert live.replayed(text.encode(), Opcode.TEXT) == recorded
    assert loaded.replayed(recorded, Opcode.TEXT) == recorded


@given(st.dictionaries(st.sampled_from("abcd"), st.text(max_size=12) | st.integers() | st.none(), max_size=4))
def test_redacting_keeps_json_json(members: dict[str, object]) -> None:
    session = a_session(*rules_of(["*:/a"], variables=["V"]), environment={"V": "12"})

    redacted = json.loads(sent(session, json.dumps(members).encode()))

    assert redacted.keys() == members.keys()
    for name, value in redacted.items():
        assert "12" not in re.sub("wt-[0-9a-f]{32}", "", str(value)), name


def test_what_a_login_sent_is_found_in_whatever_comes_back() -> None:
    session = a_session()
    sent(session, AUTH)

    push = came(session, b'{"method": "news", "params": ["hello my-api-key", "0A1B2C3D4E5F"], "id": null}')

    assert json.loads(push)["params"] == [f"hello {tok('my-api-key')}", tok("0A1B2C3D4E5F")]
    assert session.text(b"bye my-api-key") == f"bye {tok('my-api-key')}".encode()
    assert session.text(b"\x89\x00 my-api-key") == b"\x89\x00 " + tok("my-api-key").encode()


def test_what_a_handshake_had_is_found_in_messages_where_it_can_be_told_from_words() -> None:
    session = a_session()
    session.learn_handshake(
        "/ws?token=tok3n-of-mine&key=BTCUSDT",
        [
            ("Authorization", "Bearer bearer-77x"),
            ("Proxy-Authorization", "Basic " + base64.b64encode(b"joe:pa55word!").decode()),
            ("Cookie", "view=BTC_USDT_1m; session=4711-abcdef; lang=en"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ],
    )

    for secret in ("tok3n-of-mine", "bearer-77x", "pa55word!", "4711-abcdef"):
        assert sent(session, f'{{"x": "a {secret}"}}'.encode()) == f'{{"x": "a {tok(secret)}"}}'.encode()
    for word in ("BTCUSDT", "BTC_USDT_1m", "joe", "en", "dGhlIHNhbXBsZSBub25jZQ=="):
        assert sent(session, word.encode()) == word.encode()


def test_only_the_newest_secrets_of_messages_are_kept() -> None:
    session = a_session()
    for number in range(40):
        sent(session, b'{"method": "server.auth", "params": ["secret-%d", "s"], "id": 1}' % number)

    assert session.text(b"secret-39") == tok("secret-39").encode()
    assert session.text(b"secret-0 ") == b"secret-0 "
    assert len(session.learned) <= 64


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(gzip.compress(SECRET.encode()) + gzip.compress(b"more"), id="two-members"),
        pytest.param(gzip.compress(b"first") + gzip.compress(SECRET.encode()), id="in-the-second-member"),
        pytest.param(gzip.compress(SECRET.encode() + b"x" * 1000)[:-3], id="cut-short"),
        pytest.param(zlib.compress(SECRET.encode() * 50) + b"trailing", id="zlib-with-more-after-it"),
    ],
)
def test_bytes_that_do_not_unpack_are_hidden_whole_where_they_hold_a_secret(wire: bytes) -> None:
    session = a_session(*rules_of(variables=["SECRET"]))

    assert came(session, wire) == Redactor(KEY).token(wire)
    harmless = gzip.compress(b"nothing") + b"trailing"
    assert came(session, harmless) == harmless


def test_without_the_key_every_secret_is_alike() -> None:
    rules = rules_of(["login:/pin"], variables=["SECRET"])
    recorded = b'{"method": "login", "pin": "%s", "note": "%s"}' % (tok("1").encode(), tok("2").encode())
    live = json.dumps({"method": "login", "pin": "live", "note": SECRET}).encode()

    compared = a_session(*rules, protocol="json", key=b"").replayed(recorded, Opcode.TEXT)

    assert compared == a_session(*rules, protocol="json", key=b"").replayed(live, Opcode.TEXT)
    assert compared.count(BLIND_TOKEN) == 2


def test_a_login_that_nobody_has_seen_yet_is_hidden() -> None:
    session = a_session()
    payload = b'{"method": "server.auth3", "params": ["key", {"sign": "x"}], "id": 1}'

    assert json.loads(sent(session, payload))["params"].startswith("wt-")


def test_a_variable_that_is_not_set_is_said_and_not_looked_for() -> None:
    redactor = Redactor(KEY, rules_of(variables=["GONE", "SECRET"]), {"SECRET": SECRET})

    assert redactor.unset == ("GONE",)
    assert redactor.text(b"GONE") == b"GONE"


def test_rules_reach_headers_targets_and_urls() -> None:
    rules = rules_of(headers=["X-Account"], patterns=["acct-[0-9]+"], variables=["SECRET"])
    redactor = Redactor(KEY, rules, {"SECRET": SECRET})

    assert redactor.headers(
        [
            ("x-account", "mine"),
            ("X-Note", "acct-1!"),
            ("Sec-WebSocket-Key", "acct-1"),
            ("Referer", f"http://h/?q={quote(SECRET)}"),
        ]
    ) == (
        ("x-account", tok("mine")),
        ("X-Note", tok("acct-1") + "!"),
        ("Sec-WebSocket-Key", "acct-1"),
        ("Referer", f"http://h/?q={tok(SECRET)}"),
    )
    assert redactor.headers([("X-Note", SECRET.encode().decode("latin-1"))]) == (("X-Note", tok(SECRET)),)
    assert (
        redactor.target(f"/acct-1/{quote(SECRET)}?x=acct-2")
        == f"/{tok('acct-1')}/{tok(SECRET)}?x={tok('acct-2')}"
    )
    assert redactor.url("ws://acct-7.example/") == f"ws://{tok('acct-7')}.example/"


@pytest.mark.parametrize(
    "segment",
    [
        "0123456789abcdef0123456789abcdef",
        "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1",
        "oKxs-03sijUkN_N0iOlrSsZFr29-Iqbu",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    ],
)
def test_a_key_in_a_path_is_replaced(segment: str) -> None:
    redactor = Redactor(KEY)

    target = redactor.target(f"/ws/v3/{segment}?x=1")

    assert target == f"/ws/v3/{tok(segment)}?x=1"
    assert redactor.target(target) == target
    assert redactor.url(f"wss://h/{segment}") == f"wss://h/{tok(segment)}"


@pytest.mark.parametrize(
    "target",
    [
        "/ws/btcusdt@kline_1m/ethusdt@aggTrade",
        "/api/some-very-long-descriptive-path-of-2024/v2",
        "/v1.2.3/stream",
    ],
)
def test_a_path_of_words_stays(target: str) -> None:
    assert Redactor(KEY).target(target) == target
