"""Compiling a session: frames, places, and what answers what."""

from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paged_builders import PieceReader, a_paged_script, told
from replay_builders import TINY, a_script, a_session, messages

from wiretape_protocols import Opcode, Protocol, Request, Role
from wiretape_replay import Script, compile_script
from wiretape_replay.frames import close_frame


def test_an_upstream_message_is_told_by_its_number() -> None:
    made = messages(("< push a", "> call 1 x", "< push deals:1", "< push c"))
    made[2] = replace(made[2], deflated=True)
    script = compile_script(a_session(), made, TINY)
    assert script.ready
    assert script.count == 3
    assert [script.seq(number) for number in range(3)] == [0, 2, 3]
    assert [script.time_us(number) for number in range(3)] == [1000, 3000, 4000]
    assert [script.method(number) for number in range(3)] == ["", "push", ""]
    assert [script.stream(number) for number in range(3)] == ["", "deals", ""]
    assert [script.is_deflated(number) for number in range(3)] == [False, True, False]
    assert [script.message(number)[1] for number in range(3)] == [b"push a", b"push deals:1", b"push c"]


def test_the_method_of_an_answer_is_that_of_its_call() -> None:
    script = a_script("> call 1 price", "< push deals:1", "< answer 1 10")
    assert [script.method(number) for number in range(2)] == ["push", "call price"]


def test_a_script_of_many_messages_has_many_pages() -> None:
    script = a_script(*(f"< push {number}" for number in range(3000)))
    assert [script.page(number).first for number in (0, 1023, 1024, 2999)] == [0, 0, 1024, 2048]
    assert [script.message(number)[1] for number in range(3000)] == [b"push %d" % n for n in range(3000)]


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=40),
    st.integers(1, 5),
    st.data(),
)
def test_what_is_due_is_found_from_a_message_on(waits: list[int], size: int, data: st.DataObject) -> None:
    times_us = list(accumulate(waits))
    made = [
        replace(message, at_us=at_us)
        for message, at_us in zip(told(*["< push a"] * len(waits)), times_us, strict=True)
    ]
    script = a_paged_script(PieceReader(made, size))
    first = data.draw(st.integers(0, len(waits) - 1))
    until_us = data.draw(st.integers(-1, times_us[-1] + 1))
    due = [number for number in range(first, len(waits)) if times_us[number] <= until_us]
    assert script.last_until(until_us, first) == (due[-1] if due else first - 1)


def test_what_is_far_away_is_found_by_looking_at_few_pages() -> None:
    made = told(*["< push a"] * 3000)
    reader = PieceReader(made, 10)
    script = a_paged_script(reader)
    reader.stretches.clear()
    assert script.last_until(made[2000].at_us, 0) == 2000
    assert len(reader.stretches) < 40


def test_pushes_are_what_answers_nothing() -> None:
    script = a_script("> call 1 x", "< push a", "< answer 1 y", "< push b", "< push c")
    assert list(script.answer_numbers) == [1]
    assert [script.pushes(first, 3) for first in range(4)] == [3, 2, 2, 1]


def test_an_answer_to_a_message_that_is_not_there_is_a_push() -> None:
    made = messages(("> call 1 x", "< answer 1 y"))[1:]
    script = compile_script(a_session(), made, TINY)
    assert (dict(script.answers), script.pushes(0, 0)) == ({}, 1)


def test_a_message_that_somebody_has_called_a_push_answers_nothing() -> None:
    made = messages(("> call 1 x", "< answer 1 y"))
    made[1] = replace(made[1], role=Role.PUSH)
    assert len(compile_script(a_session(), made, TINY).answers) == 0


def test_answers_are_found_by_their_numbers() -> None:
    answers = a_script("> call 1 x", "< push a", "< answer 1 y", "> call 2 x", "< answer 2 y").answers
    assert {number: answer.request for number, answer in answers.items()} == {1: 0, 2: 1}
    assert [number in answers for number in range(4)] == [False, True, True, False]
    assert [list(answers.between(first, 3)) for first in range(4)] == [[1, 2], [1, 2], [2], []]
    with pytest.raises(KeyError):
        answers[0]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_call_has_all_its_answers(count: int) -> None:
    made = messages(("> call 1 x", "< answer 1 y", *["< push a"] * 3))
    made = [
        replace(message, answers=0 if 0 < message.seq <= count else None)
        if not message.from_client
        else message
        for message in made
    ]
    assert list(compile_script(a_session(), made, TINY).requests[0].answers) == list(range(count))


def test_weaker_keys_that_are_the_same_are_kept_once() -> None:
    script = a_script("> range 1 10 20", "> range 2 30 40", "> range 3 1 2", "> call 4 x")
    relaxed = [scripted.request.relaxed for scripted in script.requests]
    assert relaxed[0] is relaxed[1]
    assert [each[0].key for each in relaxed[:3]] == ["range of 10", "range of 10", "range of 1"]
    assert {key: list(numbers) for key, numbers in script.by_relaxed_key.items()} == {
        "range of 10": [0, 1],
        "range of 1": [2],
    }


@pytest.mark.parametrize(
    ("payload", "start"),
    [
        pytest.param("call 7 price", 5, id="once"),
        pytest.param("call 7 price 7", 5, id="twice, told apart by what the id is"),
        pytest.param("call 7 price 17 7.5 -7 7x", 5, id="elsewhere only as a part"),
        pytest.param('call "x" price', -1, id="no number"),
        pytest.param("call - price", -1, id="no id"),
    ],
)
def test_the_place_of_an_id_is_known_where_it_is_certain(payload: str, start: int) -> None:
    (request,) = a_script(f"> {payload}").requests
    assert request.id_start == start
    if start >= 0:
        assert payload.encode()[request.id_start : -request.id_after] == b"7"


def test_an_id_whose_place_cannot_be_told_is_left_to_parsing() -> None:
    class Hidden(type(TINY).conversation(TINY).__class__):  # type: ignore[misc]
        def client(self, payload: bytes, opcode: Opcode, seq: int) -> Request:
            return Request(Role.CALL, "x", "x", b"7")

    class Protocol7(type(TINY)):  # type: ignore[misc]
        def conversation(self, *, correlate: bool = True) -> Hidden:
            return Hidden()

    protocol: Protocol = Protocol7()
    script: Script = compile_script(a_session(), messages(("> 7 7",)), protocol)
    assert script.requests[0].id_start == -1


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        pytest.param(None, None, b"\x88\x00", id="no code"),
        pytest.param(1005, "", b"\x88\x00", id="the code that says none"),
        pytest.param(1000, "bye", b"\x88\x05\x03\xe8bye", id="code and reason"),
        pytest.param(1006, "", b"\x88\x02\x03\xee", id="a code that is not allowed goes out as it came"),
        pytest.param(1000, "ü" * 100, b"\x88\x7c\x03\xe8" + "ü".encode() * 61, id="cut at a character"),
    ],
)
def test_a_close_frame_is_what_was_recorded(code: int | None, reason: str | None, expected: bytes) -> None:
    assert close_frame(code, reason) == expected
