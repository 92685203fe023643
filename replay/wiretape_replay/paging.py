"""
Scripts of sessions in a store: pages are read when they are sent, and the index at once where that is quick.

Where it is not, a thread makes the index, through a reader of its own. Meanwhile the script has the
beginning of it, as far as nothing that comes later can change what it says.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Protocol as Interface
from typing import Self, runtime_checkable
from weakref import WeakSet

from wiretape_protocols import Opcode, Protocol, Role
from wiretape_replay.errors import ClosedRecordingError, InconsistentRecordingError
from wiretape_replay.numbering import Numberer
from wiretape_replay.pages import Page, PageCache, Pages
from wiretape_replay.script import Script
from wiretape_replay.script_index import Index, Indexer
from wiretape_store.records import Message, Session
from wiretape_store.stretches import Details, Extent, Stretch, Turn

Redact = Callable[[bytes, Opcode], bytes]
"""Makes a client's payload comparable: tokens in place of what is secret."""

WINDOW_SEQS = 8192
"""
So many messages are looked through at a time: the first ones at once, the rest in a thread. It takes 10 ms
where they are pushes, and some 150 where each second one is a call.
"""


@runtime_checkable
class PagedReader(Interface):
    """A reader that need not read all of a session to give some of it: a store's."""

    def another(self) -> Self:
        """A second reader of the same, for another thread."""

    def close(self) -> None:
        """Close it."""

    def extent(self, session_id: str) -> Extent:
        """How far a session goes now."""

    def spans(self, session_id: str, stop_seq: int) -> Iterable[tuple[int, int]]:
        """The runs of messages that are there up to `stop_seq`, as (first, the one after the last)."""

    def stretch(self, session_id: str, seq: int) -> Stretch:
        """Some consecutive messages, the one numbered `seq` among them."""

    def details(self, session_id: str, first_seq: int, stop_seq: int) -> Details:
        """What a stretch from `first_seq` up to `stop_seq` leaves out."""

    def turns(self, session_id: str, seq: int, stop_seq: int) -> Sequence[Message | Turn]:
        """What is no push, in order, from `seq` up to `stop_seq`: client messages, and what answers which."""


class Paging:
    """Opens the sessions of one store; what its scripts share."""

    def __init__(self, reader: PagedReader, cache: PageCache | None = None) -> None:
        """Read from `reader`, which stays its owner's to close, after `close`."""
        self._reader = reader
        self._cache = cache if cache is not None else PageCache()
        # Weak: a script that no run uses any more takes its index with it.
        self._opened: WeakSet[Pages] = WeakSet()
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []

    def close(self) -> None:
        """Let go of all pages, and end the threads that are still at work; who waits for them gets an error."""
        for pages in list(self._opened):
            pages.clear()
        self._closed.set()
        for thread in self._threads:
            thread.join()

    def script(self, session: Session, protocol: Protocol, begin: Callable[[], Redact]) -> Script:
        """
        Open a session. Raises what reading the store raises.

        What `begin` returns is for this session's client messages, all of them in their order.
        """
        extent = self._reader.extent(session.id)
        work = _Indexing(session.id, extent, protocol, begin())
        if extent.stop_seq <= WINDOW_SEQS or not work.has_gaps:
            work.advance(self._reader)
        pages = Pages(lambda number: self._page(script, known_seq, extent.stop_seq, number), self._cache)
        self._opened.add(pages)
        made: Future[Index] | None = None
        if work.done:
            index, known_seq = work.finished(), extent.stop_seq
        else:
            index, known_seq = work.beginning()
            made = self._start(_Indexing(session.id, extent, protocol, begin()))
        script = Script(session, protocol, pages, index, made)
        return script

    def _start(self, work: "_Indexing") -> "Future[Index]":
        made: Future[Index] = Future()
        thread = threading.Thread(target=self._index, args=(work, made), name="wiretape index", daemon=True)
        self._threads = [*(each for each in self._threads if each.is_alive()), thread]
        thread.start()
        return made

    def _page(self, script: Script, known_seq: int, stop_seq: int, number: int) -> Page:
        numbering, answers = script.index.numbering, script.index.answers
        stretch = self._reader.stretch(script.session.id, numbering.seq(number))
        # What is not known yet is left for later, what came while it was replayed is left out.
        stretch = stretch.between(0, stop_seq if script.indexing is None else known_seq)
        first, stop = numbering.before(stretch.first_seq), numbering.before(stretch.stop_seq)
        if stretch.from_upstream != stop - first:
            raise InconsistentRecordingError(script.session.id, stretch.first_seq, stretch.stop_seq - 1)
        ask = partial(self._reader.details, script.session.id, stretch.first_seq, stretch.stop_seq)
        return Page(first, stretch, ask, answers.between(first, stop))

    def _index(self, work: "_Indexing", made: "Future[Index]") -> None:
        """Make an index; this is all that its thread does, so whatever goes wrong is told to who waits."""
        try:
            with closing(self._reader.another()) as reader:
                while not work.done and not self._closed.is_set():
                    work.advance(reader)
            if work.done:
                made.set_result(work.finished())
            else:
                made.set_exception(ClosedRecordingError())
        except Exception as exc:  # noqa: BLE001 - it is raised again in the thread that waits
            made.set_exception(exc)


