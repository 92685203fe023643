"""Small projects with tests of a client, and pytest run in them as their authors would run it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

DEADLINE_S = 300.0
CLIENT = '''
"""A client of an exchange, as small as it can be."""

import gzip
import json

from websockets.sync.client import connect


class Exchange:
    def __init__(self, url):
        self.context = connect(url)
        self.socket = self.context.__enter__()
        self.pushes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.context.__exit__(None, None, None)

    def ask(self, method, *params, id=1):
        self.socket.send(json.dumps({"method": method, "params": list(params), "id": id}))
        while True:
            message = self.receive()
            if message["id"] == id:
                return message["error"] or message["result"]
            self.pushes.append(message)

    def push(self):
        return self.pushes.pop(0) if self.pushes else self.receive()

    def receive(self):
        message = self.socket.recv(timeout=10)
        return json.loads(message if isinstance(message, str) else gzip.decompress(message))
'''
Message = tuple[str, str]
OK = '{"error": null, "result": {"status": "success"}, "id": 1}'


def asked(method: str, *params: object, answer: str = OK) -> list[Message]:
    """A call and its answer."""
    return [("client", json.dumps({"method": method, "params": params, "id": 1})), ("upstream", answer)]


def pushed(method: str, *params: object) -> list[Message]:
    """A push."""
    return [("upstream", json.dumps({"method": method, "params": params, "id": None}))]


def result(value: object) -> str:
    """An answer."""
    return json.dumps({"error": None, "result": value, "id": 1})


def tape(*sessions: Sequence[Message], upstream: str = "hotbit") -> str:
    """A tape by hand: what passed on each connection to an upstream; the client has ended them."""
    place = {
        "name": upstream,
        "protocol": upstream,
        "url": "wss://upstream.example",
        "listen": "127.0.0.1:8081",
    }
    head = {"wiretape": "tape", "version": 1, "recording": "by hand", "started_at_us": 1, "ended_at_us": 2}
    lines = [json.dumps({**head, "upstreams": [place]})]
    for messages in sessions:
        session = {"session": upstream, "started_at_us": 1, "target": "/", "status": 101}
        lines.append(json.dumps({**session, "response_headers": [["Upgrade", "websocket"]]}))
        for number, (side, payload) in enumerate(messages):
            lines.append(f'{{"at_us": {number * 1000}, "from": "{side}", "json": {payload}}}')
        lines.append(
            json.dumps({"at_us": len(messages) * 1000, "end": "closed", "from": "client", "code": 1000})
        )
    return "".join(line + "\n" for line in lines)


@dataclass(frozen=True)
class Ran:
    """How a run of pytest went."""

    status: int
    text: str

    @property
    def lines(self) -> pytest.LineMatcher:
        return pytest.LineMatcher(self.text.splitlines())

    def counts(self) -> dict[str, int]:
        """What the last line says: passed, failed, error, ..."""
        last = re.findall(r"^=+ (.*) in [0-9.]+s", self.text, re.MULTILINE)[-1]
        return {word.rstrip("s"): int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", last)}

    def failure(self, test: str) -> pytest.LineMatcher:
        """What stands under the heading of a test that failed."""
        found = re.search(
            rf"^_+ (?:ERROR at \w+ of |)\S*{test} _+\n(.*?)(?=^_{{3,}} \S|^={{3,}} )",
            self.text,
            re.MULTILINE | re.DOTALL,
        )
        assert found is not None, self.text
        return pytest.LineMatcher(found.group(1).splitlines())


class Project:
    """A folder with tests in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("pytest.ini", "[pytest]\nasyncio_default_fixture_loop_scope = function\n")
        self.write("client.py", CLIENT)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def command(self, *arguments: str) -> list[str]:
        quiet = ["-p", "no:randomly", "-p", "no:cacheprovider"]
        return [sys.executable, "-m", "pytest", *quiet, *arguments]

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in {"CI", "PYTEST_ADDOPTS"}}
        path = os.pathsep.join(filter(None, (str(self.folder), kept.get("PYTHONPATH", ""))))
        return kept | {"PYTHONPATH": path, "COLUMNS": "150"} | dict(more or {})

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> Ran:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        return Ran(done.returncode, done.stdout)
