"""Records clients that do not wait for answers, on both upstreams, while these push what they like."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from recorders import recorder
from wiretape.demo.run import Part, _parts
from wiretape.demo.scripts import Happen, Say, Visit
from wiretape.demo.visitor import go_through
from wiretape.simulators.hotbit import HotbitSimulator
from wiretape.simulators.ontology import OntologySimulator

_TICKS = 12


def hurried(visits: Sequence[Visit]) -> list[Visit]:
    """The same visits; whatever lies between two steps of the world is said at once."""
    return [Visit(tuple(_merged(visit.steps)), visit.end) for visit in visits]


def _merged(steps: Sequence[Say | Happen]) -> list[Say | Happen]:
    merged: list[Say | Happen] = []
    for step in steps:
        if isinstance(step, Say) and merged and isinstance(last := merged[-1], Say):
            merged[-1] = Say((*last.texts, *step.texts), last.answers + step.answers)
        else:
            merged.append(step)
    return merged


async def record_pipelining(store: Path) -> None:
    """Record both upstreams into a new store, as the recording `test`."""

    async def visit(url: str, part: Part) -> None:
        async def go_on() -> None:
            for _ in range(_TICKS):
                await part.world.step()
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(go_on())
            tasks.create_task(go_through(url, hurried(part.visits), part.world))

    async with HotbitSimulator() as exchange, OntologySimulator() as node:
        parts = _parts(exchange, node)
        upstreams = {name: part.url for name, part in parts.items()}
        async with recorder("tap", upstreams, store) as urls, asyncio.TaskGroup() as tasks:
            for name, part in parts.items():
                tasks.create_task(visit(urls[name], part))
