"""
Reading a HAR for import, however long: first what its entries are, then the messages of each in turn.

Owns the file and who is told which of its entries is wrong.
"""

import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from wiretape_protocols import protocol_named
from wiretape_store.exports.addresses import UpstreamNames
from wiretape_store.exports.errors import ForeignFileError, UnknownUpstreamError
from wiretape_store.exports.extras import MEMBER, recording_of, with_events
from wiretape_store.exports.har.entries import Entry, entry_at
from wiretape_store.exports.har.frames import Failure, FrameError, frame_of
from wiretape_store.exports.har.handshakes import EntryError
from wiretape_store.exports.har.pieces import PieceError, Text, Walk
from wiretape_store.importing import IncomingMessage, IncomingRecording, IncomingSession
from wiretape_store.records import EndKind, Event, UpstreamSpec
from wiretape_store.tapes.errors import LineError
from wiretape_store.tapes.parsing import Header

_KIND = "HAR"
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(slots=True)
class _Contents:
    """What the first reading finds."""

    header: Header | None = None
    """Of a file that wiretape wrote."""
    entries: list[Entry] = field(default_factory=list)
    others: int = 0
    """Entries that are no WebSocket connections."""


def read_har(path: Path, protocols: Mapping[str, str] | None = None) -> IncomingRecording:
    """
    Read a HAR for `import_recording`.

    `protocols` names the protocol of upstreams, by the names that the upstreams get: of the adapter
    that is a label of the host (`hotbit` for `ws.hotbit.io`), else the host. Raises ForeignFileError
    where the file or an entry cannot be read, and so do the iterators for the messages they come to;
    UnknownUpstreamError and UnknownProtocolError for `protocols`.
    """
    with _opened(path) as text:
        contents = _contents(path, text)
    if contents.header is not None:
        return _ours(path, contents.header, contents.entries, protocols)
    if not contents.entries:
        what = f"none of its {contents.others} entries is a WebSocket connection; nothing to import"
        raise ForeignFileError(_KIND, str(path), "", what)
    entries = sorted(_timed(contents.entries), key=lambda entry: entry.started_at_us)
    names = UpstreamNames()
    entries = [replace(entry, upstream=names.name(entry.address)) for entry in entries]
    return IncomingRecording(
        name=path.stem,
        started_at_us=min(entry.started_at_us for entry in entries),
        ended_at_us=max(entry.ended_at_us for entry in entries),
        upstreams=names.specs(str(path), protocols),
        sessions=(_session(path, entry) for entry in entries),
        notes=tuple(_notes(contents)),
    )


def _timed(entries: list[Entry]) -> Iterator[Entry]:
    """Give those whose time nobody can tell the time of the one before, or else of the first that has one."""
    known_us = next((entry.started_at_us for entry in entries if entry.started_at_us), 0)
    for entry in entries:
        known_us = entry.started_at_us or known_us
        if entry.started_at_us:
            yield entry
        else:
            yield replace(entry, started_at_us=known_us, ended_at_us=known_us)


def _ours(
    path: Path, header: Header, entries: list[Entry], protocols: Mapping[str, str] | None
) -> IncomingRecording:
    known = tuple(each.name for each in header.upstreams)
    for entry in entries:
        if entry.upstream not in known:
            what = f"member '{MEMBER}' names upstream {entry.upstream!r}, which the file does not list"
            raise ForeignFileError(_KIND, str(path), f"entry {entry.number}", what)
    for name, protocol in (protocols or {}).items():
        protocol_named(protocol)
        if name not in known:
            raise UnknownUpstreamError(str(path), name, known)

    def spec(each: UpstreamSpec) -> UpstreamSpec:
        return replace(each, protocol=(protocols or {}).get(each.name, each.protocol))

    return IncomingRecording(
        name=header.recording,
        started_at_us=header.started_at_us,
        ended_at_us=header.ended_at_us,
        upstreams=tuple(map(spec, header.upstreams)),
        sessions=(_session(path, entry) for entry in entries),
        redaction_rules=header.redaction_rules,
        redaction_key=b"",
    )