class _Indexing:
    """The making of one session's index, a window at a time."""

    def __init__(self, session_id: str, extent: Extent, protocol: Protocol, redact: Redact) -> None:
        self._session_id = session_id
        self._extent = extent
        self._redact = redact
        self._indexer = Indexer(protocol)
        self._numberer: Numberer | None = None
        self._seq = 0
        """Everything before this is indexed."""
        self._left = extent.turns
        """How many messages that are no pushes come behind; when none does, there is no need to look."""
        self._exchanges_left = extent.exchanges
        """How many of these answer a call."""

    @property
    def has_gaps(self) -> bool:
        """Whether messages were lost, so that the numbers of those that are there have to be looked up."""
        return self._extent.messages != self._extent.stop_seq

    @property
    def done(self) -> bool:
        """Whether there is nothing left to advance to."""
        return self._numberer is not None and (self._left <= 0 or self._seq >= self._extent.stop_seq)

    def advance(self, reader: PagedReader) -> None:
        """Index one more window."""
        stop_seq = self._extent.stop_seq
        if self._numberer is None:
            spans = reader.spans(self._session_id, stop_seq) if self.has_gaps else iter([(0, stop_seq)])
            self._numberer = Numberer(spans)
        if self.done:
            return
        until_seq = min(self._seq + WINDOW_SEQS, stop_seq)
        for turn in reader.turns(self._session_id, self._seq, until_seq):
            self._take(turn, self._numberer)
        self._seq = until_seq

    def finished(self) -> Index:
        """The index; to be called once, when there is nothing left to advance to."""
        assert self._numberer is not None
        self._indexer.index.numbering = self._numberer.finished()
        return self._indexer.index

    def beginning(self) -> tuple[Index, int]:
        """
        What is certain of the index by now, and up to which seq; to be called once, and last.

        Where a call may still have answers that nobody has seen, only what comes before the client's
        first message is certain.
        """
        index = self._indexer.index
        if self._numberer is None:
            return Index(), 0
        if not self._exchanges_left:
            index.numbering = self._numberer.finished(self._seq)
            return index, self._seq
        first_seq = index.requests[0].seq if index.requests else self._seq
        leading = Index()
        leading.numbering.add(0, first_seq)
        return leading, first_seq

    def _take(self, turn: Message | Turn, numberer: Numberer) -> None:
        self._left -= 1
        if isinstance(turn, Message):
            self._indexer.add_request(compared(turn, self._redact), numberer.client(turn.seq))
            return
        self._exchanges_left -= turn.role is Role.ANSWER and turn.answers is not None
        if turn.answers is not None:
            number = numberer.upstream(turn.seq)
            if number is not None:
                self._indexer.add_answer(number, turn.answers)


def compared(message: Message, redact: Redact) -> Message:
    """
    A client's message as live ones are compared with it.

    Hardly any differs: those of a recording without a known key, or from a wiretape that knew fewer secrets.
    """
    payload = redact(message.payload, message.opcode)
    return message if payload == message.payload else replace(message, payload=payload, kept_wire=None)
