"""Tapes that somebody sends instead of naming: read once, and then held in memory."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from wiretape.sources import tape_as_store
from wiretape_replay.recordings import Reader
from wiretape_store import Message, Redaction, Session, StoreReader


class _Held:
    """One recording, as replay reads it."""

    def __init__(self, reader: StoreReader, name: str) -> None:
        self._redaction = reader.redaction(name)
        self._sessions = reader.sessions(name)
        self._messages = {each.id: list(reader.messages(each.id)) for each in self._sessions}

    def redaction(self, _: str) -> Redaction:
        return self._redaction

    def sessions(self, _: str) -> list[Session]:
        return self._sessions

    def messages(self, session_id: str) -> Iterator[Message]:
        return iter(self._messages[session_id])


def tape_in_memory(text: str) -> tuple[Reader, str]:
    """What is on a tape, and the recording's name. Raises TapeError."""
    with tempfile.TemporaryDirectory(prefix="wiretape-") as folder:
        path = Path(folder) / "sent.tape"
        path.write_text(text)
        with tape_as_store(path) as (url, name), StoreReader(url) as reader:
            return _Held(reader, name), name
