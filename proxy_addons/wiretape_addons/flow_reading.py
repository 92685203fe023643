"""
Reading flows of mitmproxy for import: first what each is, then, flow by flow, its messages.

One flow is in memory at a time. Owns which flows are sessions and how mitmproxy tells their ends.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from mitmproxy import exceptions, http
from mitmproxy.flow import Flow
from mitmproxy.io import FlowReader

from wiretape_addons.flow_extras import Extras, common_header, extras_of
from wiretape_addons.flow_sessions import Kind, end_of, handshake_of, items_of, kind_of, times_of
from wiretape_protocols import protocol_named
from wiretape_store import IncomingRecording, IncomingSession, UpstreamSpec
from wiretape_store.exports.addresses import Address, UpstreamNames, split_url
from wiretape_store.exports.errors import ForeignFileError, UnknownUpstreamError
from wiretape_store.tapes.errors import LineError
from wiretape_store.tapes.parsing import Header

_KIND = "flow file"
# What mitmproxy raises, besides its own error, for states that are not what it wrote.
_DAMAGED = (
    exceptions.FlowReadException,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the first reading keeps of a flow that is a session."""

    address: Address
    started_at_us: int
    ended_at_us: int
    extras: Extras | None


@dataclass(slots=True)
class _Left:
    """Counts what is left out."""

    others: int = 0
    handshakes: int = 0
    dropped: int = 0

    def notes(self) -> Iterator[str]:
        """Say it, a line for each kind."""
        if self.others:
            yield f"flows left out because they are no WebSocket connections: {self.others}"
        if self.handshakes:
            yield f"handshakes left out because mitmproxy kept no messages of them: {self.handshakes}"
        if self.dropped:
            yield f"messages left out because mitmproxy had dropped them: {self.dropped}"


def read(path: Path, protocols: Mapping[str, str] | None) -> IncomingRecording:
    """Read a file of flows."""
    known: list[_Known] = []
    left = _Left()
    for number, each in _flows(path):
        kind = kind_of(each)
        if kind is Kind.SESSION and isinstance(each, http.HTTPFlow):
            known.append(_known(path, number, each))
            left.dropped += (
                sum(message.dropped for message in each.websocket.messages) if each.websocket else 0
            )
        elif kind is Kind.HANDSHAKE:
            left.handshakes += 1
        else:
            left.others += 1
    if not known:
        what = f"none of its {left.others + left.handshakes} flows is a WebSocket connection with messages"
        raise ForeignFileError(_KIND, str(path), "", f"{what}; nothing to import")
    header = common_header(about.extras for about in known)
    names = UpstreamNames()
    for about in known:
        names.name(about.address)
    specs = names.specs(str(path), protocols) if header is None else _specs(path, header, protocols)
    return IncomingRecording(
        name=header.recording if header else path.stem,
        started_at_us=header.started_at_us if header else min(about.started_at_us for about in known),
        ended_at_us=header.ended_at_us if header else max(about.ended_at_us for about in known),
        upstreams=specs,
        sessions=_sessions(path, known, names, is_ours=header is not None),
        redaction_rules=header.redaction_rules if header else (),
        redaction_key=b"" if header else None,
        notes=tuple(left.notes()),
    )


def _specs(path: Path, header: Header, protocols: Mapping[str, str] | None) -> tuple[UpstreamSpec, ...]:
    given = dict(protocols or {})
    known = tuple(spec.name for spec in header.upstreams)
    for name, protocol in given.items():
        protocol_named(protocol)
        if name not in known:
            raise UnknownUpstreamError(str(path), name, known)
    return tuple(replace(spec, protocol=given.get(spec.name, spec.protocol)) for spec in header.upstreams)


def _known(path: Path, number: int, each: http.HTTPFlow) -> _Known:
    try:
        extras = extras_of(each.metadata)
        address, _ = split_url(_url(each))
        started_at_us, ended_at_us = times_of(each, extras)
    except (LineError, ValueError) as exc:
        raise ForeignFileError(_KIND, str(path), f"flow {number}", str(exc)) from exc
    if extras and extras.start.upstream not in [spec.name for spec in extras.header.upstreams]:
        what = f"it names upstream {extras.start.upstream!r}, which it does not list"
        raise ForeignFileError(_KIND, str(path), f"flow {number}", what)
    return _Known(address, started_at_us, ended_at_us, extras)


def _sessions(
    path: Path, known: list[_Known], names: UpstreamNames, *, is_ours: bool
) -> Iterator[IncomingSession]:
    """Read the file once more. Upstreams are named by their addresses unless the file is ours."""
    numbers = iter(known)
    for number, each in _flows(path):
        if kind_of(each) is not Kind.SESSION or not isinstance(each, http.HTTPFlow):
            continue
        about = next(numbers, None)
        if about is None:
            raise ForeignFileError(_KIND, str(path), f"flow {number}", "it was not there at first; try again")
        extras = about.extras
        yield IncomingSession(
            upstream=extras.start.upstream if is_ours and extras else names.name(about.address),
            started_at_us=about.started_at_us,
            handshake=handshake_of(each, extras),
            items=items_of(each, about.started_at_us, extras),
            ended_at_us=about.ended_at_us,
            end=end_of(each, extras),
        )


def _url(each: http.HTTPFlow) -> str:
    """Where the flow went, not what its Host field says."""
    host = f"[{each.request.host}]" if ":" in each.request.host else each.request.host
    return f"{each.request.scheme}://{host}:{each.request.port}/"


def _flows(path: Path) -> Iterator[tuple[int, Flow]]:
    """Count the flows of a file, from 1. Raises ForeignFileError."""
    with _opened(path) as file:
        flows = iter(FlowReader(file).stream())
        number = 1
        while True:
            try:
                each = next(flows, None)
            except _DAMAGED as exc:
                said = str(exc) if isinstance(exc, exceptions.FlowReadException) else "invalid data"
                what = (
                    f"mitmproxy cannot read it ({said.rstrip('.')}); it is damaged, cut short or no flow file"
                )
                raise ForeignFileError(_KIND, str(path), f"flow {number}", what) from exc
            if each is None:
                return
            yield number, each
            number += 1


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            head = file.peek(4)[:4]
            if not head:
                raise ForeignFileError(_KIND, str(path), "", "it is empty")
            if head.lstrip(b"\xef\xbb\xbf").startswith(b"{"):
                what = "it is JSON, perhaps a HAR; say so with --format har"
                raise ForeignFileError(_KIND, str(path), "", what)
            yield file
    except OSError as exc:
        raise ForeignFileError(_KIND, str(path), "", f"cannot be read ({exc.strerror})") from exc
