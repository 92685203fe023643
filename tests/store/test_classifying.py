"""What is kept of a session: every part of it without its secrets, and room for what replaced them."""

import gzip
import json
import zlib

import pytest

from wiretape_protocols import Opcode, Redactor, decode, protocol_named, rules_of
from wiretape_store import Classifier, End, EndKind, Event, EventKind, Handshake

REDACTOR = Redactor(
    b"k" * 32, rules_of(["news:/params/pin"], ["X-Mine"], ["acct-[0-9]+"], ["V"]), {"V": "va/lue-77"}
)
HANDSHAKE = Handshake(
    "/ws?token=query-77aa",
    (("Authorization", "Bearer bearer-77"), ("X-Mine", "mine-4711")),
    403,
    (("Set-Cookie", "session=cookie-4711"), ("X-Note", "acct-5")),
)


def tok(secret: str) -> str:
    return REDACTOR.token(secret.encode()).decode()


def a_classifier() -> Classifier:
    classifier = Classifier(protocol_named("json"), REDACTOR)
    classifier.handshake(HANDSHAKE)
    return classifier


def test_a_handshake_keeps_no_secret() -> None:
    classifier = Classifier(protocol_named("json"), REDACTOR)

    assert classifier.handshake(HANDSHAKE) == Handshake(
        f"/ws?token={tok('query-77aa')}",
        (("Authorization", f"Bearer {tok('bearer-77')}"), ("X-Mine", tok("mine-4711"))),
        403,
        (("Set-Cookie", f"session={tok('cookie-4711')}"), ("X-Note", tok("acct-5"))),
    )


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, zlib.compress], ids=["plain", "gzip", "deflate of HTTP"]
)
def test_the_body_of_a_refusal_keeps_no_secret_and_its_coding(pack: object) -> None:
    assert callable(pack)
    body = b"bearer-77 of mine-4711: va/lue-77 acct-1, cookie-4711"

    kept = Classifier(protocol_named("json"), REDACTOR).handshake(
        Handshake(HANDSHAKE.target, HANDSHAKE.request_headers, 403, HANDSHAKE.response_headers, pack(body))
    )

    expected = (
        f"{tok('bearer-77')} of {tok('mine-4711')}: {tok('va/lue-77')} {tok('acct-1')}, {tok('cookie-4711')}"
    )
    assert decode(kept.body).payload == expected.encode()
    assert decode(kept.body).codec.kind is decode(pack(body)).codec.kind


def test_a_body_that_breaks_off_is_hidden_whole() -> None:
    body = gzip.compress(b"va/lue-77" + bytes(range(256)) * 9)[:-20]

    kept = a_classifier().handshake(Handshake("/", (), 403, (), body))

    assert kept.body == REDACTOR.token(body)


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, zlib.compress, lambda data: zlib.compress(data, wbits=-15)]
)
def test_a_payload_is_looked_into_whatever_it_is_packed_with(pack: object) -> None:
    assert callable(pack)
    payload = json.dumps({"method": "news", "params": {"pin": "1", "x": "va/lue-77 bearer-77 " * 3}}).encode()

    new = a_classifier().message(pack(payload), Opcode.BINARY, from_client=False, at_us=0)

    again = f"{tok('va/lue-77')} {tok('bearer-77')} " * 3
    assert new.redacted is not None
    assert json.loads(new.redacted) == {"method": "news", "params": {"pin": tok("1"), "x": again}}
    assert new.method == "news"


@pytest.mark.parametrize("payload", [b'{"a": 1}', b'{"a": "bearer-77"}'])
def test_a_gzip_header_keeps_no_secret(payload: bytes) -> None:
    classifier = a_classifier()
    plain = gzip.compress(payload, mtime=0)
    named = plain[:3] + b"\x08" + plain[4:10] + b"bearer-77" + b"\0" + plain[10:]
    assert decode(named).payload == payload

    message = classifier.message(named, Opcode.BINARY, from_client=False, at_us=0)

    assert (message.decoded.codec.header, message.decoded.codec.exact) == (b"", False)
    assert message.redacted == payload.replace(b"bearer-77", tok("bearer-77").encode())


def test_events_and_ends_keep_no_secret_and_fit_their_frames() -> None:
    classifier = a_classifier()
    classifier.message(b"{}", Opcode.TEXT, from_client=True, at_us=0)
    long = b"va/lue-77 " * 12

    ping = classifier.event(Event(-1, 5, True, EventKind.PING, b"acct-1"))
    full = classifier.event(Event(-1, 5, True, EventKind.PONG, long))
    close = classifier.event(Event(-1, 5, True, EventKind.CLOSE, b"\x03\xe8" + long))
    end = classifier.end(End(EndKind.CLOSED, True, 1000, long.decode()))
    gone = classifier.end(End(EndKind.UNREACHABLE, reason="no route to va/lue-77"))

    assert (ping.data, ping.after_seq) == (tok("acct-1").encode(), 0)
    assert full.data.startswith(tok("va/lue-77").encode() + b" ")
    assert (len(full.data), len(close.data)) == (125, 125)
    assert close.data[:2] == b"\x03\xe8"
    assert end.reason == close.data[2:].decode()
    assert gone.reason == f"no route to {tok('va/lue-77')}"


def test_what_has_no_secret_is_the_very_same() -> None:
    classifier = a_classifier()
    event = Event(-1, 0, True, EventKind.PING, b"x" * 125)
    end = End(EndKind.CLOSED, True, 1000, "done")

    assert classifier.event(event).data is event.data
    assert classifier.end(end) is end
    assert classifier.message(b'{"a": 1}', Opcode.TEXT, from_client=True, at_us=0).redacted is None
