"""What asyncio does not tell of a TCP connection, and how to end one with RST; as Linux has it."""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import Callable

# How often a socket is looked at that nobody reads.
_LOOK_S = 0.5
# How often it is looked at whether the client's system has all that goes before a reset.
_RESET_LOOK_S = 0.001
_LINGER_NOT_AT_ALL = struct.pack("ii", 1, 0)
# The client's side has ended: tcp_states.h, TCP_CLOSE, TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_CLOSING.
_ENDED = frozenset((7, 8, 9, 11))


def reset_when_closed(transport: asyncio.Transport) -> None:
    """Have TCP end with RST, whoever closes it and however."""
    _socket(transport).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT_AT_ALL)


def all_received(transport: asyncio.Transport) -> bool:
    """Whether the client's system has acknowledged all that was written."""
    if transport.get_write_buffer_size():
        return False
    if sys.platform != "linux":
        return True
    waiting = fcntl.ioctl(_socket(transport).fileno(), termios.TIOCOUTQ, bytes(4))  # SIOCOUTQ, tcp(7)
    return not int.from_bytes(waiting, sys.byteorder)


def client_has_ended(transport: asyncio.Transport) -> bool:
    """Whether the client has ended its side, though nobody reads the connection."""
    if sys.platform != "linux":
        return False
    state: bytes = _socket(transport).getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    return state[0] in _ENDED


class SocketWatch:
    """Looks at the socket of a connection from time to time, until it has seen what it looks for."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.TimerHandle | None = None

    def tell_end(self, needed: Callable[[], bool], ended: Callable[[], object]) -> None:
        """Call `ended` when the client has ended its side, as long as that is `needed`."""
        if self._next is None and needed():
            self._next = self._loop.call_later(_LOOK_S, self._look, needed, ended)

    def reset_once_received(self) -> None:
        """End TCP with RST: it destroys what the client's system has not got yet, so that is waited for."""
        if all_received(self._transport):
            self._transport.abort()
        else:
            self._next = self._loop.call_later(_RESET_LOOK_S, self.reset_once_received)

    def cancel(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()

    def _look(self, needed: Callable[[], bool], ended: Callable[[], object]) -> None:
        self._next = None
        if needed() and client_has_ended(self._transport):
            ended()
        else:
            self.tell_end(needed, ended)


def _socket(transport: asyncio.Transport) -> socket.socket:
    found: socket.socket = transport.get_extra_info("socket")
    return found
