"""The store: recordings in a database, written while they happen and read back byte for byte."""

from wiretape_store.errors import (
    MissingStoreError,
    RecordingExistsError,
    Refusal,
    RefusedStoreError,
    StoreError,
    UnknownRecordingError,
    UnknownSessionError,
)
from wiretape_store.opening import Synchronous
from wiretape_store.pending import NewMessage
from wiretape_store.reader import StoreReader
from wiretape_store.recorder_process import RecorderProcess
from wiretape_store.records import (
    End,
    EndKind,
    Event,
    EventKind,
    Handshake,
    Headers,
    Message,
    Recording,
    Session,
    Upstream,
    UpstreamSpec,
    header_value,
)
from wiretape_store.writer import StoreWriter

__all__ = [
    "End",
    "EndKind",
    "Event",
    "EventKind",
    "Handshake",
    "Headers",
    "Message",
    "MissingStoreError",
    "NewMessage",
    "RecorderProcess",
    "Recording",
    "RecordingExistsError",
    "Refusal",
    "RefusedStoreError",
    "Session",
    "StoreError",
    "StoreReader",
    "StoreWriter",
    "Synchronous",
    "UnknownRecordingError",
    "UnknownSessionError",
    "Upstream",
    "UpstreamSpec",
    "header_value",
]
