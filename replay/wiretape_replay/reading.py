"""What a live client message means; read anew only where it is not what the recording has at that place."""

from collections.abc import Callable

from wiretape_protocols import Conversation, Opcode, Protocol, Request, decode
from wiretape_replay.script import Script, ScriptedRequest

_LONGEST_ID = 19  # digits; 2**63 has as many


class ClientReader:
    """
    Reads the client messages of one connection.

    The meaning of a message depends on the client messages before it alone. So while each of them was
    the recorded one, byte for byte but for a whole number as id, the next one means what the recorded
    one means, and need not be parsed. From the first that differs on, each is.
    """

    def __init__(self, script: Script, protocol: Protocol, redact: Callable[[bytes, Opcode], bytes]) -> None:
        self._script = script
        self._protocol = protocol
        self._redact = redact
        self._heard = 0
        self._conversation: Conversation | None = None
        """Unset as long as the client has kept to the recording."""

    @property
    def is_beyond(self) -> bool:
        """Whether the recording has no message at the next one's place."""
        return self._heard >= len(self._script.requests)

    def read(self, wire: bytes, opcode: Opcode) -> tuple[Request, bytes, bytes | None]:
        """
        The next message's meaning, its payload, redacted, and its id.

        The id is apart, because the meaning is often that of a recorded message with another one.
        """
        payload = decode(wire).payload
        found = self._as_recorded(payload, opcode)
        if found is None:
            redacted = self._redact(payload, opcode)
            if redacted != payload:
                payload = redacted
                found = self._as_recorded(payload, opcode)
        if found is None:
            request = self._left().client(payload, opcode, self._heard)
            found = request, request.id_text
        self._heard += 1
        return found[0], payload, found[1]

    def _as_recorded(self, payload: bytes, opcode: Opcode) -> tuple[Request, bytes | None] | None:
        requests = self._script.requests
        if self._conversation is not None or self._heard >= len(requests):
            return None
        scripted = requests[self._heard]
        if opcode is not scripted.opcode:
            return None
        if payload == scripted.payload:
            return scripted.request, scripted.request.id_text
        id_text = _other_id(payload, scripted)
        return None if id_text is None else (scripted.request, id_text)

    def _left(self) -> Conversation:
        """The live conversation, told what it has missed: messages that the client sent as recorded."""
        if self._conversation is None:
            self._conversation = self._protocol.conversation(correlate=False)
            for number, scripted in enumerate(self._script.requests[: self._heard]):
                self._conversation.client(scripted.payload, scripted.opcode, number)
        return self._conversation


def _other_id(payload: bytes, scripted: ScriptedRequest) -> bytes | None:
    """The id of a message that is the recorded one but for that, a whole number; None where it is not."""
    start, after = scripted.id_start, scripted.id_after
    if start < 0:
        return None
    end = len(payload) - after
    live = payload[start:end]
    if not live.isdigit() or len(live) > _LONGEST_ID or (live[0] == ord("0") and len(live) > 1):
        return None
    recorded = scripted.payload
    if payload[:start] != recorded[:start] or payload[end:] != recorded[len(recorded) - after :]:
        return None
    return live
