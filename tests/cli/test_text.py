"""How tables, times, sizes and messages look on a terminal."""

import pytest

from wiretape.text import bytes_text, counted, message_line, message_object, table, time_text
from wiretape_protocols import IDENTITY, Opcode, Role
from wiretape_store import Message


def a_message(payload: bytes) -> Message:
    return Message(
        seq=3,
        from_client=False,
        opcode=Opcode.BINARY,
        at_us=1_500_000,
        payload=payload,
        codec=IDENTITY,
        role=Role.ANSWER,
        method="m",
        answers=2,
        stream="",
    )


def test_one_of_a_kind_is_no_plural() -> None:
    assert [counted(number, "session") for number in (0, 1, 2)] == ["0 sessions", "1 session", "2 sessions"]


def test_numbers_stand_on_the_right_and_words_on_the_left() -> None:
    assert table(("name", "count"), [("a", "1"), ("long one", "200")]).splitlines() == [
        "name      count",
        "a             1",
        "long one    200",
    ]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (9999, "9999 B"), (22_900, "22.9 kB"), (12_345_678, "12.3 MB")]
)
def test_sizes_read_well(count: int, text: str) -> None:
    assert bytes_text(count) == text


def test_times_are_iso_8601_to_the_microsecond() -> None:
    assert time_text(1_513_135_140_040_507) == "2017-12-13T03:19:00.040507Z"


def test_a_payload_that_is_no_text_is_shown_as_bytes() -> None:
    message = a_message(b"\xff\x00")

    assert message_object(message)["payload_base64"] == "/wA="
    assert "payload" not in message_object(message)
    assert message_line(message).endswith("<- answer of 2 [binary] (2 bytes) ff00")


def test_nothing_from_the_network_moves_the_cursor() -> None:
    line = message_line(a_message("\x1b[31mred\x07\x00 é".encode()))

    assert "\x1b" not in line
    assert r"\x1b[31mred\x07\x00 é" in line


def test_a_line_fits_the_terminal() -> None:
    line = message_line(a_message(b'{"a":\n  1}' * 20), width=40)

    assert len(line) == 40
    assert line.endswith("…")
    assert "\n" not in line
