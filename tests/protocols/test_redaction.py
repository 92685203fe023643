"""Redaction: no secret stays, what is no secret stays as it was, and doing it twice changes nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiretape_protocols.json_spans import element_spans, value_span
from wiretape_protocols.redaction import Redactor

REDACTOR = Redactor(b"the key of one store")
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
RANDOM = "q8FzK2vT7mXw0LrB5nYs9cHdJ4gPaE1u"


def tok(secret: str) -> str:
    return REDACTOR.token(secret.encode()).decode()


def redacted(name: str, value: str) -> str:
    ((kept, new),) = REDACTOR.headers([(name, value)])
    assert kept == name
    assert REDACTOR.headers([(name, new)]) == ((name, new),)
    return new


def test_a_token_is_the_start_of_an_hmac() -> None:
    # RFC 4231 section 4.3, test case 2.
    token = Redactor(b"Jefe").token(b"what do ya want for nothing?")

    assert token == b"wt-5bdcc146bf60754e6a042426089575c7"


@given(st.binary(), st.binary())
def test_equal_secrets_and_no_others_have_equal_tokens(one: bytes, other: bytes) -> None:
    assert (REDACTOR.token(one) == REDACTOR.token(other)) == (one == other)
    assert Redactor(b"the key of one store").token(one) == REDACTOR.token(one)


@given(st.binary())
def test_another_key_makes_another_token(secret: bytes) -> None:
    assert Redactor(b"the key of another store").token(secret) != REDACTOR.token(secret)


@given(st.binary())
def test_a_token_is_its_own_token(secret: bytes) -> None:
    token = REDACTOR.token(secret)

    assert REDACTOR.token(token) == token


@pytest.mark.parametrize(
    "secret", ["wt-", "wt-" + "0" * 31, "wt-" + "0" * 33, "wt-" + "G" * 32, "wt-" + "A" * 32]
)
def test_what_only_looks_like_a_token_is_a_secret(secret: str) -> None:
    assert tok(secret) != secret


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        pytest.param('"abc"', "abc", id="string"),
        pytest.param('"\\u0061bc"', "abc", id="escaped-string"),
        pytest.param('""', "", id="empty-string"),
        pytest.param('"\\"\\n\\\\"', '"\n\\', id="string-with-escapes"),
        pytest.param('"é"', "é", id="utf-8"),
        pytest.param('"\\u00e9"', "é", id="the-same-escaped"),
        pytest.param("123", "123", id="number"),
        pytest.param("null", "null", id="null"),
        pytest.param('{"a": [1]}', '{"a": [1]}', id="object"),
        pytest.param('"broken', '"broken', id="no-json-at-all"),
    ],
)
def test_a_value_becomes_the_token_of_what_it_says(value: str, secret: str) -> None:
    payload = f'{{"k" : {value} }}'.encode()
    start = payload.index(value.encode())

    new = REDACTOR.payload(payload, [(start, start + len(value.encode()))])

    assert new == f'{{"k" : "{tok(secret)}" }}'.encode()


def test_a_lone_surrogate_is_a_secret_too() -> None:
    assert json.loads(REDACTOR.payload(b'"\\ud800"', [(0, 8)])) == REDACTOR.token(b"\xed\xa0\x80").decode()


@given(st.lists(st.text() | st.integers() | st.none() | st.lists(st.text()), max_size=5), st.booleans())
def test_a_payload_redacted_twice_is_one_redacted_once(values: list[object], plain: bool) -> None:
    text = json.dumps({"params": values, "id": 1}, ensure_ascii=not plain).encode()
    params = value_span(text, ("params",)) or (0, 0)

    once = REDACTOR.payload(text, element_spans(text, params))
    again = REDACTOR.payload(once, element_spans(once, value_span(once, ("params",)) or (0, 0)))

    assert again == once
    expected = [
        tok(value if isinstance(value, str) else json.dumps(value, ensure_ascii=not plain))
        for value in values
    ]
    assert json.loads(once) == {"params": expected, "id": 1}


def test_a_payload_without_secrets_is_untouched() -> None:
    assert REDACTOR.payload(b"\xff not json", []) == b"\xff not json"


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        pytest.param("Authorization", "Bearer abc", f"Bearer {tok('abc')}", id="bearer"),
        pytest.param("authorization", "Basic  dXNlcjpw ", f"Basic  {tok('dXNlcjpw')} ", id="margins"),
        pytest.param("Authorization", "abc", tok("abc"), id="no-scheme"),
        pytest.param(
            "Proxy-Authorization", 'Digest a="b", c="d"', f"Digest {tok('a="b", c="d"')}", id="digest"
        ),
        pytest.param("Cookie", "a=1; b=x=y", f"a={tok('1')}; b={tok('x=y')}", id="cookies"),
        pytest.param("Cookie", "a=; flag", f"a=; {tok('flag')}", id="cookie-without-a-value"),
        pytest.param("Set-Cookie", "a=1; Path=/; Secure", f"a={tok('1')}; Path=/; Secure", id="set-cookie"),
        pytest.param("X-Api-Key", "abc", tok("abc"), id="api-key"),
        pytest.param("X-Auth-Token", "abc", tok("abc"), id="auth-token"),
        pytest.param("X-MBX-APIKEY", "abc", tok("abc"), id="exchange-key"),
        pytest.param("OK-ACCESS-SIGN", "abc", tok("abc"), id="exchange-sign"),
        pytest.param("X-Auth-Token", "", "", id="nothing"),
        pytest.param("X-Auth-Token", "\udce9", REDACTOR.token(b"\xed\xb3\xa9").decode(), id="not-utf-8"),
    ],
)
def test_a_header_field_loses_its_secret(name: str, value: str, kept: str) -> None:
    assert redacted(name, value) == kept


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Host", "ws.example:443"),
        ("Origin", "https://example"),
        ("User-Agent", "Bearer of news"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
        ("WWW-Authenticate", 'Basic realm="x"'),
        ("Author", "me"),
        ("X-Design", "keyboard monkey"),
    ],
)
def test_other_header_fields_stay(name: str, value: str) -> None:
    assert redacted(name, value) == value


@pytest.mark.parametrize(
    "value",
    [
        "chat",
        "chat, gzip",
        " chat ,gzip",
        "",
        "graphql-transport-ws, graphql-ws",
        "v12.stomp, v11.stomp",
        "ocpp1.6, ocpp2.0.1",
        "wamp.2.json.batched",
        "v5.channel.k8s.io",
        "actioncable-v1-json, actioncable-unsupported",
        "v1.session.auth.example.com, chat",
        "urn-of-a-rather-long-subprotocol-name-version-2",
        "com.example.a-key-value-protocol, chat",
    ],
)
def test_subprotocols_that_are_names_stay(value: str) -> None:
    assert redacted("Sec-WebSocket-Protocol", value) == value


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        pytest.param(f"chat, {JWT}", f"chat, {tok(JWT)}", id="jwt"),
        pytest.param(f"chat, {RANDOM}", f"chat, {tok(RANDOM)}", id="random"),
        pytest.param("chat," + "0a" * 16, "chat," + tok("0a" * 16), id="hexadecimal"),
        pytest.param("Bearer, abc", f"Bearer, {tok('abc')}", id="announced"),
        pytest.param(
            "access_token, abc, chat", f"access_token, {tok('abc')}, chat", id="announced-before-a-name"
        ),
        pytest.param("bearer, token, abc", f"bearer, {tok('token')}, {tok('abc')}", id="announced-twice"),
        pytest.param(f"bearer.{JWT}", f"bearer.{tok(JWT)}", id="jwt-after-a-point"),
        pytest.param(
            "base64url.bearer.authorization.k8s.io.c2VjcmV0LXRva2Vu, base64.binary.k8s.io",
            f"base64url.bearer.authorization.k8s.io.{tok('c2VjcmV0LXRva2Vu')}, base64.binary.k8s.io",
            id="kubernetes",
        ),
    ],
)
def test_a_credential_among_subprotocols_is_replaced(value: str, kept: str) -> None:
    assert redacted("Sec-WebSocket-Protocol", value) == kept


def test_fields_keep_their_order_and_repeat() -> None:
    fields = [("Host", "h"), ("COOKIE", "a=1"), ("Host", "h"), ("cookie", "a=1")]

    assert REDACTOR.headers(fields) == (
        ("Host", "h"),
        ("COOKIE", f"a={tok('1')}"),
        ("Host", "h"),
        ("cookie", f"a={tok('1')}"),
    )


NAMES = (
    "token access_token accessToken ACCESS-TOKEN api_key apikey key listenKey secret sign signature password passwd "
    "auth session sessionid jwt pass%77ord X-Amz-Signature client[secret] authtoken PHPSESSID"
)


@pytest.mark.parametrize("name", NAMES.split())
def test_a_parameter_with_the_name_of_a_secret_loses_its_value(name: str) -> None:
    target = REDACTOR.target(f"/ws?a=1&{name}=s%65cret&b=%7e")

    assert target == f"/ws?a=1&{name}={tok('secret')}&b=%7e"
    assert REDACTOR.target(target) == target


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "*",
        "",
        "/token=abc/key",
        "/a&token=x",
        "/?",
        "/?a=b&&c",
        "/?design=1&author=2&keyboard=3&tokens=4&turkey=5",
        "/?token",
        "/?token=",
        "/?a=%zz%e9&é=+",
        "/?a=token=b",
        "/?a;b;c=d#e",
    ],
)
def test_every_other_target_stays_byte_for_byte(target: str) -> None:
    assert REDACTOR.target(target) == target


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        pytest.param("/?token=a+b", f"/?token={tok('a+b')}", id="plus-is-a-plus"),
        pytest.param("/?token=a%2Bb", f"/?token={tok('a+b')}", id="and-so-when-quoted"),
        pytest.param("/?token=a=b==", f"/?token={tok('a=b==')}", id="equals-in-the-value"),
        pytest.param("/?token=a;b&c=1", f"/?token={tok('a;b')}&c=1", id="semicolon-in-the-value"),
        pytest.param("/?c=1;token=a", f"/?c=1;token={tok('a')}", id="semicolon-before-the-name"),
        pytest.param("/?c;token=a", f"/?c;token={tok('a')}", id="semicolon-after-a-name-alone"),
        pytest.param("/?token=a&token=b", f"/?token={tok('a')}&token={tok('b')}", id="twice"),
        pytest.param("/?a=/?&token=b", f"/?a=/?&token={tok('b')}", id="second-question-mark"),
        pytest.param("/?a=1#token=b", f"/?a=1#token={tok('b')}", id="fragment"),
        pytest.param("/?token=a#b", f"/?token={tok('a')}#b", id="before-a-fragment"),
        pytest.param("/?token=%FF", f"/?token={REDACTOR.token(b'\xff').decode()}", id="not-utf-8"),
        pytest.param(
            "/?\udce9=1&token=\udce9",
            f"/?\udce9=1&token={REDACTOR.token(b'\xed\xb3\xa9').decode()}",
            id="surrogates",
        ),
    ],
)
def test_a_target_loses_its_secrets(target: str, kept: str) -> None:
    assert REDACTOR.target(target) == kept
    assert REDACTOR.target(kept) == kept


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        pytest.param("ws://h:1/p?a=1", "ws://h:1/p?a=1", id="nothing-secret"),
        pytest.param("wss://h/?token=a", f"wss://h/?token={tok('a')}", id="parameter"),
        pytest.param("ws://u:p@h:1/p", f"ws://{tok('u')}:{tok('p')}@h:1/p", id="user-and-password"),
        pytest.param("ws://u@h", f"ws://{tok('u')}@h", id="user-alone"),
        pytest.param("ws://:p@h", f"ws://:{tok('p')}@h", id="password-alone"),
        pytest.param("ws://u:p%40:q@h", f"ws://{tok('u')}:{tok('p@:q')}@h", id="quoted-password"),
        pytest.param("ws://u:p@q@h", f"ws://{tok('u')}:{tok('p@q')}@h", id="password-with-an-at-sign"),
        pytest.param("ws://h/u:p@q", "ws://h/u:p@q", id="at-sign-in-the-path"),
        pytest.param("ws://h?m=u:p@q", "ws://h?m=u:p@q", id="at-sign-in-the-query"),
        pytest.param("ws://u:p@h?key=k", f"ws://{tok('u')}:{tok('p')}@h?key={tok('k')}", id="both"),
        pytest.param("not a url", "not a url", id="not-a-url"),
    ],
)
def test_a_url_loses_its_credentials(url: str, kept: str) -> None:
    assert REDACTOR.url(url) == kept
    assert REDACTOR.url(kept) == kept


@given(
    st.text(alphabet="ab?&;#=%wt-@:/.,eyJ 0", max_size=40),
    st.sampled_from(["", "/?token=", "ws://", "key;auth="]),
)
def test_whatever_is_redacted_once_is_redacted(text: str, start: str) -> None:
    target, url = REDACTOR.target(start + text), REDACTOR.url(start + text)

    assert REDACTOR.target(target) == target
    assert REDACTOR.url(url) == url
    for name in ("Authorization", "Cookie", "Set-Cookie", "Sec-WebSocket-Protocol", "X-Api-Key"):
        redacted(name, start + text)


def test_equal_secrets_are_equal_wherever_they_stand() -> None:
    token = tok("s3cret")

    assert REDACTOR.payload(b'["s3cret"]', [(1, 9)]) == f'["{token}"]'.encode()
    assert redacted("Authorization", "Bearer s3cret") == f"Bearer {token}"
    assert redacted("Cookie", "a=s3cret") == f"a={token}"
    assert REDACTOR.target("/?key=s3cret") == f"/?key={token}"
    assert REDACTOR.url("ws://s3cret@h/") == f"ws://{token}@h/"
