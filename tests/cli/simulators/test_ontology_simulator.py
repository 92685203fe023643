"""The Ontology simulator over real sockets: answers byte by byte, pushes, and every way it drops a client."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Frame, Opcode

import wiretape
from wiretape.simulators import ontology
from wiretape.simulators.ontology import Generation, OntologySimulator
from wiretape.simulators.ontology_transactions import from_client, var_uint
from wiretape.simulators.ontology_wire import decode, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

type Scenario = Callable[[OntologySimulator, ClientConnection], Awaitable[None]]

EXPIRED = '{"Action":"","Desc":"SESSION EXPIRED","Error":41001,"Result":"","Version":"1.0.0"}'
BAD_FORMAT = '{"Action":"","Desc":"ILLEGAL DATAFORMAT","Error":41003,"Result":"","Version":"1.0.0"}'
BAD_METHOD = '{"Action":"","Desc":"INVALID METHOD","Error":42001,"Result":"","Version":"1.0.0"}'
BAD_PARAMS = '{"Action":"","Desc":"INVALID PARAMS","Error":42002,"Result":"","Version":"1.0.0"}'
ALL_ON = {
    "SubscribeEvent": True,
    "SubscribeJsonBlock": True,
    "SubscribeRawBlock": True,
    "SubscribeBlockTxHashs": True,
}
ONG = "02" + "00" * 19
HASH_IN_NO_BLOCK = "ab" * 32


class FakeClock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def play(scenario: Scenario, **options: Any) -> None:
    """Run a scenario with one client on a fresh simulator, at most 20 s."""

    async def run() -> None:
        async with asyncio.timeout(20), OntologySimulator(**options) as sim, client(sim) as ws:
            await scenario(sim, ws)

    asyncio.run(run())


@asynccontextmanager
async def client(sim: OntologySimulator, path: str = "/") -> AsyncIterator[ClientConnection]:
    async with connect(sim.url + path, max_size=None, ping_interval=None, close_timeout=1) as ws:
        yield ws


async def exchange(ws: ClientConnection, message: str | bytes | dict[str, Any]) -> str:
    await ws.send(json.dumps(message) if isinstance(message, dict) else message)
    answer = await ws.recv()
    assert isinstance(answer, str)
    return answer


async def call(ws: ClientConnection, action: str, **params: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(await exchange(ws, {"Action": action, "Id": 7, **params}))
    assert (answer["Action"], answer["Id"]) == (action, 7)
    return answer


async def result(ws: ClientConnection, action: str, **params: Any) -> Any:
    answer = await call(ws, action, **params)
    assert (answer["Error"], answer["Desc"]) == (0, "SUCCESS")
    return answer["Result"]


async def error(ws: ClientConnection, action: str, **params: Any) -> int:
    answer = await call(ws, action, **params)
    assert answer["Error"] != 0
    return int(answer["Error"])


async def pending(ws: ClientConnection) -> list[str]:
    """Return the pushes that arrived; a heartbeat's answer marks their end."""
    await ws.send('{"Action":"heartbeat","Id":"end of pushes"}')
    texts: list[str] = []
    while True:
        text = await ws.recv()
        assert isinstance(text, str)
        if '"Id":"end of pushes"' in text:
            return texts
        texts.append(text)


async def assert_ends_without_close_frame(ws: ClientConnection) -> None:
    with pytest.raises(ConnectionClosedError) as caught:
        await ws.recv()
    assert caught.value.rcvd is None


async def block_of(ws: ClientConnection, height: int) -> dict[str, Any]:
    block: dict[str, Any] = await result(ws, "getblockbyheight", Height=height)
    return block


# Envelope


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [
        pytest.param("12345", "12345", id="integer"),
        pytest.param("0", "0", id="zero"),
        pytest.param("1.0", "1", id="integral-float"),
        pytest.param("-0", "-0", id="negative-zero"),
        pytest.param("7157218555092573833", "7157218555092574000", id="beyond-2-to-53"),
        pytest.param("999999999999999999999", "1e+21", id="rounds-up-to-the-e-form"),
        pytest.param("123456789012345678901", "123456789012345680000", id="below-1e21"),
        pytest.param("1e21", "1e+21", id="e-form"),
        pytest.param("0.000001", "0.000001", id="smallest-f-form"),
        pytest.param("1e-7", "1e-7", id="small-e-form"),
        pytest.param("1512442929.0405071", "1512442929.040507", id="shortest-digits"),
        pytest.param('"7"', '"7"', id="string"),
        pytest.param(
            '"<a> & \\u2028\\b\\u007f"', '"\\u003ca\\u003e \\u0026 \\u2028\\u0008\x7f"', id="escapes"
        ),
        pytest.param('"\\ud800"', '"\ufffd"', id="lone-surrogate"),
        pytest.param('{"b":[1,null],"a":true}', '{"a":true,"b":[1,null]}', id="object"),
        pytest.param("null", "null", id="null"),
    ],
)
def test_id_comes_back_as_go_would_write_it(sent: str, echoed: str) -> None:
    async def scenario(_: OntologySimulator, ws: ClientConnection) -> None:
        answer = await exchange(ws, f'{{"Action":"getblockheight","Id":{sent},"Version":"whatever"}}')
        assert answer == (
            f'{{"Action":"getblockheight","Desc":"SUCCESS","Error":0,"Id":{echoed},"Result":100,"Version":"1.0.0"}}'
        )

    play(scenario)


