"""Cutting a client's stream into frames: what it costs, not only what comes out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay_clients import cut, masked
from websockets.protocol import State
from websockets.server import ServerProtocol

from wiretape_protocols import Opcode
from wiretape_replay import client_frames
from wiretape_replay.client_frames import ClientFrames
from wiretape_replay.frames import frame_size


def test_a_long_message_is_looked_at_again_only_when_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []

    def counted(data: bytes, start: int) -> int | None:
        looked_at.append(len(data))
        return real(data, start)

    real = frame_size
    monkeypatch.setattr(client_frames, "frame_size", counted)
    received: list[tuple[bytes, Opcode]] = []
    websocket = ServerProtocol()
    websocket.state = State.OPEN
    client = ClientFrames(websocket, lambda wire, opcode: received.append((wire, opcode)), lambda: None)

    payload = bytes(range(256)) * 1000
    stream = masked(2, payload) + masked(1, b"next")
    for start in range(0, len(stream), 1000):
        client.feed(stream[start : start + 1000])

    assert received == [(payload, Opcode.BINARY), (b"next", Opcode.TEXT)]
    assert len(looked_at) <= 4


def test_a_header_may_arrive_byte_by_byte() -> None:
    received: list[bytes] = []
    websocket = ServerProtocol()
    websocket.state = State.OPEN
    client = ClientFrames(websocket, lambda wire, _: received.append(wire), lambda: None)
    for size in (0, 1, 125, 126, 70_000):
        stream = masked(1, b"x" * size)
        for index in range(20):
            client.feed(stream[index : index + 1])
        client.feed(stream[20:])
    assert [len(wire) for wire in received] == [0, 1, 125, 126, 70_000]


@given(st.lists(st.integers(0, 60), max_size=4))
def test_what_comes_while_nothing_is_read_is_read_later_and_once(places: list[int]) -> None:
    stream = masked(1, b"one") + masked(9, b"ping") + masked(1, b"two") + masked(1, b"three")
    received: list[bytes] = []

    def receive(wire: bytes, _: Opcode) -> None:
        received.append(wire)
        waits.append(wire == b"one")

    websocket = ServerProtocol()
    websocket.state = State.OPEN
    waits = [False]
    frames = ClientFrames(websocket, receive, lambda: None, lambda: waits[-1])
    frames.may_wait = True
    for piece in cut(stream, places):
        frames.feed(piece)
    assert received == [b"one"]
    assert frames.waiting
    waits.append(False)
    frames.feed(b"")
    assert received == [b"one", b"two", b"three"]
