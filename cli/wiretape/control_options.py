"""The options of `wiretape replay` for its control API, and what they say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from wiretape_protocols import WiretapeError

TOKEN_VARIABLE = "WIRETAPE_CONTROL_TOKEN"  # noqa: S105 - the name of one
_OPTIONS = (
    click.option(
        "--control",
        metavar="HOST:PORT",
        help="Serve the control API there, for runs that are asked for over HTTP (docs/control.md).",
    ),
    click.option(
        "--control-token-file",
        "token_file",
        metavar="FILE",
        type=click.Path(dir_okay=False),
        help=f"The control API's token: needed unless it is bound to loopback.  [env var: {TOKEN_VARIABLE}]",
    ),
    click.option(
        "--shared",
        metavar="HOST:PORT",
        help="With --control: the port of the runs that are told apart by path. [any free one]",
    ),
)


class TokenError(WiretapeError):
    """The control API's token cannot be had."""

    usage = True

    def __init__(self, source: str, why: str) -> None:
        """Say where it should have come from, and what is wrong there."""
        super().__init__(source, why)
        self.source, self.why = source, why

    def __str__(self) -> str:
        """Make one sentence of the facts."""
        return (
            f"no token in {self.source} ({self.why}): write one there, such as "
            "'python -c \"import secrets; print(secrets.token_urlsafe())\"' makes"
        )


@dataclass(frozen=True, slots=True)
class ControlOptions:
    """Where the control API is served, and to whom."""

    listen: str
    shared: str | None
    """The address of the shared port; None for the API's host and any port."""
    token: str | None


def control_options[Command: Callable[..., Any]](command: Command) -> Command:
    """Add the options to a command; it passes what they give to `chosen_control`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen_control(
    control: str | None, token_file: str | None, shared: str | None, environment: Mapping[str, str]
) -> ControlOptions | None:
    """Read the options and the variable; None where no control API is asked for. Raises TokenError."""
    if control is None:
        for option, value in (("--control-token-file", token_file), ("--shared", shared)):
            if value is not None:
                raise click.UsageError(f"{option} is for the control API: give --control too")
        return None
    token = None
    if token_file is not None:
        token = _checked(_read(token_file), token_file)
    elif TOKEN_VARIABLE in environment:
        token = _checked(environment[TOKEN_VARIABLE], TOKEN_VARIABLE)
    return ControlOptions(control, shared, token)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError as exc:
        raise TokenError(path, exc.strerror or str(exc)) from exc


def _checked(text: str, source: str) -> str:
    """The token without the line end that editors leave."""
    token = text.strip()
    if not token:
        raise TokenError(source, "it is empty")
    if not all("!" <= character <= "~" for character in token):
        raise TokenError(source, "a token is printable ASCII without spaces")
    return token
