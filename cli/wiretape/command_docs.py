"""The page of the documentation that lists every command: made from the commands themselves."""

import click

from wiretape.main import COMMANDS, wiretape

_INTRODUCTION = """# Commands

Data goes to stdout, talk to stderr. Exit status: 0 done, 1 failed, 2 usage, 3 divergence. `--store` takes
a path or a database URL; without it the environment's `WIRETAPE_STORE` counts, then `wiretape.db`.

This page is made from the commands: `python -m wiretape.command_docs > docs/commands.md`.
"""


def commands_markdown() -> str:
    """The whole page."""
    context = wiretape.make_context("wiretape", [], resilient_parsing=True)
    sections = [_INTRODUCTION]
    for name in COMMANDS:
        command = wiretape.get_command(context, name)
        if command is None:
            raise AssertionError(f"{name} is in the table and not a command")
        own = click.Context(command, context, info_name=name, max_content_width=100, terminal_width=100)
        sections.append(f"## {name}\n\n```text\n{command.get_help(own)}\n```\n")
    return "\n".join(sections)


if __name__ == "__main__":
    click.echo(commands_markdown(), nl=False)
