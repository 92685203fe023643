"""Reads `@pytest.mark.wiretape(...)`: which tape, and how it is replayed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from wiretape.pytest_plugin.errors import PluginError

NAME = "wiretape"
DESCRIPTION = (
    "wiretape(tape, *, pace, order, strict, on_miss, reconnect, repeats, relax, allow_effects, stall_s, "
    "seed, faults): the tape that the test's clients are answered from, by the path from the test's "
    "folder or the root folder, and how it is replayed. The test gets the fixture `wiretape`."
)
_SETTINGS = (
    "pace",
    "order",
    "on_miss",
    "reconnect",
    "repeats",
    "relax",
    "allow_effects",
    "stall_s",
    "seed",
    "faults",
)
ACCEPTED = sorted((*_SETTINGS, "strict"))
_LISTS = ("relax", "faults")


@dataclass(frozen=True, slots=True)
class Marked:
    """What the marks of one test say, those of its class and module included."""

    tape: str
    strict: bool | str
    """False: the test may pass whatever its clients did; "relaxed": nor may a match be relaxed."""
    settings: Mapping[str, Any]
    """Of the run, as the control API takes them."""


def is_marked(item: pytest.Item) -> bool:
    """Whether a test has a mark of ours."""
    return item.get_closest_marker(NAME) is not None


def marks_of(item: pytest.Item) -> Marked:
    """Read a test's marks, the nearer before the farther. Raises PluginError."""
    tape, options = "", dict[str, Any]()
    for mark in item.iter_markers(NAME):
        _check(mark, item)
        tape = tape or (str(mark.args[0]) if mark.args else "")
        options = {**mark.kwargs, **options}
    if not tape:
        raise PluginError(
            f"{item.nodeid} uses the fixture `wiretape` and names no tape: "
            'mark it with @pytest.mark.wiretape("fixtures/NAME.tape")'
        )
    strict = options.pop("strict", True)
    settings = {name: _listed(value) if name in _LISTS else value for name, value in options.items()}
    if strict:
        settings.setdefault("repeats", "never")
    return Marked(tape, strict, settings | {"strict": bool(strict)})


def tape_path(tape: str, item: pytest.Item) -> Path:
    """Where a tape is: from the test's folder, else from the root folder; if nowhere, the first of them."""
    places = [folder / tape for folder in (item.path.parent, item.config.rootpath)]
    return next((place for place in places if place.exists()), places[0])


def _check(mark: pytest.Mark, item: pytest.Item) -> None:
    where = f"@pytest.mark.wiretape of {item.nodeid}"
    if len(mark.args) > 1 or not all(isinstance(each, str | Path) for each in mark.args):
        raise PluginError(f"{where} takes one path, and options by name: got {mark.args!r}")
    for name in mark.kwargs:
        if name not in ACCEPTED:
            import difflib

            near = difflib.get_close_matches(name, ACCEPTED, 1)
            meant = f", did you mean {near[0]!r}?" if near else ";"
            raise PluginError(f"{where} has no option {name!r}{meant} it takes {', '.join(ACCEPTED)}")
    if mark.kwargs.get("strict", True) not in {True, False, "relaxed"}:
        raise PluginError(f'{where}: strict is True, False or "relaxed", not {mark.kwargs["strict"]!r}')


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str | Mapping) else list(value)
