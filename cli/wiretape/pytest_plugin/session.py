"""What a pytest session shares between its tests, made when the first test needs it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from wiretape.control_client import ControlClient
    from wiretape.pytest_plugin.shared_daemon import SharedDaemon
    from wiretape.pytest_plugin.upstreams import Simulators

_FOLDER = "wiretape_folder"
_DAEMON = pytest.StashKey["SharedDaemon"]()
_SIMULATORS = pytest.StashKey["Simulators"]()
_RECORDED = pytest.StashKey[set[Path]]()


def share_with(node: Any) -> None:
    """Let a worker of pytest-xdist, which is about to start, use the daemon of this session."""
    node.workerinput[_FOLDER] = str(_daemon(node.config).folder)


def control_client(config: pytest.Config) -> "ControlClient":
    """The control API of the session's daemon. Raises DaemonError."""
    from wiretape.control_client import ControlClient

    url, token = _daemon(config).control()
    return ControlClient(url, token)


def last_words(config: pytest.Config) -> str:
    """What the session's daemon said last."""
    return _daemon(config).last_words()


def simulators(config: pytest.Config) -> "Simulators":
    """The process of the session's simulated upstreams, started or not."""
    from wiretape.pytest_plugin.upstreams import Simulators

    if _SIMULATORS not in config.stash:
        config.stash[_SIMULATORS] = Simulators()
        config.add_cleanup(config.stash[_SIMULATORS].end)
    return config.stash[_SIMULATORS]


def recorded_tapes(config: pytest.Config) -> set[Path]:
    """The tapes that this session has recorded so far; under pytest-xdist, this worker."""
    return config.stash.setdefault(_RECORDED, set())


def _daemon(config: pytest.Config) -> "SharedDaemon":
    from wiretape.pytest_plugin.shared_daemon import SharedDaemon

    if _DAEMON not in config.stash:
        # A worker on another machine cannot see the folder of its controller.
        folder = Path(getattr(config, "workerinput", {}).get(_FOLDER, ""))
        if folder.name and folder.is_dir():
            shared = SharedDaemon(folder)
            config.add_cleanup(shared.leave)
        else:
            shared = SharedDaemon.owned()
            config.add_cleanup(shared.end)
        config.stash[_DAEMON] = shared
    return config.stash[_DAEMON]
