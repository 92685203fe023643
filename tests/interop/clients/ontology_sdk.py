"""Calls a node through the unmodified ontology-python-sdk; prints what it saw as JSON lines."""

import asyncio
import json
import sys

from ontology.core.invoke_transaction import InvokeTransaction
from ontology.network.websocket import Websocket

ACCOUNT = sys.argv[2]
TRANSACTION = sys.argv[3]
NATIVE = "0200000000000000000000000000000000000000"


async def main() -> None:
    client = Websocket(sys.argv[1])
    invocation = InvokeTransaction(payer=ACCOUNT, gas_price=500, gas_limit=20000, payload=bytearray(b"\x51"))
    # The SDK draws nonces at random; the same client must do the same twice to be replayed.
    invocation.nonce = 7
    calls = [
        client.send_heartbeat,
        client.get_connection_count,
        client.get_session_count,
        lambda: client.get_balance(ACCOUNT),
        lambda: client.get_storage(NATIVE, "00"),
        lambda: client.get_contract(NATIVE),
        lambda: client.get_contract_event_by_tx_hash(TRANSACTION),
        lambda: client.get_contract_event_by_height(100),
        lambda: client.get_block_height_by_tx_hash(TRANSACTION),
        lambda: client.get_merkle_proof(TRANSACTION),
        client.get_block_height,
        lambda: client.get_block_hash_by_height(100),
        lambda: client.get_block_by_height(100),
        lambda: client.get_unbound_ong(ACCOUNT),
        lambda: client.send_raw_transaction_pre_exec(invocation),
        lambda: client.send_raw_transaction(invocation),
        lambda: client.subscribe(NATIVE, True, True, False, False),
        lambda: client.subscribe(NATIVE, False, False, False, False),
        client.send_heartbeat,
    ]
    for call in calls:
        print(json.dumps(await call(), sort_keys=True))
    await client.close_connect()


asyncio.run(main())
