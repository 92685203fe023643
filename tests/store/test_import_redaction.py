"""Keys and rules of recordings: kept with them, used on what is imported, told to who replays."""

from pathlib import Path

import pytest
from store_builders import HANDSHAKE, HOTBIT, START_US, a_writer, begin, query, read

from wiretape_protocols import Opcode, Redactor, RuleError
from wiretape_protocols.tokens import BLIND_TOKEN
from wiretape_store import (
    End,
    EndKind,
    Event,
    EventKind,
    IncomingMessage,
    IncomingRecording,
    IncomingSession,
    StoreReader,
    UnknownRecordingError,
    import_recording,
)

AUTH = b'{"method": "server.auth", "params": ["api-key-1", "sign-1234"], "id": 1}'


def incoming(
    *payloads: bytes, rules: tuple[str, ...] = (), key: bytes | None = None, name: str = "theirs"
) -> IncomingRecording:
    items: list[IncomingMessage | Event] = [
        IncomingMessage(from_client=True, opcode=Opcode.TEXT, at_us=seq, wire=payload)
        for seq, payload in enumerate(payloads)
    ]
    items.append(Event(0, 9, False, EventKind.CLOSE, b"\x03\xe8bye api-key-1 v4lue-77"))
    end = End(EndKind.CLOSED, False, 1000, "bye api-key-1 v4lue-77")
    session = IncomingSession("hotbit", START_US, HANDSHAKE, items, START_US + 10, end)
    return IncomingRecording(name, START_US, START_US + 10, (HOTBIT,), [session], rules, key)


def test_what_is_imported_loses_its_secrets_by_adapter_rule_and_variable(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    rules = ("member:price.query:/params/0", "env:V")
    price = b'{"method": "price.query", "params": ["BTC", "v4lue-77"], "id": 2}'

    with a_writer(store) as writer:
        import_recording(writer, incoming(AUTH, price, rules=rules), environment={"V": "v4lue-77"})
        token = Redactor(writer.redaction_key).token

    auth, asked = read(store)
    assert auth.payload == AUTH.replace(b"api-key-1", token(b"api-key-1")).replace(
        b"sign-1234", token(b"sign-1234")
    )
    assert asked.payload == price.replace(b"BTC", token(b"BTC")).replace(b"v4lue-77", token(b"v4lue-77"))
    with StoreReader(str(store)) as reader:
        (event,) = reader.events("s1")
        (session,) = reader.sessions("theirs")
        assert reader.redaction("theirs").rules == rules
    assert session.end.reason == f"bye {token(b'api-key-1').decode()} {token(b'v4lue-77').decode()}"
    assert event.data == b"\x03\xe8" + session.end.reason.encode()


def test_tokens_of_nobody_knows_whom_stay_and_new_secrets_get_the_one_that_says_nothing(
    tmp_path: Path,
) -> None:
    store = tmp_path / "a.db"
    token = b"wt-" + b"5" * 32
    mixed = b'{"method": "server.auth", "params": ["%s", "sign-1234"], "id": 1}' % token

    with a_writer(store) as writer:
        import_recording(writer, incoming(mixed, key=b""))

    (message,) = read(store)
    assert message.payload == mixed.replace(b"sign-1234", BLIND_TOKEN)
    with StoreReader(str(store)) as reader:
        assert reader.redaction("theirs").key == b""


def test_a_recording_of_its_own_key_is_imported_under_that(tmp_path: Path) -> None:
    store = tmp_path / "a.db"

    with a_writer(store) as writer:
        import_recording(writer, incoming(AUTH, key=b"their key"))

    assert Redactor(b"their key").token(b"sign-1234") in read(store)[0].payload


def test_a_reader_tells_key_and_rules_of_a_recording_and_of_its_sessions(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    with a_writer(store) as writer:
        begin(writer, "ours")
        import_recording(writer, incoming(AUTH, key=b"their key", rules=("header:X-Mine",)))
        key = writer.redaction_key

    with StoreReader(str(store)) as reader:
        assert [reader.redaction(what).key for what in ("ours", "r1", "s1")] == [key] * 3
        assert [reader.redaction(what).key for what in ("theirs", "r2", "s2")] == [b"their key"] * 3
        assert reader.redaction("s2").rules == ("header:X-Mine",)
        with pytest.raises(UnknownRecordingError):
            reader.redaction("nobody's")


def test_a_recording_with_a_rule_that_nobody_knows_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    with a_writer(store) as writer, pytest.raises(RuleError, match="this version does not know it"):
        import_recording(writer, incoming(AUTH, rules=("xpath://a",)))

    assert query(store, "select count(*) from recording") == [(0,)]
