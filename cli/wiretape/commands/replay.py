"""`wiretape replay`: runs the replay daemon until it is told to stop."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from typing import Any

import click
from click.core import ParameterSource

from wiretape.control_options import ControlOptions, chosen_control, control_options
from wiretape.conversations import live_urls, stored_conversation
from wiretape.options import ready_file_option, recording_name, store_option
from wiretape.private_files import open_private
from wiretape.ready import ready_file
from wiretape.replay_daemon import First, serve
from wiretape.replay_options import run_options, settings_from
from wiretape.sources import opened_to_replay
from wiretape.status import DIVERGENCE, DONE, FAILED
from wiretape.text import printable
from wiretape_replay import Journal, OnMiss, Run, load_recording

_WITHOUT_WHAT = {"store", "control", "token_file", "shared", "ready_path"}
"""What may be given where there is no WHAT; all else is about its run."""


@click.command("replay", short_help="Stand in for the upstreams and serve a recording.")
@click.argument("what", required=False)
@store_option
@click.option(
    "--listen", metavar="HOST:PORT", help="The first upstream's address; the others count up. [as recorded]"
)
@run_options
@click.option(
    "--upstream",
    "live",
    multiple=True,
    metavar="NAME=URL",
    help="With forward and record: where an upstream is now. [where it was recorded]",
)
@click.option(
    "--record-as",
    metavar="NAME",
    callback=recording_name,
    help="With record: the name of the new recording. [WHAT and a number]",
)
@click.option(
    "--journal", type=click.Path(dir_okay=False), metavar="FILE", help="Write what happens (JSON lines)."
)
@control_options
@ready_file_option
@click.pass_context
def command(
    context: click.Context,
    /,
    what: str | None,
    store: str,
    control: str | None,
    token_file: str | None,
    shared: str | None,
    ready_path: str | None,
    **options: Any,
) -> int:
    """
    Serve WHAT (a recording, a session or a tape file) where it was recorded, until Ctrl-C; then print
    a verdict.

    The nth connection to an upstream gets its nth recorded session. With --control any number of runs
    may be begun and steered over HTTP, and WHAT, the first of them, may be left out.
    """
    chosen = chosen_control(control, token_file, shared, os.environ)
    if what is not None:
        return _replay(what, store, chosen, ready_path, **options)
    _check_without_what(context, chosen)
    with ready_file(ready_path):
        asyncio.run(serve(None, chosen, store, ready_path))
    return DONE


def _check_without_what(context: click.Context, control: ControlOptions | None) -> None:
    """Raise click.UsageError where nothing says what to do."""
    if control is None:
        raise click.UsageError(
            "name WHAT to replay: a recording, a session or a tape file; or give --control, and runs are "
            "asked for over HTTP"
        )
    for parameter in context.command.params:
        given = context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
        if given and parameter.name not in _WITHOUT_WHAT:
            raise click.UsageError(f"{parameter.opts[0]} is about the run of WHAT: name WHAT too")


def _replay(
    what: str,
    store: str,
    control: ControlOptions | None,
    ready_path: str | None,
    *,
    listen: str | None,
    live: tuple[str, ...],
    record_as: str | None,
    journal: str | None,
    **options: Any,
) -> int:
    """Serve WHAT until the end, and judge its run."""
    settings = settings_from(**options)
    with contextlib.ExitStack() as stack:
        entries = stack.enter_context(_journal_in(journal)) if journal else Journal()
        reader, what = stack.enter_context(opened_to_replay(store, what))
        recording = stack.enter_context(contextlib.closing(load_recording(reader, what, os.environ)))
        for doubt in recording.doubts:
            click.echo(f"wiretape: {doubt}", err=True)
        run = Run(recording, settings, entries, live_urls=live_urls(live))
        stack.enter_context(ready_file(ready_path))
        asyncio.run(serve(First(what, run, listen), control, store, ready_path))
        if settings.on_miss is OnMiss.RECORD:
            click.echo(f"recorded as {stored_conversation(run, store, what, record_as)}", err=True)
    verdict = run.verdict()
    for line in verdict.lines():
        click.echo(printable(line), err=True)
    if entries.failure is not None:
        return FAILED
    return DIVERGENCE if settings.strict and not verdict.ok else DONE


@contextlib.contextmanager
def _journal_in(path: str) -> Iterator[Journal]:
    """A journal in a file. One that cannot be written any more is told once, and the replay goes on."""

    def failed(exc: OSError) -> None:
        why = f"cannot write the journal {path} ({exc.strerror}); the replay goes on without it"
        click.echo(f"wiretape: {why}", err=True)

    try:
        file = open_private(path)
    except OSError as exc:
        message = f"cannot write the journal {path} ({exc.strerror}): name another file with --journal"
        raise click.ClickException(message) from exc
    journal = Journal(file.write, failed)
    try:
        yield journal
    finally:
        try:
            file.close()  # writes what is left
        except OSError as exc:
            journal.fail(exc)
