"""One recorded session, compiled for replay: runs share it, and nothing that it answers ever changes."""

from array import array
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from sys import maxsize

from wiretape_protocols import Opcode, Protocol, Role
from wiretape_replay.pages import Form, Page, PageCache, Pages
from wiretape_replay.script_index import (
    Answers,
    Index,
    Indexer,
    Numbers,
    ScriptedAnswer,
    ScriptedRequest,
    excerpt,
)
from wiretape_store.records import End, Message, Session
from wiretape_store.stretches import stretch_of

__all__ = ["Form", "Script", "ScriptedAnswer", "ScriptedRequest", "compile_script", "excerpt"]

_PAGE_MESSAGES = 1024
_PAGE_BYTES = 256 * 1024


class Script:
    """
    A session's messages: the client's by what they ask, the upstream's as ready frames.

    The numbers of upstream messages count from 0 in recorded order, so do the client's; both are
    apart from `seq`, which counts the two together.

    Reading the client's messages of a long session takes a while. Until that is done, `ready` is
    False, and there are only the messages up to some point, perhaps none; whatever is said of these
    stays true.
    """

    requests: Sequence[ScriptedRequest]
    by_key: Numbers
    by_relaxed_key: Numbers
    by_method: Numbers
    """Background messages are in `background_by_key` alone."""
    background_by_key: Numbers
    answers: Answers
    answer_numbers: array[int]
    """The keys of `answers`, ascending: every other upstream message is a push."""
    count: int
    """How many upstream messages there are."""
    index: Index
    """What all of the above is taken from."""

    def __init__(
        self,
        session: Session,
        protocol: Protocol,
        pages: Pages,
        index: Index,
        indexing: Future[Index] | None = None,
    ) -> None:
        """Take the index of the session; or what is known by now, and what will have the whole index."""
        self.session = session
        self.indexing = indexing
        """Done when the script is ready, or with the error because of which it never will be; None once it is."""
        self._protocol = protocol
        self._pages = pages
        self.page = pages.page
        """The frames of an upstream message and of its neighbours. Raises what reading the recording raises."""
        self._form: Form | None = None
        self._show(index)

    @property
    def ready(self) -> bool:
        """Whether all of it is known. Raises what reading the recording raised."""
        if self.indexing is None:
            return True
        if not self.indexing.done():
            return False
        index = self.indexing.result()
        self.indexing = None
        self._pages.clear()
        self._show(index)
        return True

    @property
    def form(self) -> Form:
        """How the upstream packs its messages, told by its first one."""
        if self._form is None:
            if not self.count:
                return Form(self._protocol.opcode, self._protocol.codec)
            self._form = self.page(0).form
        return self._form

    @property
    def end(self) -> End:
        """How the session ended."""
        return self.session.end

    @property
    def end_us(self) -> int:
        """When it ended, since its start; the last message's time where nobody knows."""
        if self.session.ended_at_us is not None:
            return self.session.ended_at_us - self.session.started_at_us
        latest_us = self.time_us(self.count - 1) if self.count else 0
        return max(latest_us, self.requests[-1].at_us if self.requests else 0)

    def seq(self, number: int) -> int:
        """The number of an upstream message among those of both sides."""
        return self.index.numbering.seq(number)

    def time_us(self, number: int) -> int:
        """When an upstream message was recorded, since the session's start."""
        return self.page(number).time_us(number)

    def method(self, number: int) -> str:
        """An upstream message's method: for an answer that of its call; empty where nobody knows."""
        if number in self.answers:
            return self.requests[self.answers.request(number)].request.method
        return self.page(number).names(number)[0]

    def stream(self, number: int) -> str:
        """The stream that a push belongs to; empty for any other message."""
        return self.page(number).names(number)[1]

    def is_deflated(self, number: int) -> bool:
        """Whether an upstream message was recorded under permessage-deflate."""
        return number in self.page(number).deflated

    def message(self, number: int) -> tuple[Opcode, bytes]:
        """An upstream message as it was on the wire, without its frame."""
        return self.page(number).message(number)

    def last_until(self, time_us: int, first: int) -> int:
        """
        The last upstream message, from `first` on, recorded at or before a time; `first - 1` for none.

        It takes times to go up from page to page, and so looks at few pages, however far it is.
        """
        page = self.page(first)
        known = page.after(time_us, first) - 1
        if known + 1 < page.stop:
            return known
        width = 1
        while known + width < self.count and self.time_us(known + width) <= time_us:
            known += width
            width *= 2
        beyond = min(known + width, self.count)
        while known + 1 < beyond:
            middle = (known + beyond) // 2
            if self.time_us(middle) <= time_us:
                known = middle
            else:
                beyond = middle
        return known

    def pushes(self, first: int, last: int) -> int:
        """How many of the upstream messages `first` to `last` answer nothing."""
        if first == last:
            return 0 if first in self.answers else 1
        return last - first + 1 - self.answers.count_between(first, last + 1)

    def _show(self, index: Index) -> None:
        self.index = index
        self.count = index.numbering.count
        self.requests = index.requests
        self.by_key, self.by_relaxed_key = index.by_key, index.by_relaxed_key
        self.by_method, self.background_by_key = index.by_method, index.background_by_key
        self.answers, self.answer_numbers = index.answers, index.answers.numbers


def compile_script(session: Session, messages: Iterable[Message], protocol: Protocol) -> Script:
    """Compile a session's messages, given in the order of their numbers, and keep all of it in memory."""
    indexer = Indexer(protocol)
    numbering = indexer.index.numbering
    pages = Pages(_no_more, PageCache(maxsize))
    first, size = 0, 0
    waiting: list[Message] = []
    for message in messages:
        if message.from_client:
            indexer.add_request(message, numbering.count)
            continue
        number = numbering.count
        numbering.add(message.seq, message.seq + 1)
        if message.answers is not None and message.role is not Role.PUSH:
            indexer.add_answer(number, message.answers)
        waiting.append(message)
        size += len(message.payload)
        if size > _PAGE_BYTES or len(waiting) == _PAGE_MESSAGES:
            pages.add(_page(first, waiting, indexer.index))
            first, size, waiting = numbering.count, 0, []
    if waiting:
        pages.add(_page(first, waiting, indexer.index))
    return Script(session, protocol, pages, indexer.index)


def _page(first: int, messages: Sequence[Message], index: Index) -> Page:
    stretch, details = stretch_of(messages)
    return Page(first, stretch, lambda: details, index.answers.between(first, first + len(messages)))


def _no_more(number: int) -> Page:
    raise IndexError(number)
