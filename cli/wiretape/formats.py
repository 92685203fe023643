"""
The formats that `wiretape export` writes and `wiretape import` reads: one table.

A format's module is imported when the format is used. Whoever adds one writes a function with the
shape of `Write` or `Read`, and a line here.
"""

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from wiretape_protocols import WiretapeError
from wiretape_store import IncomingRecording, StoreReader

Write = Callable[[StoreReader, str, BinaryIO], None]
"""Write a recording or a session of a store into a file."""
Read = Callable[..., IncomingRecording]
"""
Read a file (`Path`) lazily: its sessions and their messages are iterators.

One of a format with `asks_protocols` takes `protocols` too: names of upstreams and what they speak.
"""

STDOUT = "-"
_LOOKED_AT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write a recording down outside a store."""

    name: str
    suffixes: tuple[str, ...]
    about: str
    writer: str | None = None
    """`module:function` with the shape of `Write`."""
    reader: str | None = None
    """`module:function` with the shape of `Read`."""
    is_text: bool = True
    """It is searched for secrets before it gets its name, and may go to a terminal."""
    asks_protocols: bool = False
    """A file of it does not say what its upstreams speak."""
    begins: bytes = rb"(?!)"
    """How a file of it begins, as a regular expression, for one whose suffix says nothing."""

    def write(self) -> Write:
        """Import the writer."""
        write: Write = _imported(self.writer)
        return write

    def read(self, path: Path, protocols: Mapping[str, str]) -> IncomingRecording:
        """Import the reader and read a file. Raises ProtocolGivenError, and what the reader raises."""
        read: Read = _imported(self.reader)
        if self.asks_protocols:
            return read(path, protocols)
        if protocols:
            raise ProtocolGivenError(self.name)
        return read(path)


FORMATS = (
    Format(
        "tape",
        (".tape",),
        "JSON lines made for git; the exact bytes come back",
        "wiretape_store.tapes:write_tape",
        "wiretape_store.tapes:read_tape",
        begins=rb'\s*\{\s*"wiretape"',
    ),
    Format(
        "har",
        (".har",),
        "HTTP archive, as browsers' tools save and open it",
        "wiretape_store.exports.har:write_har",
        "wiretape_store.exports.har:read_har",
        asks_protocols=True,
        begins=rb'(?:\xef\xbb\xbf)?\s*\{\s*"log"',
    ),
    Format(
        "flows",
        (".flow", ".flows", ".mitm"),
        "mitmproxy's flow file, as mitmdump -w writes it",
        "wiretape_addons.flow_files:write_flows",
        "wiretape_addons.flow_files:read_flows",
        is_text=False,
        asks_protocols=True,
        begins=rb"\d{1,12}:",
    ),
    Format(
        "csv", (".csv",), "one row a message, for spreadsheets", "wiretape_store.exports.tables:write_csv"
    ),
    Format(
        "jsonl",
        (".jsonl",),
        "one JSON object a message, for scripts",
        "wiretape_store.exports.tables:write_jsonl",
    ),
    Format(
        "parquet",
        (".parquet",),
        "columns for DuckDB and Spark (extra: parquet)",
        "wiretape_store.exports.parquet:write_parquet",
        is_text=False,
    ),
)
"""In the order in which the documentation lists them."""
WRITTEN = tuple(each for each in FORMATS if each.writer)
READ = tuple(each for each in FORMATS if each.reader)


class UnknownFormatError(WiretapeError):
    """Neither the user nor the file says which format is meant."""

    usage = True

    def __init__(self, path: str, known: tuple[Format, ...]) -> None:
        """Keep the formats that there are to choose from."""
        super().__init__(path, known)
        self.path = path
        self.known = known

    def __str__(self) -> str:
        """Name the formats and their suffixes."""
        known = ", ".join(f"{each.name} ({' '.join(each.suffixes)})" for each in self.known)
        return f"cannot tell the format of {self.path}: name it with --format, one of {known}"


class ProtocolGivenError(WiretapeError):
    """The user says what an upstream speaks, of a file that says so itself."""

    usage = True

    def __init__(self, name: str) -> None:
        """Keep the name of the format."""
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        """Say where it stands."""
        return f"a {self.name} names the protocols of its upstreams itself: change them there"


def format_to_write(path: str, name: str | None) -> Format:
    """Choose the format by its name, else by the file's suffix; a tape for stdout."""
    found = _named(name, WRITTEN) or _by_suffix(path, WRITTEN)
    if found is None and path == STDOUT:
        return WRITTEN[0]
    if found is None:
        raise UnknownFormatError(path, WRITTEN)
    return found


def format_to_read(path: Path, name: str | None) -> Format:
    """Choose the format by its name, else by the file's suffix, else by how the file begins."""
    found = _named(name, READ) or _by_suffix(str(path), READ) or _by_beginning(path)
    if found is None:
        raise UnknownFormatError(str(path), READ)
    return found


def _named(name: str | None, formats: tuple[Format, ...]) -> Format | None:
    return next((each for each in formats if each.name == name), None)


def _by_suffix(path: str, formats: tuple[Format, ...]) -> Format | None:
    suffix = Path(path).suffix.lower()
    return next((each for each in formats if suffix in each.suffixes), None)


def _by_beginning(path: Path) -> Format | None:
    try:
        with path.open("rb") as file:
            head = file.read(_LOOKED_AT_BYTES)
    except OSError:
        return None
    return next((each for each in READ if re.match(each.begins, head)), None)


def _imported(place: str | None) -> Any:
    module, _, function = (place or "").partition(":")
    return getattr(importlib.import_module(module), function)
