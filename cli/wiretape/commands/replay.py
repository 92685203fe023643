"""`wiretape replay`: runs the replay daemon until it is told to stop."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

import click

from wiretape.conversations import live_urls, stored_conversation
from wiretape.options import ready_file_option, recording_name, store_option
from wiretape.private_files import open_private
from wiretape.ready import notify, ready_file, tell_ready
from wiretape.replay_options import run_options, settings_from
from wiretape.sources import opened
from wiretape.status import DIVERGENCE, DONE, FAILED
from wiretape.text import printable
from wiretape_replay import Journal, OnMiss, ReplayServer, Run, Verdict, load_recording


@click.command("replay", short_help="Stand in for the upstreams and serve a recording.")
@click.argument("what")
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
@ready_file_option
def command(
    what: str,
    store: str,
    listen: str | None,
    live: tuple[str, ...],
    record_as: str | None,
    journal: str | None,
    ready_path: str | None,
    **options: Any,
) -> int:
    """
    Serve WHAT (a recording, a session or a tape file) where it was recorded, until Ctrl-C; then print
    a verdict.

    The nth connection to an upstream gets its nth recorded session.
    """
    settings = settings_from(**options)
    with contextlib.ExitStack() as stack:
        entries = stack.enter_context(_journal_in(journal)) if journal else Journal()
        reader, what = stack.enter_context(opened(store, what))
        recording = load_recording(reader, what, os.environ)
        for doubt in recording.doubts:
            click.echo(f"wiretape: {doubt}", err=True)
        run = Run(recording, settings, entries, live_urls=live_urls(live))
        server = ReplayServer(run, listen=listen)
        stack.enter_context(ready_file(ready_path))
        verdict = asyncio.run(_serve(server, what, ready_path))
        if settings.on_miss is OnMiss.RECORD:
            click.echo(f"recorded as {stored_conversation(run, store, what, record_as)}", err=True)
    for line in verdict.lines():
        click.echo(printable(line), err=True)
    if entries.failure is not None:
        return FAILED
    return DIVERGENCE if settings.strict and not verdict.ok else DONE


async def _serve(server: ReplayServer, what: str, ready_path: str | None) -> Verdict:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        for at in server.listeners:
            click.echo(f"{at.upstream} ({at.protocol}): {at.url}", err=True)
        click.echo(f"replaying {what}; Ctrl-C ends it", err=True)
        tell_ready(ready_path, what, server.listeners)
        await stop.wait()
        notify("STOPPING=1")
    return server.verdict()


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
