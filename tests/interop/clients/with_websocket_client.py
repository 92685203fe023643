"""A plain client of the exchange on websocket-client; prints what it saw as JSON lines."""

import gzip
import json
import sys

import websocket
from script import REQUESTS, is_last

client = websocket.create_connection(sys.argv[1])
for request in REQUESTS:
    client.send(request)
    while True:
        packed = client.recv()
        assert isinstance(packed, bytes)
        text = gzip.decompress(packed).decode()
        print(json.dumps(text))
        if is_last(text):
            break
client.close()
