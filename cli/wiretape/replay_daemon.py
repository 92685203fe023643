"""Serves `wiretape replay` until a signal ends it: the run of WHAT, and the control API where one is asked for."""

import asyncio
import contextlib
import signal
from dataclasses import dataclass

import click

from wiretape.control_options import ControlOptions
from wiretape.ready import notify, tell_ready
from wiretape_replay import Listener, ReplayServer, Run


@dataclass(frozen=True, slots=True)
class First:
    """The run of WHAT."""

    what: str
    run: Run
    listen: str | None
    """As `ReplayServer` has it."""


async def serve(
    first: First | None, control: ControlOptions | None, store: str, ready_path: str | None
) -> None:
    """Serve until SIGINT or SIGTERM; one of the two there must be. Raises ListenError and the like."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        if control is None:
            assert first is not None
            server = await stack.enter_async_context(ReplayServer(first.run, listen=first.listen))
            listeners, url = server.listeners, None
        else:
            listeners, url = await _controlled(first, control, store, stack)
        for at in listeners:
            click.echo(f"{at.upstream} ({at.protocol}): {at.url}", err=True)
        if url is not None:
            click.echo(f"control API: {url}", err=True)
        doing = f"replaying {first.what}" if first is not None else "waiting for runs"
        click.echo(f"{doing}; Ctrl-C ends it", err=True)
        tell_ready(ready_path, None if first is None else first.what, listeners, control=url)
        await stop.wait()
        notify("STOPPING=1")


async def _controlled(
    first: First | None, control: ControlOptions, store: str, stack: contextlib.AsyncExitStack
) -> tuple[list[Listener], str]:
    """Serve the control API, with WHAT as its first run."""
    from wiretape.controlled import controlled  # uvicorn and Starlette take a while to import

    server, runs = await stack.enter_async_context(controlled(control, store))
    if first is None:
        return [], server.url
    live = await runs.adopt(first.run, first.listen)
    upstreams = [stand.replayed.upstream for stand in first.run.stands]
    return [Listener(each.name, each.protocol, live.urls[each.name]) for each in upstreams], server.url