def test_absent_id_is_answered_by_null() -> None:
    async def scenario(_: OntologySimulator, ws: ClientConnection) -> None:
        assert '"Error":0,"Id":null,"Result":4,' in await exchange(ws, b'{"Action":"getconnectioncount"}')

    play(scenario)


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        pytest.param("", BAD_FORMAT, id="empty"),
        pytest.param("hello", BAD_FORMAT, id="no-json"),
        pytest.param('[{"Action":"heartbeat"}]', BAD_FORMAT, id="array"),
        pytest.param("5", BAD_FORMAT, id="number"),
        pytest.param('{"Action":"heartbeat","Id":1e999}', BAD_FORMAT, id="number-beyond-float64"),
        pytest.param('{"Action":"heartbeat","Id":NaN}', BAD_FORMAT, id="nan"),
        pytest.param("[" * 100_000, BAD_FORMAT, id="nested-too-deep"),
        pytest.param("null", BAD_METHOD, id="null"),
        pytest.param('{"Id":1}', BAD_METHOD, id="no-action"),
        pytest.param('{"Action":5,"Id":1}', BAD_METHOD, id="action-number"),
        pytest.param('{"Action":"Heartbeat","Id":1}', BAD_METHOD, id="other-case"),
        pytest.param('{"Action":"getsyncstatus","Id":1}', BAD_METHOD, id="only-on-rest"),
        pytest.param('{"Action":"heartbeat","Id":1,"Hash":5}', BAD_PARAMS, id="hash-number"),
        pytest.param('{"Action":"getblockhash","Id":1,"Addr":[]}', BAD_PARAMS, id="addr-array"),
        pytest.param('{"Action":"heartbeat","Id":1,"Assetid":false}', BAD_PARAMS, id="assetid-bool"),
        pytest.param(
            '{"Action":"getblockhash","Id":12345}',
            '{"Action":"getblockhash","Desc":"INVALID PARAMS","Error":42002,"Id":12345,"Result":"","Version":"1.0.0"}',
            id="handler-error-has-id",
        ),
    ],
)
def test_bad_request_is_refused_with_the_exact_bytes(message: str, answer: str) -> None:
    async def scenario(_: OntologySimulator, ws: ClientConnection) -> None:
        assert await exchange(ws, message) == answer
        assert await exchange(ws, message.encode()) == answer  # a binary frame is read alike

    play(scenario)


def test_bytes_that_are_no_utf8_are_replaced_one_by_one() -> None:
    assert encode(decode(b'["\xe2\x82","\xff"]')) == '["\ufffd\ufffd","\ufffd"]'
    assert encode(b"\xe2\x82".decode("utf-8", "surrogateescape")) == '"\\ufffd\\ufffd"'


def test_id_nested_too_deep_to_echo_costs_at_most_its_own_connection() -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        await ws.send('{"Action":"heartbeat","Id":' + "[" * 100_000 + "]" * 100_000 + "}")
        # How deep Python's parser goes depends on its version.
        try:
            assert '"Version":"1.0.0"' in str(await ws.recv())
        except ConnectionClosedError:
            assert ws.protocol.close_rcvd is None
        async with client(sim) as other:
            assert await result(other, "getsessioncount") in {1, 2}

    play(scenario)


def test_value_without_a_json_form_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        encode({"Result": object()})


# Transport


def test_any_path_is_served_uncompressed_and_without_a_date() -> None:
    async def scenario(sim: OntologySimulator, _: ClientConnection) -> None:
        async with client(sim, "/any/path?and=query") as ws:
            assert ws.response is not None
            names = {name for name, _ in ws.response.headers.raw_items()}
            assert names == {"Upgrade", "Connection", "Sec-WebSocket-Accept"}
            assert await result(ws, "getblockheight") == 100

    play(scenario)


def test_answer_is_one_text_frame() -> None:
    async def scenario(_: OntologySimulator, ws: ClientConnection) -> None:
        frames: list[tuple[Opcode, bool]] = []
        assembler: Any = ws.recv_messages
        put = assembler.put

        def note(frame: Frame) -> None:
            frames.append((frame.opcode, frame.fin))
            put(frame)

        assembler.put = note
        await result(ws, "getblockbyheight", Height=1, Raw="1")
        assert frames == [(Opcode.TEXT, True)]

    play(scenario)


def test_message_of_one_mebibyte_passes_and_a_longer_one_closes_with_1009() -> None:
    async def scenario(_: OntologySimulator, ws: ClientConnection) -> None:
        start = '{"Action":"getnetworkid","Id":7,"Pad":"'
        pad = "x" * ((1 << 20) - len(start) - 2)
        assert '"Result":2' in await exchange(ws, f'{start}{pad}"}}')
        await ws.send(f'{start}{pad}x"}}')
        with pytest.raises(ConnectionClosedError) as caught:
            await ws.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1009, "")

    play(scenario)


