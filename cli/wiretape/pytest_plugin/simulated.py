"""
The process behind the fixture `wiretape_upstreams`: both simulators, told what to do on stdin.

A command is a line of JSON, and so is its answer. It ends when stdin does.
"""

import asyncio
import contextlib
import json
import sys
from typing import Any

from wiretape.simulators.hotbit import HotbitSimulator
from wiretape.simulators.ontology import OntologySimulator


class _Pair:
    """An exchange and a node, from the beginning of their worlds on."""

    def __init__(self, stack: contextlib.AsyncExitStack) -> None:
        self._stack = stack
        self.hotbit = HotbitSimulator()
        self.ontology = OntologySimulator()

    @classmethod
    async def opened(cls) -> "_Pair":
        async with contextlib.AsyncExitStack() as stack:
            pair = cls(stack.pop_all())
            await pair._stack.enter_async_context(pair.hotbit)
            await pair._stack.enter_async_context(pair.ontology)
            return pair

    async def close(self) -> None:
        await self._stack.aclose()

    async def step(self, upstream: str) -> None:
        await (self.hotbit.tick if upstream == "hotbit" else self.ontology.mine)()

    async def drop(self, upstream: str) -> None:
        await (self.hotbit if upstream == "hotbit" else self.ontology).drop_all()


async def _serve() -> None:
    pair: _Pair | None = None
    while line := await asyncio.to_thread(sys.stdin.readline):
        command: dict[str, Any] = json.loads(line)
        answer: dict[str, Any] = {}
        do, upstream = command["do"], command.get("upstream")
        if do in {"open", "close"}:
            if pair is not None:
                await pair.close()
            pair = await _Pair.opened() if do == "open" else None
            if pair is not None:
                answer = {"hotbit": pair.hotbit.url, "ontology": pair.ontology.url}
        elif upstream not in {"hotbit", "ontology"}:
            answer = {"error": f"there is no simulated upstream {upstream!r}: there are hotbit and ontology"}
        elif pair is not None:
            for _ in range(command.get("times", 1)):
                await (pair.step if do == "step" else pair.drop)(upstream)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    if pair is not None:
        await pair.close()


if __name__ == "__main__":
    asyncio.run(_serve())
