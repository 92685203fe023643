"""The journal over HTTP: read, filtered, counted, waited for and streamed, with nothing lost in between."""

import asyncio
import gc
import json
import weakref
from typing import Any

import pytest
from control_clients import LIVELY, Api, Talk, served
from hypothesis import given
from hypothesis import strategies as st
from run_builders import bounded, until

from wiretape_replay import Entry, EntryKind, Journal
from wiretape_replay.control import ControlSettings
from wiretape_replay.control.filters import Filter
from wiretape_replay.control.waiting import EventStream, Waited, wait_for
from wiretape_replay.watching import Watched

ENTRIES = (
    Entry(EntryKind.OPENED, "s1", 0, upstream="up", connection=1),
    Entry(EntryKind.MATCHED, "s1", 1, method="sub deals", upstream="up", connection=1),
    Entry(EntryKind.OPENED, "s2", 0, upstream="up", connection=2),
    Entry(EntryKind.MISSED, "s2", 1, method="order all", upstream="up", connection=2),
    Entry(EntryKind.ENDED, "s1", 2, upstream="up", connection=1),
)
FILTERS = [
    pytest.param("", [1, 2, 3, 4, 5], id="all"),
    pytest.param("kind=opened", [1, 3], id="kind"),
    pytest.param("kind=opened&kind=ended", [1, 3, 5], id="kinds"),
    pytest.param("upstream=up&session=s2", [3, 4], id="session"),
    pytest.param("connection=1", [1, 2, 5], id="connection"),
    pytest.param("method=order%20all", [4], id="method"),
    pytest.param("after=3", [4, 5], id="after"),
    pytest.param("after=99", [], id="after the end"),
    pytest.param("kind=held", [], id="none"),
]


async def with_entries(api: Api, *entries: Entry) -> Journal:
    """A run with these entries in its journal, though nobody was there."""
    run = await api.begin()
    journal = api.runs.find(run["id"]).run.journal
    for entry in entries:
        journal.add(entry)
    return journal


@pytest.mark.parametrize(("query", "numbers"), FILTERS)
def test_entries_are_filtered_and_counted(query: str, numbers: list[int]) -> None:
    async def test() -> None:
        async with served() as api:
            await with_entries(api, *ENTRIES)
            answer = await api.get(f"/v1/runs/run1/journal?{query}")
            assert [entry["number"] for entry in answer["entries"]] == numbers
            assert answer["last"] == 5
            assert await api.get(f"/v1/runs/run1/journal/count?{query}") == {"count": len(numbers)}

    bounded(test)


def test_a_long_journal_is_read_in_pages() -> None:
    async def test() -> None:
        async with served() as api:
            await with_entries(api, *ENTRIES)
            page = await api.get("/v1/runs/run1/journal?limit=2&kind=opened&kind=missed")
            assert [entry["number"] for entry in page["entries"]] == [1, 3]
            page = await api.get("/v1/runs/run1/journal?limit=2&kind=opened&kind=missed&after=3")
            assert [entry["number"] for entry in page["entries"]] == [4]

    bounded(test)


def test_a_filter_sees_no_more_than_the_journal_kept() -> None:
    journal = Journal(kept=2)
    for entry in ENTRIES:
        journal.add(entry)

    assert [entry.number for entry in Filter().of(journal)] == [4, 5]
    assert [entry.number for entry in Filter(after=4).of(journal)] == [5]
    assert Filter(after=1).first(journal, 1)[0].number == 4


async def never() -> dict[str, Any]:
    """A client that stays."""
    await asyncio.Event().wait()
    raise AssertionError


def test_a_wait_is_answered_with_what_is_there_already() -> None:
    async def test() -> None:
        async with served() as api:
            await with_entries(api, *ENTRIES)
            answer = await api.get("/v1/runs/run1/journal/wait?kind=opened&count=2&timeout_s=0")
            assert [entry["number"] for entry in answer["entries"]] == [1, 3]

    bounded(test)


def test_a_wait_is_answered_when_the_last_entry_comes() -> None:
    async def test() -> None:
        async with served() as api:
            journal = await with_entries(api, *ENTRIES[:2])
            path = "/v1/runs/run1/journal/wait?kind=opened&count=2"
            waiting = asyncio.ensure_future(api.ask("GET", path))
            await until(lambda: api.runs.find("run1").watched.watchers)
            assert not waiting.done()
            for entry in ENTRIES[2:]:
                journal.add(entry)
            journal.add(ENTRIES[0])
            assert [entry["number"] for entry in (await waiting).json["entries"]] == [1, 3]
            assert api.runs.find("run1").watched.watchers == 0

    bounded(test)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=30), st.integers(1, 20))
