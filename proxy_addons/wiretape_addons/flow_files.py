"""
mitmproxy's flow files, as mitmdump and mitmweb save and open them. See docs/formats.md.

Can be imported without mitmproxy; what needs it is in `flow_writing` and `flow_reading`.
"""

import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

from wiretape_store import IncomingRecording, StoreReader
from wiretape_store.exports.errors import MissingExtraError


def write_flows(reader: StoreReader, what: str, file: BinaryIO) -> None:
    """
    Write a recording (name or id), or one session, as flows of mitmproxy, one a session.

    A session is in memory as a whole only when mitmproxy reads it. Raises UnknownRecordingError, and
    MissingExtraError without mitmproxy.
    """
    _needing_mitmproxy("flow_writing").write(reader, what, file)


def read_flows(path: Path, protocols: Mapping[str, str] | None = None) -> IncomingRecording:
    """
    Read a flow file for `import_recording`, of any version that mitmproxy itself can read.

    `protocols` names the protocol of upstreams, by the names that the upstreams get: of the adapter
    that is a label of the host, else the host. Raises ForeignFileError, and so do the iterators;
    UnknownUpstreamError and UnknownProtocolError for `protocols`, MissingExtraError without mitmproxy.
    """
    recording: IncomingRecording = _needing_mitmproxy("flow_reading").read(path, protocols)
    return recording


def _needing_mitmproxy(name: str) -> ModuleType:
    with warnings.catch_warnings():
        # Those of mitmproxy's own imports are not for our users.
        warnings.simplefilter("ignore")
        try:
            return import_module(f"wiretape_addons.{name}")
        except ModuleNotFoundError as exc:
            if (exc.name or "").partition(".")[0] != "mitmproxy":
                raise
            raise MissingExtraError("a flow file", "mitmproxy", "record") from exc
