"""What an export reads: a store of which some sessions are chosen, and how far it has come."""

from collections.abc import Callable, Iterator, Sequence

from wiretape_store import Message, Session, StoreReader, UnknownSessionError


class ChosenReader(StoreReader):
    """Reads a store as if a recording had only the chosen sessions; all of them where none is chosen."""

    def __init__(self, url: str, chosen: Sequence[str], on_message: Callable[[], None]) -> None:
        """Open the store at `url`; `on_message` is called for each message that is read."""
        super().__init__(url)
        self._chosen = tuple(chosen)
        self._on_message = on_message

    def sessions(self, what: str | None = None) -> list[Session]:
        """The chosen sessions among those of `what`. Raises UnknownSessionError for one that is not."""
        found = super().sessions(what)
        if not self._chosen:
            return found
        ids = {session.id for session in found}
        for session_id in self._chosen:
            if session_id not in ids:
                raise UnknownSessionError(self.path, session_id)
        return [session for session in found if session.id in self._chosen]

    def messages(self, session_id: str, first_seq: int = 0) -> Iterator[Message]:
        """The messages of a session in order, counted."""
        for message in super().messages(session_id, first_seq):
            self._on_message()
            yield message