def test_no_entry_is_lost_between_looking_and_waiting(script: list[tuple[bool, int]], count: int) -> None:
    """Entries come at any point of a wait: in one turn of the loop, in many, before it and after."""

    async def test() -> None:
        journal = Journal()
        watched = Watched(journal)
        wanted = Filter(kinds=frozenset({EntryKind.MATCHED}))
        waiting = asyncio.ensure_future(wait_for(watched, never, wanted, count, 60))
        for matches, turns in script:
            journal.add(Entry(EntryKind.MATCHED if matches else EntryKind.PUSHED, "s1", 0))
            for _ in range(turns):
                await asyncio.sleep(0)
        expected = [entry.number for entry in journal.entries if entry.kind is EntryKind.MATCHED][:count]
        if len(expected) < count:
            watched.end()
        waited, entries = await waiting
        assert waited is (Waited.FOUND if len(expected) == count else Waited.OVER)
        assert [entry.number for entry in entries] == expected
        assert watched.watchers == 0

    asyncio.run(test())


def test_a_wait_ends_at_its_deadline_and_says_how_many_came() -> None:
    async def test() -> None:
        async with served() as api:
            await with_entries(api, *ENTRIES)
            answer = await api.ask("GET", "/v1/runs/run1/journal/wait?kind=opened&count=3&timeout_s=0.001")
            assert (answer.status, answer.code) == (408, "timeout")
            assert "2 of 3 entries came within 0.001 s" in answer.sentence
            assert api.runs.find("run1").watched.watchers == 0

    bounded(test)


def test_a_wait_ends_with_its_run() -> None:
    async def test() -> None:
        async with served() as api:
            await with_entries(api, *ENTRIES)
            watched = api.runs.find("run1").watched
            waiting = asyncio.ensure_future(api.ask("GET", "/v1/runs/run1/journal/wait?kind=held"))
            await until(lambda: watched.watchers)
            await api.ask("DELETE", "/v1/runs/run1")
            answer = await waiting
            assert (answer.status, answer.code) == (409, "run_ended")
            assert "run1 has ended, and 0 of 1 entries came" in answer.sentence

    bounded(test)


@pytest.mark.parametrize("path", ["wait?kind=held&timeout_s=60", "stream"])
def test_a_client_that_goes_away_leaves_nothing_behind(path: str) -> None:
    async def test() -> None:
        async with served() as api:
            await with_entries(api, *ENTRIES)
            watched = api.runs.find("run1").watched
            async with Talk(api.control.url) as talk:
                await talk.send("GET", f"/v1/runs/run1/journal/{path}", b"", {})
                await until(lambda: watched.watchers)
            await until(lambda: not watched.watchers)
            assert len(watched.journal._listeners) == 2  # the run's own

    bounded(test)


