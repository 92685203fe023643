"""`wiretape check`: whether a store is whole; and saving what can be saved of one that is not."""

import json
from typing import Any

import click

from wiretape.options import json_option, store_option
from wiretape.progress import ProgressLine
from wiretape.status import DONE, FAILED
from wiretape.text import counted, printable
from wiretape_store.checking.findings import Finding, Severity
from wiretape_store.checking.store_check import Checked, StoreCheck
from wiretape_store.salvaging.mending import SavedSession
from wiretape_store.salvaging.salvage import Saved, repair_store
from wiretape_store.urls import shown


@click.command("check", short_help="Verify a whole store, or save what can be saved of a damaged one.")
@store_option
@json_option
@click.option("--deep", is_flag=True, help="Pack every packed message anew, not one of each chunk.")
@click.option(
    "--repair",
    "target",
    metavar="NEWSTORE",
    type=click.Path(dir_okay=False),
    help="Save what can be saved into a new store; the damaged one is left as it is.",
)
def command(store: str, as_json: bool, deep: bool, target: str | None) -> int:
    """
    Verify a whole store: its file, every reference, every message. Nothing is changed.

    Says in one line each what is damaged, and exits with 1 if anything is. With --repair nothing is
    verified but the new store, and the exit status is 0 when it is whole, whatever was lost; it is 1 when
    none of the messages could be saved.
    """
    if target is not None:
        return _repair(store, target, as_json=as_json)
    check = StoreCheck(store, deep=deep)
    findings: list[Finding] = []
    with ProgressLine() as line:
        for finding in check.findings(lambda checked: line.show(_progress_text(checked))):
            if as_json:
                findings.append(finding)
                continue
            line.clear()
            prefix = "" if finding.severity is Severity.DAMAGE else "note: "
            click.echo(prefix + printable(str(finding)))
    if as_json:
        click.echo(json.dumps(_check_object(store, check.checked, findings), indent=2))
    else:
        click.echo(f"{shown(store)}: {_verdict(check.checked)}")
    return FAILED if check.checked.damages else DONE


def _repair(store: str, target: str, *, as_json: bool) -> int:
    with ProgressLine() as line:
        saved = repair_store(store, target, lambda what, done, of: line.show(f"{what}: {done} of {of}"))
    if as_json:
        click.echo(json.dumps(_saved_object(saved), indent=2))
    else:
        for loss in saved.losses:
            click.echo(f"lost: {printable(loss)}")
        for session in saved.sessions:
            click.echo(
                f"session {session.id}: {counted(session.kept, 'message')} saved" + _lost_text(session)
            )
        for remaining in saved.remaining:
            click.echo(f"still wrong: {printable(remaining)}")
        click.echo(f"{saved.path}: {_saved_text(saved)}")
    if saved.nothing_saved:
        click.echo("wiretape: no message could be saved; restore a copy of the store", err=True)
    return FAILED if saved.remaining or saved.nothing_saved else DONE


def _saved_text(saved: Saved) -> str:
    kept = ", ".join(
        (
            counted(saved.recordings, "recording"),
            counted(len(saved.sessions), "session"),
            counted(saved.kept, "message"),
        )
    )
    if saved.lost is None:
        return f"{kept} saved; how many messages are lost is unknown"
    return f"{kept} saved; {counted(saved.lost, 'message')} known to be lost"


def _lost_text(session: SavedSession) -> str:
    return "".join(f"; {printable(loss)}" for loss in session.losses)


def _progress_text(checked: Checked) -> str:
    return f"session {checked.sessions} of {checked.sessions_in_all}, {checked.messages} messages"


def _verdict(checked: Checked) -> str:
    damage = f"{counted(checked.damages, 'finding')} of damage" if checked.damages else "no damage"
    return f"{counted(checked.sessions, 'session')}, {counted(checked.messages, 'message')}: {damage}"


def _check_object(store: str, checked: Checked, findings: list[Finding]) -> dict[str, Any]:
    return {
        "store": shown(store),
        "ok": checked.damages == 0,
        "sessions": checked.sessions,
        "messages": checked.messages,
        "findings": [
            {
                "severity": finding.severity.value,
                "session": finding.session,
                "first_seq": finding.first_seq,
                "last_seq": finding.first_seq if finding.last_seq is None else finding.last_seq,
                "what": finding.what,
            }
            for finding in findings
        ],
    }


def _saved_object(saved: Saved) -> dict[str, Any]:
    return {
        "store": saved.path,
        "ok": not saved.remaining and not saved.nothing_saved,
        "recordings": saved.recordings,
        "messages": saved.kept,
        "messages_lost": saved.lost,
        "losses": saved.losses,
        "sessions": [
            {"id": each.id, "messages": each.kept, "messages_lost": each.lost, "losses": each.losses}
            for each in saved.sessions
        ],
        "remaining": saved.remaining,
    }
