"""A control API over tiny recordings, and a client of it that says exactly what the tests want it to say."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

import jsonschema
from replay_clients import PATIENCE_S
from run_builders import load, load_tape

from wiretape_replay import ReplayedRecording
from wiretape_replay.control import ControlServer, ControlSettings
from wiretape_replay.control.openapi import DOCUMENT
from wiretape_replay.runs import Runs
from wiretape_replay.server import split_address
from wiretape_replay.shared_port import SharedPort
from wiretape_replay.shelf import Shelf

LIVELY = ControlSettings(heartbeat_s=0.001)
"""Sends heartbeats as fast as anybody can look."""


@dataclass(frozen=True)
class Answer:
    """What a request got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])

    @property
    def sentence(self) -> str:
        return str(self.json["error"]["message"])


@dataclass
class Api:
    """The server under test, and requests to it."""

    control: ControlServer
    runs: Runs
    shelf: Shelf
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with every request."""

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        async with Talk(self.control.url) as talk:
            await talk.send(method, path, data, self.headers | dict(headers or {}))
            answer = await talk.answer()
        assert_documented(method, path, answer)
        return answer

    async def begin(self, recording: str = "one", **more: object) -> Any:
        """A new run, as the API describes it."""
        answer = await self.ask("POST", "/v1/runs", {"recording": recording, **more})
        assert answer.status == 201, answer.body
        return answer.json

    async def get(self, path: str) -> Any:
        """The JSON that a GET gives, which must succeed."""
        answer = await self.ask("GET", path)
        assert answer.status == 200, answer.body
        return answer.json

    async def post(self, path: str, body: object = None) -> Any:
        """The JSON that a POST gives, which must succeed."""
        answer = await self.ask("POST", path, body)
        assert answer.status == 200, answer.body
        return answer.json


def assert_documented(method: str, path: str, answer: Answer) -> None:
    """The OpenAPI document has this answer: its status, and every member of its body."""
    path = path.partition("?")[0]
    for template, methods in DOCUMENT["paths"].items():
        if re.fullmatch(template.replace("{id}", "[^/]+"), path) and method.lower() in methods:
            schema = methods[method.lower()]["responses"][str(answer.status)]["content"]["application/json"]
            checked = schema["schema"] | {"components": DOCUMENT["components"]}
            jsonschema.Draft202012Validator(checked).validate(answer.json)
            return
    assert answer.status in (401, 403, 404, 405), answer
    assert answer.code
    assert answer.sentence


class Talk:
    """One HTTP connection, raw."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 0)
        self._host = parts.netloc
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        self.writer.transport.abort()

    async def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        given = {"Host": self._host, "Connection": "close", **headers}
        if body or method in ("POST", "PUT"):
            given = {"Content-Type": "application/json", "Content-Length": str(len(body)), **given}
        head = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value)
        self.writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        async with asyncio.timeout(PATIENCE_S):
            text = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = text.rstrip().split("\r\n")
        fields = (line.partition(": ") for line in lines)
        return int(first.split()[1]), {name.lower(): value for name, _, value in fields}

    async def answer(self) -> Answer:
        status, headers = await self.head()
        async with asyncio.timeout(PATIENCE_S):
            body = await self.reader.readexactly(int(headers["content-length"]))
        return Answer(status, headers, body)


@asynccontextmanager
async def served(
    *,
    settings: ControlSettings | None = None,
    token: str | None = None,
    listen: str = "127.0.0.1:0",
    most: int = 1000,
    kept: int = 32,
    load: Callable[[str], ReplayedRecording] = load,
) -> AsyncIterator[Api]:
    """A control API of its own."""
    shelf = Shelf(load, load_tape, kept=kept)
    host, _ = split_address(listen)
    shared_port = SharedPort(host, 0)
    runs = Runs(shelf, shared_port, host=host, most=most)
    server = ControlServer(runs, shared_port, listen=listen, token=token, version="test", settings=settings)
    async with server:
        yield Api(server, runs, shelf, {"Authorization": f"Bearer {token}"} if token else {})
