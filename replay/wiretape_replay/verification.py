"""
Plays a recording against its own replay, and compares every byte with what was recorded.

The server is the real one on loopback; the client sends what was recorded, in another manner in each
run. What must come back is worked out here from the messages alone, apart from the engine.
"""

import asyncio
import hashlib
import http
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from wiretape_protocols import Opcode, Role
from wiretape_replay.player import Manner, Played, Player
from wiretape_replay.recordings import Reader, ReplayedUpstream, load_recording
from wiretape_replay.server import ReplayServer
from wiretape_replay.settings import ReplaySettings
from wiretape_store.records import EndKind, Message, Session

_MANNERS = (
    Manner(0),
    Manner(0, early=1.0),
    Manner(0, cuts=0.2, late=3),
    Manner(0, early=0.5, cuts=0.05, late=10),
    Manner(0, early=1.0, cuts=0.5),
)
"""Run n has the nth of these, over and over, each time with another seed."""


@dataclass(slots=True)
class Verification:
    """What the runs found."""

    what: str
    runs: int
    sessions: int
    messages: int
    """Of the upstreams, in one run."""
    digests: list[str] = field(default_factory=list)
    """SHA-256 of each run's transcript, background left out."""
    differences: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every run gave what was recorded."""
        return not self.differences and len(set(self.digests)) <= 1


async def verify(
    reader: Reader,
    what: str,
    *,
    runs: int = 1,
    deadline_s: float = 10.0,
    environment: Mapping[str, str] | None = None,
) -> Verification:
    """
    Play a recording or a session `runs` times; never raises for a difference.

    `deadline_s` bounds the wait for any one message; `environment` is as in `load_recording`.
    """
    upstreams = load_recording(reader, what, environment).upstreams
    result = Verification(what, runs, sum(len(upstream.sessions) for upstream in upstreams), 0)
    recorded = {
        session.id: list(reader.messages(session.id))
        for upstream in upstreams
        for session in upstream.sessions
    }
    result.messages = sum(not message.from_client for messages in recorded.values() for message in messages)
    for run in range(runs):
        manner = replace(_MANNERS[run % len(_MANNERS)], seed=run)
        digest = hashlib.sha256()
        with closing(load_recording(reader, what, environment)) as recording:
            async with ReplayServer(recording, ReplaySettings(), listen="127.0.0.1:0") as server:
                for listener, upstream in zip(server.listeners, recording.upstreams, strict=True):
                    await _play_upstream(
                        listener.url, upstream, recorded, manner, digest, result, run, deadline_s
                    )
        result.digests.append(digest.hexdigest())
    if not result.differences and len(set(result.digests)) > 1:
        result.differences.append("the runs differ from each other, though each gave what was recorded")
    return result


async def _play_upstream(
    url: str,
    upstream: ReplayedUpstream,
    recorded: dict[str, list[Message]],
    manner: Manner,
    digest: "hashlib._Hash",
    result: Verification,
    run: int,
    deadline_s: float,
) -> None:
    for session in upstream.sessions:
        messages = recorded[session.id]
        played = await Player(url, session, messages, manner).play(deadline_s)
        expected, background = expected_messages(messages)
        transcript, found = compare(expected, background, played)
        found += end_differences(session, played)
        result.differences += [f"{session.id}, run {run + 1}: {text}" for text in found]
        for opcode, wire in transcript:
            digest.update(b"%d %d " % (opcode, len(wire)) + wire)
        digest.update(repr((played.status, played.close)).encode())


def expected_messages(messages: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """
    The upstream's messages in the order in which replay must send them, and apart the background ones.

    That is the recorded order, but an answer does not wait for a client message that was recorded
    after its call: it comes as soon as what was recorded before the next client message is out.
    """
    background_calls = {m.seq for m in messages if m.from_client and m.role is Role.BACKGROUND}
    calls = [m.seq for m in messages if m.from_client and m.seq not in background_calls]
    upstream = [m for m in messages if not m.from_client and m.answers not in background_calls]
    background = [m for m in messages if not m.from_client and m.answers in background_calls]
    answers: dict[int, list[Message]] = {}
    for message in upstream:
        if message.answers is not None:
            answers.setdefault(message.answers, []).append(message)
    order: list[Message] = []
    early: set[int] = set()
    position = 0
    for call, until in zip([None, *calls], [*calls, None], strict=True):
        while position < len(upstream) and (until is None or upstream[position].seq < until):
            if upstream[position].seq not in early:
                order.append(upstream[position])
            position += 1
        if call is None or until is None:
            continue
        beyond = [answer for answer in answers.get(call, []) if answer.seq > until]
        order += beyond
        early.update(answer.seq for answer in beyond)
    return order, background


def compare(
    expected: Sequence[Message], background: Sequence[Message], played: Played
) -> tuple[list[tuple[Opcode, bytes]], list[str]]:
    """What came, background left out, and where it differs from what was expected."""
    extra = Counter((message.opcode, message.wire) for message in background)
    came: list[tuple[Opcode, bytes]] = []
    differences: list[str] = []
    for opcode, wire in played.messages:
        position = len(came)
        right = position < len(expected) and (expected[position].opcode, expected[position].wire) == (
            opcode,
            wire,
        )
        if not right and extra[opcode, wire]:
            extra[opcode, wire] -= 1
            continue
        came.append((opcode, wire))
        if not right and not differences:
            wanted = f"message {expected[position].seq}" if position < len(expected) else "nothing more"
            differences.append(
                f"upstream message {position} is {_shown(wire)} and not {wanted} of the recording"
            )
    if len(came) < len(expected):
        first = expected[len(came)]
        differences.append(
            f"{len(expected) - len(came)} messages did not come, from message {first.seq} ({_shown(first.payload)}) on"
        )
    if lacking := sum(extra.values()):
        differences.append(f"{lacking} answers to heartbeats did not come")
    return came, differences


def end_differences(session: Session, played: Played) -> list[str]:
    """Where the handshake and the end differ from the recorded ones, at most one sentence."""
    end = session.end
    status = None if end.kind is EndKind.UNREACHABLE else session.handshake.status
    if played.status != status:
        got = "no answer" if played.status is None else played.status
        return [f"the handshake got {got} and not {status or 'a broken connection'}"]
    if status != http.HTTPStatus.SWITCHING_PROTOCOLS:
        return []
    if end.kind is EndKind.CLOSED and end.from_client is False and played.close != (end.code, end.reason):
        return [f"the connection was closed with {played.close} and not {(end.code, end.reason)}"]
    if end.kind is EndKind.EOF and end.from_client is False and played.close is not None:
        return [f"a close frame {played.close} came, and there was none"]
    return []


def _shown(data: bytes) -> str:
    text = data[:60].decode("utf-8", "backslashreplace")
    return f"{text!r}" + ("…" if len(data) > 60 else "")


def verify_recording(
    reader: Reader,
    what: str,
    *,
    runs: int = 1,
    deadline_s: float = 10.0,
    environment: Mapping[str, str] | None = None,
) -> Verification:
    """As `verify`, for callers without an event loop."""
    return asyncio.run(verify(reader, what, runs=runs, deadline_s=deadline_s, environment=environment))
