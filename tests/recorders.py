"""
Both ways to record, alike for tests: `wiretape record` (the tap) and `mitmdump -s record.py` (hooks).

Each runs as the user would run it, in a process of its own, between a real upstream and real clients.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from wiretape.daemon import daemon_beside

ROOT = Path(__file__).parent.parent
FEEDS = ("tap", "hooks")
_DEADLINE_S = 30.0


@asynccontextmanager
async def recorder(
    feed: str,
    upstreams: dict[str, str],
    store: Path,
    *,
    name: str = "test",
    options: Sequence[str] = (),
    rules: Sequence[tuple[str, str]] = (),
    said: list[str] | None = None,
) -> AsyncIterator[dict[str, str]]:
    """
    Record `upstreams` (label to URL) into `store`; yields where the clients of each connect.

    `rules` are options such as ("redact-env", "NAME"), for both feeds; `options` are the tap's own. What
    the recorder wrote to its terminal is in `said` at the end.
    """
    said = [] if said is None else said
    if feed == "tap":
        arguments = [
            "record",
            *(f"{label}={url}" for label, url in upstreams.items()),
            "--listen",
            "127.0.0.1:0",
        ]
        arguments += ["--store", str(store), "--recording", name, *options]
        arguments += [word for option, value in rules for word in (f"--{option}", value)]
        async with daemon_beside(arguments) as running:
            yield running.urls
        said.append(running.said)
    else:
        async with _mitmdump(upstreams, store, name, rules, said) as urls:
            yield urls


@asynccontextmanager
async def _mitmdump(
    upstreams: dict[str, str], store: Path, name: str, rules: Sequence[tuple[str, str]], told: list[str]
) -> AsyncIterator[dict[str, str]]:
    ports = {label: free_port() for label in upstreams}
    command = [str(Path(sys.executable).parent / "mitmdump"), "-s", str(ROOT / "proxy_addons" / "record.py")]
    for label, url in upstreams.items():
        command += ["--mode", f"reverse:{url.replace('ws', 'http', 1)}@127.0.0.1:{ports[label]}"]
        command += ["--set", f"wiretape_upstreams={label}={url}"]
    command += ["--set", f"wiretape_store={store}", "--set", f"wiretape_recording={name}"]
    command += ["--set", f"confdir={store.parent / 'mitmproxy'}"]
    for option, value in rules:
        command += ["--set", f"wiretape_{option.replace('-', '_')}={value}"]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # What mitmdump says is waited for, and into a pipe it would say it at the end.
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    if process.stdout is None:
        raise AssertionError("the pipe was asked for")
    said = b""
    try:
        async with asyncio.timeout(_DEADLINE_S):
            while b"wiretape records" not in said:
                line = await process.stdout.readline()
                assert line, said.decode()
                said += line
        yield {label.partition(":")[0]: f"ws://127.0.0.1:{port}" for label, port in ports.items()}
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(_DEADLINE_S):
            rest, _ = await process.communicate()
        told.append((said + rest).decode())


def free_port() -> int:
    """A port that nothing listens on; for programs that cannot be given port 0."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
