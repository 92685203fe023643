"""Replays a recording: a pure engine, and a server that lets clients of any language talk to it."""

from wiretape_replay.actions import Abort, Action, Close, Forward, Send, SendAnswer, SendRun
from wiretape_replay.engine import ReplaySession
from wiretape_replay.errors import (
    ListenError,
    NoConnectionError,
    NothingToReplayError,
    NothingToStepError,
    NotPossibleError,
    ReplayError,
    SettingError,
    UnknownUpstreamError,
)
from wiretape_replay.faults import Fault, FaultError, FaultKind, read_faults
from wiretape_replay.journal import Difference, Entry, EntryKind, Journal
from wiretape_replay.recordings import ReplayedRecording, ReplayedUpstream, load_recording
from wiretape_replay.relaxing import Relaxation
from wiretape_replay.run import Run
from wiretape_replay.script import Script, compile_script
from wiretape_replay.server import Listener, ReplayServer
from wiretape_replay.settings import OnMiss, Order, Pace, Reconnect, Repeats, ReplaySettings
from wiretape_replay.stepping import Step
from wiretape_replay.verdict import Findings, Verdict

__all__ = [
    "Abort",
    "Action",
    "Close",
    "Difference",
    "Entry",
    "EntryKind",
    "Fault",
    "FaultError",
    "FaultKind",
    "Findings",
    "Forward",
    "Journal",
    "ListenError",
    "Listener",
    "NoConnectionError",
    "NotPossibleError",
    "NothingToReplayError",
    "NothingToStepError",
    "OnMiss",
    "Order",
    "Pace",
    "Reconnect",
    "Relaxation",
    "Repeats",
    "ReplayError",
    "ReplayServer",
    "ReplaySession",
    "ReplaySettings",
    "ReplayedRecording",
    "ReplayedUpstream",
    "Run",
    "Script",
    "Send",
    "SendAnswer",
    "SendRun",
    "SettingError",
    "Step",
    "UnknownUpstreamError",
    "Verdict",
    "compile_script",
    "load_recording",
    "read_faults",
]
