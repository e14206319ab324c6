"""A client of another house: aiocoap for CoAP, RFC 9668 and OSCORE, lakers for EDHOC.

Reads a task, one JSON document on a line of standard input; then every line is a request, and every response a line
of standard output. All requests of one process are under one security context. Bytes are in hexadecimal.
"""

import asyncio
import json
import sys

import aiocoap
import cbor2


def credentials(task):
    return {
        "suite": 2,
        "method": 3,
        "own_cred_style": task["style"],
        "own_cred": {14: cbor2.loads(bytes.fromhex(task["ownCredential"]))},
        "private_key": {1: 2, -1: 1, -4: bytes.fromhex(task["privateKey"])},
        "peer_cred": {14: cbor2.loads(bytes.fromhex(task["peerCredential"]))},
    }


def keep_established(context, pattern):
    """aiocoap 0.4.17 forgets the context that a handshake gave: every request would make another one."""
    edhoc = context.client_credentials[pattern]
    establish = edhoc.establish_context

    async def established(**arguments):
        context.client_credentials[pattern] = await establish(**arguments)
        return context.client_credentials[pattern]

    edhoc.establish_context = established


async def main():
    lines = iter(sys.stdin.readline, "")
    task = json.loads(next(lines))
    context = await aiocoap.Context.create_client_context()
    pattern = task["uri"] + "/*"
    context.client_credentials.load_from_dict({pattern: {"edhoc-oscore": credentials(task)}})
    keep_established(context, pattern)
    try:
        for line in lines:
            request = json.loads(line)
            message = aiocoap.Message(
                code=aiocoap.Code[request["method"]],
                uri=task["uri"] + request["path"],
                payload=bytes.fromhex(request["payload"]),
            )
            try:
                response = await asyncio.wait_for(context.request(message).response, 20)
                said = {"code": response.code.dotted, "payload": response.payload.hex()}
            except aiocoap.error.Error as error:
                said = {"error": repr(error)}
            print(json.dumps(said), flush=True)
    finally:
        await context.shutdown()


asyncio.run(main())
