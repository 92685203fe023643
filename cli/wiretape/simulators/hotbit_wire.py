"""
The bytes of the simulated Hotbit exchange: JSON texts, envelopes and the packing of a message.

What the messages say is decided elsewhere (``hotbit_session``); this module only writes them. The
JSON writer is our own because the exchange prints doubles with 17 significant digits, which
``json.dumps`` shortens.
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

type Json = bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None

#: Spaces per level of a reply that a backend in its debug mode has written.
BACKEND_INDENT = 4


class Compression(Enum):
    """How every message of the server is packed; the client's messages are always plain text."""

    #: A gzip member in a binary frame, as the exchange's own client demos decode it.
    GZIP = "gzip"
    #: An RFC 1950 stream in a binary frame, as the published document has it.
    ZLIB = "zlib"
    #: Plain text frames, as the stock ViaBTC server sends them.
    TEXT = "text"
    #: Text frames below the permessage-deflate extension, for the clients that offer it.
    PERMESSAGE_DEFLATE = "permessage-deflate"


def dump(value: Json, *, indent: int = 0) -> str:
    """
    Write a JSON text the way the exchange's C library does.

    Doubles have 17 significant digits, separators are a comma and a colon with a space each. With
    `indent` the text has a line per element, indented by so many spaces per level.
    """
    return _dump(value, indent, level=1)


def _dump(value: Json, indent: int, level: int) -> str:
    match value:
        case bool() | None | str():
            return json.dumps(value, ensure_ascii=False)
        case int():
            return str(value)
        case float():
            return _double(value)
        case Mapping():
            members = (f"{_dump(k, 0, 1)}: {_dump(v, indent, level + 1)}" for k, v in value.items())
            return _enclose("{", members, "}", indent, level)
        case _:
            return _enclose("[", (_dump(v, indent, level + 1) for v in value), "]", indent, level)


def _double(value: float) -> str:
    text = format(value, ".17g")
    return text if any(mark in text for mark in ".e") else text + ".0"


def _enclose(opening: str, parts: Iterable[str], closing: str, indent: int, level: int) -> str:
    items = list(parts)
    if not items or not indent:
        return opening + ", ".join(items) + closing
    margin = "\n" + " " * (indent * level)
    return opening + margin + ("," + margin).join(items) + margin[: len(margin) - indent] + closing


def success(request_id: int, result: Json, *, indent: int = 0) -> str:
    """Write the reply to a request that was carried out."""
    return dump({"error": None, "result": result, "id": request_id}, indent=indent)


def failure(request_id: int, code: int, message: str) -> str:
    """Write the reply to a request that was refused."""
    return dump({"error": {"code": code, "message": message}, "result": None, "id": request_id})


def push(method: str, params: Json, *, push_id: int | None = None, **siblings: Json) -> str:
    """
    Write a message that no request asked for.

    `siblings` are the keys that Hotbit adds behind ViaBTC's three; `push_id` is null on the wire
    except for the push of all market states, which carries 0.
    """
    return dump({"method": method, "params": params, "id": push_id, **siblings})


def pack(text: str, compression: Compression, level: int) -> str | bytes:
    """
    Pack one message: bytes go out as a binary frame, a string as a text frame.

    The same text gives the same bytes: the gzip header holds no time. `level` is zlib's, 0 to 9.
    """
    match compression:
        case Compression.GZIP:
            return gzip.compress(text.encode(), compresslevel=level, mtime=0)
        case Compression.ZLIB:
            return zlib.compress(text.encode(), level)
        case Compression.TEXT | Compression.PERMESSAGE_DEFLATE:
            return text