def test_session_beyond_the_maximum_is_dropped_after_its_handshake() -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        async with client(sim) as second:
            assert await result(second, "getsessioncount") == 2
            async with client(sim) as third:
                await assert_ends_without_close_frame(third)
        assert await result(ws, "getblockheight") == 100

    play(scenario, max_sessions=1)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param('{"Action":"getblockbyhash","Id":1}', id="getblockbyhash-without-hash"),
        pytest.param('{"Action":"getblockbyhash","Id":1,"Hash":null}', id="getblockbyhash-null"),
        pytest.param(f'{{"Action":"getstorage","Id":1,"Hash":"{ONG}"}}', id="getstorage-without-key"),
        pytest.param(f'{{"Action":"getstorage","Id":1,"Hash":"{ONG}","Key":5}}', id="getstorage-key-number"),
    ],
)
def test_panicking_handler_drops_the_connection_without_a_close_frame(message: str) -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        await ws.send(message)
        await assert_ends_without_close_frame(ws)
        async with client(sim) as other:
            assert await result(other, "getsessioncount") == 1

    play(scenario)


def test_drop_all_ends_every_connection_without_a_close_frame() -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        async with client(sim) as other:
            assert await result(other, "getsessioncount") == 2
            await sim.drop_all()
            await assert_ends_without_close_frame(ws)
            await assert_ends_without_close_frame(other)
        async with client(sim) as later:
            assert await result(later, "getsessioncount") == 1

    play(scenario)


def test_stop_ends_connections_without_a_close_frame_and_stops_listening() -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        await result(ws, "heartbeat")
        await sim.stop()
        await assert_ends_without_close_frame(ws)
        with pytest.raises(OSError, match=r"(?i)connect"):
            async with client(sim):
                pass

    play(scenario)


