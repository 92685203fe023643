"""`wiretape record`: runs the recorder until it is told to stop."""

import asyncio
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from wiretape.options import keep_wire_option, ready_file_option, recording_name, store_option
from wiretape.ready import notify, ready_file, tell_ready
from wiretape.redaction import chosen_rules, redaction_options
from wiretape_addons import parse_listen, parse_targets
from wiretape_protocols import Redactor
from wiretape_store import KeepWire, StoreReader, shown

if TYPE_CHECKING:
    from wiretape_addons.recorder import Listener


@click.command("record", short_help="Record what passes between clients and upstreams.")
@click.argument("upstreams", nargs=-1, required=True, metavar="NAME[:PROTOCOL]=URL ...")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="The first upstream's address; the others count up. [127.0.0.1:8081]",
)
@store_option
@click.option(
    "--recording",
    metavar="NAME",
    callback=recording_name,
    help="The recording's name. [made from the time]",
)
@click.option("--insecure", is_flag=True, help="Do not verify the certificates of wss:// upstreams.")
@click.option(
    "--upstream-ca",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="Verify wss:// upstreams by the certificates in FILE (PEM).",
)
@click.option(
    "--on-store-failure",
    type=click.Choice(["close", "pass"]),
    default="close",
    show_default=True,
    help="When the store cannot be written: end, or relay on and record the gap later.",
)
@keep_wire_option
@redaction_options
@ready_file_option
def command(
    upstreams: tuple[str, ...],
    listen: str | None,
    store: str,
    recording: str | None,
    insecure: bool,
    upstream_ca: str | None,
    on_store_failure: str,
    keep_wire: str,
    ready_path: str | None,
    **redaction: tuple[str, ...],
) -> None:
    """
    Listen for the clients of each upstream, relay everything untouched, and store it.

    NAME=URL is an upstream, such as hotbit=wss://ws.hotbit.io; a NAME that is a known protocol selects
    it, NAME:PROTOCOL=URL names one. Ends with everything stored on Ctrl-C.

    Credentials are replaced by tokens before anything is stored; --redact and its kin, each as often as
    needed, add to what counts as one.
    """
    targets = parse_targets(upstreams)
    addresses = parse_listen(listen, len(targets))
    rules = chosen_rules(**redaction)
    try:
        from wiretape_addons.recorder import Ready, RecorderSettings, run_recorder
    except ModuleNotFoundError as exc:
        if exc.name is None or not exc.name.startswith("mitmproxy"):
            raise
        raise click.ClickException("recording needs mitmproxy: pip install 'wiretape[record]'") from exc

    settings = RecorderSettings(
        targets,
        addresses,
        store,
        recording,
        insecure,
        upstream_ca,
        on_store_failure == "pass",
        rules,
        KeepWire(keep_wire),
    )
    in_words = Redactor(b"", rules, os.environ).url
    names: list[str] = []

    def on_ready(ready: Ready) -> None:
        places = [in_words(target.url).partition("?")[0] for target in targets]
        _say_ready(ready.recording, ready.listeners, places, store)
        tell_ready(ready_path, ready.recording, ready.listeners)
        names.append(ready.recording)

    with ready_file(ready_path):
        try:
            asyncio.run(run_recorder(settings, on_ready, _warn))
        finally:
            notify("STOPPING=1")
    for name in names:
        _say_stored(store, name)


def _say_ready(recording: str, listeners: "Sequence[Listener]", places: Sequence[str], store: str) -> None:
    for at, place in zip(listeners, places, strict=True):
        click.echo(f"{at.upstream} ({at.protocol}): {at.url} -> {place}", err=True)
    click.echo(f"recording {recording} into {shown(store)}; Ctrl-C ends it", err=True)


def _warn(text: str) -> None:
    click.echo(f"wiretape: {text}", err=True)


def _say_stored(store: str, name: str) -> None:
    with StoreReader(store) as reader:
        sessions = reader.sessions(name)
    count = sum(session.messages_from_client + session.messages_from_upstream for session in sessions)
    hint = f": wiretape replay {name} --store {shown(store)}" if sessions else ""
    click.echo(f"stored {len(sessions)} sessions, {count} messages{hint}", err=True)
