"""Loading: sessions by upstream and number, scripts on demand, live secrets as tokens."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from replay_builders import a_session, messages

from wiretape_protocols import Opcode, Redactor
from wiretape_replay import (
    NothingToReplayError,
    Pace,
    Reconnect,
    ReplaySettings,
    Run,
    SettingError,
    load_recording,
)
from wiretape_store import StoreReader, StoreWriter, UnknownRecordingError, UpstreamSpec
from wiretape_store.records import (
    End,
    EndKind,
    Handshake,
    Message,
    Recording,
    Redaction,
    Session,
    Upstream,
)

KEY = b"k" * 32


class FakeReader:
    """A store with these sessions, that counts what is read."""

    def __init__(
        self,
        *sessions: Session,
        key: bytes = KEY,
        rules: tuple[str, ...] = (),
        lines: tuple[str, ...] = ("< push a",),
    ) -> None:
        self.read: list[str] = []
        self._sessions = list(sessions)
        self._redaction = Redaction(key, rules)
        self._lines = lines

    def redaction(self, what: str) -> Redaction:
        return self._redaction

    def recording(self, what: str) -> Recording:
        raise UnknownRecordingError("here", what, [])

    def sessions(self, what: str) -> list[Session]:
        return self._sessions

    def messages(self, session_id: str) -> Iterator[Message]:
        self.read.append(session_id)
        return iter(messages(self._lines))


def upstream(name: str, number: int) -> Upstream:
    return Upstream(number, name, "hotbit", f"wss://{name}", "127.0.0.1:0")


def test_sessions_are_grouped_by_upstream_and_ordered_by_number() -> None:
    one, two = upstream("one", 1), upstream("two", 2)
    sessions = (
        a_session(number=1, upstream=two),
        a_session(number=1, upstream=one),
        a_session(number=0, upstream=two),
        a_session(number=0, upstream=one),
    )
    recording = load_recording(FakeReader(*sessions), "fixture")
    found = [(up.upstream.name, [session.number for session in up.sessions]) for up in recording.upstreams]
    assert found == [("one", [0, 1]), ("two", [0, 1])]


def test_a_session_is_read_once_and_only_when_it_is_played() -> None:
    reader = FakeReader(
        a_session(upstream=upstream("one", 1)), a_session(number=1, upstream=upstream("one", 1))
    )
    (replayed,) = load_recording(reader, "fixture").upstreams
    assert reader.read == []
    assert replayed.script(1) is replayed.script(1)
    assert reader.read == ["s2"]


def test_a_live_secret_becomes_the_recorded_token() -> None:
    (replayed,) = load_recording(FakeReader(a_session(upstream=upstream("one", 1))), "fixture").upstreams
    live = json.dumps({"method": "server.auth", "params": ["key", "sign"], "id": 1}).encode()
    redact = replayed.redaction("/", ())
    redacted = json.loads(redact(live, Opcode.TEXT))
    token = Redactor(KEY).token
    assert redacted["params"] == [token(b"key").decode(), token(b"sign").decode()]
    assert redact(b'{"method": "server.ping", "params": [], "id": 1}', Opcode.TEXT).endswith(b'"id": 1}')


RULES = ("member:order.query:/params/0", "regex:acct-[0-9]+", "env:V")
LIVE = b'{"method": "order.query", "params": ["BTC", "acct-1", "v4lue-77", "tok3n-77"], "id": 1}'


def test_rules_and_the_handshake_make_tokens_of_live_messages() -> None:
    reader = FakeReader(a_session(upstream=upstream("one", 1)), rules=RULES)
    recording = load_recording(reader, "fixture", {"V": "v4lue-77"})
    redact = recording.upstreams[0].redaction("/?token=tok3n-77", ())

    redacted = json.loads(redact(LIVE, Opcode.TEXT))

    secrets = (b"BTC", b"acct-1", b"v4lue-77", b"tok3n-77")
    assert redacted["params"] == [Redactor(KEY).token(secret).decode() for secret in secrets]
    assert recording.doubts == ()
    assert recording.upstreams[0].redact_target("/acct-1") == "/" + Redactor(KEY).token(b"acct-1").decode()


def test_each_connection_knows_its_own_secrets_alone() -> None:
    (replayed,) = load_recording(FakeReader(a_session(upstream=upstream("one", 1))), "fixture").upstreams
    first, second = replayed.redaction("/?token=tok3n-77", ()), replayed.redaction("/", ())

    assert first(LIVE, Opcode.TEXT) != LIVE
    assert second(LIVE, Opcode.TEXT) == LIVE


def test_a_variable_that_is_not_set_is_told_with_what_it_means() -> None:
    reader = FakeReader(a_session(upstream=upstream("one", 1)), rules=RULES)

    (doubt,) = load_recording(reader, "fixture", {}).doubts

    assert doubt.startswith("V is not set: messages with the value that it had at recording will not match")


def test_without_a_key_any_secret_matches_any_recorded_one() -> None:
    tokens = ["wt-" + digit * 32 for digit in "1234"]
    recorded = json.dumps({"method": "order.query", "params": tokens, "id": 1})
    lines = (f"> {recorded}", '< {"token": "' + tokens[0] + '"}')
    target = a_session(upstream=upstream("one", 1))
    reader = FakeReader(target, key=b"", rules=RULES, lines=lines)
    (replayed,) = load_recording(reader, "fixture", {"V": "v4lue-77"}).upstreams

    script = replayed.script(0)
    live = replayed.redaction("/?token=tok3n-77", ())(LIVE, Opcode.TEXT)

    assert script.requests[0].payload == live
    assert tokens[0].encode() in script.message(0)[1], "what the upstream sent is sent as it is stored"
    assert replayed.redact_target(f"/?token={tokens[1]}") == replayed.redact_target("/?token=tok3n-77")


def test_what_was_recorded_before_a_secret_was_known_matches_all_the_same() -> None:
    lines = (f"> {LIVE.decode()}",)
    reader = FakeReader(a_session(upstream=upstream("one", 1)), rules=RULES, lines=lines)
    (replayed,) = load_recording(reader, "fixture", {"V": "v4lue-77"}).upstreams

    assert replayed.script(0).requests[0].payload == replayed.redaction("/", ())(LIVE, Opcode.TEXT) != LIVE


def test_a_recording_without_sessions_is_refused() -> None:
    with pytest.raises(NothingToReplayError, match="empty holds no session"):
        load_recording(FakeReader(), "empty")


@pytest.mark.parametrize(
    ("text", "factor", "written"),
    [
        ("asap", None, "asap"),
        ("realtime", 1.0, "realtime"),
        ("x1", 1.0, "realtime"),
        ("x10", 10.0, "x10"),
        ("x0.5", 0.5, "x0.5"),
    ],
)
def test_a_pace_is_read_and_written(text: str, factor: float | None, written: str) -> None:
    assert Pace.parse(text).factor == factor
    assert str(Pace.parse(text)) == written


@pytest.mark.parametrize("text", ["", "fast", "x", "x0", "x-1", "10", "steps"])
def test_a_pace_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="is not known: use asap"):
        Pace.parse(text)


def test_an_upstream_that_nobody_came_to_is_stood_in_for_as_well(tmp_path: Path) -> None:
    store = str(tmp_path / "s.db")
    with StoreWriter(store, clock_us=lambda: 0) as writer:
        specs = [
            UpstreamSpec(name, "opaque", f"ws://{name}.example", "127.0.0.1:0") for name in ("up", "idle")
        ]
        begun = writer.begin_recording("fixture", specs)
        session = writer.begin_session(begun.upstreams[0].id, 0, Handshake("/", (), 101))
        writer.end_session(session, 10, End(EndKind.CLOSED, from_client=True, code=1000))
    with StoreReader(store) as reader:
        recording = load_recording(reader, "fixture")
        assert [(each.upstream.name, len(each.sessions)) for each in recording.upstreams] == [
            ("up", 1),
            ("idle", 0),
        ]
        assert [each.upstream.name for each in load_recording(reader, "s1").upstreams] == ["up"]
        for reconnect in Reconnect:
            run = Run(recording, ReplaySettings(reconnect=reconnect))
            assert run.stands[1].admit("/").session is None
            assert run.stands[1].verdict().ok
        recording.close()
