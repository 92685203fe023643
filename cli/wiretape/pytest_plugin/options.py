"""What the command line and the ini file say about recording."""

import os
from enum import StrEnum

import pytest

UPSTREAMS_INI = "wiretape_upstreams"
RECORD_OPTIONS_INI = "wiretape_record_options"


class RecordMode(StrEnum):
    """When the tape of a test is recorded, in the order of how much that changes."""

    NONE = "none"
    ONCE = "once"
    """Where there is no tape yet."""
    MISSING = "missing"
    """As `once`; and what a tape cannot answer is asked of the upstream, and recorded."""
    ALL = "all"
    """Anew, whatever there is."""


def add_options(parser: pytest.Parser) -> None:
    """Add the plugin's options, for `pytest --help`."""
    group = parser.getgroup("wiretape", "recorded WebSocket traffic (wiretape)")
    group.addoption(
        "--wiretape-record",
        choices=[mode.value for mode in RecordMode],
        default=RecordMode.NONE.value,
        help="Record the tapes of tests: none (default), once (where there is no tape), missing (and what "
        "a tape cannot answer), all (anew). A tape is written only when its test passes. "
        "Where the variable CI is set, it is none.",
    )
    group.addoption(
        "--wiretape-record-in-ci",
        action="store_true",
        help="Let --wiretape-record stand although the variable CI is set.",
    )
    parser.addini(
        UPSTREAMS_INI,
        type="linelist",
        default=[],
        help="Upstreams to record tapes from, one a line: NAME = URL, or NAME:PROTOCOL = URL.",
    )
    parser.addini(
        RECORD_OPTIONS_INI,
        type="args",
        default=[],
        help="More options of `wiretape record`, such as --redact or --upstream-ca, for recording tapes.",
    )


def record_mode(config: pytest.Config) -> RecordMode:
    """The mode that holds: the one that was asked for, and `none` in CI."""
    if _in_ci() and not config.getoption("--wiretape-record-in-ci"):
        return RecordMode.NONE
    return RecordMode(config.getoption("--wiretape-record"))


def header(config: pytest.Config) -> str | None:
    """The line at the top of pytest's output; None where there is nothing unusual to say."""
    asked = RecordMode(config.getoption("--wiretape-record"))
    if asked is RecordMode.NONE:
        return None
    if record_mode(config) is asked:
        return f"wiretape: records tapes ({asked})"
    return f"wiretape: --wiretape-record={asked} is ignored because CI is set (--wiretape-record-in-ci allows it)"


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in {"", "0", "false", "no"}
