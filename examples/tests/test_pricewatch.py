"""The price watcher: catching up, moves, and what it does when the exchange goes away."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from pricewatch import Move, PriceWatcher
from wiretape.pytest_plugin import Wiretape
from wiretape.pytest_plugin.upstreams import Upstreams

START, END = 1_513_131_600, 1_513_135_200  # the hour before the simulated exchange begins


def watch(url: str, *markets: str, on_move: Callable[[Move], object], **more: Any) -> PriceWatcher:
    """A watcher to whom every change is a move, and who is patient."""
    return PriceWatcher(
        url, markets, start=START, end=END, threshold=Decimal("0.000001"), on_move=on_move, idle=3600, **more
    )


@pytest.mark.wiretape("fixtures/catching_up.tape")
async def test_it_catches_up(wiretape: Wiretape, wiretape_upstreams: Upstreams) -> None:
    moves: list[Move] = []

    async with watch(wiretape.url("hotbit"), "BTCUSDT", "ETHUSDT", on_move=moves.append) as watcher:
        bitcoin, ether = watcher.quotes["BTCUSDT"], watcher.quotes["ETHUSDT"]

    assert watcher.server_time == 1_513_135_140
    assert {market: len(closes) for market, closes in watcher.closes.items()} == {
        "BTCUSDT": 60,
        "ETHUSDT": 60,
    }
    assert watcher.closes["BTCUSDT"][-1] == (1_513_135_140, Decimal("7998.01"))
    assert (bitcoin.price, bitcoin.volume) == (Decimal("7998.01"), Decimal("77.8629"))
    assert (ether.price, ether.volume) == (Decimal("611.86"), Decimal("791.914"))
    assert moves == []


@pytest.mark.wiretape("fixtures/catching_up.tape")
async def test_a_crash_is_a_move(wiretape: Wiretape, wiretape_upstreams: Upstreams) -> None:
    if wiretape.recording:
        pytest.skip("the exchange cannot be made to crash; the test above records the tape")
    moves: list[Move] = []

    def on_move(move: Move) -> None:
        moves.append(move)
        watcher.stop()

    watcher = watch(wiretape.url("hotbit"), "BTCUSDT", "ETHUSDT", on_move=on_move)
    async with watcher:
        wiretape.push("hotbit", {"method": "price.update", "params": ["BTCUSDT", "12.50000000"], "id": None})
        await watcher.run()

    assert moves == [Move("BTCUSDT", Decimal("7998.01"), Decimal("12.5"))]


@pytest.mark.wiretape("fixtures/moves.tape", pace="step", order="free")
async def test_it_tells_moves_as_they_come(wiretape: Wiretape, wiretape_upstreams: Upstreams) -> None:
    moves: list[Move] = []

    def on_move(move: Move) -> None:
        moves.append(move)
        if len(moves) == 1:
            wiretape.step(method="price.update")
        else:
            watcher.stop()

    watcher = watch(wiretape.url("hotbit"), "BTCUSDT", on_move=on_move)
    async with watcher:
        wiretape.step(method="price.update")  # the first is the price as it is
        wiretape.step(method="price.update")
        await watcher.run()

    assert [str(move.after) for move in moves] == ["7997.98000000", "7998.04000000"]


# Hotbit's protocol lets the last_id of deals.query differ; here it is known, so it must not.
@pytest.mark.wiretape("fixtures/dropped.tape", strict="relaxed")
async def test_it_comes_back_and_catches_up_when_it_was_dropped(
    wiretape: Wiretape, wiretape_upstreams: Upstreams
) -> None:
    moves: list[Move] = []
    attempts: list[int] = []

    def on_move(move: Move) -> None:
        moves.append(move)
        if len(moves) == 2:
            wiretape_upstreams.drop("hotbit")
        elif len(moves) == 3:
            watcher.stop()

    async def backoff(attempt: int) -> None:
        attempts.append(attempt)
        wiretape_upstreams.step("hotbit", 4)  # what happens meanwhile

    watcher = watch(wiretape.url("hotbit"), "BTCUSDT", on_move=on_move, backoff=backoff)
    async with watcher:
        wiretape_upstreams.step("hotbit", 3)
        await watcher.run()

    assert attempts == [1]
    assert [str(move.after) for move in moves] == ["7997.98000000", "7998.04000000", "7997.87"]
    assert watcher.quotes["BTCUSDT"].volume == Decimal("80.3418")


@pytest.mark.wiretape("fixtures/dropped.tape", strict="relaxed")
async def test_it_tries_again_until_the_exchange_is_back(
    wiretape: Wiretape, wiretape_upstreams: Upstreams
) -> None:
    if wiretape.recording:
        pytest.skip("the exchange cannot be made to refuse; the test above records the tape")
    attempts: list[int] = []

    async def backoff(attempt: int) -> None:
        attempts.append(attempt)
        if attempt == 3:
            wiretape.clear_faults()

    def on_move(move: Move) -> None:
        if move.after == Decimal("7998.04"):
            wiretape.fault("refuse", status=503)
        elif move.after == Decimal("7997.87"):
            watcher.stop()

    watcher = watch(wiretape.url("hotbit"), "BTCUSDT", on_move=on_move, backoff=backoff)
    async with watcher:
        await watcher.run()

    assert attempts == [1, 2, 3]
    assert watcher.quotes["BTCUSDT"].volume == Decimal("80.3418")
