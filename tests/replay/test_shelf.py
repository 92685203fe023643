"""Recordings that runs share: prepared once, kept while they are wanted, and given up."""

import gc
from dataclasses import replace

import pytest
from replay_builders import a_recording, a_session, messages

from wiretape_replay import ReplayedRecording, Script
from wiretape_replay.shelf import Loan, Shelf

TAPE = "> call 1 x\n< answer 1 y"


class Library:
    """What a shelf reads from, and how often it was asked for a tape."""

    def __init__(self) -> None:
        self.session = a_session()
        self.tapes_read = 0

    def load(self, _: str) -> ReplayedRecording:
        return a_recording((self.session, messages(("> call 1 x", "< answer 1 y"))))

    def load_tape(self, text: str) -> ReplayedRecording:
        self.tapes_read += 1
        return a_recording((self.session, messages(text.splitlines())))

    def shelf(self, *, kept: int = 32, kept_bytes: int = 2**20) -> Shelf:
        return Shelf(self.load, self.load_tape, kept=kept, kept_bytes=kept_bytes)


def script_of(loan: Loan) -> object:
    return loan.recording.upstreams[0].script(0)


def test_runs_of_one_recording_share_what_was_compiled() -> None:
    shelf = Library().shelf()
    first, second = shelf.borrow("one"), shelf.borrow("one")

    assert first is second
    assert script_of(first) is script_of(second)


def test_a_recording_that_has_changed_is_prepared_anew_and_earlier_runs_keep_theirs() -> None:
    library = Library()
    shelf = library.shelf()
    before = shelf.borrow("one")
    library.session = replace(library.session, messages_from_client=7)
    after = shelf.borrow("one")

    assert before is not after
    assert shelf.borrow("one") is after
    shelf.give_back(before)
    assert shelf.borrow("one") is after


def test_a_tape_is_known_by_its_text() -> None:
    library = Library()
    shelf = library.shelf()
    same, other = [shelf.borrow_tape(TAPE) for _ in range(3)], shelf.borrow_tape(TAPE + "\n> note - z")

    assert same[0] is same[1] is same[2] is not other
    assert library.tapes_read == 2


def test_a_tape_and_a_recording_of_the_same_name_are_two_things() -> None:
    shelf = Library().shelf()

    assert shelf.borrow(TAPE) is not shelf.borrow_tape(TAPE)


def test_what_nobody_uses_is_kept_up_to_a_number_and_the_latest_used_stay() -> None:
    library = Library()
    shelf = library.shelf(kept=2)
    tapes = [f"< push {number}" for number in range(3)]
    for tape in (*tapes, tapes[1]):
        shelf.give_back(shelf.borrow_tape(tape))
    assert library.tapes_read == 3
    for tape in (tapes[1], tapes[2]):
        shelf.borrow_tape(tape)
    assert library.tapes_read == 3
    shelf.borrow_tape(tapes[0])
    assert library.tapes_read == 4


@pytest.mark.parametrize(
    ("size", "reads"), [pytest.param(1000, 1, id="fits"), pytest.param(10_000, 2, id="large")]
)
def test_what_is_too_large_is_given_up_with_its_last_run(size: int, reads: int) -> None:
    library = Library()
    library.session = replace(library.session, wire_bytes=size)
    shelf = library.shelf(kept_bytes=5000)
    loans = [shelf.borrow_tape(TAPE) for _ in range(3)]
    for loan in loans[:2]:
        shelf.give_back(loan)
    shelf.give_back(shelf.borrow_tape(TAPE))
    assert library.tapes_read == 1
    shelf.give_back(loans[2])
    shelf.borrow_tape(TAPE)
    assert library.tapes_read == reads


def scripts() -> int:
    """How many there are in this process."""
    gc.collect()
    return sum(isinstance(each, Script) for each in gc.get_objects())


def test_what_was_given_up_takes_no_memory() -> None:
    shelf = Library().shelf(kept=0)
    before = scripts()
    first, second = shelf.borrow("one"), shelf.borrow("one")
    script_of(first)
    shelf.give_back(first)
    del first
    assert scripts() == before + 1
    shelf.give_back(second)
    del second
    assert scripts() == before


def test_what_is_given_up_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[ReplayedRecording] = []

    def close(recording: ReplayedRecording) -> None:
        closed.append(recording)

    monkeypatch.setattr(ReplayedRecording, "close", close)
    library = Library()
    shelf = library.shelf(kept=0)
    first = shelf.borrow("one")
    library.session = replace(library.session, messages_from_client=7)
    second = shelf.borrow("one")
    assert closed == []
    shelf.give_back(first)
    assert closed == [first.recording]
    shelf.give_back(second)
    assert closed == [first.recording, second.recording]
