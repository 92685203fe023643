"""
A stand-in for an Ontology node's WebSocket API: connections, sessions and pushes.

Blocks, times and hashes follow from a seed and from what clients send, so that two runs write the same
bytes. What an action answers is decided in `ontology_desk` and `ontology_actions`.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from typing import TYPE_CHECKING, Final, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from wiretape.simulators import ontology_render as render
from wiretape.simulators.ontology_actions import HandlerPanicError, RefusalError
from wiretape.simulators.ontology_address import reversed_hex, to_base58
from wiretape.simulators.ontology_chain import Chain
from wiretape.simulators.ontology_desk import Desk
from wiretape.simulators.ontology_render import Generation
from wiretape.simulators.ontology_sessions import Senders, Session
from wiretape.simulators.ontology_wire import ErrorCode, pack_early_error, pack_push

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from types import TracebackType

    from websockets.http11 import Request, Response

    from wiretape.simulators.ontology_chain import Block
    from wiretape.simulators.ontology_transactions import Receipt

__all__ = ["Generation", "OntologySimulator", "main"]

READ_LIMIT_BYTES: Final = 1 << 20  # per message of a client
# The library's own limit lies higher, so that the close frame can be ours: 1009 without a reason.
_HARD_LIMIT_BYTES: Final = 16 * READ_LIMIT_BYTES
EXPIRY_CHECK_S: Final = 10
_SEND_TIMEOUT_S: Final = 10  # a client that reads nothing for so long is cut off
_CLOSE_TIMEOUT_S: Final = 2


class OntologySimulator:
    """
    A node on a loopback socket, started by `start` or as an async context manager.

    Without `block_interval_s` blocks come only from `mine`. The expiry check runs every 10 s on the real
    clock; with a `clock` of your own (seconds, monotonic) it runs only in `expire_sessions`. One session
    more than `max_sessions` is let in, as the node does; the next is dropped after its handshake.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        block_interval_s: float | None = None,
        session_timeout_s: float = 300,
        clock: Callable[[], float] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        generation: Generation = Generation.CURRENT,
        max_sessions: int = 3000,
        initial_height: int = 100,
    ) -> None:
        self.generation = Generation(generation)
        self.chain = Chain(seed, evm=self.generation.is_current, initial_height=initial_height)
        self.url = ""  # set by start
        self._desk = Desk(self.chain, self.generation)
        self._block_interval_s = block_interval_s
        self._session_timeout_s = session_timeout_s
        self._clock = clock or time.monotonic
        self._ticks_itself = clock is None
        self._host = host
        self._port = port
        self._max_sessions = max_sessions
        self._sessions: list[Session] = []  # in the order of arrival, which is the order of pushes
        self._senders = Senders()
        self._mining = asyncio.Lock()
        self._server: Server | None = None  # None before start and after stop
        self._tickers: asyncio.Task[None] | None = None

    @property
    def accounts(self) -> tuple[str, ...]:
        """The base58 addresses that hold balances from the start."""
        return tuple(map(to_base58, self.chain.world.accounts))

    @property
    def sample_contract(self) -> str:
        """The hex address of the contract that logs and whose storage changes with each block."""
        return reversed_hex(self.chain.world.sample_contract)

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    async def start(self) -> str:
        """Listen, and return the ``ws://`` URL; any path below it is accepted. Call once."""
        self._server = await serve(
            self._serve_client,
            self._host,
            self._port,
            compression=None,
            process_response=_strip_date,
            server_header=None,
            ping_interval=None,  # the node never pings
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=_HARD_LIMIT_BYTES,
        )
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"ws://{self._host}:{port}"
        self._tickers = asyncio.create_task(self._run_tickers())
        return self.url

    async def stop(self) -> None:
        """End every connection without a close frame, and stop listening."""
        if self._server is None or self._tickers is None:
            return
        self._tickers.cancel()
        await asyncio.wait([self._tickers])
        self._server.close(close_connections=False)
        await self.drop_all()
        await self._server.wait_closed()
        self._server = None
        if not self._tickers.cancelled():
            self._tickers.result()  # raises what ended the mining

    async def mine(self) -> None:
        """Append a block: its events are pushed one by one, then the block in the forms asked for."""
        async with self._mining:
            block = self.chain.mine()
            for receipt in block.receipts:
                await self._push_log(receipt)
                notify = render.execute_notify(receipt, self.generation)
                contracts = {reversed_hex(event.contract) for event in receipt.notify}
                await self._push_event("Notify", receipt.tx_hash, contracts, notify)
            await self._push_block(block)

    async def expire_sessions(self) -> None:
        """Tell the sessions that were idle for too long, then drop them without a close frame."""
        now_s = self._clock()
        idle = [session for session in self._sessions if now_s - session.active_s > self._session_timeout_s]
        for session in idle:
            await self._send(session, pack_early_error(ErrorCode.SESSION_EXPIRED))
        await self._drop(idle)

    async def drop_all(self) -> None:
        """End every connection without a close frame."""
        await self._drop(self._sessions)

    def fail_next(self, action: str, code: int, result: object = "") -> None:
        """Let the next call of an action answer this error instead; several queue up."""
        self._desk.fail_next(action, RefusalError(code, result))

    async def _run_tickers(self) -> None:
        async with asyncio.TaskGroup() as group:
            if self._block_interval_s is not None:
                group.create_task(_every(self._block_interval_s, self.mine))
            if self._ticks_itself:
                group.create_task(_every(EXPIRY_CHECK_S, self.expire_sessions))

    async def _serve_client(self, connection: ServerConnection) -> None:
        if len(self._sessions) > self._max_sessions:
            await _end_tcp(connection)
            return
        session = Session(connection, self._clock())
        self._sessions.append(session)
        try:
            await self._answer_requests(session)
        except ConnectionClosed:
            pass
        except (HandlerPanicError, RecursionError):
            # The recursion is ours: an Id nested deeper than `encode` goes. The node echoes up to 10,000 levels.
            await _end_tcp(connection)
        finally:
            self._sessions.remove(session)
            self._senders.forget(session)

    async def _answer_requests(self, session: Session) -> None:
        while True:
            message = await session.connection.recv(decode=False)
            if len(message) > READ_LIMIT_BYTES:
                await session.connection.close(1009, "")
                return
            answer = self._desk.answer(message, session.subscription, len(self._sessions))
            for receipt in answer.pre_executed:
                await self._push_log(receipt)
            if answer.sent_hash:
                # Nothing can run between here and the write, so the event cannot overtake the answer.
                self._senders.register(answer.sent_hash, session, self._clock())
            await self._send(session, answer.text)
            if answer.refreshes:
                session.active_s = self._clock()

    async def _push_log(self, receipt: Receipt) -> None:
        if receipt.log:
            contract, message = receipt.log
            event = render.log_event(receipt.tx_hash, contract, message)
            await self._push_event("Log", receipt.tx_hash, {reversed_hex(contract)}, event)

    async def _push_event(self, action: str, tx_hash: str, contracts: set[str], result: object) -> None:
        text = pack_push(action, result)
        sender = self._senders.take(tx_hash)
        if sender and not sender.subscription.wants_event(contracts):
            await self._send(sender, text)
        await self._send_all([s for s in self._sessions if s.subscription.wants_event(contracts)], text)

    async def _push_block(self, block: Block) -> None:
        raw = pack_push("sendrawblock", block.raw().hex())
        await self._send_all([s for s in self._sessions if s.subscription.raw_block], raw)
        info = pack_push("sendjsonblock", render.block_info(block, self.generation))
        await self._send_all([s for s in self._sessions if s.subscription.json_block], info)
        hashes = pack_push("sendblocktxhashs", render.block_transactions(block))
        await self._send_all([s for s in self._sessions if s.subscription.block_tx_hashs], hashes)

    async def _send_all(self, sessions: Iterable[Session], text: str) -> None:
        for session in sessions:
            await self._send(session, text)

    async def _send(self, session: Session, text: str) -> None:
        try:
            async with asyncio.timeout(_SEND_TIMEOUT_S):
                await session.connection.send(text)
        except ConnectionClosed:
            pass  # its own task notices
        except TimeoutError:
            session.connection.transport.abort()

    async def _drop(self, sessions: Iterable[Session]) -> None:
        async with asyncio.TaskGroup() as group:
            for session in sessions:
                group.create_task(_end_tcp(session.connection))


async def _end_tcp(connection: ServerConnection) -> None:
    # What was written before still goes out, unless the peer does not read it.
    connection.transport.close()
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await connection.wait_closed()
    except TimeoutError:
        connection.transport.abort()


async def _every(interval_s: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(interval_s)
        await work()


def _strip_date(_connection: ServerConnection, _request: Request, response: Response) -> None:
    # gorilla sends no Date; and the handshake, too, is the same in every run.
    del response.headers["Date"]


async def _run(options: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    simulator = OntologySimulator(
        seed=options.seed,
        port=options.port,
        block_interval_s=options.block_ms / 1000 if options.block_ms else None,
        generation=options.generation,
    )
    async with simulator:
        sys.stdout.write(f"{simulator.url}\n")
        sys.stdout.flush()
        await stopped.wait()


def main() -> None:
    """Run a node from the command line: print its URL, and serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m wiretape.simulators.ontology", description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--block-ms", type=int, default=0, help="time between blocks; 0 mines none")
    parser.add_argument("--generation", type=Generation, choices=list(Generation), default=Generation.CURRENT)
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
