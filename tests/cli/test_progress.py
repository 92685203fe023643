"""The line that says how far long work has come."""

import io
import sys

import pytest

from wiretape.progress import ProgressLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_one_line_that_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "20")

    with ProgressLine() as line:
        line.show("page 1 of 900000000000000000000")
        line.show("page 2 comes too soon to be seen")

    assert terminal.getvalue() == "\r\x1b[Kpage 1 of 900000000\r\x1b[K"


def test_what_is_no_terminal_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)

    with ProgressLine() as line:
        line.show("page 1")

    assert file.getvalue() == ""
