"""
The demo, from two simulators to a verdict: record a client on each, stop them, replay, compare.

The recorder and the replay daemon are the real commands, in processes of their own.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wiretape.daemon import DaemonError, daemon_beside
from wiretape.demo.scripts import Visit, hotbit_visits, ontology_visits
from wiretape.demo.visitor import Seen, World, go_through
from wiretape.simulators.hotbit import DEMO_API_KEY, HotbitSimulator
from wiretape.simulators.ontology import OntologySimulator
from wiretape_protocols import WiretapeError
from wiretape_store import Session, StoreError, StoreReader

RECORDING = "demo"


class DemoError(WiretapeError):
    """The demo cannot begin or go on; the text says what is in its way."""


@dataclass(frozen=True, slots=True)
class Row:
    """What the demo found out about one upstream."""

    upstream: str
    sessions: int
    exchanges: int
    pushes: int
    wire_bytes: int
    stored_bytes: int
    """What the messages are packed into; the store's rows and indexes come on top."""
    differences: list[str]


@dataclass(frozen=True, slots=True)
class Part:
    """One upstream of the demo."""

    url: str
    visits: Sequence[Visit]
    world: World


def run_demo(store: Path, say: Callable[[str], None]) -> list[Row]:
    """
    Record and replay both simulators into a new store; a row an upstream, with all differences.

    Raises DemoError when something else is where the store should go, and when a daemon fails.
    """
    _make_room(store)
    try:
        recorded, scripts = asyncio.run(_record(store, say))
        say("Stopped both upstreams. What follows comes from the recording alone.")
        replayed, verdict = asyncio.run(_replay(store, scripts, say))
    except DaemonError as exc:
        raise DemoError(str(exc)) from exc
    with StoreReader(str(store)) as reader:
        sessions = reader.sessions(RECORDING)
        return [
            _row(
                name,
                [session for session in sessions if session.upstream.name == name],
                sum(reader.stored_bytes(s.id) for s in sessions if s.upstream.name == name),
                differences(recorded[name], replayed[name]) + verdict,
            )
            for name in scripts
        ]


async def _record(
    store: Path, say: Callable[[str], None]
) -> tuple[dict[str, list[Seen]], dict[str, Sequence[Visit]]]:
    async with HotbitSimulator() as hotbit, OntologySimulator() as ontology:
        parts = _parts(hotbit, ontology)
        say(f"Started a simulated exchange at {hotbit.url} and a simulated node at {ontology.url}.")
        upstreams = [f"{name}={part.url}" for name, part in parts.items()]
        arguments = ["record", *upstreams, "--listen", "127.0.0.1:0", "--store", str(store)]
        async with daemon_beside([*arguments, "--recording", RECORDING]) as recorder:
            say(f"wiretape {' '.join(arguments[:3])} --store {store.name} --recording {RECORDING}")
            seen = {
                name: await go_through(recorder.urls[name], part.visits, part.world)
                for name, part in parts.items()
            }
        _say_seen(say, "recorded", seen)
        return seen, {name: part.visits for name, part in parts.items()}


async def _replay(
    store: Path, scripts: Mapping[str, Sequence[Visit]], say: Callable[[str], None]
) -> tuple[dict[str, list[Seen]], list[str]]:
    arguments = ["replay", RECORDING, "--store", str(store), "--strict"]
    async with daemon_beside([*arguments, "--listen", "127.0.0.1:0"]) as replay:
        say(f"wiretape {' '.join(arguments[:2])} --store {store.name} --strict")
        seen = {name: await go_through(replay.urls[name], visits, None) for name, visits in scripts.items()}
    _say_seen(say, "replayed", seen)
    findings = [] if replay.status == 0 else replay.said.strip().splitlines()[-5:]
    return seen, findings


def _say_seen(say: Callable[[str], None], done: str, seen: Mapping[str, Sequence[Seen]]) -> None:
    for name, visits in seen.items():
        count = sum(len(visit.messages) for visit in visits)
        say(f"  {done} {name}: {len(visits)} connections, {count} messages received")


def differences(recorded: Sequence[Seen], replayed: Sequence[Seen]) -> list[str]:
    """Where the client saw something else in replay, in words; nothing when it saw the same."""
    found = []
    for visit, (before, after) in enumerate(zip(recorded, replayed, strict=True)):
        pairs = zip(before.messages, after.messages, strict=False)
        different = next((number for number, (one, other) in enumerate(pairs) if one != other), None)
        if different is not None:
            found.append(f"message {different} of connection {visit} differs")
        elif len(before.messages) != len(after.messages):
            found.append(f"connection {visit}: {len(after.messages)} messages, not {len(before.messages)}")
        if before.close_code != after.close_code:
            found.append(f"connection {visit}: close code {after.close_code}, not {before.close_code}")
    return found


def _parts(hotbit: HotbitSimulator, ontology: OntologySimulator) -> dict[str, Part]:
    block = ontology.chain.block_at(100)
    if block is None:
        raise AssertionError("the simulated chain begins above height 100")
    exchange = hotbit_visits(DEMO_API_KEY, hotbit.auth_sign())
    transaction = block.receipts[0].tx_hash
    node = ontology_visits(ontology.accounts[0], ontology.sample_contract, block.hash, transaction)
    return {
        "hotbit": Part(hotbit.url, exchange, World(hotbit.tick, hotbit.drop_all)),
        "ontology": Part(ontology.url, node, World(ontology.mine, ontology.drop_all)),
    }


def _row(name: str, sessions: Sequence[Session], stored_bytes: int, found: list[str]) -> Row:
    return Row(
        name,
        len(sessions),
        sum(session.exchanges for session in sessions),
        sum(session.pushes for session in sessions),
        sum(session.wire_bytes for session in sessions),
        stored_bytes,
        found,
    )


def _make_room(store: Path) -> None:
    """Remove the store of an earlier demo, and nothing else."""
    if not store.exists():
        return
    try:
        with StoreReader(str(store)) as reader:
            ours = {recording.name for recording in reader.recordings()} <= {RECORDING}
    except StoreError:
        ours = False
    if not ours:
        message = f"{store} holds something other than an earlier demo: move it, or name another with --store"
        raise DemoError(message)
    for suffix in ("", "-wal", "-shm"):
        store.with_name(store.name + suffix).unlink(missing_ok=True)
