"""Runs, settings and verdicts as JSON, and settings read from it."""

import base64
import binascii
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from wiretape_replay.binding import in_url
from wiretape_replay.control.errors import MalformedError
from wiretape_replay.control.filters import Filter
from wiretape_replay.control.validation import shown
from wiretape_replay.errors import UnknownUpstreamError
from wiretape_replay.faults import Fault
from wiretape_replay.journal import EntryKind
from wiretape_replay.relaxing import Relaxation
from wiretape_replay.run import Run
from wiretape_replay.runs import Addresses, LiveRun, Wanted
from wiretape_replay.settings import OnMiss, Order, Pace, Reconnect, Repeats, ReplaySettings
from wiretape_replay.stand import Stand
from wiretape_replay.verdict import Findings, Verdict
from wiretape_store.tapes import tape_of

Object = dict[str, Any]
_ALL_ADDRESSES = ("0.0.0.0", "::")  # noqa: S104 - to find, not to bind

_READERS: dict[str, Callable[[Any], object]] = {
    "order": Order,
    "pace": Pace.parse,
    "on_miss": OnMiss,
    "reconnect": Reconnect,
    "repeats": Repeats,
    "relax": lambda texts: tuple(map(Relaxation.parse, texts)),
    "strict": bool,
    "allow_effects": bool,
    "faults": lambda given: read_faults_of(given, "settings.faults"),
    "seed": int,
}
"""How each member becomes a setting of the same name."""


def read_settings(given: Object, stopping_us: int) -> ReplaySettings:
    """Settings of a checked object. Raises SettingError for a text that says nothing."""
    values: Object = {name: read(given[name]) for name, read in _READERS.items() if name in given}
    if "stall_s" in given:
        values["stall_us"] = round(given["stall_s"] * 1_000_000)
    return ReplaySettings(**values, stopping_us=stopping_us)


def read_faults_of(given: Sequence[Object], member: str) -> tuple[Fault, ...]:
    """The faults of a checked list; `member` is where it stands. Raises FaultError."""
    return tuple(Fault.from_object(each, f"{member}[{place}]") for place, each in enumerate(given))


def fault_objects(faults: Iterable[Fault]) -> list[Object]:
    """Faults as JSON."""
    return [fault.to_object() for fault in faults]


def read_wanted(given: Object, stopping_us: int) -> Wanted:
    """The run that a checked body asks for. Raises SettingError and MalformedError."""
    live_urls = given.get("live_urls", {})
    for name, url in live_urls.items():
        if not _is_websocket(url):
            raise MalformedError(
                f"the URL of {shown(name)} in live_urls is {shown(url)}: use a URL such as wss://ws.hotbit.io"
            )
    return Wanted(
        given.get("recording"),
        given.get("tape"),
        read_settings(given.get("settings", {}), stopping_us),
        Addresses(given.get("addresses", Addresses.PORTS)),
        live_urls,
    )


def _is_websocket(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not match, a port that is none
        return False


def ended_object(live: LiveRun, now_us: int) -> Object:
    """What is left of a run that has ended; `now_us` is since 1970, UTC."""
    ended: Object = {"verdict": verdict_object(live.verdict())}
    if live.run.settings.on_miss is OnMiss.RECORD:
        conversation = live.run.conversation(live.run.recording.what, now_us)
        ended["tape"] = tape_of(conversation, os.environ).decode()
    return ended


def settings_object(settings: ReplaySettings) -> Object:
    """The same as JSON, every member filled in."""
    return {
        "order": settings.order.value,
        "pace": str(settings.pace),
        "on_miss": settings.on_miss.value,
        "reconnect": settings.reconnect.value,
        "repeats": settings.repeats.value,
        "relax": [relaxation.text for relaxation in settings.relax],
        "stall_s": settings.stall_us / 1_000_000,
        "strict": settings.strict,
        "allow_effects": settings.allow_effects,
        "faults": fault_objects(settings.faults),
        "seed": settings.seed,
    }


def run_object(live: LiveRun, host: str | None) -> Object:
    """
    A run, for a client that reaches this server as `host`.

    What listens on all addresses of the machine is then said to be there.
    """
    run = live.run
    return {
        "id": live.id,
        "recording": run.recording.what,
        "pace": str(run.pace),
        "paused": run.paused,
        "settings": settings_object(run.settings),
        "faults": fault_objects(run.faults),
        "urls": {upstream: _reached(url, host) for upstream, url in live.urls.items()},
        "doubts": list(run.recording.doubts),
        "upstreams": [_upstream_object(stand, live) for stand in run.stands],
    }


def _reached(url: str, host: str | None) -> str:
    parts = urlsplit(url)
    if host is None or parts.hostname not in _ALL_ADDRESSES:
        return url
    return parts._replace(netloc=f"{in_url(host)}:{parts.port}").geturl()


def _upstream_object(stand: Stand, live: LiveRun) -> Object:
    upstream = stand.replayed.upstream
    return {
        "name": upstream.name,
        "protocol": upstream.protocol,
        "url": upstream.url,
        "sessions": len(stand.replayed.sessions),
        "connections": [
            {"number": each.number, "session": each.session, "open": each.open}
            for each in live.attendance.of(upstream.name)
        ],
    }


def verdict_object(verdict: Verdict) -> Object:
    """A verdict."""
    return {
        "ok": verdict.ok,
        "misses": _findings(verdict.misses),
        "unused": _findings(verdict.unused),
        "stalls": _findings(verdict.stalls),
        "relaxed": _findings(verdict.relaxed),
    }


def _findings(findings: Findings) -> Object:
    return asdict(findings)


def read_filter(query: Object, run: Run) -> Filter:
    """A filter of a checked query. Raises UnknownUpstreamError."""
    if query["upstream"] is not None:
        upstream_named(run, query["upstream"])
    return Filter(
        kinds=frozenset(map(EntryKind, query["kind"] or ())),
        upstream=query["upstream"],
        method=query["method"],
        session=query["session"],
        connection=query["connection"],
        after=query["after"],
    )


def upstream_named(run: Run, name: str | None) -> str:
    """The name of an upstream of the run: the given one, else that of the only one. Raises UnknownUpstreamError."""
    names = [stand.name for stand in run.stands]
    if name is None and len(names) == 1:
        return names[0]
    if name is None:
        raise MalformedError(f"upstream is missing: name one of {', '.join(names)}")
    if name not in names:
        raise UnknownUpstreamError(name, names)
    return name


def read_payload(given: Object) -> bytes:
    """The payload of a checked push."""
    if "payload" in given:
        return str(given["payload"]).encode()
    try:
        return base64.b64decode(given["payload_base64"], validate=True)
    except (binascii.Error, ValueError) as exc:
        raise MalformedError(
            f"payload_base64 is not base64 ({exc}): use the standard alphabet, padded"
        ) from None
