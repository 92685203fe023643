"""Print the blocks of a node, with the transfers of some addresses."""

import argparse
import asyncio
import logging
import signal

from blockfollow.follower import BlockFollower


async def follow(args: argparse.Namespace) -> None:
    follower = BlockFollower(args.url, checkpoint=args.checkpoint, addresses=args.addresses)
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, follower.stop)
    async with follower:
        print(f"node {follower.version}, network {follower.network_id}")
        header = follower.checkpoint_block["Header"]
        print(f"block {args.checkpoint}: consensus data {header['ConsensusData']}")
        for address, balance in follower.balances.items():
            print(f"{address}: {balance}", flush=True)
        async for block in follower:
            print(block.height, block.hash, f"{len(block.transactions)} txs")
            for transfer in block.transfers:
                print(f"  {transfer.sender} -> {transfer.recipient} {transfer.amount}")
            if block.height == args.last:
                break


def main() -> None:
    parser = argparse.ArgumentParser(prog="blockfollow", description=__doc__)
    parser.add_argument("url", help="the node, for example ws://polaris1.ont.io:20335")
    parser.add_argument("addresses", nargs="*", help="addresses to watch, base58")
    parser.add_argument("--checkpoint", type=int, default=0, help="a height to fetch")
    parser.add_argument("--last", type=int, help="the height to stop at")
    logging.basicConfig(format="%(levelname)s %(message)s")
    asyncio.run(follow(parser.parse_args()))


if __name__ == "__main__":
    main()
