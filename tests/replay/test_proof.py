"""Playing a recording against its own replay, again and again."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from replay_builders import a_handshake, a_session, an_upstream, messages

from wiretape_replay.player import Manner
from wiretape_replay.proof import verify_recording
from wiretape_replay.verification import RunFound
from wiretape_store.errors import UnknownRecordingError
from wiretape_store.records import End, EndKind, Message, Recording, Redaction, Session

CLOSED = End(EndKind.CLOSED, from_client=False, code=4001, reason="bye")
EOF = End(EndKind.EOF, from_client=False)


class ChangingReader:
    """A store whose messages are others from the second reading of a session on: those that replay reads."""

    def __init__(self, session: Session, *readings: list[Message]) -> None:
        self._session = session
        self._readings = list(readings)

    def redaction(self, what: str) -> Redaction:
        return Redaction(b"k" * 32, ())

    def recording(self, what: str) -> Recording:
        raise UnknownRecordingError("here", what, [])

    def sessions(self, what: str) -> list[Session]:
        return [self._session]

    def messages(self, session_id: str) -> Iterator[Message]:
        return iter(self._readings.pop(0) if len(self._readings) > 1 else self._readings[0])


class ManyReader(ChangingReader):
    """A store with several sessions of the same upstream."""

    def __init__(self, *sessions: tuple[Session, list[Message]]) -> None:
        self._sessions = {session.id: (session, recorded) for session, recorded in sessions}

    def recording(self, what: str) -> Recording:
        raise UnknownRecordingError("here", what, [])

    def sessions(self, what: str) -> list[Session]:
        return [session for session, _ in self._sessions.values()]

    def messages(self, session_id: str) -> Iterator[Message]:
        return iter(self._sessions[session_id][1])


def an_opaque_session(end: End = CLOSED, number: int = 0) -> Session:
    upstream = replace(an_upstream(), protocol="opaque")
    return a_session(end=end, upstream=upstream, number=number)


def pushes(*texts: str) -> list[Message]:
    return messages([f"< {text}" for text in texts])


@pytest.mark.parametrize(
    ("replayed", "told"),
    [
        pytest.param(pushes("a", "b"), [], id="the same"),
        pytest.param(
            pushes("a", "B"),
            ["s1, run 1: upstream message 1 is 'B' and not message 1 of the recording"],
            id="a wrong byte",
        ),
        pytest.param(
            pushes("a"), ["s1, run 1: 1 messages did not come, from message 1 ('b') on"], id="too few"
        ),
        pytest.param(
            pushes("a", "b", "c"),
            ["s1, run 1: upstream message 2 is 'c' and not nothing more of the recording"],
            id="too many",
        ),
    ],
)
def test_a_run_is_compared_with_the_recording(replayed: list[Message], told: list[str]) -> None:
    result = verify_recording(ChangingReader(an_opaque_session(), pushes("a", "b"), replayed), "fixture")
    assert result.differences == told
    assert result.ok == (not told)
    assert (result.runs, result.sessions, result.messages, len(result.digests)) == (1, 1, 2, 1)


def test_a_verdict_that_is_not_ok_is_a_difference() -> None:
    """All bytes may be right though the replay thinks that the client has left something out."""
    unused = [*pushes("a"), *messages(["< a", "> never sent"])[1:]]
    reader = ChangingReader(an_opaque_session(End(EndKind.INTERRUPTED)), pushes("a"), unused)
    (difference,) = verify_recording(reader, "fixture").differences
    assert difference.startswith("run 1: the verdict says unused: s1")


@pytest.mark.parametrize(("runs", "parallel"), [(1, 1), (9, 1), (20, 7), (2, 9)])
def test_every_manner_gives_one_digest(runs: int, parallel: int) -> None:
    reader = ChangingReader(an_opaque_session(EOF), messages(("< hi", "> 1", "< a", "> 2", "> 3", "< b")))
    result = verify_recording(reader, "fixture", runs=runs, parallel=parallel)
    assert result.ok, result.differences
    assert (len(result.digests), len(set(result.digests))) == (runs, 1)


def test_the_digest_does_not_depend_on_the_seed_and_does_on_the_recording() -> None:
    def digest(recorded: list[Message], seed: int) -> str:
        result = verify_recording(ChangingReader(an_opaque_session(), recorded), "fixture", seed=seed)
        assert result.ok
        return result.digests[0]

    assert digest(pushes("a"), 1) == digest(pushes("a"), 2) != digest(pushes("b"), 1)


def test_connections_that_are_open_at_the_same_time_do_not_disturb_each_other() -> None:
    sessions = [
        (an_opaque_session(number=number), messages(("< hi", f"> {number}", f"< said {number}")))
        for number in range(4)
    ]
    result = verify_recording(ManyReader(*sessions), "fixture", runs=12, parallel=3)
    assert result.ok, result.differences
    assert (result.sessions, len(set(result.digests))) == (4, 1)


def test_a_code_that_may_not_be_sent_is_replayed_and_found() -> None:
    end = End(EndKind.CLOSED, from_client=False, code=999, reason="odd")
    assert verify_recording(ChangingReader(an_opaque_session(end), pushes("a")), "fixture").ok


def test_refusals_and_resets_are_compared_too() -> None:
    refused = replace(an_opaque_session(End(EndKind.REFUSED, code=403)), handshake=a_handshake(status=403))
    unreachable = replace(
        an_opaque_session(End(EndKind.UNREACHABLE), number=1), handshake=a_handshake(status=None)
    )
    assert verify_recording(ManyReader((refused, []), (unreachable, [])), "fixture", runs=5).ok


def test_a_run_that_hangs_ends_with_a_sentence_and_is_the_last() -> None:
    waiting = ChangingReader(an_opaque_session(End(EndKind.INTERRUPTED)), pushes("a", "b"), pushes("a"))
    found: list[RunFound] = []
    result = verify_recording(waiting, "fixture", runs=50, deadline_s=0.05, on_run=found.append)
    assert result.differences == [
        "s1, run 1: 1 messages did not come, from message 1 ('b') on",
        "s1, run 1: it hangs: nothing came while the client waited for upstream message 1 of the recording, of 2",
    ]
    assert [one.hangs for one in found] == [True]
    assert not result.ok


def test_the_sessions_after_one_that_hangs_are_not_played() -> None:
    sessions = [(an_opaque_session(End(EndKind.INTERRUPTED), number), pushes("a")) for number in range(3)]

    class Reader(ManyReader):
        readings = 0

        def messages(self, session_id: str) -> Iterator[Message]:
            self.readings += 1
            return iter(pushes("a", "b") if self.readings <= 3 else pushes("a"))

    result = verify_recording(Reader(*sessions), "fixture", deadline_s=0.05, seed=6)  # one by one
    assert [text.split(":")[0] for text in result.differences] == ["s1, run 1"] * 2


def test_manners_are_the_same_in_every_process() -> None:
    """`random` seeds itself from a text's bytes, not from its hash, which differs between processes."""
    drawn = [Manner.drawn(f"0 {run} s1") for run in range(200)]
    assert drawn[:2] == [Manner("0 0 s1", 0.3, 0.5, 30), Manner("0 1 s1", 0.0, 0.0, 0)]
    assert {manner.early for manner in drawn} == {0.0, 0.3, 1.0}
    assert {manner.cuts for manner in drawn} == {0.0, 0.01, 0.1, 0.5}
    assert {manner.late for manner in drawn} == {0, 3, 30}


def test_a_proof_reads_the_recording_once_however_often_it_plays() -> None:
    class Reader(ChangingReader):
        readings = 0

        def messages(self, session_id: str) -> Iterator[Message]:
            self.readings += 1
            return super().messages(session_id)

    reader = Reader(an_opaque_session(), pushes("a"))
    assert verify_recording(reader, "fixture", runs=10).ok
    assert reader.readings == 2  # to know what must come, and to compile what is sent
