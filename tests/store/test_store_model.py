"""A store against a plain dict of what was recorded, through commits, crashes and reopenings."""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from postgres_cluster import Cluster
from store_builders import DEAD, HANDSHAKE, HOTBIT, START_US, Clock, a_message, a_writer, packed

from wiretape_protocols import decode
from wiretape_store import End, EndKind, Event, EventKind, StoreReader


@dataclass
class Model:
    """What one session is to hold; `committed` of it survives a crash."""

    wires: list[bytes] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    ended: EndKind | None = None
    committed: tuple[int, int, EndKind | None] = (0, 0, None)
    is_live: bool = True

    def commit(self) -> None:
        self.committed = (len(self.wires), len(self.events), self.ended)

    def crash(self) -> None:
        messages, events, self.ended = self.committed
        del self.wires[messages:], self.events[events:]
        self.is_live = False


class StoreMachine(RuleBasedStateMachine):
    def __init__(self, url: str = "") -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = url or str(self.folder / "t.db")
        self.clock = Clock()
        self.sessions: dict[int, Model] = {}
        self.recordings = 0
        self.open()

    def open(self) -> None:
        self.writer = a_writer(self.path, self.clock, process=DEAD)
        for model in self.sessions.values():
            model.ended = model.ended or EndKind.INTERRUPTED
        self.upstream = self.writer.begin_recording(None, [HOTBIT]).upstreams[0].id
        self.recordings += 1

    def live(self) -> list[int]:
        return [session for session, model in self.sessions.items() if model.is_live and model.ended is None]

    @rule()
    def begin(self) -> None:
        session = self.writer.begin_session(self.upstream, START_US, HANDSHAKE)
        assert session not in self.sessions
        self.sessions[session] = Model()

    @precondition(lambda self: self.live())
    @rule(
        data=st.data(),
        payloads=st.lists(st.binary(max_size=40), min_size=1, max_size=5),
        kind=st.sampled_from(list(packed(b""))),
        times=st.sampled_from([1, 1, 60]),
    )
    def add(self, data: st.DataObject, payloads: list[bytes], kind: str, times: int) -> None:
        session = data.draw(st.sampled_from(self.live()))
        model = self.sessions[session]
        for payload in payloads * times:
            wire = packed(payload)[kind]
            self.writer.add(session, a_message(len(model.wires), wire))
            model.wires.append(wire)

    @precondition(lambda self: self.live())
    @rule(data=st.data(), kind=st.sampled_from(EventKind))
    def add_event(self, data: st.DataObject, kind: EventKind) -> None:
        session = data.draw(st.sampled_from(self.live()))
        model = self.sessions[session]
        event = Event(len(model.wires) - 1, 7, False, kind, b"x")
        self.writer.add_event(session, event)
        model.events.append(event)

    @precondition(lambda self: self.live())
    @rule(data=st.data(), kind=st.sampled_from([EndKind.CLOSED, EndKind.EOF]))
    def end(self, data: st.DataObject, kind: EndKind) -> None:
        session = data.draw(st.sampled_from(self.live()))
        self.writer.end_session(session, START_US, End(kind))
        self.sessions[session].ended = kind

    @rule()
    def commit(self) -> None:
        self.writer.commit()
        for model in self.sessions.values():
            model.commit()

    @rule()
    def settle(self) -> None:
        self.writer.settle()

    @rule()
    def crash(self) -> None:
        self.writer.abandon()
        for model in self.sessions.values():
            model.crash()
        self.check()
        self.open()

    @rule()
    def close(self) -> None:
        self.writer.close()
        for model in self.sessions.values():
            model.ended = model.ended or EndKind.INTERRUPTED
            model.commit()
            model.is_live = False
        self.check()
        self.open()

    @invariant()
    def check(self) -> None:
        with StoreReader(self.path) as reader:
            assert len(reader.recordings()) == self.recordings
            assert [session.id for session in reader.sessions()] == [f"s{number}" for number in self.sessions]
            for number, model in self.sessions.items():
                messages, events, ended = model.committed
                found = reader.session(f"s{number}")
                assert found.end.kind is (ended or EndKind.INTERRUPTED)
                assert found.messages_from_upstream == messages
                stored = list(reader.messages(f"s{number}"))
                assert [message.wire for message in stored] == model.wires[:messages]
                assert all(message.payload == decode(message.wire).payload for message in stored)
                assert reader.events(f"s{number}") == model.events[:events]

    def teardown(self) -> None:
        self.writer.abandon()
        shutil.rmtree(self.folder)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_store_is_what_the_model_says(kind: str, request: pytest.FixtureRequest) -> None:
    if kind == "sqlite":
        some = settings(max_examples=20, stateful_step_count=25, deadline=None)
        run_state_machine_as_test(StoreMachine, settings=some)
        return
    server: Cluster = request.getfixturevalue("cluster")
    fewer = settings(max_examples=8, stateful_step_count=20, deadline=None)
    run_state_machine_as_test(lambda: StoreMachine(server.new_database()), settings=fewer)  # type: ignore[arg-type]
