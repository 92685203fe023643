"""The clock of a recorder: monotonic, and the same in both of its processes."""

import time


def now_us() -> int:
    """Microseconds since some moment; only differences mean anything."""
    return time.monotonic_ns() // 1000
