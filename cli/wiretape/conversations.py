"""What `wiretape replay --on-miss record` stores, and where it finds the live upstreams."""

import os
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

import click

from wiretape_replay import Run
from wiretape_store import RecordingExistsError, StoreWriter, import_recording


def live_urls(texts: Iterable[str]) -> dict[str, str]:
    """Read `NAME=URL`, one for each upstream. Raises click.BadParameter."""
    urls: dict[str, str] = {}
    for text in texts:
        name, equals, url = text.partition("=")
        parts = urlsplit(url)
        if not equals or not name or parts.scheme not in {"ws", "wss"} or not parts.hostname:
            message = f"{name!r} needs NAME=URL, such as hotbit=wss://ws.hotbit.io"
            raise click.BadParameter(message, param_hint="--upstream")
        urls[name] = url
    return urls


def stored_conversation(run: Run, store: str, what: str, name: str | None) -> str:
    """
    Store what passed in a run that has ended; the name that it got.

    Without a name it is WHAT and the first number, from 2 on, that is not taken. Raises
    RecordingExistsError for a name that is.
    """
    now_us = time.time_ns() // 1000
    wanted = [name] if name is not None else [f"{what}.{number}" for number in range(2, 1000)]
    with StoreWriter(store, clock_us=lambda: time.time_ns() // 1000) as writer:
        for each in wanted:
            try:
                return import_recording(writer, run.conversation(each, now_us), environment=os.environ).name
            except RecordingExistsError:
                if each == wanted[-1]:
                    raise
    raise AssertionError("there is at least one name")
