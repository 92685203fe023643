"""Recordings and tapes for runs, and what keeps a test of them from hanging."""

import asyncio
from collections.abc import Awaitable, Callable

from replay_builders import a_recording, a_session, an_upstream, messages
from replay_clients import PATIENCE_S

from wiretape_replay import ReplayedRecording
from wiretape_store import UnknownRecordingError
from wiretape_store.tapes import TapeError

LINES = ("> sub 1 deals", "< answer 1 ok", "< push deals:1", "< push deals:2", "> call 2 x", "< answer 2 y")


def bounded(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test that must not hang."""

    async def run() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test()

    asyncio.run(run())


async def until(condition: Callable[[], object]) -> None:
    """Let everybody else work until the condition holds; for what nobody is told of."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


def load(what: str) -> ReplayedRecording:
    """The recordings `one` and `two` (upstreams), each connection with the conversation above."""
    names = {"one": ("up",), "two": ("up", "down")}.get(what)
    if names is None:
        raise UnknownRecordingError("test.db", what, ["two", "one"])
    return a_recording(
        *(
            (a_session(number=number, upstream=an_upstream(name, place)), messages(LINES))
            for place, name in enumerate(names)
            for number in range(2)
        )
    )


def load_tape(text: str) -> ReplayedRecording:
    """A tape of these tests is a conversation's lines."""
    if not text.startswith(("<", ">")):
        raise TapeError("upload", 1, "is no tape")
    return a_recording((a_session(), messages(text.splitlines())))
