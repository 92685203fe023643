"""What a WebSocket message is made of, in the words of RFC 6455; nothing about its meaning."""

from enum import IntEnum


class Opcode(IntEnum):
    """The opcodes of RFC 6455 section 5.2 that can reach a recorder."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10
