"""
How a message is spelled as JSON, and a moment as text: the shapes that `show --json` and exports share.
"""

import base64
import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from wiretape_store.records import Message


def message_object(message: Message, *, raw: bool = False) -> dict[str, Any]:
    """A message as the JSON that scripts rely on; `raw` adds its exact bytes."""
    what: dict[str, Any] = {
        "seq": message.seq,
        "from_client": message.from_client,
        "opcode": message.opcode.name.lower(),
        "at_us": message.at_us,
        "codec": message.codec.kind.value,
        "role": message.role.name.lower(),
        "method": message.method,
        "answers": message.answers,
        "stream": message.stream,
    }
    try:
        what["payload"] = message.payload.decode()
    except UnicodeDecodeError:
        what["payload_base64"] = base64.b64encode(message.payload).decode()
    if raw:
        what["wire_base64"] = base64.b64encode(message.wire).decode()
    return what


def json_bytes(value: Any) -> bytes:
    """JSON on one line, in UTF-8; escaped throughout where a name in it is no text."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def time_text(at_us: int) -> str:
    """Microseconds since 1970 as ISO 8601, UTC."""
    seconds, micros = divmod(at_us, 1_000_000)
    return f"{_second_text(seconds)}.{micros:06d}Z"


# Messages come in their order, and thousands of them in the same second.
@lru_cache(maxsize=16)
def _second_text(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
