"""`wiretape copy`: moves recordings between stores, and compares them afterwards."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import click

from wiretape.options import json_option, store_option
from wiretape.progress import ProgressLine
from wiretape.sources import no_tape
from wiretape.status import DIVERGENCE, DONE
from wiretape.text import printable
from wiretape_store import StoreReader, shown
from wiretape_store.copying.comparing import differences
from wiretape_store.copying.copy import Copied, Progress, RecordingCopier

DIFFERENCES_SHOWN = 10


@click.command("copy", short_help="Copy recordings to another store.")
@click.argument("what", nargs=-1, callback=no_tape)
@store_option
@click.option(
    "--to", "target", metavar="URL", required=True, help="The store to copy to: a path or a database URL."
)
@click.option("--all", "is_all", is_flag=True, help="Copy every recording.")
@click.option("--recording", "name", metavar="NAME", help="Call the copy so.  [as it is called]")
@json_option
def command(
    what: tuple[str, ...], store: str, target: str, is_all: bool, name: str | None, as_json: bool
) -> int:
    """
    Copy recordings (names or ids) to another store, SQLite or PostgreSQL, and compare both byte by byte.

    A copy that was interrupted goes on where it was when it is called again.
    """
    if bool(what) == is_all:
        raise click.UsageError("say which recordings, or --all")
    if name is not None and (is_all or len(what) > 1):
        raise click.UsageError("--recording names one copy; copy one recording at a time")
    # Before the other store is made: what cannot be copied leaves nothing behind.
    with StoreReader(store) as reader:
        what = tuple((found.id for found in reader.recordings()) if is_all else map(_id_in(reader), what))
    if not what:
        raise click.ClickException(f"{shown(store)} holds no recordings to copy")
    results = []
    with RecordingCopier(store, target) as copier, ProgressLine() as line:
        for each in what:
            copied = copier.copy(each, name, lambda now: line.show(_progress("copied", now)))
            results.append(_compared(store, target, copied, line))
    if as_json:
        click.echo(json.dumps([result.as_object() for result in results], indent=2))
    else:
        for result in results:
            result.tell(store, target)
    return DONE if not any(result.differing for result in results) else DIVERGENCE


def _id_in(reader: StoreReader) -> Callable[[str], str]:
    return lambda name: reader.recording(name).id


@dataclass(frozen=True, slots=True)
class _Result:
    """One recording that was copied, and what was found when it was compared."""

    copied: Copied
    differing: list[str] = field(default_factory=list)

    def as_object(self) -> dict[str, Any]:
        """What scripts rely on."""
        return {
            "recording": self.copied.source.name,
            "copy": self.copied.name,
            "id": self.copied.id,
            "sessions": self.copied.sessions,
            "messages": self.copied.messages,
            "messages_before": self.copied.messages_before,
            "ok": not self.differing,
            "differences": self.differing,
        }

    def tell(self, store: str, target: str) -> None:
        """Say it to people."""
        copied = self.copied
        for text in self.differing:
            click.echo(f"{printable(copied.source.name)}: {text}")
        before = f" ({copied.messages_before} were there already)" if copied.messages_before else ""
        verdict = "not the same" if self.differing else "compared, the same"
        click.echo(
            f"{printable(copied.source.name)} -> {copied.id} {printable(copied.name)}: {copied.sessions} sessions, "
            f"{copied.messages} messages{before}: {verdict}"
        )
        if self.differing:
            click.echo(
                f"wiretape: {shown(store)} and {shown(target)} differ; 'wiretape check' both", err=True
            )


def _compared(store: str, target: str, copied: Copied, line: ProgressLine) -> _Result:
    def show(messages: int) -> None:
        line.show(_progress("compared", Progress(copied.source.name, messages, copied.messages)))

    with StoreReader(store) as one, StoreReader(target) as other:
        found = differences(one, copied.source.id, other, copied.id, show)
        return _Result(copied, [text for text, _ in zip(found, range(DIFFERENCES_SHOWN), strict=False)])


def _progress(verb: str, now: Progress) -> str:
    return f"{printable(now.recording)}: {verb} {now.messages} of {now.total} messages"