def _notes(contents: _Contents) -> Iterator[str]:
    if contents.others:
        yield f"entries left out because they are no WebSocket connections: {contents.others}"
    silent = sum(not entry.messages and entry.end.kind is EndKind.INTERRUPTED for entry in contents.entries)
    if silent:
        yield f"WebSocket connections that came without messages, which not every tool saves: {silent}"


def _contents(path: Path, text: Text) -> _Contents:
    contents = _Contents()
    walk = Walk(text, len(_UTF8_MARK) if text[: len(_UTF8_MARK)] == _UTF8_MARK else 0)
    has_entries = False
    try:
        if walk.byte() != b"{":
            raise ForeignFileError(_KIND, str(path), "", "it is no JSON object, so no HAR")
        for name in walk.members():
            if name == "log" and walk.byte() == b"{":
                has_entries = _read_log(path, text, walk, contents) or has_entries
        walk.finish()
    except PieceError as exc:
        raise ForeignFileError(_KIND, str(path), "", str(exc)) from exc
    if not has_entries:
        raise ForeignFileError(_KIND, str(path), "", "no HAR: it has no member 'log' with 'entries'")
    return contents


def _read_log(path: Path, text: Text, walk: Walk, contents: _Contents) -> bool:
    has_entries = False
    for name in walk.members():
        if name == MEMBER:
            try:
                contents.header = recording_of(walk.load())
            except LineError as exc:
                raise ForeignFileError(_KIND, str(path), f"member 'log.{MEMBER}'", str(exc)) from exc
        elif name == "entries" and walk.byte() == b"[":
            has_entries = True
            for index in walk.elements():
                try:
                    entry = entry_at(walk, text, index + 1)
                except EntryError as exc:
                    where = f"entry {index + 1}" + (f", message {exc.message}" if exc.message else "")
                    raise ForeignFileError(_KIND, str(path), where, str(exc)) from exc
                if entry is None:
                    contents.others += 1
                else:
                    contents.entries.append(entry)
    return has_entries


def _session(path: Path, entry: Entry) -> IncomingSession:
    return IncomingSession(
        upstream=entry.upstream,
        started_at_us=entry.started_at_us,
        handshake=entry.handshake,
        items=with_events(_frames(path, entry), entry.events),
        ended_at_us=entry.ended_at_us,
        end=entry.end,
    )


def _frames(path: Path, entry: Entry) -> Iterator[IncomingMessage | Event]:
    """The messages of an entry. The file is mapped anew, for whoever comes back to them later."""
    if not entry.messages:
        return
    latest_us = 0
    number = 0
    with _opened(path) as text:
        walk = Walk(text, entry.messages_at)
        try:
            for index in walk.elements():
                number = index + 1
                frame = frame_of(walk.load(), entry.started_at_us, latest_us)
                if not isinstance(frame, Failure):
                    latest_us = frame.at_us
                    yield frame
        except (FrameError, PieceError) as exc:
            where = f"entry {entry.number}, message {number}"
            raise ForeignFileError(_KIND, str(path), where, str(exc)) from exc


@contextmanager
def _opened(path: Path) -> Iterator[Text]:
    """Map a file; whatever is wrong with it as a whole is a ForeignFileError."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_UTF8_MARK))
            if not head.strip():
                raise ForeignFileError(_KIND, str(path), "", "it is empty")
            if head.startswith(_GZIP_MAGIC):
                raise ForeignFileError(_KIND, str(path), "", "it is gzipped; unpack it with gunzip first")
            if head.startswith(_UTF16_MARKS):
                raise ForeignFileError(_KIND, str(path), "", "it is UTF-16; save it as UTF-8")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
                yield text
    except OSError as exc:
        raise ForeignFileError(_KIND, str(path), "", f"cannot be read ({exc.strerror})") from exc