@asynccontextmanager
async def client_that_reads_nothing(
    sim: OntologySimulator, request: str
) -> AsyncIterator[asyncio.StreamReader]:
    """Send one request over a socket with small buffers; the reader takes in no more than it is asked for."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", int(sim.url.rpartition(":")[2])))
        reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: node\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        writer.write(Frame(Opcode.TEXT, request.encode()).serialize(mask=True))
        await reader.readexactly(2)  # the answer has begun
        yield reader
        writer.transport.abort()


def put_large_transaction_into_the_pool(sim: OntologySimulator) -> None:
    transaction = from_client(bytes(4_000_000))  # more than a client may send; fills every socket buffer
    sim.chain.mempool[transaction.hash] = transaction


def test_subscriber_that_reads_nothing_is_cut_off_and_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ontology, "_SEND_TIMEOUT_S", 0.05)

    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        async with client_that_reads_nothing(sim, '{"Action":"subscribe","SubscribeRawBlock":true}'):
            await result(ws, "subscribe", SubscribeBlockTxHashs=True)
            put_large_transaction_into_the_pool(sim)
            await sim.mine()
            assert len(await pending(ws)) == 1
            assert await result(ws, "getsessioncount") == 1

    play(scenario)


def test_drop_all_does_not_wait_for_a_client_that_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ontology, "_CLOSE_TIMEOUT_S", 0.05)

    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        put_large_transaction_into_the_pool(sim)
        await sim.mine()
        async with client_that_reads_nothing(sim, '{"Action":"getblockbyheight","Height":101,"Raw":1}'):
            await sim.drop_all()
            await assert_ends_without_close_frame(ws)
        async with client(sim) as later:
            assert await result(later, "getsessioncount") == 1

    play(scenario)


# Expiry


@pytest.mark.parametrize(
    ("message", "refreshes"),
    [
        pytest.param('{"Action":"heartbeat"}', True, id="heartbeat"),
        pytest.param('{"Action":"getblockhash"}', True, id="handler-error"),
        pytest.param('{"Action":"heartbeat","Hash":5}', True, id="early-invalid-params"),
        pytest.param("no json", False, id="bad-json"),
        pytest.param('{"Action":"nonsense"}', False, id="unknown-action"),
    ],
)
def test_only_dispatched_requests_keep_a_session_alive(message: str, *, refreshes: bool) -> None:
    clock = FakeClock()

    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        await result(ws, "heartbeat")
        clock.now_s += 200
        await exchange(ws, message)
        await (await ws.ping(b"any payload"))  # served, but no activity
        clock.now_s += 101
        await sim.expire_sessions()
        if refreshes:
            assert await pending(ws) == []
        else:
            assert await ws.recv() == EXPIRED
            await assert_ends_without_close_frame(ws)

    play(scenario, clock=clock)


def test_session_expires_after_more_than_the_timeout_and_only_the_idle_one() -> None:
    clock = FakeClock()

    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        await result(ws, "heartbeat")
        clock.now_s += 60
        await sim.expire_sessions()
        async with client(sim) as fresh:
            assert await result(fresh, "getsessioncount") == 2
            clock.now_s += 0.5
            await sim.expire_sessions()
            assert await ws.recv() == EXPIRED
            await assert_ends_without_close_frame(ws)
            assert await result(fresh, "getsessioncount") == 1

    play(scenario, clock=clock, session_timeout_s=60)


# Subscriptions


def test_subscribe_merges_well_typed_keys_and_heartbeat_returns_the_state() -> None:
    async def scenario(_: OntologySimulator, ws: ClientConnection) -> None:
        first = await exchange(
            ws, {"Action": "subscribe", "SubscribeRawBlock": True, "ContractsFilter": [ONG, 5]}
        )
        assert first == (
            '{"Action":"subscribe","Desc":"SUCCESS","Error":0,"Id":null,"Result":{"ContractsFilter":["'
            + ONG
            + '"],"SubscribeEvent":false,"SubscribeJsonBlock":false,"SubscribeRawBlock":true,'
            '"SubscribeBlockTxHashs":false},"Version":"1.0.0"}'
        )
        await result(ws, "subscribe", SubscribeEvent=True, SubscribeRawBlock="false", ContractsFilter="")
        state = await result(ws, "heartbeat")
        assert (state["ContractsFilter"], state["SubscribeEvent"], state["SubscribeRawBlock"]) == (
            [ONG],
            True,
            True,
        )
        await result(ws, "subscribe", SubscribeRawBlock=False, ContractsFilter=[])
        state = await result(ws, "heartbeat")
        assert (state["ContractsFilter"], state["SubscribeEvent"], state["SubscribeRawBlock"]) == (
            [],
            True,
            False,
        )

    play(scenario)


@pytest.mark.parametrize(
    ("generation", "known", "unknown"),
    [
        pytest.param(Generation.CURRENT, "ContractsFilter", "ConstractsFilter", id="current"),
        pytest.param(Generation.V1_0, "ConstractsFilter", "ContractsFilter", id="v1.0"),
    ],
)
def test_filter_key_of_the_other_generation_is_ignored(
    generation: Generation, known: str, unknown: str
) -> None:
    async def scenario(_: OntologySimulator, ws: ClientConnection) -> None:
        assert await result(ws, "subscribe", **{unknown: [ONG]}) == {
            known: None,
            **dict.fromkeys(ALL_ON, False),
        }
        assert (await result(ws, "subscribe", **{known: [ONG]}))[known] == [ONG]

    play(scenario, generation=generation)


# Pushes


def test_block_is_pushed_after_its_events_in_the_order_raw_json_hashes() -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        await result(ws, "subscribe", **ALL_ON)
        await sim.mine()
        pushes = await pending(ws)
        actions = [json.loads(push)["Action"] for push in pushes]
        assert actions[-3:] == ["sendrawblock", "sendjsonblock", "sendblocktxhashs"]
        assert actions[:-3] == ["Notify", "Notify"]
        block = await block_of(ws, 101)
        assert pushes[-2] == encode(
            {"Action": "sendjsonblock", "Desc": "SUCCESS", "Error": 0, "Result": block, "Version": "1.0.0"}
        )
        assert '"ConsensusData":18012644264110396442,' in pushes[-2]
        raw, hashes = json.loads(pushes[-3])["Result"], json.loads(pushes[-1])["Result"]
        assert len(raw) == 2 * block["Size"]
        assert raw == await result(ws, "getblockbyhash", Hash=block["Hash"], Raw=1)
        assert hashes == {
            "Hash": block["Hash"],
            "Height": 101,
            "Transactions": [tx["Hash"] for tx in block["Transactions"]],
        }

    play(scenario)


def test_events_have_the_keys_of_the_nodes_structs() -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        await result(ws, "subscribe", SubscribeEvent=True)
        for _ in range(12):
            await sim.mine()
        pushes = [json.loads(push) for push in await pending(ws)]
        notified = [push["Result"] for push in pushes if push["Action"] == "Notify"]
        assert all(
            list(one)
            == ["TxHash", "State", "GasConsumed", "Notify", "GasStepUsed", "TxIndex", "CreatedContract"]
            for one in notified
        )
        events = [event for one in notified for event in one["Notify"] or []]
        assert all(list(event) == ["ContractAddress", "States", "IsEvm"] for event in events)
        assert None in [one["Notify"] for one in notified]
        assert {0, 1} == {one["State"] for one in notified}
        assert any(isinstance(event["States"], str) and event["IsEvm"] for event in events)
        assert any(len(event["States"]) == 5 for event in events if isinstance(event["States"], list))
        amounts = [event["States"][3] for event in events if event["States"][0] == "transfer"]
        assert any(int(float(amount)) != amount for amount in amounts)

    play(scenario)


def test_log_precedes_its_notify_and_escapes_as_go_does() -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        await result(ws, "subscribe", SubscribeEvent=True, ContractsFilter=[sim.sample_contract])
        for _ in range(8):
            await sim.mine()
        pushes = await pending(ws)
        first = next(index for index, push in enumerate(pushes) if push.startswith('{"Action":"Log"'))
        tx_hash = json.loads(pushes[first])["Result"]["TxHash"]
        assert pushes[first] == (
            '{"Action":"Log","Desc":"SUCCESS","Error":0,"Result":{"TxHash":"'
            + tx_hash
            + '","ContractAddress":"'
            + sim.sample_contract
            + '","Message":"moved \\u003cb\\u003e\\u0026\\u003c/b\\u003e \\"π 🜁\\"\\t\\ufffd\\ufffd"},"Version":"1.0.0"}'
        )
        assert pushes[first + 1].startswith('{"Action":"Notify"')
        assert json.loads(pushes[first + 1])["Result"]["TxHash"] == tx_hash

    play(scenario)


def test_filter_lets_only_matching_events_pass_and_is_case_sensitive() -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        async with client(sim) as shouting:
            await result(ws, "subscribe", SubscribeEvent=True, ContractsFilter=[sim.sample_contract])
            await result(
                shouting, "subscribe", SubscribeEvent=True, ContractsFilter=[sim.sample_contract.upper()]
            )
            for _ in range(8):
                await sim.mine()
            pushes = await pending(ws)
            assert pushes
            assert all(sim.sample_contract in push for push in pushes)
            assert await pending(shouting) == []
            await result(shouting, "subscribe", ContractsFilter=[])
            await sim.mine()
            assert len(await pending(shouting)) >= len(sim.chain.blocks[-1].receipts) > 0

    play(scenario)


def test_v1_0_events_and_blocks_lack_the_later_fields() -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        await result(ws, "subscribe", SubscribeEvent=True, SubscribeJsonBlock=True)
        for _ in range(12):
            await sim.mine()
        pushes = await pending(ws)
        assert pushes
        assert not any(
            word in push for push in pushes for word in ("IsEvm", "TxIndex", "CreatedContract", '"Size"')
        )
        assert "height" not in await result(ws, "getbalance", Addr=sim.accounts[0])
        assert (await result(ws, "getcontract", Hash=ONG))["NeedStorage"] is True
        assert await exchange(ws, {"Action": "getbalancev2", "Addr": sim.accounts[0]}) == BAD_METHOD

    play(scenario, generation=Generation.V1_0)


# Sent transactions


def test_sent_transaction_is_hashed_pooled_mined_and_told_once_to_its_unsubscribed_sender() -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        raw = b"anything at all"
        tx_hash = await result(ws, "sendrawtransaction", Data=raw.hex().upper(), PreExec=1)
        assert tx_hash == sha256(sha256(raw).digest()).digest()[::-1].hex()
        assert await result(ws, "getmempooltxcount") == [1, 0]
        assert await result(ws, "getmempooltxhashlist") == [list(bytes.fromhex(tx_hash)[::-1])]
        state = await result(ws, "getmempooltxstate", Hash=tx_hash)
        assert list(state) == ["State", "Raw"]
        assert list(state["State"][0].items()) == [("Height", 100), ("Type", 1), ("ErrCode", 0)]
        assert await error(ws, "gettransaction", Hash=tx_hash) == 44001
        assert await error(ws, "sendrawtransaction", Data=raw.hex()) == 45003
        await sim.mine()
        await sim.mine()
        pushes = await pending(ws)
        assert [json.loads(push)["Result"]["TxHash"] for push in pushes] == [tx_hash]
        assert await result(ws, "getblockheightbytxhash", Hash=tx_hash) == 101
        assert await error(ws, "getmempooltxstate", Hash=tx_hash) == 44001
        assert await result(ws, "getmempooltxhashlist") is None
        assert await error(ws, "sendrawtransaction", Data=raw.hex()) == 45002

    play(scenario)


def test_log_takes_the_place_of_notify_in_the_one_push_to_the_sender() -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        await result(ws, "sendrawtransaction", Data=b"System.Runtime.Log".hex())
        await sim.mine()
        assert [json.loads(push)["Action"] for push in await pending(ws)] == ["Log"]

    play(scenario)


@pytest.mark.parametrize(
    ("contracts", "count"),
    [
        pytest.param([], 1, id="subscribed-to-all"),
        pytest.param([ONG], 1, id="match"),
        pytest.param(["x"], 1, id="no-match"),
    ],
)
def test_subscribed_sender_is_told_once_whether_its_filter_matches_or_not(
    contracts: list[str], count: int
) -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        await result(ws, "subscribe", SubscribeEvent=True, ContractsFilter=contracts)
        tx_hash = await result(ws, "sendrawtransaction", Data="00")
        await sim.mine()
        assert sum(tx_hash in push for push in await pending(ws)) == count

    play(scenario)


def test_sender_is_not_told_after_a_minute_once_it_sends_again() -> None:
    clock = FakeClock()

    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        old = await result(ws, "sendrawtransaction", Data="01")
        clock.now_s += 61
        new = await result(ws, "sendrawtransaction", Data="02")
        await sim.mine()
        pushes = await pending(ws)
        assert [new in push for push in pushes] == [True]
        assert old != new

    play(scenario, clock=clock)


def test_sender_that_left_is_forgotten() -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        async with client(sim) as sender:
            tx_hash = await result(sender, "sendrawtransaction", Data="03")
        await sim.mine()
        assert await pending(ws) == []
        assert await result(ws, "getblockheightbytxhash", Hash=tx_hash) == 101

    play(scenario)


def test_only_the_string_one_pre_executes_and_its_log_is_pushed() -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        data = b"Runtime.Log".hex()
        async with client(sim) as watcher:
            await result(watcher, "subscribe", SubscribeEvent=True)
            outcome = await result(ws, "sendrawtransaction", Data=data, PreExec="1")
            assert list(outcome) == ["State", "Gas", "Result", "Notify"]
            assert outcome["Notify"][0]["ContractAddress"] == "01" + "00" * 19
            assert [json.loads(push)["Action"] for push in await pending(watcher)] == ["Log"]
        assert await result(ws, "getmempooltxcount") == [0, 0]
        for index, pre_exec in enumerate([1, "0", True, 0]):
            assert len(await result(ws, "sendrawtransaction", Data=f"{index:02x}", PreExec=pre_exec)) == 64
        assert await result(ws, "getmempooltxcount") == [4, 0]

    play(scenario)


@pytest.mark.parametrize(
    ("tx_type", "code", "payload"),
    [
        pytest.param(0xD1, b"\x03abc", {"Code": "616263"}, id="neovm"),
        pytest.param(0xD1, b"\xfd\x03\x00abc", {"Code": "616263"}, id="two-byte-length"),
        pytest.param(0xD3, b"\x02ab", "6162", id="eip155-payload-is-a-string"),
    ],
)
def test_well_formed_transaction_is_taken_apart(tx_type: int, code: bytes, payload: object) -> None:
    head = bytes([0, tx_type, 5, 0, 0, 0]) + (500).to_bytes(8, "little") + (20000).to_bytes(8, "little")
    data = (head + bytes(19) + b"\x07" + code + b"\x00\x00").hex()

    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        tx_hash = await result(ws, "sendrawtransaction", Data=data)
        await sim.mine()
        await pending(ws)
        found = await result(ws, "gettransaction", Hash=tx_hash.upper())
        assert found == {
            "Version": 0,
            "Nonce": 5,
            "GasPrice": 500,
            "GasLimit": 20000,
            "Payer": "AFmseVrdL9f9oyCzZefL9tG6UbviEH9ugK",
            "TxType": tx_type,
            "Payload": payload,
            "Attributes": [],
            "Sigs": [],
            "Hash": tx_hash,
            "Height": 101,
        }
        assert await result(ws, "gettransaction", Hash=tx_hash, Raw=1.5) == data

    play(scenario)


@pytest.mark.parametrize(
    ("number", "written"),
    [
        pytest.param(0xFC, "fc", id="one-byte"),
        pytest.param(0xFD, "fdfd00", id="two-bytes"),
        pytest.param(0xFFFF, "fdffff", id="two-bytes-at-most"),
        pytest.param(0x10000, "fe00000100", id="four-bytes"),
    ],
)
def test_length_takes_as_few_bytes_as_the_chain_allows(number: int, written: str) -> None:
    assert var_uint(number).hex() == written


# Actions


def test_every_action_of_the_document_succeeds() -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        block = await block_of(ws, 100)
        mined = block["Transactions"][0]["Hash"]
        waiting = await result(ws, "sendrawtransaction", Data="ff")
        first, second = sim.accounts[:2]
        assert await result(ws, "getblockhash", Height=100) == block["Hash"]
        assert await result(ws, "getblockbyhash", Hash=block["Hash"].upper()) == block
        hashes = await result(ws, "getblocktxsbyheight", Height=100)
        assert hashes["Transactions"] == [mined]
        assert await result(ws, "gettransaction", Hash=mined) == block["Transactions"][0]
        assert await result(ws, "getblockheightbytxhash", Hash=mined) == 100
        proof = await result(ws, "getmerkleproof", Hash=mined)
        assert (proof["BlockHeight"], proof["TransactionsRoot"]) == (100, block["Header"]["TransactionsRoot"])
        event = await result(ws, "getsmartcodeeventbyhash", Hash=mined)
        assert await result(ws, "getsmartcodeeventbyheight", Height=100) == [event]
        assert await result(ws, "getmempooltxstate", Hash=waiting)
        balance = await result(ws, "getbalance", Addr=first)
        assert list(balance) == ["ont", "ong", "height"]
        assert int((await result(ws, "getbalancev2", Addr=first))["ong"]) == 10**9 * int(balance["ong"])
        allowance = await result(ws, "getallowance", Asset="ONG", From=first, To=second)
        assert await result(ws, "getallowancev2", Asset="ong", From=first, To=second) == allowance + "0" * 9
        assert (await result(ws, "getunboundong", Addr=first)).isdigit()
        assert (await result(ws, "getgrantong", Addr=first)).isdigit()
        assert await result(ws, "getgasprice") == {"gasprice": 2500, "height": 100}
        assert await result(ws, "getversion") == "v2.5.9"
        assert await result(ws, "getnetworkid") == 2
        assert await result(ws, "getsessioncount") == 1
        assert (await result(ws, "getcontract", Hash=ONG))["VmType"] == 1
        assert bytes.fromhex(await result(ws, "getcontract", Hash=ONG, Raw=1)).find(b"contact@ont.io") > 0

    play(scenario)


def test_blocks_are_chained_and_consensus_data_passes_2_to_63() -> None:
    async def scenario(_: OntologySimulator, ws: ClientConnection) -> None:
        for height in range(95, 100):
            block, following = await block_of(ws, height), await block_of(ws, height + 1)
            assert following["Header"]["PrevBlockHash"] == block["Hash"] == block["Header"]["Hash"]
            assert 2**63 <= block["Header"]["ConsensusData"] < 2**64

    play(scenario)


@pytest.mark.parametrize(
    ("height", "answered"),
    [
        pytest.param(100, True, id="number"),
        pytest.param(100.9, True, id="truncated"),
        pytest.param("100", True, id="string"),
        pytest.param("+100", True, id="signed"),
        pytest.param(2**32 + 100, True, id="wraps"),
        pytest.param("100.9", False, id="string-fraction"),
        pytest.param("", False, id="empty"),
        pytest.param(str(2**63), False, id="beyond-int64"),
        pytest.param(True, False, id="bool"),
        pytest.param(None, False, id="null"),
    ],
)
def test_height_is_coerced_as_the_node_does(height: object, *, answered: bool) -> None:
    async def scenario(_: OntologySimulator, ws: ClientConnection) -> None:
        if answered:
            assert (await result(ws, "getblocktxsbyheight", Height=height))["Height"] == 100
        else:
            assert await error(ws, "getblocktxsbyheight", Height=height) == 42002

    play(scenario)


def test_height_beyond_int64_becomes_the_smallest_int64_and_wraps_to_the_first_block() -> None:
    async def scenario(_: OntologySimulator, ws: ClientConnection) -> None:
        assert (await block_of(ws, 10**300))["Header"]["Height"] == 0

    play(scenario)


@pytest.mark.parametrize(
    ("action", "params", "code"),
    [
        pytest.param("getblockhash", {"Height": 999}, 44003, id="getblockhash"),
        pytest.param("getblockhash", {"Height": -1}, 44003, id="negative-height"),
        pytest.param("getblockbyheight", {"Height": 999}, 44003, id="getblockbyheight"),
        pytest.param("getblocktxsbyheight", {"Height": 999}, 42002, id="getblocktxsbyheight"),
        pytest.param("getblockbyhash", {"Hash": HASH_IN_NO_BLOCK}, 44003, id="getblockbyhash"),
        pytest.param("getblockbyhash", {"Hash": ""}, 42002, id="getblockbyhash-empty"),
        pytest.param("gettransaction", {"Hash": HASH_IN_NO_BLOCK}, 44001, id="gettransaction"),
        pytest.param("gettransaction", {"Hash": "abc"}, 42002, id="odd-hex"),
        pytest.param("gettransaction", {"Hash": "ab cd"}, 42002, id="hex-with-space"),
        pytest.param(
            "getblockheightbytxhash", {"Hash": HASH_IN_NO_BLOCK}, 45001, id="getblockheightbytxhash"
        ),
        pytest.param("getmerkleproof", {"Hash": HASH_IN_NO_BLOCK}, 42002, id="getmerkleproof"),
        pytest.param("getmempooltxstate", {"Hash": HASH_IN_NO_BLOCK}, 44001, id="getmempooltxstate"),
        pytest.param("getcontract", {"Hash": "ff" * 20}, 44004, id="getcontract"),
        pytest.param("getcontract", {}, 42002, id="getcontract-without-hash"),
        pytest.param("sendrawtransaction", {"Data": ""}, 43001, id="empty-transaction"),
        pytest.param("sendrawtransaction", {"Data": "xy"}, 42002, id="no-hex"),
        pytest.param("sendrawtransaction", {}, 42002, id="no-data"),
        pytest.param("getstorage", {"Hash": "nonsense", "Key": "00"}, 42002, id="getstorage-address"),
        pytest.param("getbalance", {"Addr": ONG}, 42002, id="getbalance-takes-base58-only"),
        pytest.param("getbalance", {"Addr": "ANH5bHrrt111XwNEnuPZj6u95Dd6u7G4D7"}, 42002, id="checksum"),
        pytest.param("getallowance", {"Asset": "btc", "From": ONG, "To": ONG}, 42002, id="asset"),
    ],
)
def test_handler_refuses_with_the_nodes_code(action: str, params: dict[str, Any], code: int) -> None:
    async def scenario(_: OntologySimulator, ws: ClientConnection) -> None:
        answer = await call(ws, action, **params)
        unknown_by_hash = action == "getblockbyhash" and code == 44003
        assert (answer["Error"], answer["Result"]) == (code, None if unknown_by_hash else "")

    play(scenario)


def test_absent_things_are_empty_strings_without_an_error() -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        assert await result(ws, "getstorage", Hash=sim.sample_contract, Key="ffff") == ""
        assert await result(ws, "getsmartcodeeventbyheight", Height=99) == ""
        assert await result(ws, "getsmartcodeeventbyheight", Height=9999) == ""
        assert await result(ws, "getsmartcodeeventbyhash", Hash=HASH_IN_NO_BLOCK) == ""
        assert (await result(ws, "getbalance", Addr="ANH5bHrrt111XwNEnuPZj6u95Dd6u7G4D6"))["ont"] == "0"

    play(scenario)


def test_storage_and_balances_change_with_the_blocks() -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        async def observe() -> list[Any]:
            storage = await result(ws, "getstorage", Hash=sim.sample_contract, Key=b"height".hex())
            return [storage, [await result(ws, "getbalance", Addr=account) for account in sim.accounts]]

        before = await observe()
        for _ in range(6):
            await sim.mine()
        after = await observe()
        assert before[0] == (100).to_bytes(8, "little").hex()
        assert after[0] == (106).to_bytes(8, "little").hex()
        assert [one["ong"] for one in before[1]] != [one["ong"] for one in after[1]]

    play(scenario)


def test_gas_price_is_zero_on_a_chain_without_transactions() -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        sim.chain.blocks[:] = [sim.chain.blocks[3]]
        assert await result(ws, "getgasprice") == {"gasprice": 0, "height": 0}

    play(scenario, initial_height=3)


@pytest.mark.parametrize(
    ("code", "desc"),
    [
        pytest.param(-1, "INTERNAL ERROR, ErrUnknown", id="negative"),
        pytest.param(45001, "INTERNAL ERROR", id="internal"),
        pytest.param(45014, "INTERNAL ERROR, ErrNoAccount", id="last-with-a-text"),
        pytest.param(45015, "", id="first-without-a-text"),
        pytest.param(45025, "", id="last-pool-error"),
        pytest.param(47001, "SMARTCODE EXEC ERROR", id="smartcode"),
    ],
)
def test_scripted_failures_are_answered_in_order_and_once(code: int, desc: str) -> None:
    async def scenario(sim: OntologySimulator, ws: ClientConnection) -> None:
        sim.fail_next("sendrawtransaction", code, "why <not>")
        sim.fail_next("sendrawtransaction", 43001)
        assert await exchange(ws, {"Action": "sendrawtransaction", "Data": "00", "Id": 1}) == (
            f'{{"Action":"sendrawtransaction","Desc":"{desc}","Error":{code},"Id":1,'
            '"Result":"why \\u003cnot\\u003e","Version":"1.0.0"}'
        )
        assert await error(ws, "sendrawtransaction", Data="00") == 43001
        assert await result(ws, "getmempooltxcount") == [0, 0]
        assert len(await result(ws, "sendrawtransaction", Data="00")) == 64

    play(scenario)


def test_failure_of_an_unknown_action_cannot_be_scripted() -> None:
    with pytest.raises(ValueError, match="getbalancev2"):
        OntologySimulator(generation=Generation.V1_0).fail_next("getbalancev2", 45001)


# Runs


def test_two_runs_write_the_same_bytes_and_another_seed_other_bytes() -> None:
    async def record(seed: int) -> list[str]:
        async with OntologySimulator(seed=seed) as sim, client(sim) as ws:
            texts = [await exchange(ws, {"Action": "subscribe", **ALL_ON})]
            texts.append(
                await exchange(ws, {"Action": "sendrawtransaction", "Data": "beef", "Id": 2**62 + 1})
            )
            for _ in range(3):
                await sim.mine()
            texts.extend(await pending(ws))
            texts.append(await exchange(ws, {"Action": "getgrantong", "Addr": sim.accounts[0]}))
            return texts

    first, second, other = (asyncio.run(record(seed)) for seed in (5, 5, 6))
    assert first == second
    assert len(first) > 12
    assert first[2:] != other[2:]


def test_blocks_come_by_themselves_at_an_interval() -> None:
    async def scenario(_: OntologySimulator, ws: ClientConnection) -> None:
        await result(ws, "subscribe", SubscribeBlockTxHashs=True)
        heights = [json.loads(await ws.recv())["Result"]["Height"] for _ in range(3)]
        assert heights == list(range(heights[0], heights[0] + 3))

    play(scenario, block_interval_s=0.005)


def test_command_prints_the_url_and_runs_until_sigint() -> None:
    async def run() -> None:
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "wiretape.simulators.ontology",
                "--block-ms",
                "20",
                "--generation",
                "v1.0",
            ),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(wiretape.__file__).parents[1])},
        )
        assert process.stdout is not None
        async with asyncio.timeout(20):
            url = (await process.stdout.readline()).decode().strip()
            async with connect(url) as ws:
                assert "ConstractsFilter" in await result(ws, "subscribe", SubscribeRawBlock=True)
                assert json.loads(await ws.recv())["Action"] == "sendrawblock"
                process.send_signal(signal.SIGINT)
                assert await process.wait() == 0

    asyncio.run(run())
