"""Loading: sessions by upstream and number, scripts on demand, live secrets as tokens."""

import json
from collections.abc import Iterator

import pytest
from replay_builders import a_session, messages

from wiretape_protocols import Redactor
from wiretape_replay import NothingToReplayError, Pace, SettingError, load_recording
from wiretape_store.records import Message, Session, Upstream

KEY = b"k" * 32


class FakeReader:
    """A store with these sessions, that counts what is read."""

    def __init__(self, *sessions: Session) -> None:
        self.redaction_key = KEY
        self.read: list[str] = []
        self._sessions = list(sessions)

    def sessions(self, what: str) -> list[Session]:
        return self._sessions

    def messages(self, session_id: str) -> Iterator[Message]:
        self.read.append(session_id)
        return iter(messages(("< push a",)))


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
    redacted = json.loads(replayed.redact(live))
    token = Redactor(KEY).token
    assert redacted["params"] == [token(b"key").decode(), token(b"sign").decode()]
    assert replayed.redact(b'{"method": "server.ping", "params": [], "id": 1}').endswith(b'"id": 1}')


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


@pytest.mark.parametrize("text", ["", "fast", "x", "x0", "x-1", "10", "step"])
def test_a_pace_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="is not known: use asap"):
        Pace.parse(text)
