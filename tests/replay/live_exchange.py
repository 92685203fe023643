"""A live upstream for what a recording cannot answer, and a store with such a recording."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve

from wiretape_protocols import Opcode
from wiretape_store import (
    End,
    EndKind,
    Handshake,
    IncomingMessage,
    IncomingRecording,
    IncomingSession,
    StoreWriter,
    UpstreamSpec,
    import_recording,
)

PRICE = '{"method": "price.query", "params": ["BTCUSDT"], "id": 1}'
ANSWER = '{"error": null, "result": "7998.00", "id": 1}'
LOGIN = '{"method": "server.auth", "params": ["key-0123456789", "sign-0123456789"], "id": 2}'
SUCCESS = '{"error": null, "result": {"status": "success"}, "id": 2}'


class Exchange:
    """A live upstream that answers whatever it is asked, and keeps what it heard."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.target = ""
        self.headers: dict[str, str] = {}
        self.url = ""

    async def serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.target = connection.request.path
        self.headers = dict(connection.request.headers.raw_items())
        async for message in connection:
            assert isinstance(message, str)
            self.heard.append(message)
            asked = json.loads(message)
            answer = {"error": None, "result": f"live {asked['method']}", "id": asked["id"]}
            await connection.send(json.dumps(answer))
            if asked["method"] == "leave":
                return
            if asked["method"] == "drop":
                connection.transport.abort()


@asynccontextmanager
async def an_exchange() -> AsyncIterator[Exchange]:
    exchange = Exchange()
    async with serve(exchange.serve, "127.0.0.1", 0) as server:
        exchange.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield exchange


def stored(path: Path, url: str, protocol: str = "hotbit") -> str:
    """A store with the recording `first`: a price, and a login."""
    texts = [(True, PRICE), (False, ANSWER), (True, LOGIN), (False, SUCCESS)]
    items = [
        IncomingMessage(from_client, Opcode.TEXT, at_us, text.encode())
        for at_us, (from_client, text) in enumerate(texts)
    ]
    handshake = Handshake("/", (), 101, ())
    session = IncomingSession("up", 0, handshake, items, 10, End(EndKind.EOF, from_client=True))
    spec = UpstreamSpec("up", protocol, url, "127.0.0.1:0")
    with StoreWriter(str(path), clock_us=lambda: 0) as writer:
        import_recording(writer, IncomingRecording("first", 0, 10, (spec,), [session]))
    return str(path)


def ask(method: str, identity: int, **more: object) -> str:
    return json.dumps({"method": method, "params": [], "id": identity, **more})
