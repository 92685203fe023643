"""The simulated Hotbit exchange on a real socket: what a client sees, byte by byte where it counts."""

import asyncio
import contextlib
import gzip
import hashlib
import json
import signal
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.typing import Subprotocol

from wiretape.simulators import hotbit, hotbit_socket
from wiretape.simulators.hotbit import DEMO_API_KEY, Compression, HotbitSimulator

DEADLINE_S = 20.0
PING_ID = 987_654
START_S = 1_513_135_140
SUCCESS = {"status": "success"}
STATE_KEYS = ["period", "last", "open", "close", "high", "low", "volume", "deal"]
TODAY_KEYS = ["open", "last", "high", "low", "volume", "deal"]
ORDER_KEYS = [
    "id",
    "market",
    "source",
    "type",
    "side",
    "user",
    "ctime",
    "mtime",
    "price",
    "amount",
    "taker_fee",
    "maker_fee",
    "left",
    "deal_stock",
    "deal_money",
    "deal_fee",
]


class Client:
    """A client that can look at the bytes."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket

    async def send(self, method: str, *params: object, request_id: int = 1) -> None:
        await self.websocket.send(json.dumps({"method": method, "params": params, "id": request_id}))

    async def text(self) -> str:
        return unpack(await self.websocket.recv())

    async def message(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self.text())
        return message

    async def call(self, method: str, *params: object, request_id: int = 1) -> dict[str, Any]:
        await self.send(method, *params, request_id=request_id)
        return await self.message()

    async def result(self, method: str, *params: object) -> Any:
        reply = await self.call(method, *params)
        assert reply["error"] is None
        return reply["result"]

    async def error(self, method: str, *params: object) -> int:
        reply = await self.call(method, *params)
        assert reply["result"] is None
        code: int = reply["error"]["code"]
        return code

    async def pushes(self) -> list[dict[str, Any]]:
        """Everything that came before the answer to a ping."""
        await self.send("server.ping", request_id=PING_ID)
        messages = []
        while (message := await self.message()) != {"error": None, "result": "pong", "id": PING_ID}:
            messages.append(message)
        return messages

    async def authenticate(self, simulator: HotbitSimulator) -> None:
        assert await self.result("server.auth", DEMO_API_KEY, simulator.auth_sign()) == SUCCESS


type Scenario = Callable[[HotbitSimulator, Client], Awaitable[None]]


def unpack(message: str | bytes) -> str:
    if isinstance(message, str):
        return message
    return (gzip.decompress if message.startswith(b"\x1f\x8b") else zlib.decompress)(message).decode()


@asynccontextmanager
async def a_client(simulator: HotbitSimulator) -> AsyncIterator[Client]:
    async with connect(simulator.url, compression=None, ping_interval=None) as websocket:
        yield Client(websocket)


def run(scenario: Scenario, **options: Any) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(DEADLINE_S),
            HotbitSimulator(**options) as simulator,
            a_client(simulator) as client,
        ):
            await scenario(simulator, client)

    asyncio.run(main())


def methods(messages: list[dict[str, Any]]) -> list[str]:
    return [message["method"] for message in messages]


# What is on the wire


@pytest.mark.parametrize(
    ("compression", "decode"),
    [
        pytest.param(Compression.GZIP, lambda data: gzip.decompress(data).decode(), id="gzip"),
        pytest.param(Compression.ZLIB, lambda data: zlib.decompress(data).decode(), id="zlib"),
        pytest.param(Compression.TEXT, str, id="text"),
        pytest.param(Compression.PERMESSAGE_DEFLATE, str, id="deflate-not-offered"),
    ],
)
def test_even_a_pong_is_packed(compression: Compression, decode: Callable[[Any], str]) -> None:
    async def scenario(_: HotbitSimulator, client: Client) -> None:
        await client.send("server.ping", request_id=7)
        packed = await client.websocket.recv()
        assert isinstance(packed, bytes) == (compression in (Compression.GZIP, Compression.ZLIB))
        assert decode(packed) == '{"error": null, "result": "pong", "id": 7}'

    run(scenario, compression=compression)


def test_gzip_holds_no_time_and_its_level_is_an_option() -> None:
    packed: dict[int, bytes] = {}

    def scenario_at(level: int) -> Scenario:
        async def scenario(_: HotbitSimulator, client: Client) -> None:
            await client.send("deals.query", "BTCUSDT", 100, 0)
            packed[level] = await client.websocket.recv(decode=False)

        return scenario

    for level in (1, 9):
        run(scenario_at(level), compression_level=level)
    assert packed[1][4:8] == packed[9][4:8] == bytes(4)
    assert gzip.decompress(packed[1]) == gzip.decompress(packed[9])
    assert len(packed[1]) > len(packed[9])


def test_permessage_deflate_is_negotiated_with_the_parameters_of_coinex() -> None:
    async def main() -> None:
        async with HotbitSimulator(compression=Compression.PERMESSAGE_DEFLATE) as simulator:
            offer = [ClientPerMessageDeflateFactory()]
            async with connect(simulator.url, extensions=offer, compression=None) as websocket:
                assert websocket.response is not None
                assert websocket.response.headers["Sec-WebSocket-Extensions"] == (
                    "permessage-deflate; server_no_context_takeover; client_no_context_takeover;"
                    " server_max_window_bits=15"
                )
                assert await Client(websocket).result("server.ping") == "pong"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        pytest.param(["limit-no", "chat", "gzip"], "chat", id="chat-among-others"),
        pytest.param(["gzip"], None, id="no-chat"),
        pytest.param(None, None, id="none-offered"),
    ],
)
def test_chat_is_selected_when_it_is_offered(offered: list[str] | None, selected: str | None) -> None:
    async def main() -> None:
        async with HotbitSimulator() as simulator:
            subprotocols = None if offered is None else [Subprotocol(name) for name in offered]
            async with connect(simulator.url, subprotocols=subprotocols) as websocket:
                assert websocket.subprotocol == selected
                assert websocket.response is not None
                assert "Date" not in websocket.response.headers

    asyncio.run(main())


@pytest.mark.parametrize("request_id", [0, -5, 100, 2**63 - 1, -(2**63)])
def test_an_id_is_echoed_as_the_same_integer(request_id: int) -> None:
    async def scenario(_: HotbitSimulator, client: Client) -> None:
        for method, params in (("server.time", []), ("price.query", ["BTCUSDT"]), ("price.query", [])):
            await client.send(method, *params, request_id=request_id)
            assert (await client.text()).endswith(f'"id": {request_id}' + "}")

    run(scenario, indent_inquiries=False)


def test_a_repeated_id_is_answered_each_time() -> None:
    async def scenario(_simulator: HotbitSimulator, client: Client) -> None:
        for method in ("server.ping", "server.time", "server.ping"):
            await client.send(method, request_id=100)
        replies = [await client.message() for _ in range(3)]
        assert [reply["result"] for reply in replies] == ["pong", START_S, "pong"]
        assert {reply["id"] for reply in replies} == {100}

    run(scenario)


def test_a_refusal_has_the_shape_of_the_document() -> None:
    async def scenario(_: HotbitSimulator, client: Client) -> None:
        await client.send("kline.query", "BTCUSDT", request_id=3)
        expected = '{"error": {"code": 1, "message": "invalid argument"}, "result": null, "id": 3}'
        assert await client.text() == expected

    run(scenario)


def test_a_backend_in_debug_mode_indents_its_replies_by_four() -> None:
    async def scenario(_: HotbitSimulator, client: Client) -> None:
        await client.send("depth.query", "BTCUSDT", 1, "0")
        text = await client.text()
        assert text == json.dumps(json.loads(text), indent=4)
        assert text.startswith('{\n    "error": null,\n    "result": {\n        "asks": [\n')
        await client.send("order.query", [], 0, 5)
        assert "\n" not in await client.text()

    run(scenario, indent_inquiries=True)


def test_by_default_some_replies_are_indented_and_some_are_not() -> None:
    async def scenario(_simulator: HotbitSimulator, client: Client) -> None:
        lines = set()
        for _ in range(30):
            await client.send("price.query", "BTCUSDT")
            lines.add((await client.text()).count("\n"))
        assert lines == {0, 4}

    run(scenario)


def test_times_have_seventeen_digits_on_the_wire() -> None:
    async def scenario(_: HotbitSimulator, client: Client) -> None:
        await client.send("deals.query", "BTCUSDT", 100, 0)
        text = await client.text()
        times = [part.split(",")[0] for part in text.split('"time": ')[1:]]
        assert len(times) == 100
        assert all(format(float(time), ".17g") == time for time in times)
        assert any(repr(float(time)) != time for time in times)

    run(scenario, indent_inquiries=False)


def conversation(seed: int) -> list[bytes]:
    packed: list[bytes] = []

    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        await client.authenticate(simulator)
        subscriptions: list[tuple[str, list[object]]] = [
            ("kline.subscribe", ["BTCUSDT", 60]),
            ("state.subscribe", ["BTCUSDT", "ETHBTC"]),
            ("deals.subscribe", ["EOSUSDT"]),
            ("depth.subscribe", ["BTCUSDT", 20, "0.01"]),
            ("order.subscribe", ["BTCUSDT", "ETHBTC", "EOSUSDT", "ETHUSDT"]),
            ("asset.subscribe", ["USDT", "BTC"]),
        ]
        for method, params in subscriptions:
            assert await client.result(method, *params) == SUCCESS
            await client.pushes()
        for _ in range(20):
            await simulator.tick()
        for number in range(5):
            await client.send("deals.query", "BTCUSDT", number + 1, 0, request_id=number)
        async with asyncio.timeout(DEADLINE_S):
            while sum(b'"id": null' not in gzip.decompress(data) for data in packed) < 5:
                packed.append(await client.websocket.recv(decode=False))

    run(scenario, seed=seed)
    return packed


def test_the_same_seed_gives_the_same_bytes() -> None:
    first = conversation(5)
    assert len(first) > 30
    assert conversation(5) == first
    assert conversation(6) != first


# Inquiries


def test_the_clock_is_the_simulated_one() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        assert await client.result("server.time") == START_S
        for _ in range(4):
            await simulator.tick()
        assert await client.result("server.time") == START_S + 2

    run(scenario)


def test_the_clock_can_be_given() -> None:
    now = [2_000_000_000.25]

    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        assert await client.result("server.time") == 2_000_000_000
        now[0] += 3600
        await simulator.tick()
        assert await client.result("server.time") == 2_000_003_600

    run(scenario, clock=lambda: now[0])


def test_candles_cover_the_span_and_add_up_to_the_deals() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        for _ in range(10):
            await simulator.tick()
        deals = await client.result("deals.query", "ETHBTC", 1000, 0)
        candles = await client.result("kline.query", "ETHBTC", 0, START_S + 60, 60)
        starts = [candle[0] for candle in candles]
        assert starts == list(range(starts[0], START_S + 60, 60))
        assert starts[0] <= deals[-1]["time"] < starts[0] + 60
        assert sum(Decimal(candle[5]) for candle in candles) == sum(Decimal(d["amount"]) for d in deals)
        assert all(candle[7] == "ETHBTC" for candle in candles)
        assert all(Decimal(c[4]) <= min(map(Decimal, c[1:3])) <= max(map(Decimal, c[1:3])) for c in candles)
        assert all(max(map(Decimal, c[1:3])) <= Decimal(c[3]) for c in candles)
        quiet = [candle for candle in candles if candle[5] == "0"]
        assert quiet
        assert all(len(set(candle[1:5])) == 1 for candle in quiet)

    run(scenario)


def test_a_long_span_of_candles_is_cut_to_the_newest_thousand() -> None:
    async def scenario(_: HotbitSimulator, client: Client) -> None:
        candles = await client.result("kline.query", "BTCUSDT", 0, START_S + 9_999_999, 1)
        assert len(candles) == 1000
        assert candles[-1][0] == START_S

    run(scenario)


def test_the_newest_deal_is_the_last_price_of_every_inquiry() -> None:
    async def scenario(_: HotbitSimulator, client: Client) -> None:
        newest = (await client.result("deals.query", "BTCUSDT", 1, 0))[0]
        last = Decimal(newest["price"])
        assert await client.result("price.query", "BTCUSDT") == f"{last:.8f}"
        state = await client.result("state.query", "BTCUSDT", 86_400)
        today = await client.result("today.query", "BTCUSDT")
        assert list(state) == STATE_KEYS
        assert list(today) == TODAY_KEYS
        assert Decimal(state["last"]) == Decimal(state["close"]) == Decimal(today["last"]) == last
        assert state["period"] == 86_400

    run(scenario)


def test_a_period_without_deals_is_all_zero() -> None:
    now = [1_600_000_000.0]

    async def scenario(_: HotbitSimulator, client: Client) -> None:
        now[0] += 7 * 86_400
        state = await client.result("state.query", "BTCUSDT", 60)
        assert {state[key] for key in ("open", "close", "high", "low", "volume", "deal")} == {"0"}
        assert (await client.result("today.query", "BTCUSDT"))["volume"] == "0"

    run(scenario, clock=lambda: now[0])


def test_deals_stop_before_the_last_id() -> None:
    async def scenario(_: HotbitSimulator, client: Client) -> None:
        ids = [deal["id"] for deal in await client.result("deals.query", "BTCUSDT", 5, 0)]
        assert ids == sorted(ids, reverse=True)
        after = await client.result("deals.query", "BTCUSDT", 5, ids[2])
        assert [deal["id"] for deal in after] == ids[:2]

    run(scenario)


def test_depth_is_merged_into_steps_that_never_meet() -> None:
    async def scenario(_: HotbitSimulator, client: Client) -> None:
        raw = await client.result("depth.query", "BTCUSDT", 100, "0")
        merged = await client.result("depth.query", "BTCUSDT", 10, "0.1")
        asks = [Decimal(price) for price, _ in merged["asks"]]
        bids = [Decimal(price) for price, _ in merged["bids"]]
        assert asks == sorted(asks)
        assert bids == sorted(bids, reverse=True)
        assert len(asks) == len(bids) == 10
        assert bids[0] < asks[0]
        inside = [
            Decimal(a) for price, a in raw["asks"] if asks[0] - Decimal("0.1") < Decimal(price) <= asks[0]
        ]
        assert Decimal(merged["asks"][0][1]) == sum(inside)

    run(scenario)


def test_an_interval_is_compared_as_a_number() -> None:
    async def scenario(_: HotbitSimulator, client: Client) -> None:
        tenth = await client.result("depth.query", "BTCUSDT", 5, "0.1")
        assert await client.result("depth.query", "BTCUSDT", 5, "0.10") == tenth
        assert await client.result("depth.query", "BTCUSDT", 5, 0.1) == tenth
        plain = await client.result("depth.query", "BTCUSDT", 5, "0")
        assert await client.result("depth.query", "BTCUSDT", 5, 0) == plain != tenth

    run(scenario)


def test_states_are_listed_with_their_market() -> None:
    async def scenario(_: HotbitSimulator, client: Client) -> None:
        states = await client.result("state.querys", "ETHBTC", "BTCUSDT")
        assert [state.pop("market") for state in states] == ["ETHBTC", "BTCUSDT"]
        assert states[1] == await client.result("state.query", "BTCUSDT", 86_400)

    run(scenario)


def test_orders_are_keyed_by_market_for_a_list_and_flat_for_a_name() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        await client.authenticate(simulator)
        for _ in range(30):
            await simulator.tick()
        everything = await client.result("order.query", [], 0, 100)
        assert list(everything) == ["BTCUSDT", "ETHUSDT", "ETHBTC", "EOSUSDT"]
        filled = [market for market, page in everything.items() if page["records"]]
        assert await client.result("order.query", filled[:1], 0, 100) == {filled[0]: everything[filled[0]]}
        flat = await client.result("order.query", filled[0], 0, 100)
        assert flat == everything[filled[0]]
        assert list(flat) == ["limit", "offset", "total", "records"]
        assert list(flat["records"][0]) == ORDER_KEYS
        rest = await client.result("order.query", filled[0], 1, 100)
        assert rest["records"] == flat["records"][1:]
        assert rest["total"] == flat["total"]

    run(scenario)


def test_the_order_history_takes_five_params_or_six() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        await client.authenticate(simulator)
        for _ in range(200):
            await simulator.tick()
        history = await client.result("order.history", "BTCUSDT", 0, 0, 0, 100)
        sides = [
            (await client.result("order.history", "BTCUSDT", 0, 0, 0, 100, side))["total"] for side in (1, 2)
        ]
        assert all(sides)
        assert sum(sides) == history["total"]
        assert all(record["left"] == "0" for record in history["records"])
        late = await client.result("order.history", "BTCUSDT", START_S + 50, 0, 0, 100)
        assert 0 < late["total"] < history["total"]

    run(scenario)


def test_every_asset_change_leads_to_the_balance() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        await client.authenticate(simulator)
        for _ in range(40):
            await simulator.tick()
        balances = await client.result("balance.query")
        assert list(balances) == ["BTC", "ETH", "EOS", "USDT"]
        assert await client.result("asset.query") == balances
        assert await client.result("asset.query", "ETH", "BTC") == {k: balances[k] for k in ("ETH", "BTC")}
        page = await client.result("asset.history", "USDT", "", 0, 0, 0, 100)
        owned = sum(Decimal(amount) for amount in balances["USDT"].values())
        assert sum(Decimal(record["change"]) for record in page["records"]) == owned
        assert Decimal(page["records"][0]["balance"]) == owned
        deposits = await client.result("asset.history", None, "deposit", 0, 0, 0, 100)
        assert [record["asset"] for record in deposits["records"]] == ["USDT", "EOS", "ETH", "BTC"]

    run(scenario)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        pytest.param("kline.query", ["BTCUSDT", 10, 5, 60], id="end-before-start"),
        pytest.param("kline.query", ["BTCUSDT", 0, 5, 0], id="no-interval"),
        pytest.param("kline.query", ["NOPE", 0, 5, 60], id="unknown-market"),
        pytest.param("price.query", [], id="no-params"),
        pytest.param("price.query", [5], id="market-is-no-text"),
        pytest.param("price.query", ["X" * 16], id="market-is-too-long"),
        pytest.param("state.query", [["BTCUSDT"], 60], id="market-is-a-list"),
        pytest.param("state.query", ["BTCUSDT", True], id="period-is-a-boolean"),
        pytest.param("deals.query", ["BTCUSDT", -1, 0], id="negative-limit"),
        pytest.param("depth.query", ["BTCUSDT", 102, "0"], id="limit-above-101"),
        pytest.param("depth.query", ["BTCUSDT", 5, "x"], id="interval-is-no-number"),
        pytest.param("depth.query", ["BTCUSDT", 5, "-1"], id="interval-is-negative"),
        pytest.param("depth.query", ["BTCUSDT", 5, "NaN"], id="interval-is-nan"),
        pytest.param("depth.query", ["BTCUSDT", 5, "1e-9"], id="interval-is-too-fine"),
        pytest.param("depth.query", ["BTCUSDT", 5, None], id="interval-is-null"),
        pytest.param("depth.query", ["BTCUSDT", 5, "1001"], id="interval-is-too-wide"),
        pytest.param("depth.subscribe", ["BTCUSDT", 7, "0"], id="limit-is-not-listed"),
        pytest.param("depth.subscribe", ["BTCUSDT", 5, "0.2"], id="interval-is-not-listed"),
        pytest.param("depths.subscribe", ["BTCUSDT"], id="element-is-no-array"),
        pytest.param("kline.subscribe", [], id="kline-without-market"),
        pytest.param("server.auth", ["key"], id="auth-without-sign"),
        pytest.param("server.auth", ["key", 5], id="sign-is-no-text"),
    ],
)
def test_a_bad_argument_is_error_1(method: str, params: list[object]) -> None:
    async def scenario(_: HotbitSimulator, client: Client) -> None:
        assert await client.error(method, *params) == 1

    run(scenario)


# Who the client is


@pytest.mark.parametrize(
    "method",
    [
        "order.query",
        "order.history",
        "asset.query",
        "asset.history",
        "balance.query",
        "order.subscribe",
        "order.unsubscribe",
        "asset.subscribe",
        "asset.unsubscribe",
    ],
)
def test_private_methods_need_a_user(method: str) -> None:
    async def scenario(_: HotbitSimulator, client: Client) -> None:
        reply = await client.call(method, request_id=4)
        assert reply["error"] == {"code": 6, "message": "require authentication"}

    run(scenario)


def test_auth_takes_the_md5_of_both_keys_for_this_connection_only() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        digest = hashlib.md5(b"api_key=K&secret_key=S", usedforsecurity=False).hexdigest()
        assert await client.error("server.auth", "K", digest) == 11
        assert await client.error("server.auth", "k", digest.upper()) == 11
        assert await client.error("balance.query") == 6
        assert await client.result("server.auth", "K", digest.upper()) == SUCCESS
        assert "BTC" in await client.result("balance.query")
        async with a_client(simulator) as other:
            assert await other.error("balance.query") == 6

    run(scenario, api_key="K", secret_key="S")


def test_auth2_and_sign_are_good_for_a_while() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        for age, code in ((0, None), (299, None), (301, 11)):
            time = START_S - age
            reply = await client.call("server.auth2", 77, time, "web", simulator.auth2_sign(77, time))
            assert (reply["error"] or {}).get("code") == code
        for age, code in ((0, None), (59, None), (61, 11)):
            tonce = (START_S - age) * 1000
            signature = simulator.sign_authorization(tonce)
            reply = await client.call("server.sign", DEMO_API_KEY, signature, tonce)
            assert (reply["error"] or {}).get("code") == code
        assert await client.error("server.auth2", 77, START_S, "web", simulator.auth2_sign(78, START_S)) == 11

    run(scenario)


def test_another_user_loses_the_subscriptions_of_the_one_before() -> None:
    async def private_pushes(simulator: HotbitSimulator, client: Client) -> int:
        for _ in range(20):
            await simulator.tick()
        return len(await client.pushes())

    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        await client.authenticate(simulator)
        await client.result("asset.subscribe", "BTC", "ETH", "EOS", "USDT")
        await client.authenticate(simulator)
        assert await private_pushes(simulator, client) > 0
        await client.result("server.auth2", 77, START_S, "web", simulator.auth2_sign(77, START_S))
        assert await private_pushes(simulator, client) == 0

    run(scenario)


# Subscriptions


@pytest.mark.parametrize("kind", ["price", "state", "today", "deals"])
def test_a_snapshot_of_each_market_follows_the_reply(kind: str) -> None:
    async def scenario(_: HotbitSimulator, client: Client) -> None:
        await client.send(f"{kind}.subscribe", "ETHBTC", "NOPE", "BTCUSDT")
        assert (await client.message())["result"] == SUCCESS
        snapshots = await client.pushes()
        assert methods(snapshots) == [f"{kind}.update"] * 2
        assert [push["params"][0] for push in snapshots] == ["ETHBTC", "BTCUSDT"]
        assert all(push["id"] is None for push in snapshots)

    run(scenario)


@pytest.mark.parametrize("kind", ["kline", "order", "asset"])
def test_other_kinds_start_without_a_snapshot(kind: str) -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        await client.authenticate(simulator)
        params = ["BTCUSDT", 60] if kind == "kline" else ["BTCUSDT", "BTC"]
        assert await client.result(f"{kind}.subscribe", *params) == SUCCESS
        assert await client.pushes() == []

    run(scenario)


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        pytest.param("kline", ["BTCUSDT", 60], ["ETHBTC", 60], id="kline"),
        pytest.param("price", ["BTCUSDT"], ["ETHBTC"], id="price"),
        pytest.param("state", ["BTCUSDT"], ["ETHBTC"], id="state"),
        pytest.param("today", ["BTCUSDT"], ["ETHBTC"], id="today"),
        pytest.param("deals", ["BTCUSDT"], ["ETHBTC"], id="deals"),
        pytest.param("depth", ["BTCUSDT", 5, "0"], ["ETHBTC", 5, "0"], id="depth"),
        pytest.param("depths", [["BTCUSDT", 5, "0"]], [["ETHBTC", 5, "0"]], id="depths"),
    ],
)
def test_a_subscription_replaces_the_one_before_and_ends(
    kind: str, first: list[object], second: list[object]
) -> None:
    async def ticks(simulator: HotbitSimulator, client: Client) -> str:
        for _ in range(20):
            await simulator.tick()
        return json.dumps(await client.pushes())

    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        await client.result(f"{kind}.subscribe", *first)
        assert "BTCUSDT" in await ticks(simulator, client)
        await client.result(f"{kind}.subscribe", *second)
        pushed = await ticks(simulator, client)
        assert "ETHBTC" in pushed
        assert "BTCUSDT" not in pushed
        assert await client.result(f"{kind}.unsubscribe", "anything", 5) == SUCCESS
        assert await ticks(simulator, client) == "[]"

    run(scenario)


def test_an_empty_list_ends_the_subscription() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        await client.result("depths.subscribe", ["BTCUSDT", 5, "0"], ["ETHBTC", 1, 0])
        assert [push["params"][2] for push in await client.pushes()] == ["BTCUSDT", "ETHBTC"]
        assert await client.result("depths.subscribe") == SUCCESS
        for _ in range(5):
            await simulator.tick()
        assert await client.pushes() == []

    run(scenario)


def test_elements_before_a_bad_one_stay_subscribed() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        assert await client.error("price.subscribe", "BTCUSDT", 5, "ETHBTC") == 1
        for _ in range(20):
            await simulator.tick()
        assert {push["params"][0] for push in await client.pushes()} == {"BTCUSDT"}

    run(scenario)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        pytest.param("kline.subscribe", ["NOPE", 60], id="kline"),
        pytest.param("price.subscribe", ["NOPE"], id="price"),
        pytest.param("deals.subscribe", ["NOPE"], id="deals"),
        pytest.param("depth.subscribe", ["NOPE", 5, "0"], id="depth"),
    ],
)
def test_an_unknown_market_is_accepted_and_never_heard_of(method: str, params: list[object]) -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        assert await client.result(method, *params) == SUCCESS
        for _ in range(10):
            await simulator.tick()
        assert await client.pushes() == []

    run(scenario)


def test_an_unknown_asset_is_a_bad_argument() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        await client.authenticate(simulator)
        assert await client.error("asset.query", "BTC", "NOPE") == 1

    run(scenario)


def test_a_value_is_pushed_only_when_it_changed() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        await client.result("price.subscribe", "BTCUSDT")
        prices = [push["params"][1] for push in await client.pushes()]
        for _ in range(40):
            await simulator.tick()
            prices += [push["params"][1] for push in await client.pushes()]
        assert 5 < len(prices) < 40
        assert all(before != after for before, after in pairwise(prices))

    run(scenario)


def test_deals_come_a_hundred_at_first_and_then_only_the_new_ones() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        await client.result("deals.subscribe", "BTCUSDT")
        (snapshot,) = await client.pushes()
        assert len(snapshot["params"][1]) == 100
        assert list(snapshot) == ["method", "params", "id", "ts"]
        assert snapshot["ts"] == START_S
        seen = [deal["id"] for deal in snapshot["params"][1]]
        for _ in range(10):
            await simulator.tick()
        for push in await client.pushes():
            new = [deal["id"] for deal in push["params"][1]]
            assert new == list(range(seen[0] + len(new), seen[0], -1))
            seen = new + seen
        assert len(seen) > 100

    run(scenario)


def test_a_candle_is_pushed_in_an_array_when_it_changes() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        await client.result("kline.subscribe", "BTCUSDT", 5)
        known: dict[int, list[Any]] = {}
        for _ in range(60):
            await simulator.tick()
        for push in await client.pushes():
            assert push["method"] == "kline.update"
            known.update({candle[0]: candle for candle in push["params"]})
        candles = await client.result("kline.query", "BTCUSDT", START_S, START_S + 30, 5)
        assert len(candles) == 7
        assert list(known.values()) == candles

    run(scenario)


def apply_depth(book: dict[str, dict[str, str]], push: dict[str, Any]) -> None:
    clean, sides, _ = push["params"]
    for side in ("asks", "bids"):
        if clean:
            book[side] = {}
        for price, amount in sides.get(side, []):
            if amount == "0":
                del book[side][price]
            else:
                book[side][price] = amount


@pytest.mark.parametrize("interval", ["0", "0.01", "0.1"])
def test_depth_differences_lead_to_the_book(interval: str) -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        await client.result("depth.subscribe", "BTCUSDT", 10, interval)
        (snapshot,) = pushes = await client.pushes()
        assert snapshot["params"][0] is True
        assert [len(levels) for levels in snapshot["params"][1].values()] == [10, 10]
        for _ in range(60):
            await simulator.tick()
            pushes += await client.pushes()
        book: dict[str, dict[str, str]] = {}
        for push in pushes:
            apply_depth(book, push)
        depth = await client.result("depth.query", "BTCUSDT", 10, interval)
        assert {side: dict(levels) for side, levels in depth.items()} == book
        differences = [push["params"][1] for push in pushes[1:]]
        assert not any(push["params"][0] for push in pushes[1:])
        assert any("asks" not in sides for sides in differences)
        assert any("bids" not in sides for sides in differences)
        levels = [level for sides in differences for side in sides.values() for level in side]
        assert any(amount == "0" for _, amount in levels)

    run(scenario)


def test_a_full_book_comes_again_after_a_minute() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        await client.result("depth.subscribe", "BTCUSDT", 20, "0")
        pushes = await client.pushes()
        for _ in range(130):
            await simulator.tick()
        pushes += await client.pushes()
        clean = [push for push in pushes if push["params"][0]]
        assert len(clean) == 2
        assert pushes.index(clean[1]) > 20
        assert [len(levels) for levels in clean[1]["params"][1].values()] == [20, 20]

    run(scenario)


def test_orders_and_assets_are_pushed_to_their_user() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        await client.authenticate(simulator)
        await client.result("order.subscribe", "BTCUSDT", "ETHUSDT", "ETHBTC", "EOSUSDT")
        await client.result("asset.subscribe", "USDT", "BTC")
        async with a_client(simulator) as stranger:
            for _ in range(60):
                await simulator.tick()
            assert await stranger.pushes() == []
        pushes = await client.pushes()
        orders = [push for push in pushes if push["method"] == "order.update"]
        assert {push["params"][0] for push in orders} == {1, 2, 3}
        assert all(list(push) == ["method", "params", "id", "ts"] for push in orders)
        assert all((push["params"][1]["left"] == "0") == (push["params"][0] == 3) for push in orders)
        put = next(push["params"][1] for push in orders if push["params"][0] == 1)
        assert (put["deal_stock"], put["deal_money"], put["deal_fee"]) == ("0e-8", "0e-16", "0e-12")
        assets = [push for push in pushes if push["method"] == "asset.update"]
        assert all(push["id"] is None and push["ieo_use"] == "0" for push in assets)
        assert all(len(push["params"]) == len(push["params"][0]) == 1 for push in assets)
        known = {asset: balance for push in assets for asset, balance in push["params"][0].items()}
        assert known == await client.result("asset.query", *known)
        assert {tuple(*map(tuple, push["params"][0].values())) for push in assets} == {
            ("available", "freeze"),
            ("freeze", "available"),
        }

    run(scenario)


def test_all_states_are_pushed_under_the_id_0() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        assert await client.result("state.subscribeall") == SUCCESS
        for _ in range(5):
            await simulator.tick()
        pushes = await client.pushes()
        assert len(pushes) > 1
        assert set(methods(pushes)) == {"state.updateall"}
        assert {push["id"] for push in pushes} == {0}
        assert pushes[-1]["params"][0]["BTCUSDT"] == await client.result("state.query", "BTCUSDT", 86_400)
        await client.result("state.unsubscribe")
        await simulator.tick()
        await simulator.tick()
        assert await client.pushes() == []

    run(scenario)


# Order, failures and ends


def test_a_pong_overtakes_an_inquiry_and_inquiries_each_other() -> None:
    async def scenario(_simulator: HotbitSimulator, client: Client) -> None:
        for number in range(6):
            await client.send("price.query", "BTCUSDT", request_id=number)
        await client.send("server.ping", request_id=6)
        ids = [(await client.message())["id"] for _ in range(7)]
        assert ids[0] == 6
        assert sorted(ids[1:]) == list(range(6))
        assert ids[1:] != list(range(6))

    run(scenario)


def test_without_reorder_replies_keep_the_order_of_the_requests() -> None:
    async def scenario(_simulator: HotbitSimulator, client: Client) -> None:
        for number in range(6):
            await client.send("price.query", "BTCUSDT", request_id=number)
        await client.send("server.ping", request_id=6)
        assert [(await client.message())["id"] for _ in range(7)] == list(range(7))

    run(scenario, reorder=False)


def test_a_held_reply_leaves_without_a_second_request() -> None:
    async def scenario(_: HotbitSimulator, client: Client) -> None:
        for number in range(3):
            assert (await client.call("price.query", "BTCUSDT", request_id=number))["id"] == number

    run(scenario, hold_s=0.01)


def test_many_held_replies_do_not_wait() -> None:
    async def scenario(_simulator: HotbitSimulator, client: Client) -> None:
        for number in range(64):
            await client.send("price.query", "BTCUSDT", request_id=number)
        ids = [(await client.message())["id"] for _ in range(64)]
        assert sorted(ids) == list(range(64))

    run(scenario, hold_s=3600)


def test_a_client_that_leaves_takes_its_held_replies_along() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        async with a_client(simulator) as other:
            await other.send("price.query", "BTCUSDT")
            await other.result("server.ping")
        assert await client.result("server.ping") == "pong"

    run(scenario, hold_s=3600)


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 11])
def test_a_planned_failure_hits_the_next_request_only(code: int) -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        simulator.fail_next("price.query", code)
        simulator.fail_next("price.subscribe", code)
        assert await client.result("server.ping") == "pong"
        assert await client.error("price.query", "BTCUSDT") == code
        assert Decimal(await client.result("price.query", "BTCUSDT")) > 0
        assert await client.error("price.subscribe", "BTCUSDT") == code
        assert await client.pushes() == []

    run(scenario)


def test_a_failure_that_the_exchange_does_not_have_cannot_be_planned() -> None:
    with pytest.raises(ValueError, match=r"no error 99\. Use one of 1, 2, 3, 4, 5, 6, 11"):
        HotbitSimulator().fail_next("price.query", 99)


MALFORMED = [
    pytest.param('{"method": "server.ping", "params": []}', id="no-id"),
    pytest.param('{"method": "server.ping", "params": [], "id": null}', id="id-null"),
    pytest.param('{"method": "server.ping", "params": [], "id": 1.0}', id="id-real"),
    pytest.param('{"method": "server.ping", "params": [], "id": "1"}', id="id-text"),
    pytest.param('{"method": "server.ping", "params": [], "id": true}', id="id-boolean"),
    pytest.param('{"method": "server.ping", "params": [], "id": 9223372036854775808}', id="id-too-large"),
    pytest.param('{"method": "server.ping", "params": {}, "id": 1}', id="params-object"),
    pytest.param('{"method": "server.ping", "id": 1}', id="no-params"),
    pytest.param('{"method": 5, "params": [], "id": 1}', id="method-number"),
    pytest.param('{"method": "server.ping", "params": [NaN], "id": 1}', id="nan"),
    pytest.param('{"method": server.ping}', id="bad-json"),
    pytest.param("[" * 50_000, id="deep"),
    pytest.param("[]", id="no-object"),
    pytest.param(b"\xff\xfe\xfd", id="binary-junk"),
]


@pytest.mark.parametrize("message", MALFORMED)
def test_what_is_no_request_is_met_with_silence(message: str | bytes) -> None:
    async def scenario(_: HotbitSimulator, client: Client) -> None:
        await client.websocket.send(message)
        assert await client.result("server.ping") == "pong"

    run(scenario)


@pytest.mark.parametrize("message", MALFORMED)
def test_strict_ends_the_stream_without_a_close_frame(message: str | bytes) -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        assert await client.result("server.ping") == "pong"
        simulator.fail_next("server.time", 2)
        await client.websocket.send(message)
        await client.send("server.time")
        with pytest.raises(ConnectionClosed) as caught:
            await client.message()
        assert caught.value.rcvd is None
        async with a_client(simulator) as other:
            assert await other.error("server.time") == 2

    run(scenario, strict=True)


@pytest.mark.parametrize("method", ["system.time", "balance.subscribe", "state.updateall", "price", ""])
@pytest.mark.parametrize("strict", [False, True])
def test_an_unknown_method_is_met_with_silence(method: str, *, strict: bool) -> None:
    async def scenario(_: HotbitSimulator, client: Client) -> None:
        await client.send(method, request_id=5)
        assert await client.pushes() == []

    run(scenario, strict=strict)


def test_drop_all_ends_every_stream_without_a_close_frame() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        async with a_client(simulator) as other:
            await simulator.drop_all()
            for dropped in (client, other):
                with pytest.raises(ConnectionClosed) as caught:
                    await dropped.message()
                assert caught.value.rcvd is None
        await simulator.tick()
        async with a_client(simulator) as late:
            assert await late.result("server.ping") == "pong"

    run(scenario)


def test_close_all_says_why() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(simulator.close_all(4001, "maintenance"))
            with pytest.raises(ConnectionClosed) as caught:
                await client.message()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "maintenance")
        async with a_client(simulator) as late:
            assert await late.result("server.ping") == "pong"

    run(scenario)


def test_stop_closes_connections_and_listener_and_may_be_repeated() -> None:
    async def scenario(simulator: HotbitSimulator, client: Client) -> None:
        await simulator.stop()
        with pytest.raises(ConnectionClosed) as caught:
            await client.message()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001
        with pytest.raises(OSError, match="Connect call failed"):
            await connect(simulator.url)
        await simulator.stop()

    run(scenario)


@pytest.mark.parametrize("empty", [False, True])
def test_a_pong_echoes_its_payload_unless_it_is_to_be_empty(*, empty: bool) -> None:
    async def scenario(_: HotbitSimulator, client: Client) -> None:
        answered = await client.websocket.ping(b"payload")
        assert await client.result("server.ping") == "pong"
        assert answered.done() is not empty  # type: ignore[attr-defined]

    run(scenario, empty_pong=empty)


def test_an_empty_pong_is_two_bytes_on_the_wire() -> None:
    async def main() -> None:
        async with asyncio.timeout(DEADLINE_S), HotbitSimulator(empty_pong=True) as simulator:
            host, port = simulator.url.removeprefix("ws://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"\x89\x83\x00\x00\x00\x00abc")
            assert await reader.readexactly(2) == b"\x8a\x00"
            writer.close()

    asyncio.run(main())


def test_with_an_interval_the_market_ticks_by_itself() -> None:
    async def scenario(_: HotbitSimulator, client: Client) -> None:
        await client.result("depth.subscribe", "BTCUSDT", 100, "0")
        received = [await client.message() for _ in range(3)]
        assert methods(received) == ["depth.update"] * 3
        assert [push["params"][0] for push in received] == [True, False, False]

    run(scenario, push_interval_s=0.001)


async def unread(websocket: ClientConnection) -> int:
    """Count the messages until the end of the stream."""
    count = 0
    with contextlib.suppress(ConnectionClosed):
        async for _ in websocket:
            count += 1
    return count


def test_a_client_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        dropped = asyncio.Event()

        async def abort(websocket: ServerConnection) -> None:
            dropped.set()
            await hotbit_socket.abort_stream(websocket)

        monkeypatch.setattr(hotbit, "SEND_TIMEOUT_S", 0.05)
        monkeypatch.setattr(hotbit, "abort_stream", abort)
        async with asyncio.timeout(DEADLINE_S), HotbitSimulator(compression=Compression.TEXT) as simulator:
            async with connect(simulator.url, max_queue=1, compression=None) as websocket:
                for number in range(700):
                    await Client(websocket).send("deals.query", "BTCUSDT", 1000, 0, request_id=number)
                await dropped.wait()
                received = await unread(websocket)
                assert 0 < received < 700
                assert websocket.close_code == 1006
            async with a_client(simulator) as other:
                assert await other.result("server.ping") == "pong"

    asyncio.run(main())


def test_a_silent_peer_cannot_hold_up_the_end_of_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hotbit_socket, "CLOSE_TIMEOUT_S", 0.0)

    async def scenario(_: HotbitSimulator, client: Client) -> None:
        await client.websocket.send("no request")
        with pytest.raises(ConnectionClosed) as caught:
            await client.message()
        assert caught.value.rcvd is None

    run(scenario, strict=True)


def test_the_module_prints_its_url_and_serves_until_sigint() -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "wiretape.simulators.hotbit", "--port", "0", "--compression", "text",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            url = (await process.stdout.readline()).decode().strip()
            async with connect(url) as websocket:
                assert await Client(websocket).result("server.ping") == "pong"
                process.send_signal(signal.SIGINT)
                _, errors = await process.communicate()
        assert (process.returncode, errors) == (0, b"")

    asyncio.run(main())
