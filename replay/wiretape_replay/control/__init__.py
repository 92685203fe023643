"""The control API: runs begun, steered and watched over HTTP. Imported only where one is asked for."""

from wiretape_replay.control.guard import MissingTokenError
from wiretape_replay.control.server import ControlServer
from wiretape_replay.control.settings import ControlSettings

__all__ = ["ControlServer", "ControlSettings", "MissingTokenError"]
