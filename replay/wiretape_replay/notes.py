"""What one session writes into its run's journal, and what of that counts in the verdict."""

from collections.abc import Callable

from wiretape_protocols import Request
from wiretape_replay.differences import differences
from wiretape_replay.journal import Difference, Entry, EntryKind, Journal
from wiretape_replay.matching import Match
from wiretape_replay.script import Script, excerpt
from wiretape_replay.verdict import Findings, Verdict


class Notes:
    """The notes of one connection; `opened_us` is the time that entries count from."""

    def __init__(self, script: Script, journal: Journal, connection: int) -> None:
        self.opened_us = 0
        self._script = script
        self._session = script.session.id
        self._upstream = script.session.upstream.name
        self._journal = journal
        self._connection = connection
        self._misses = Findings()
        self._stalls = Findings()
        self._relaxed = Findings()

    def note(
        self,
        kind: EntryKind,
        now_us: int,
        seq: int | None = None,
        last_seq: int | None = None,
        pushes: int | None = None,
        method: str = "",
        detail: str = "",
        payload: bytes = b"",
        why: str = "",
        nearest: str = "",
        differs: tuple[Difference, ...] = (),
    ) -> None:
        """Add an entry."""
        at_us = now_us - self.opened_us
        text = excerpt(payload) if payload else ""
        # By position: this runs for every message.
        entry = Entry(
            kind, self._session, at_us, seq, last_seq, pushes, method, detail, text, why, nearest, differs,
            self._upstream, self._connection, self._journal.count + 1,
        )  # fmt: skip
        self._journal.add(entry)

    def miss(self, request: Request, match: Match, payload: bytes, why_not_live: str, now_us: int) -> None:
        """A message that the recording cannot answer, and what comes nearest."""
        assert match.why is not None
        found = self._script.requests[match.number] if match.number >= 0 else None
        detail = match.differs if found is None else f"nearest is message {found.seq}: {match.differs}"
        detail += why_not_live
        self._misses.add(f"{self._session}: {excerpt(payload)} ({detail})")
        self.note(
            EntryKind.MISSED,
            now_us,
            seq=None if found is None else found.seq,
            method=request.method,
            detail=detail,
            payload=payload,
            why=match.why.value,
            nearest="" if found is None else found.excerpt,
            differs=() if found is None else differences(found.request, found.payload, request, payload),
        )

    def stranded(self, request: Request, payload: bytes, why: str, now_us: int) -> None:
        """A message that could not be passed on to the live upstream."""
        self._misses.add(f"{self._session}: {excerpt(payload)} ({why})")
        self.note(EntryKind.MISSED, now_us, method=request.method, detail=why, payload=payload)

    def failed(self, why: str, now_us: int) -> None:
        """The replay has failed: whatever the client made of it, it says nothing."""
        self._misses.add(f"{self._session}: {why}")
        self.note(EntryKind.ENDED, now_us, detail=why)

    def relaxed(self, match: Match, payload: bytes, now_us: int) -> None:
        """A match that left something out: a finding, unless somebody asked for it."""
        scripted = self._script.requests[match.number]
        detail = f"matched without {match.without}"
        method = scripted.request.method
        self.note(EntryKind.RELAXED, now_us, seq=scripted.seq, method=method, detail=detail, payload=payload)
        if not match.asked:
            self._relaxed.add(f"{self._session} message {scripted.seq} {detail}: {excerpt(payload)}")

    def stall(self, held: int, cause: int, now_us: int) -> None:
        """Upstream message `held` waits for client message `cause`, which does not come."""
        waited_for = self._script.requests[cause]
        detail = f"waits for message {waited_for.seq}: {waited_for.excerpt}"
        seq = self._script.seq(held)
        self.note(EntryKind.HELD, now_us, seq=seq, detail=detail)
        self._stalls.add(f"{self._session} message {seq} {detail}")

    def verdict(self, was_received: Callable[[int], bool] | None, *, cut_short: bool = False) -> Verdict:
        """
        How the session compares with its recording so far; `was_received` tells by client message.

        It is None as long as the recording is not read to its end: then nobody can tell. `cut_short`: a
        fault kept the client from sending the rest, so nothing of it counts as unused.
        """
        unused = Findings()
        if was_received is None:
            unused.add(f"{self._session}: the connection ended before its recording was read to the end")
            return Verdict(misses=self._misses, unused=unused, stalls=self._stalls, relaxed=self._relaxed)
        for number, scripted in enumerate(() if cut_short else self._script.requests):
            if not scripted.background and not was_received(number):
                unused.add(f"{self._session} message {scripted.seq}: {scripted.excerpt}")
        return Verdict(misses=self._misses, unused=unused, stalls=self._stalls, relaxed=self._relaxed)
