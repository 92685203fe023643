"""The options by which users add to what is replaced before it is stored, and what becomes of them."""

import os
from collections.abc import Callable
from typing import Any

import click

from wiretape_protocols import RedactionRule, doubts_about, require_values, rules_of

_OPTIONS = (
    click.option(
        "--redact",
        "members",
        multiple=True,
        metavar="METHOD:POINTER",
        help="Replace a member of messages too, such as sendrawtransaction:/Data; * stands for any.",
    ),
    click.option(
        "--redact-header", "headers", multiple=True, metavar="NAME", help="Replace a header field too."
    ),
    click.option(
        "--redact-regex",
        "patterns",
        multiple=True,
        metavar="REGEX",
        help="Replace what a pattern finds anywhere: its groups, or all of it.",
    ),
    click.option(
        "--redact-env",
        "variables",
        multiple=True,
        metavar="NAME",
        help="Replace the value of an environment variable wherever it stands.",
    ),
)


def redaction_options[F: Callable[..., Any]](command: F) -> F:
    """Add the four options to a command; it passes what they give to `chosen_rules`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen_rules(**texts: tuple[str, ...]) -> tuple[RedactionRule, ...]:
    """Read the four options, and tell the user what to think about. Raises RuleError."""
    rules = rules_of(**texts)
    require_values(rules, os.environ)
    for doubt in doubts_about(rules, os.environ):
        click.echo(f"wiretape: {doubt}", err=True)
    return rules
