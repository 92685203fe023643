"""The options of `wiretape replay` that say how a run is replayed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from wiretape_replay import (
    Fault,
    OnMiss,
    Order,
    Pace,
    Reconnect,
    Relaxation,
    Repeats,
    ReplaySettings,
    read_faults,
)

_OPTIONS = (
    click.option(
        "--order", type=click.Choice([each.value for each in Order]), default="recorded", show_default=True,
        help="What a push waits for: all that the client sent before it, or only its own subscription.",
    ),
    click.option(
        "--pace", default="asap", show_default=True, metavar="asap|realtime|xN|step", help="How fast to push."
    ),
    click.option(
        "--on-miss", type=click.Choice([each.value for each in OnMiss]), default="error", show_default=True,
        help="What a message gets that the recording cannot answer.",
    ),
    click.option(
        "--allow-effects", is_flag=True,
        help="With forward and record: pass on messages too that may change the world.",
    ),
    click.option(
        "--repeats", type=click.Choice([each.value for each in Repeats]), default="reads", show_default=True,
        help="Whether a read that is used up gets its last answer again.",
    ),
    click.option(
        "--reconnect", type=click.Choice([each.value for each in Reconnect]), default="refuse",
        show_default=True, help="What a connection gets after the last recorded session.",
    ),
    click.option(
        "--relax", multiple=True, metavar="METHOD[:/POINTER[+-N]]",
        help="What need not be equal for a match: everything but the method, the value at a JSON pointer, "
        "or its distance beyond N. Repeatable.",
    ),
    click.option(
        "--stall", "stall_s", type=click.FloatRange(min=0, min_open=True), default=5.0, show_default=True,
        metavar="SECONDS", help="How long a recorded message may wait for the client before it is a stall.",
    ),
    click.option(
        "--fault", multiple=True, metavar="KIND[,NAME=VALUE]...",
        help="What goes wrong, such as drop,method=deals.update,nth=3. Repeatable.",
    ),
    click.option(
        "--faults", type=click.Path(dir_okay=False), metavar="FILE",
        help="More of them, as a JSON list; they come first.",
    ),
    click.option(
        "--seed", type=int, default=0, show_default=True, metavar="N",
        help="What the chances of faults are drawn from.",
    ),
    click.option("--strict", is_flag=True, help="End with status 3 when the client and the recording differ."),
)  # fmt: skip


def run_options[Command: Callable[..., Any]](command: Command) -> Command:
    """Add the options to a command, which takes them as keyword arguments for `settings_from`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settings_from(
    *,
    order: str,
    pace: str,
    on_miss: str,
    allow_effects: bool,
    repeats: str,
    reconnect: str,
    relax: tuple[str, ...],
    stall_s: float,
    fault: tuple[str, ...],
    faults: str | None,
    seed: int,
    strict: bool,
) -> ReplaySettings:
    """The settings that the options' values say. Raises SettingError, and ClickException for a file."""
    return ReplaySettings(
        order=Order(order),
        pace=Pace.parse(pace),
        on_miss=OnMiss(on_miss),
        allow_effects=allow_effects,
        repeats=Repeats(repeats),
        reconnect=Reconnect(reconnect),
        relax=tuple(map(Relaxation.parse, relax)),
        stall_us=round(stall_s * 1_000_000),
        faults=_faults_in(faults) + tuple(map(Fault.parse, fault)),
        seed=seed,
        strict=strict,
    )


def _faults_in(path: str | None) -> tuple[Fault, ...]:
    if path is None:
        return ()
    try:
        text = Path(path).read_bytes()
    except OSError as exc:
        message = f"cannot read the faults in {path} ({exc.strerror}): name another file with --faults"
        raise click.ClickException(message) from exc
    return read_faults(text, path)
