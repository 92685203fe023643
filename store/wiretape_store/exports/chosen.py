"""What an export is about: the sessions that were asked for, and the recording that has them."""

from dataclasses import dataclass

from wiretape_store.errors import UnknownRecordingError
from wiretape_store.reader import StoreReader
from wiretape_store.records import Recording, Session, Upstream


@dataclass(frozen=True, slots=True)
class Chosen:
    """A recording, and what of it is exported."""

    recording: Recording
    upstreams: tuple[Upstream, ...]
    sessions: tuple[Session, ...]

    @property
    def ended_at_us(self) -> int:
        """When the recording ended; where its recorder could not tell any more, its last session did."""
        if self.recording.ended_at_us is not None:
            return self.recording.ended_at_us
        ends = [session.ended_at_us or session.started_at_us for session in self.sessions]
        return max(self.recording.started_at_us, *ends, 0)


def choose(reader: StoreReader, what: str) -> Chosen:
    """Find a recording (name or id), or one session. Raises UnknownRecordingError."""
    sessions = tuple(reader.sessions(what))
    try:
        recording = reader.recording(what)
    except UnknownRecordingError:
        if not sessions:
            raise
        return Chosen(reader.recording(sessions[0].recording), (sessions[0].upstream,), sessions)
    return Chosen(recording, recording.upstreams, sessions)
