"""The store: recordings in a database, written while they happen and read back byte for byte."""

from wiretape_store.classifying import Classifier
from wiretape_store.database import Synchronous
from wiretape_store.errors import (
    MissingStoreError,
    RecordingExistsError,
    Refusal,
    RefusedStoreError,
    StoreError,
    UnknownRecordingError,
    UnknownSessionError,
)
from wiretape_store.importing import (
    IncomingMessage,
    IncomingRecording,
    IncomingSession,
    import_recording,
)
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
    Redaction,
    Session,
    Upstream,
    UpstreamSpec,
    header_value,
)
from wiretape_store.settling import KeepWire
from wiretape_store.urls import shown
from wiretape_store.writer import COMMIT_INTERVAL_US, StoreWriter

__all__ = [
    "COMMIT_INTERVAL_US",
    "Classifier",
    "End",
    "EndKind",
    "Event",
    "EventKind",
    "Handshake",
    "Headers",
    "IncomingMessage",
    "IncomingRecording",
    "IncomingSession",
    "KeepWire",
    "Message",
    "MissingStoreError",
    "NewMessage",
    "RecorderProcess",
    "Recording",
    "RecordingExistsError",
    "Redaction",
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
    "import_recording",
    "shown",
]
