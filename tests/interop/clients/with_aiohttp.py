"""A plain client of the exchange on aiohttp; prints what it saw as JSON lines."""

import asyncio
import gzip
import json
import sys

import aiohttp
from script import REQUESTS, is_last


async def main() -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(sys.argv[1], heartbeat=30) as client:
        for request in REQUESTS:
            await client.send_str(request)
            while True:
                text = gzip.decompress(await client.receive_bytes()).decode()
                print(json.dumps(text))
                if is_last(text):
                    break


asyncio.run(main())
