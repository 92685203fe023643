"""The demo's client: goes through the visits of a script and keeps everything it is sent."""

import asyncio
import gzip
import json
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from wiretape.demo.scripts import EndBy, Happen, Visit

_ANSWER_DEADLINE_S = 10.0
_PUSH_ACTIONS = {"Notify", "Log", "sendrawblock", "sendjsonblock", "sendblocktxhashs"}


@dataclass(slots=True)
class Seen:
    """What the client of one visit saw, in order."""

    messages: list[bytes | str] = field(default_factory=list)
    close_code: int | None = None
    """Of the upstream's close frame; None when it sent none."""


@dataclass(frozen=True, slots=True)
class World:
    """What the demo can make an upstream do while it is recorded; replay needs none of it."""

    step: Callable[[], Awaitable[None]]
    drop: Callable[[], Awaitable[None]]


async def go_through(url: str, visits: Sequence[Visit], world: World | None) -> list[Seen]:
    """Make each visit to `url`, one after the other. Raises TimeoutError when an answer does not come."""
    return [await _visit(url, visit, world) for visit in visits]


async def _visit(url: str, visit: Visit, world: World | None) -> Seen:
    seen = Seen()
    async with connect(url, max_size=None, compression=None, ping_interval=None, proxy=None) as client:
        for step in visit.steps:
            if isinstance(step, Happen):
                if world is not None:
                    for _ in range(step.steps):
                        await world.step()
                continue
            for text in step.texts:
                await client.send(text)
            await _receive_answers(client, seen, step.answers)
        if visit.end is EndBy.UPSTREAM_DROPS:
            if world is not None:
                await world.drop()
            await _receive_rest(client, seen)
    received = client.protocol.close_rcvd
    seen.close_code = received.code if received else None
    return seen


async def _receive_answers(client: ClientConnection, seen: Seen, count: int) -> None:
    answers: list[bytes | str] = []
    async with asyncio.timeout(_ANSWER_DEADLINE_S):
        while len(answers) < count:
            message = await client.recv()
            (seen.messages if _is_push(message) else answers).append(message)
    # Answers to questions that were asked at once may overtake each other, so their order is not kept.
    seen.messages += sorted(answers, key=text_of) if count > 1 else answers


async def _receive_rest(client: ClientConnection, seen: Seen) -> None:
    try:
        async with asyncio.timeout(_ANSWER_DEADLINE_S):
            while True:
                seen.messages.append(await client.recv())
    except ConnectionClosed:
        return


def _is_push(message: bytes | str) -> bool:
    what: dict[str, Any] = json.loads(text_of(message))
    return "method" in what or what.get("Action") in _PUSH_ACTIONS


def text_of(message: bytes | str) -> str:
    """A message's text, unpacked as the clients of the exchange do."""
    if isinstance(message, str):
        return message
    if message[:2] == b"\x1f\x8b":
        return gzip.decompress(message).decode()
    return zlib.decompress(message).decode() if message[:1] == b"\x78" else message.decode()
