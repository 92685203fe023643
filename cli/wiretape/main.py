"""The `wiretape` command: finds the subcommand, and turns what can go wrong into a sentence and a status."""

import importlib
import keyword
import os
import sys
from typing import Any

import click

from wiretape import __version__
from wiretape.status import DONE, FAILED, USAGE

# Name, module below wiretape.commands, and the line that `wiretape --help` shows. A command's module
# is imported when the command runs, so that each starts as quickly as it can.
COMMANDS = {
    "record": "Record what passes between clients and upstreams.",
    "replay": "Stand in for the upstreams and serve a recording.",
    "sessions": "List recorded sessions.",
    "show": "Print the messages of a session.",
    "tail": "Follow a running recording, message by message.",
    "grep": "Find messages by what is in them.",
    "sql": "Ask a store in SQL.",
    "verify": "Play a recording against its own replay and compare every byte.",
    "export": "Write a recording to a file: a tape, a HAR, a flow file, a table.",
    "import": "Bring a tape, a HAR or a flow file into a store.",
    "copy": "Copy recordings to another store, and compare them.",
    "check": "Verify a whole store, or save what can be saved of a damaged one.",
    "stats": "Say what a store holds, and what room it takes.",
    "compact": "Pack ended sessions better, and give room back.",
    "prune": "Remove recordings by age, size or name.",
    "pin": "Keep a recording from being pruned.",
    "unpin": "Let a pinned recording be pruned again.",
    "demo": "Record and replay two simulated upstreams.",
}


class Commands(click.Group):
    """The subcommands, imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand."""
        if cmd_name not in COMMANDS:
            return None
        # `import` is no name for a module.
        name = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        module = importlib.import_module(f"wiretape.commands.{name}")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run one; a reader of its output that has seen enough is no failure, as click has it."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _drop_output()
            return DONE

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wiretape")
def wiretape() -> None:
    """Record WebSocket traffic, and replay it deterministically to any client."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exits 0 done, 1 failed, 2 usage, 3 divergence."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    from wiretape_protocols import WiretapeError

    try:
        status: Any = wiretape.main(arguments, prog_name="wiretape", standalone_mode=False)
        # Here, and not when the interpreter ends: then nobody could say what went wrong.
        sys.stdout.flush()
    except click.exceptions.Exit as exc:
        status = exc.exit_code
    except click.Abort:
        status = FAILED
    except click.UsageError as exc:
        exc.show()
        status = exc.exit_code
    except click.ClickException as exc:
        click.echo(f"wiretape: {exc.format_message()}", err=True)
        status = exc.exit_code
    except WiretapeError as exc:
        click.echo(f"wiretape: {exc}", err=True)
        status = USAGE if exc.usage else FAILED
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        _drop_output()
        status = DONE
    except OSError as exc:
        # Of our own output: every other one is named where it happens.
        click.echo(f"wiretape: cannot write the output ({exc.strerror}): give it room", err=True)
        _drop_output()
        status = FAILED
    return status if isinstance(status, int) else DONE


def _drop_output() -> None:
    """What could not be written is still in the buffer: the interpreter's end must not try again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
