"""Compiling a session: frames, places, and what answers what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay_builders import TINY, a_script, a_session, messages

from wiretape_protocols import IDENTITY, Codec, CodecKind, Opcode, Protocol, Request, Role
from wiretape_replay import Script, compile_script
from wiretape_replay.frames import close_frame, frame, frame_size


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_a_frame_of_any_size_holds_its_message(size: int) -> None:
    script = a_script("< push a", "< " + "x" * size, "< push b")
    assert script.message(1) == (Opcode.TEXT, b"x" * size)
    start, end = script.frame_start(1), script.frame_end(1)
    assert bytes(script.frames()[start:end]) == frame(Opcode.TEXT, b"x" * size)
    assert frame_size(bytes(script.frames()), start) == end - start


@given(st.lists(st.integers(0, 300), min_size=1, max_size=20), st.integers(0, 3_000), st.integers(1, 3_000))
def test_pieces_end_where_frames_end(sizes: list[int], start: int, width: int) -> None:
    script = a_script(*(f"< {'x' * size}" for size in sizes))
    ends = [script.frame_end(number) for number in range(len(sizes))]
    expected = max((end for end in ends if start < end <= start + width), default=0)
    assert script.last_frame_end(start, start + width) == expected
    if start < ends[-1]:
        assert script.frame_end_after(start) == min(end for end in ends if end > start)


def test_pushes_are_what_answers_nothing() -> None:
    script = a_script("> call 1 x", "< push a", "< answer 1 y", "< push b", "< push c")
    assert script.answer_numbers == [1]
    assert [script.pushes(first, 3) for first in range(4)] == [3, 2, 2, 1]


def test_an_answer_to_a_message_that_is_not_there_is_a_push() -> None:
    made = messages(("> call 1 x", "< answer 1 y"))[1:]
    script = compile_script(a_session(), made, TINY)
    assert (script.answers, script.pushes(0, 0)) == ({}, 1)


@pytest.mark.parametrize(
    ("codec", "kept"),
    [(IDENTITY, None), (Codec(CodecKind.GZIP), b"answer 1 y")],
    ids=["plain", "compressed"],
)
def test_an_answer_is_kept_twice_only_where_its_two_forms_differ(codec: Codec, kept: bytes | None) -> None:
    made = messages(("> call 1 x", "< answer 1 y"), codec=codec)
    assert compile_script(a_session(), made, TINY).answers[0].payload == kept


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