class Events:
    """Reads server-sent events as a browser would."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    async def chunk(self) -> bytes:
        """The next piece of the chunked body; empty at its end."""
        size = int(await self._talk.reader.readuntil(b"\r\n"), 16)
        piece = await self._talk.reader.readexactly(size + 2)
        return piece[:size]

    async def block(self, *, comments: bool = False) -> str:
        while True:
            piece = (await self.chunk()).decode()
            if comments or not piece.startswith(":"):
                return piece

    async def numbers(self, count: int) -> list[int]:
        """The ids of the next events."""
        found: list[int] = []
        while len(found) < count:
            for event in filter(None, (await self.block()).split("\n\n")):
                fields = dict(line.split(": ", 1) for line in event.split("\n"))
                assert json.loads(fields["data"])["number"] == int(fields["id"])
                assert json.loads(fields["data"])["kind"] == fields["event"]
                found.append(int(fields["id"]))
        return found


async def streaming(talk: Talk, query: str = "", **headers: str) -> Events:
    await talk.send("GET", f"/v1/runs/run1/journal/stream{query}", b"", headers)
    status, answered = await talk.head()
    assert status == 200
    assert answered["content-type"].startswith("text/event-stream")
    assert answered["cache-control"] == "no-store"
    return Events(talk)


def test_a_stream_has_what_was_what_comes_and_an_end() -> None:
    async def test() -> None:
        async with served() as api:
            journal = await with_entries(api, *ENTRIES[:3])
            async with Talk(api.control.url) as talk:
                events = await streaming(talk)
                assert await events.numbers(3) == [1, 2, 3]
                for entry in ENTRIES[3:]:
                    journal.add(entry)
                assert await events.numbers(2) == [4, 5]
                await api.ask("DELETE", "/v1/runs/run1")
                assert await events.chunk() == b""

    bounded(test)


@pytest.mark.parametrize(("query", "numbers"), [each for each in FILTERS if each.values[1]])
def test_a_stream_is_filtered(query: str, numbers: list[int]) -> None:
    async def test() -> None:
        async with served() as api:
            await with_entries(api, *ENTRIES)
            async with Talk(api.control.url) as talk:
                events = await streaming(talk, f"?{query}")
                assert await events.numbers(len(numbers)) == numbers

    bounded(test)


def test_a_stream_is_resumed_behind_the_last_event_that_the_client_has() -> None:
    async def test() -> None:
        async with served() as api:
            await with_entries(api, *ENTRIES)
            async with Talk(api.control.url) as talk:
                events = await streaming(talk, "?after=1", **{"Last-Event-ID": "3"})
                assert await events.numbers(2) == [4, 5]
            answer = await api.ask("GET", "/v1/runs/run1/journal/stream", headers={"Last-Event-ID": "x"})
            assert (answer.status, answer.code) == (400, "malformed")
            assert "Last-Event-ID" in answer.sentence

    bounded(test)


def test_a_silent_stream_sends_comments() -> None:
    async def test() -> None:
        async with served(settings=LIVELY) as api:
            await with_entries(api)
            async with Talk(api.control.url) as talk:
                events = await streaming(talk)
                blocks = [await events.block(comments=True) for _ in range(3)]
                assert blocks == [": the journal\n\n", ": still here\n\n", ": still here\n\n"]

    bounded(test)


def test_a_stream_tells_what_the_journal_has_given_up() -> None:
    async def test() -> None:
        journal = Journal(kept=2)
        watched = Watched(journal)
        for entry in ENTRIES:
            journal.add(entry)
        watched.end()
        sent: list[bytes] = []

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))

        stream = EventStream(watched, Filter(after=1), heartbeat_s=60, patience_s=60)
        await stream({"type": "http"}, never, send)
        assert sent[2].startswith(b'id: 3\nevent: gap\ndata: {"lost": 2}\n\nid: 4\n')
        assert sent[2].count(b"event: ") == 3

    bounded(test)


def test_a_slow_reader_holds_up_nobody_and_is_given_up() -> None:
    async def test() -> None:
        impatient = ControlSettings(patience_s=0.01)
        async with served(settings=impatient) as api:
            journal = await with_entries(api)
            watched = api.runs.find("run1").watched
            async with Talk(api.control.url) as talk:
                assert isinstance(talk.writer.transport, asyncio.Transport)
                talk.writer.transport.pause_reading()
                await talk.send("GET", "/v1/runs/run1/journal/stream", b"", {})
                await until(lambda: watched.watchers)
                for _ in range(20_000):  # far more than the sockets' buffers hold
                    journal.add(Entry(EntryKind.MISSED, "s1", 0, payload="x" * 1000))
                await until(lambda: not watched.watchers)
                assert await api.get("/v1/runs/run1/journal/count") == {"count": 20_000}

    bounded(test)


def test_a_reader_that_is_stuck_keeps_nothing_of_a_run_that_has_ended() -> None:
    async def test() -> None:
        async with served(kept=0) as api:
            journal = await with_entries(api)
            watched = api.runs.find("run1").watched
            run = weakref.ref(api.runs.find("run1").run)
            waiting = asyncio.ensure_future(api.ask("GET", "/v1/runs/run1/journal/wait?kind=held"))
            async with Talk(api.control.url) as talk:
                assert isinstance(talk.writer.transport, asyncio.Transport)
                talk.writer.transport.pause_reading()
                await talk.send("GET", "/v1/runs/run1/journal/stream", b"", {})
                await until(lambda: watched.watchers == 2)
                for _ in range(20_000):  # far more than the sockets' buffers hold
                    journal.add(Entry(EntryKind.MISSED, "s1", 0, payload="x" * 1000))
                await api.ask("DELETE", "/v1/runs/run1")
                assert (await waiting).code == "run_ended"
                assert watched.watchers == 1
                gc.collect()
                assert run() is None

    bounded(test)
