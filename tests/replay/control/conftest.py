"""A server that stands as long as a module's tests: for tables of requests that change nothing."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from control_clients import Answer, Api, served
from replay_clients import PATIENCE_S

Asked = Callable[..., Answer]


@pytest.fixture(scope="module")
def ask() -> Iterator[Asked]:
    """`Api.ask` of a server with a run of the recording `one`, for tests without an event loop."""
    started = threading.Event()
    found: list[Any] = []

    async def serve() -> None:
        stop = asyncio.Event()
        async with served() as api:
            await api.begin()
            found.extend((asyncio.get_running_loop(), api, stop))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(PATIENCE_S)
    loop, api, stop = found

    def wait_for(work: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE_S)

    assert isinstance(api, Api)
    yield lambda *arguments, **more: wait_for(api.ask(*arguments, **more))
    loop.call_soon_threadsafe(stop.set)
    thread.join(PATIENCE_S)
