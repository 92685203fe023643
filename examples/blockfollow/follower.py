"""Follow the blocks of a node over its WebSocket API."""

import asyncio
import itertools
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, NamedTuple, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

logger = logging.getLogger(__name__)

ONT = "0100000000000000000000000000000000000000"
ONG = "0200000000000000000000000000000000000000"
SESSION_EXPIRED = 41001


class NodeError(Exception):
    """The node answered a request with an error."""


class ChainError(Exception):
    """After a reconnect, the block seen last has another hash."""


class Transfer(NamedTuple):
    tx_hash: str
    contract: str
    sender: str
    recipient: str
    amount: int


class Block(NamedTuple):
    """A block, with the transfers from and to the watched addresses."""

    height: int
    hash: str
    transactions: list[str]
    transfers: list[Transfer]


async def wait_longer_each_time(attempt: int) -> None:
    await asyncio.sleep(min(2 ** (attempt - 1), 60))


def is_push(message: dict[str, Any]) -> bool:
    """Pushes have no Id, but nor have answers to requests not even understood."""
    return "Id" not in message and message["Error"] in (0, SESSION_EXPIRED)


@dataclass(eq=False)
class BlockFollower:
    """Iterate over the new blocks of a node.

    Entering `async with` connects, asks what the node is and subscribes; `async for`
    yields each block after that, in order and without gaps, until `stop()`; leaving
    unsubscribes and closes.

    The block at height `checkpoint` is fetched, and the balances of `addresses`
    (base58). `on_event` gets the events of `contracts` (lower-case hex) as the node
    pushes them. A heartbeat is sent after `idle` seconds of silence.
    `backoff(attempt)` is awaited before each attempt to reconnect, from 1 on.
    """

    url: str
    _: KW_ONLY
    checkpoint: int
    addresses: Sequence[str] = ()
    contracts: Sequence[str] = (ONT, ONG)
    on_event: Callable[[dict[str, Any]], object] | None = None
    idle: float = 60.0
    timeout: float = 10.0
    backoff: Callable[[int], Awaitable[None]] = wait_longer_each_time

    version: str | None = field(init=False, default=None)
    network_id: int | None = field(init=False, default=None)
    checkpoint_block: dict[str, Any] = field(init=False, default_factory=dict)
    balances: dict[str, dict[str, int]] = field(init=False, default_factory=dict)
    # Of the last block that was yielded, or of the node as long as there is none.
    height: int | None = field(init=False, default=None)
    hash: str | None = field(init=False, default=None)
    _ws: ClientConnection = field(init=False, repr=False)
    _last_id: int = field(init=False, default=0)
    _tip: int = field(init=False, default=0)
    _announced: dict[int, dict[str, Any]] = field(init=False, default_factory=dict)
    _stopping: bool = field(init=False, default=False)
    _waiting: asyncio.Future[Any] | None = field(init=False, default=None)

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except ConnectionClosed:
            await self._reconnect()
        return self

    async def __aexit__(self, exc_type: object, *_: object) -> None:
        try:
            if exc_type is None:
                await self._subscribe(False, ())
        except (ConnectionClosed, TimeoutError) as error:
            logger.warning("connection lost before unsubscribing: %r", error)
        finally:
            await self._ws.close()

    async def __aiter__(self) -> AsyncIterator[Block]:
        while not self._stopping:
            try:
                block = await self._next_block()
            except (ConnectionClosed, TimeoutError) as error:
                logger.warning("connection lost: %r", error)
                await self._ws.close()
                await self._reconnect()
                continue
            if block is not None:
                yield block

    def stop(self) -> None:
        """Let the iteration end."""
        self._stopping = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def _open(self) -> None:
        self._ws = await connect(self.url, max_size=None)
        self._last_id = 0
        self._announced.clear()
        try:
            if self.height is None:
                await self._look_around()
            else:
                await self._resume(self.height)
            await self._subscribe(True, self.contracts)
        except BaseException:
            await self._ws.close()
            raise

    async def _reconnect(self) -> None:
        for attempt in itertools.count(1):
            await self._until_stop(self.backoff(attempt))
            if self._stopping:
                return
            try:
                await self._open()
                return
            except (OSError, WebSocketException) as error:
                logger.warning("attempt %d to reconnect failed: %r", attempt, error)

    async def _look_around(self) -> None:
        self.version = await self._call("getversion")
        self.network_id = await self._call("getnetworkid")
        self._tip = await self._call("getblockheight")
        block = await self._call("getblockbyheight", Height=self.checkpoint)
        self.checkpoint_block = block
        for address in self.addresses:
            amounts = await self._call("getbalance", Addr=address)
            self.balances[address] = {name: int(amounts[name]) for name in amounts}
        self.height = self._tip

    async def _resume(self, height: int) -> None:
        """Learn what was missed; `_next_block` then asks for the missed blocks."""
        self._tip = await self._call("getblockheight")
        if self.hash is not None:
            found = await self._call("getblockhash", Height=height)
            if found != self.hash:
                raise ChainError(f"block {height} was {self.hash} and is now {found}")

    async def _subscribe(self, on: bool, contracts: Sequence[str]) -> None:
        kinds = {"SubscribeEvent": on, "SubscribeBlockTxHashs": on}
        await self._call("subscribe", ContractsFilter=contracts, **kinds)

    async def _next_block(self) -> Block | None:
        """Return the block after the last one, or None if stopped before it came."""
        assert self.height is not None
        height = self.height + 1
        while self._tip < height:
            await self._wait_for_push()
            if self._stopping:
                return None
        summary = self._announced.pop(height, None)
        if summary is None:  # mined before the subscription, or announced out of order
            summary = await self._call("getblocktxsbyheight", Height=height)
        transfers = await self._transfers(height)
        self.height, self.hash = height, summary["Hash"]
        return Block(height, summary["Hash"], summary["Transactions"], transfers)

    async def _transfers(self, height: int) -> list[Transfer]:
        events = await self._call("getsmartcodeeventbyheight", Height=height)
        transfers = []
        for event in events or ():  # "" if there are none
            for notify in event["Notify"] or ():
                match notify["States"]:
                    case ["transfer", str(sender), str(recipient), int(amount), *_]:
                        parties = (notify["ContractAddress"], sender, recipient)
                        transfers.append(Transfer(event["TxHash"], *parties, amount))
        watched = set(self.addresses)
        return [t for t in transfers if t.sender in watched or t.recipient in watched]

    async def _wait_for_push(self) -> None:
        try:
            async with asyncio.timeout(self.idle):
                frame = await self._until_stop(self._ws.recv())
        except TimeoutError:
            await self._call("heartbeat")
            return
        if frame is not None:
            self._handle(json.loads(frame))

    async def _call(self, action: str, **params: object) -> Any:
        """Send a request and return its result; pushes that come first are handled."""
        self._last_id += 1
        request = {"Action": action, "Version": "1.0.0", "Id": self._last_id, **params}
        await self._ws.send(json.dumps(request))
        async with asyncio.timeout(self.timeout):
            message = json.loads(await self._ws.recv())
            while is_push(message) or message.get("Id", request["Id"]) != request["Id"]:
                self._handle(message)
                message = json.loads(await self._ws.recv())
        if message["Error"] != 0:
            raise NodeError(f"{action} failed: {message['Error']} {message['Desc']}")
        return message["Result"]

    def _handle(self, message: dict[str, Any]) -> None:
        """Take note of a push; the notice of expiry is followed by a hang-up anyway."""
        match message:
            case {"Action": "sendblocktxhashs", "Result": {"Height": height} as block}:
                self._tip = max(self._tip, height)
                self._announced[height] = block
            case {"Action": "Notify" | "Log", "Result": event} if self.on_event:
                self.on_event(event)

    async def _until_stop[T](self, work: Awaitable[T]) -> T | None:
        """Await something, but give up and return None once `stop()` is called."""
        self._waiting = waiting = asyncio.ensure_future(work)
        if self._stopping:
            waiting.cancel()
        try:
            return await waiting
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            return None
