"""
The recorder: mitmproxy addons, the process that runs them, and the one that stores what they see.

What is here does without mitmproxy; `wiretape_addons.recorder` is what runs it.
"""

from wiretape_addons.outlet import Outlet, OutletSettings, RecordingStoppedError
from wiretape_addons.upstreams import Target, UsageError, parse_listen, parse_target, parse_targets

__all__ = [
    "Outlet",
    "OutletSettings",
    "RecordingStoppedError",
    "Target",
    "UsageError",
    "parse_listen",
    "parse_target",
    "parse_targets",
]
