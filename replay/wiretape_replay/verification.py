"""
What a replay must send to a client that does what was recorded, and where one was something else.

It is worked out from the messages alone, apart from the engine. Who plays the client is `proof`.
"""

import hashlib
import http
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

from wiretape_protocols import Opcode, Role
from wiretape_replay.player import Played
from wiretape_store.records import EndKind, Message, Session


class RunFound(NamedTuple):
    """What one run found."""

    run: int
    """Counts the runs from 0."""
    digest: str
    """SHA-256 of its transcript: every message, handshake and end of every session."""
    differences: tuple[str, ...]
    hangs: bool = False
    """A client waited in vain."""


@dataclass(slots=True)
class Verification:
    """What all runs found."""

    what: str
    runs: int
    sessions: int
    messages: int
    """Of the upstreams, in one run."""
    found: list[RunFound] = field(default_factory=list)
    """In the order in which the runs ended; fewer than were asked for where one hangs."""

    @property
    def digests(self) -> list[str]:
        """Of the runs in the order of their numbers."""
        return [found.digest for found in sorted(self.found)]

    @property
    def differences(self) -> list[str]:
        """In words, in the order of the runs."""
        told = [text for found in sorted(self.found) for text in found.differences]
        if not told and len(set(self.digests)) > 1:
            return ["the runs differ from each other, though each gave what was recorded"]
        return told

    @property
    def ok(self) -> bool:
        """Whether every run gave what was recorded."""
        return not self.differences and len(self.found) == self.runs


class SessionFound(NamedTuple):
    """What one play of a session found."""

    session: str
    digest: bytes
    """SHA-256 of every message, and of the handshake and the end."""
    differences: list[str]
    hangs: bool


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the replay of one session must be."""

    session: Session
    messages: tuple[Message, ...]
    upstream: tuple[Message, ...]
    background: tuple[Message, ...]

    @classmethod
    def of(cls, session: Session, messages: Sequence[Message]) -> Self:
        """Work it out."""
        # Packing takes long, and each message is compared in every run.
        packed = [replace(message, kept_wire=message.wire) for message in messages]
        upstream, background = expected_messages(packed)
        return cls(session, tuple(packed), tuple(upstream), tuple(background))

    def compare(self, played: Played) -> SessionFound:
        """Where this play differs from what was recorded, and what to tell it from others by."""
        came, differences = compare(self.upstream, self.background, played)
        apart = Counter(played.messages) - Counter(came)  # background may lie anywhere
        digest = hashlib.sha256()
        for opcode, wire in (*came, *sorted(apart.elements())):
            digest.update(b"%d %d " % (opcode, len(wire)) + wire)
        digest.update(repr((played.status, played.close)).encode())
        differences += end_differences(self.session, played)
        if played.gave_up:
            differences.append(f"it hangs: nothing came while the client waited for {played.gave_up}")
        return SessionFound(self.session.id, digest.digest(), differences, bool(played.gave_up))


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
