"""A plain client of the exchange on the websockets library; prints what it saw as JSON lines."""

import asyncio
import gzip
import json
import sys

from script import REQUESTS, is_last
from websockets.asyncio.client import connect


async def main() -> None:
    async with connect(sys.argv[1], proxy=None) as client:
        for request in REQUESTS:
            await client.send(request)
            while True:
                text = gzip.decompress(await client.recv(decode=False)).decode()
                print(json.dumps(text))
                if is_last(text):
                    break


asyncio.run(main())
