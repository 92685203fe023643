"""What can go wrong before or beside a test's own conversation; each is one sentence for its author."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


class PluginError(Exception):
    """A test cannot be run as it asks to be; the text says why, and what helps."""


@contextmanager
def told_plainly() -> Iterator[None]:
    """Within it, an error of ours fails the test with its sentence alone."""
    from wiretape.control_client import ControlError
    from wiretape.daemon import DaemonError

    try:
        yield
    except (PluginError, ControlError, DaemonError) as exc:
        raise pytest.fail.Exception(f"wiretape: {exc}", pytrace=False) from None
