"""
The `wiretape` command for programs that start it as a part of theirs: it ends when its stdin does.

However the program ends, killed included, the system closes its end of the pipe; so no daemon outlives
the program that started it. Run it as `python -m wiretape.tethered ARGUMENTS`.
"""

import os
import signal
import sys
import threading

_CHUNK_BYTES = 4096


def main() -> None:
    """Run the command line until stdin ends, or until it ends by itself."""
    threading.Thread(target=_end_with, args=(sys.stdin.fileno(),), name="tether", daemon=True).start()
    from wiretape.main import main as run

    run()


def _end_with(descriptor: int) -> None:
    """Read until the end, then end this process as Ctrl-C or systemd would."""
    while os.read(descriptor, _CHUNK_BYTES):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
