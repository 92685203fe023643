"""The last look: every kind of secret is found where it stands, and nothing of what recordings are full of."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from wiretape.text import message_object
from wiretape_protocols.secret_scan import Finding, scan
from wiretape_store import StoreReader

TOKEN = "wt-5bdcc146bf60754e6a042426089575c7"
# Made up for these tests; put together here, so that no scanner of repositories takes them for real.
PLANTED = {
    "aws-access-key": "AKIA" + "IOSFODNN7EXAMPLE",
    "github-token": "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a",
    "gitlab-token": "glpat-" + "xQ9vM2kLpR7sT4wYzA1b",
    "slack-token": "xoxb-" + "123456789012-abcdefABCDEF",
    "slack-webhook": "https://hooks.slack.com/" + "services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
    "stripe-key": "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "google-api-key": "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
    "openai-or-anthropic-key": "sk-" + "proj-" + "0123456789abcdefghij" * 2,
    "npm-token": "npm_" + "abcdefghijklmnopqrstuvwxyz0123456789",
    "telegram-bot-token": "1234567890:" + "AAabcdefghijklmnopqrstuvwxyz0123456",
    "jwt": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "private-key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "random-token": "q8FzK2vT7mXw0LrB5nYs9cHdJ4gPaE1u",
    "url-password": "wss://joe:" + "hunter2@ws.example/",
    "authorization": "Bearer " + "abc123def456ghi",
}
WIF = "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"  # the example of Bitcoin's wiki
NAMED = (
    '{"password": "hunter2x"}',
    '{"apiKey": "k3y-of-mine"}',
    '["X-Api-Key", "k3y-of-mine"]',
    '["Authorization", "Basic dXNlcjpwYXNz"]',
    '["Cookie", "session=4711-abcdef"]',
    "/ws?access_token=abcdefgh",
    '{"client_secret": "abcdefgh"}',
    '{"privateKey": "0x4c0883a69102937d6231471b5dbb6204fe512961708279f2a1c2"}',
    '{"token": "f3-R8kLm2Qx9Zt7Wp"}',
    '{"password":12345678}',
    '{"args":[{"passphrase":"correct horse"}]}',
    '{"mnemonic": "legal winner thank year wave sausage worth useful legal winner thank yellow"}',
    '{"seed phrase": "legal winner thank"}',
)


def rules(*lines: str, environment: dict[str, str] | None = None) -> list[str]:
    return [finding.rule for finding in scan(lines, environment or {})]


def wrapped(text: str) -> dict[str, str]:
    """A text as a tape or `show --json` may hold it."""
    payload = json.dumps({"params": [text], "id": 1})
    packed = base64.b64encode(gzip.compress(payload.encode())).decode()
    return {
        "plain": text,
        "member": payload,
        "payload": json.dumps({"seq": 1, "payload": payload}),
        "twice": json.dumps({"payload": json.dumps({"data": payload})}),
        "base64": json.dumps({"payload_base64": base64.b64encode(b"\xff" + payload.encode()).decode()}),
        "packed": json.dumps({"wire_base64": packed}),
    }


# What is in bytes is not searched for mere randomness, nor for words.
GUESSED = {"random-token", "authorization"}
PLACES = [
    (rule, place)
    for rule in PLANTED
    for place in wrapped("")
    if not (place in {"base64", "packed"} and rule in GUESSED)
]


@pytest.mark.parametrize(("rule", "place"), PLACES)
def test_a_planted_secret_is_found(rule: str, place: str) -> None:
    lines = ["{}", wrapped(PLANTED[rule])[place], "{}"]

    findings = scan(lines, {})

    assert (2, rule) in [(finding.line, finding.rule) for finding in findings]
    assert PLANTED[rule] not in repr(findings) + "".join(map(str, findings))


@pytest.mark.parametrize("line", NAMED)
def test_what_is_named_like_a_secret_is_one(line: str) -> None:
    assert "named-secret" in rules(line)
    assert "named-secret" in rules(json.dumps({"payload": line}))


def test_a_private_key_of_a_blockchain_is_told_by_its_checksum() -> None:
    assert rules(f'["{WIF}"]') == ["private-key"]
    assert rules(f'["{WIF[:-1]}K"]') == ["random-token"]


@pytest.mark.parametrize(
    "spell", [str, lambda text: json.dumps(text)[1:-1], lambda text: text.encode().hex()]
)
def test_the_value_of_a_variable_that_is_named_like_a_secret_is_found(spell: object) -> None:
    assert callable(spell)
    environment = {
        "HOTBIT_API_SECRET": 'p/"ss-wörd',
        "EDITOR": "emacs-29.1",
        "GPG_KEY_FILE": "/home/joe/key.asc",
    }
    line = f'{{"x": "{spell(environment["HOTBIT_API_SECRET"])}", "y": "emacs-29.1 /home/joe/key.asc"}}'

    assert scan([line.encode()], environment) == [Finding(1, "environment-variable", "HOTBIT_API_SECRET")]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(f'{{"method": "server.auth", "params": ["{TOKEN}", "{TOKEN}"]}}', id="tokens"),
        pytest.param(f'["Authorization", "Bearer {TOKEN}"]', id="token-of-a-header"),
        pytest.param(f'["Set-Cookie", "sid={TOKEN}; Path=/; HttpOnly"]', id="token-of-a-cookie"),
        pytest.param(f"wss://{TOKEN}:{TOKEN}@h/?token={TOKEN}", id="tokens-of-a-url"),
        pytest.param('{"password": "********", "secret": null, "apiKey": "<your key>"}', id="placeholders"),
        pytest.param(f'{{"password": "{TOKEN}", "passphrase": "<your own one>", "secret": 0}}', id="no-phrases"),
        pytest.param('["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="]', id="nonce"),
        pytest.param('["Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]', id="accept"),
        pytest.param('{"Key": "746f74616c537570706c79", "token": "0xdAC17F958D2ee523a2206206994597C13D831ec7"}', id="contract"),
        pytest.param('{"Hash": "%s"}' % ("0a1b2c3d" * 8), id="hash"),
        pytest.param('{"Addr": "AVRKWDig5TorzjCS5xphjgMnmdsT7KgsGD"}', id="address"),
        pytest.param(f'{{"SigData": ["{"Ab" * 64}"], "signature": "{"0aF9" * 32}"}}', id="signatures"),
        pytest.param(f'{{"payload_base64": "{base64.b64encode(bytes(range(256))).decode()}"}}', id="bytes"),
        pytest.param('{"id": "123e4567-e89b-12d3-a456-426614174000"}', id="uuid"),
        pytest.param('["WWW-Authenticate", "Basic realm=\\"a long realm of mine\\""]', id="challenge"),
        pytest.param('{"text": "bearer of good news, basic understanding"}', id="words"),
        pytest.param('{"market": "BTCUSDT", "sign": "positive", "session": "regular-trading"}', id="names"),
    ],
)  # fmt: skip
def test_what_messages_are_full_of_is_no_secret(line: str) -> None:
    assert scan([line, json.dumps({"payload": line})], {"A_TOKEN": "not-in-here-1"}) == []


@pytest.mark.parametrize("raw", [False, True])
def test_a_demo_recording_has_no_finding(raw: bool, demo_store: Path) -> None:
    with StoreReader(str(demo_store)) as reader:
        lines = [
            json.dumps(message_object(message, raw=raw), ensure_ascii=False)
            for session in reader.sessions()
            for message in reader.messages(session.id)
        ]
        lines += [
            json.dumps([s.handshake.request_headers, s.handshake.response_headers]) for s in reader.sessions()
        ]

    assert len(lines) > 200
    assert scan(lines, {"DEMO_SECRET": "not-in-the-demo-4711"}) == []


def test_lines_are_counted_over_blocks_and_each_finding_once() -> None:
    lines = ["{}\n"] * 600 + [f"{PLANTED['jwt']} {PLANTED['jwt']}\n"]

    assert scan(lines, {}) == [Finding(601, "jwt", "")]
    assert str(scan(lines, {})[0]) == "line 601: jwt"


HAR_LINE = '{"type": "receive", "time": 1600000000.000000, "opcode": 2, "data": "%s"}'


def deflated(text: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(text) + deflater.flush()


PACKERS = [pytest.param(gzip.compress, id="gzip"), pytest.param(zlib.compress, id="zlib"), deflated]


@pytest.mark.parametrize("pack", PACKERS)
@pytest.mark.parametrize("line", [HAR_LINE, '{"x": "%s"}', '{"token": "%s"}', "1,%s,2"])
def test_packed_bytes_are_judged_by_what_they_unpack_to(pack: Callable[[bytes], bytes], line: str) -> None:
    texts = [b'{"id": %d, "result": "some plain words, and not so few"}' % number for number in range(500)]
    encoded = [base64.b64encode(pack(text)).decode() for text in texts]

    # Raw deflate begins like anything: where a name says secret, it is refused.
    is_doubtful = pack is deflated and "token" in line
    assert {each.rule for each in scan([line % each for each in encoded], {})} == (
        {"named-secret"} if is_doubtful else set()
    )


@pytest.mark.parametrize("pack", PACKERS[:2])
@pytest.mark.parametrize("line", [HAR_LINE, '{"x": "%s"}', "1,%s,2"])
def test_a_secret_in_packed_bytes_is_found(pack: Callable[[bytes], bytes], line: str) -> None:
    packed = pack(json.dumps({"x": PLANTED["aws-access-key"]}).encode())

    assert rules(line % base64.b64encode(packed).decode()) == ["aws-access-key"]


def test_a_member_data_elsewhere_is_no_message_of_a_har() -> None:
    random = PLANTED["random-token"]

    assert rules(f'{{"json": {{"opcode": 2, "data": "{random}"}}}}') == ["random-token"]
