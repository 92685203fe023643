"""Starts a command where there is no network but loopback: `python no_network.py COMMAND ...`."""

import fcntl
import os
import socket
import struct
import sys

_SIOCSIFFLAGS = 0x8914
_UP = 0x1


def main() -> None:
    try:
        os.unshare(os.CLONE_NEWNET)
    except PermissionError:  # not root: in a namespace of users we may
        os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET)
    with socket.socket() as anything:
        fcntl.ioctl(anything, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _UP))
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
