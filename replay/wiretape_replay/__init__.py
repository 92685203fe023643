"""Replays a recording: a pure engine, and a server that lets clients of any language talk to it."""

from wiretape_replay.actions import Abort, Action, Close, Send, SendAnswer, SendRun
from wiretape_replay.engine import ReplaySession
from wiretape_replay.errors import ListenError, NothingToReplayError, ReplayError, SettingError
from wiretape_replay.journal import Entry, EntryKind, Journal
from wiretape_replay.recordings import ReplayedRecording, ReplayedUpstream, load_recording
from wiretape_replay.script import Script, compile_script
from wiretape_replay.server import Listener, ReplayServer
from wiretape_replay.settings import OnMiss, Order, Pace, ReplaySettings
from wiretape_replay.verdict import Findings, Verdict

__all__ = [
    "Abort",
    "Action",
    "Close",
    "Entry",
    "EntryKind",
    "Findings",
    "Journal",
    "ListenError",
    "Listener",
    "NothingToReplayError",
    "OnMiss",
    "Order",
    "Pace",
    "ReplayError",
    "ReplayServer",
    "ReplaySession",
    "ReplaySettings",
    "ReplayedRecording",
    "ReplayedUpstream",
    "Script",
    "Send",
    "SendAnswer",
    "SendRun",
    "SettingError",
    "Verdict",
    "compile_script",
    "load_recording",
]
