"""
The opaque adapter: an upstream whose messages nobody reads.

Owns what is said of a message that cannot be read, which the other adapters say of single messages.
"""

from collections.abc import Sequence
from hashlib import sha256

from wiretape_protocols.adapter import Conversation, MethodInfo, Protocol, Reply, Request, Role
from wiretape_protocols.codecs import Codec, CodecKind
from wiretape_protocols.messages import Opcode

UNREADABLE = Reply(Role.OPAQUE, "")
"""An upstream message that an adapter cannot read. It answers nothing that anybody could name."""

_PUSH = Reply(Role.PUSH, "")


def unreadable(payload: bytes, *, effects: bool) -> Request:
    """
    A client message that an adapter cannot read: only the same bytes are the same message.

    `effects` is False only where the upstream would not act on what the adapter cannot read.
    """
    return Request(Role.OPAQUE, "", sha256(payload).hexdigest(), effects=effects)


class OpaqueConversation(Conversation):
    """A connection about which nothing is known, and so nothing is kept."""

    def client(self, payload: bytes, opcode: Opcode, seq: int) -> Request:
        """Match by bytes; whoever cannot read a message cannot say that it is harmless."""
        return unreadable(payload, effects=True)

    def upstream(self, payload: bytes, opcode: Opcode) -> Reply:
        """Every message is a push that no subscription causes."""
        return _PUSH


class OpaqueProtocol(Protocol):
    """
    Bytes without a meaning.

    Nothing is an answer, so a replay sends everything in its recorded order: after the client
    messages that went before it in the recording.
    """

    name = "opaque"
    opcode = Opcode.BINARY
    codec = Codec(CodecKind.IDENTITY)

    def conversation(self, *, correlate: bool = True) -> Conversation:
        """Start reading a connection."""
        return OpaqueConversation()

    def methods(self) -> Sequence[MethodInfo]:
        """Two lines: what the client sends, and what the upstream sends."""
        return (
            MethodInfo("(any client message)", Role.OPAQUE, "the bytes", effects=True),
            MethodInfo("(any upstream message)", Role.PUSH, ""),
        )
