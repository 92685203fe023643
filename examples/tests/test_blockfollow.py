"""The block follower: what it finds, blocks and transfers, and what it does when the node goes away."""

from typing import Any

import pytest

from blockfollow import Block, BlockFollower
from wiretape.pytest_plugin import Wiretape
from wiretape.pytest_plugin.upstreams import Upstreams

PAYER, PAYEE = "ANz2yb5TKutLACDW7uzku223m5YNE2aGNn", "AbN8x8VCtqMbmXrw4ZUeYBwR8vuynePUJV"
FEES = "AFmseVrdL9f9oyCzZefL9tG6UbviEH9ugK"


@pytest.mark.wiretape("fixtures/looking_around.tape")
async def test_it_looks_around(wiretape: Wiretape, wiretape_upstreams: Upstreams) -> None:
    url = wiretape.url("ontology")

    async with BlockFollower(url, checkpoint=100, addresses=[PAYER, PAYEE], idle=3600) as follower:
        pass

    assert (follower.version, follower.network_id, follower.height) == ("v2.5.9", 2, 100)
    assert follower.balances[PAYER] == {"ont": 1000011, "ong": 9855884795919031594, "height": 100}
    # More than a signed integer of 64 bits holds, and much more than a double does.
    assert follower.checkpoint_block["Header"]["ConsensusData"] == 11424924518979741360


@pytest.mark.wiretape("fixtures/blocks.tape", pace="step")
async def test_it_yields_blocks_and_transfers(wiretape: Wiretape, wiretape_upstreams: Upstreams) -> None:
    blocks: list[Block] = []
    events: list[dict[str, Any]] = []

    async with BlockFollower(
        wiretape.url("ontology"), checkpoint=1, addresses=[PAYER], on_event=events.append, idle=3600
    ) as follower:
        wiretape.step(method="sendblocktxhashs")
        async for block in follower:
            blocks.append(block)
            if len(blocks) == 5:
                break
            wiretape.step(method="sendblocktxhashs")

    assert [block.height for block in blocks] == [101, 102, 103, 104, 105]
    assert [len(block.transactions) for block in blocks] == [2, 3, 0, 1, 2]
    assert [
        (block.height, transfer.sender, transfer.recipient, transfer.amount)
        for block in blocks
        for transfer in block.transfers
    ] == [
        (101, PAYER, PAYEE, 9007200206323791),
        (101, PAYER, FEES, 50_000_000),
        (102, PAYER, PAYEE, 9007199569613607),
        (102, PAYER, FEES, 50_000_000),
        (105, PAYER, FEES, 50_000_000),
    ]
    assert [event["State"] for event in events] == [1, 1, 1, 0]


@pytest.mark.wiretape("fixtures/gone.tape")
async def test_it_misses_no_block_when_it_was_dropped(
    wiretape: Wiretape, wiretape_upstreams: Upstreams
) -> None:
    async def backoff(_attempt: int) -> None:
        wiretape_upstreams.step("ontology", 3)  # blocks that nobody tells it of

    heights: list[int] = []
    async with BlockFollower(wiretape.url("ontology"), checkpoint=1, backoff=backoff, idle=3600) as follower:
        wiretape_upstreams.step("ontology")
        async for block in follower:
            heights.append(block.height)
            if block.height == 101:
                wiretape_upstreams.drop("ontology")
            elif block.height == 104:
                break

    assert heights == [101, 102, 103, 104]
