"""The options of `wiretape replay`: refused by name, and acted on."""

import asyncio
import json
from pathlib import Path

import pytest
from live_exchange import PRICE, an_exchange, ask, stored
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from wiretape.daemon import daemon_beside
from wiretape.main import run
from wiretape_store import StoreReader

_PATIENCE_S = 60


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(("--pace", "fast"), "pace 'fast' is not known: use asap, realtime, step", id="pace"),
        pytest.param(("--relax", "a:/b~c"), "relax 'a:/b~c' is not known: use METHOD", id="relax"),
        pytest.param(("--upstream", "up"), "'up' needs NAME=URL, such as hotbit=wss://", id="upstream"),
        pytest.param(
            ("--upstream", "up=http://x"), "'up' needs NAME=URL", id="upstream that is no WebSocket"
        ),
        pytest.param(
            ("--upstream", "down=ws://x"),
            "no upstream 'down': name one of up",
            id="upstream that is not there",
        ),
        pytest.param(("--stall", "0"), "0.0 is not in the range x>0", id="stall"),
        pytest.param(("--reconnect", "never"), "'refuse', 'last', 'cycle'", id="reconnect"),
        pytest.param(("--repeats", "all"), "'reads', 'never'", id="repeats"),
        pytest.param(
            ("--fault", "drop,nth=0"),
            "--fault drop,nth=0: nth 0 does not fit; give a whole number, 1 or more",
            id="fault",
        ),
        pytest.param(
            ("--fault", "drop,upstream=down"), "no upstream 'down': name one of up", id="upstream of a fault"
        ),
        pytest.param(("--seed", "x"), "'x' is not a valid integer", id="seed"),
        pytest.param(("--record-as", ""), "a recording needs a name", id="record-as"),
    ],
)
def test_an_option_that_says_nothing_is_refused_by_name(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    store = stored(tmp_path / "s.db", "ws://127.0.0.1:9")
    assert run(["replay", "first", "--store", store, "--listen", "127.0.0.1:0", *options]) == 2
    assert said in capfd.readouterr().err


@pytest.mark.parametrize(
    ("written", "status", "said"),
    [
        pytest.param(
            '[{"kind": "cut"}, 7]', 2, "faults.json[1]: is no object; give one such as", id="no fault"
        ),
        pytest.param(None, 1, "faults.json (No such file or directory): name another", id="not there"),
    ],
)
def test_a_file_of_faults_that_cannot_be_read_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], written: str | None, status: int, said: str
) -> None:
    store = stored(tmp_path / "s.db", "ws://127.0.0.1:9")
    if written is not None:
        (tmp_path / "faults.json").write_text(written)
    arguments = ["replay", "first", "--store", store, "--listen", "127.0.0.1:0"]
    assert run([*arguments, "--faults", str(tmp_path / "faults.json")]) == status
    assert said in capfd.readouterr().err


def test_the_faults_of_a_file_and_of_the_command_line_strike_clients(tmp_path: Path) -> None:
    (tmp_path / "faults.json").write_text('[{"kind": "refuse", "status": 503, "connection": 1}]')

    async def test() -> None:
        store = stored(tmp_path / "s.db", "ws://127.0.0.1:9")
        arguments = [
            "replay", "first", "--store", store, "--listen", "127.0.0.1:0", "--seed", "7",
            "--faults", str(tmp_path / "faults.json"), "--fault", "close,method=price.query,code=1012",
        ]  # fmt: skip
        async with daemon_beside(arguments) as replay:
            with pytest.raises(InvalidStatus, match="503"):
                await connect(replay.urls["up"])
            async with connect(replay.urls["up"]) as client:
                await client.send(PRICE)
                with pytest.raises(ConnectionClosed, match="1012"):
                    await client.recv()

    async def bounded() -> None:
        async with asyncio.timeout(_PATIENCE_S):
            await test()

    asyncio.run(bounded())


def test_a_replay_that_records_stores_the_whole_conversation(tmp_path: Path) -> None:
    async def test() -> None:
        async with an_exchange() as exchange:
            store = stored(tmp_path / "s.db", "ws://upstream.invalid")
            arguments = [
                "replay", "first", "--store", store, "--listen", "127.0.0.1:0", "--on-miss", "record",
                "--upstream", f"up={exchange.url}",
            ]  # fmt: skip
            for number in (2, 3):
                async with daemon_beside(arguments) as replay, connect(replay.urls["up"]) as client:
                    await client.send(PRICE)
                    await client.recv()
                    await client.send(ask("depth.query", 4))
                    assert json.loads(await client.recv())["result"] == "live depth.query"
                assert f"recorded as first.{number}" in replay.said
            assert exchange.heard == [ask("depth.query", 4)] * 2
        with StoreReader(store) as reader:
            assert [recording.name for recording in reader.recordings()] == ["first", "first.2", "first.3"]
            assert reader.sessions("first.2")[0].exchanges == 2

    async def bounded() -> None:
        async with asyncio.timeout(_PATIENCE_S):
            await test()

    asyncio.run(bounded())
