"""Decides for each test whether its tape is replayed or recorded, and begins that."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from wiretape.control_client import ControlError
from wiretape.pytest_plugin import session
from wiretape.pytest_plugin.errors import PluginError
from wiretape.pytest_plugin.marker import Marked, marks_of, tape_path
from wiretape.pytest_plugin.mending import Mending
from wiretape.pytest_plugin.options import RECORD_OPTIONS_INI, UPSTREAMS_INI, RecordMode, record_mode
from wiretape.pytest_plugin.recording import Recording
from wiretape.pytest_plugin.replay import Replay
from wiretape.pytest_plugin.take import Take
from wiretape.pytest_plugin.tape_file import TapeFile
from wiretape.pytest_plugin.upstreams import LiveWorld, Upstreams, World


def begin(request: pytest.FixtureRequest) -> Take:
    """Replay, record or mend a test's tape. Raises PluginError, ControlError, DaemonError."""
    item: pytest.Item = request.node
    marked = marks_of(item)
    path = tape_path(marked.tape, item)
    tape = TapeFile(path, _shown(path, item))
    # What faults make of a conversation is nothing to record.
    mode = RecordMode.NONE if marked.settings.get("faults") else record_mode(item.config)
    recorded = session.recorded_tapes(item.config)
    if mode is not RecordMode.NONE and not path.exists():
        return _record(request, tape)
    # What another test of this session has recorded is as it should be.
    if mode is RecordMode.ALL and path not in recorded:
        return _record(request, tape)
    if mode is RecordMode.MISSING and path not in recorded:
        return _mend(request, tape, marked)
    if not path.exists():
        raise PluginError(_missing(tape, marked, item))
    return _replay(item, tape, marked)


def _replay(item: pytest.Item, tape: TapeFile, marked: Marked) -> Replay:
    try:
        run = session.control_client(item.config).create_run(tape=tape.read(), settings=marked.settings)
    except ControlError as exc:
        if exc.code == "unreachable":
            words = session.last_words(item.config)
            raise PluginError(f"{exc}; what it said last: {words or 'nothing'}") from exc
        raise PluginError(f"{tape.shown}: {exc}") from exc
    command = "" if marked.settings.get("faults") else _command(item, RecordMode.ALL)
    return Replay(run, tape.shown, command, strict=marked.strict)


def _record(request: pytest.FixtureRequest, tape: TapeFile) -> Recording:
    options: list[str] = request.config.getini(RECORD_OPTIONS_INI)
    return Recording(request.node.nodeid, tape, _world(request), options, _folder(request))


def _mend(request: pytest.FixtureRequest, tape: TapeFile, marked: Marked) -> Mending:
    item: pytest.Item = request.node
    command = _command(item, RecordMode.ALL)
    return Mending(
        item.nodeid, tape, _world(request), marked.settings, command, _folder(request), strict=marked.strict
    )


def _folder(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue("tmp_path_factory").mktemp("wiretape")
    return folder


def _world(request: pytest.FixtureRequest) -> World:
    """The upstreams of the test's own fixture, or else of the ini file."""
    if "wiretape_upstreams" not in request.fixturenames:
        return LiveWorld.of_lines(request.config.getini(UPSTREAMS_INI))
    given = request.getfixturevalue("wiretape_upstreams")
    if isinstance(given, Upstreams):
        return given
    if isinstance(given, Mapping) and given:
        return LiveWorld(given)
    raise PluginError(f"the fixture wiretape_upstreams gives URLs by the upstreams' names, not {given!r}")


def _missing(tape: TapeFile, marked: Marked, item: pytest.Item) -> str:
    if marked.settings.get("faults"):
        return f"no tape at {tape.shown}, and a test with faults does not record it: let another test do so"
    return f"no tape at {tape.shown}: record it with\n  {_command(item, RecordMode.ONCE)}"


def _shown(path: Path, item: pytest.Item) -> str:
    """A path as the user would type it."""
    folder = item.config.invocation_params.dir
    return os.path.relpath(path, folder) if path.is_relative_to(folder) else str(path)


def _command(item: pytest.Item, mode: RecordMode) -> str:
    _, colons, name = str(item.nodeid).partition("::")
    return f"pytest {shlex.quote(f'{_shown(item.path, item)}{colons}{name}')} --wiretape-record={mode}"
