"""A server of another house: aiocoap for CoAP, RFC 9668 and OSCORE, lakers for EDHOC.

Takes a task, one JSON document on a line of standard input, says on which port it listens, then a line for every
request that it has verified. Ends with its standard input. Bytes are in hexadecimal.
"""

import asyncio
import json
import logging
import sys

import aiocoap
import aiocoap.resource
import cbor2
from aiocoap.credentials import CredentialsMap
from aiocoap.oscore_sitewrapper import OscoreSiteWrapper


def say(document):
    print(json.dumps(document), flush=True)


class Telemetry(aiocoap.resource.Resource):
    async def render_post(self, request):
        claims = getattr(request.remote, "authenticated_claims", [])
        say({"payload": request.payload.hex(), "claims": list(claims)})
        return aiocoap.Message(code=aiocoap.CHANGED)


def credentials(task, origin):
    """Our own by the origin of the request, as aiocoap 0.4.17 looks for it, and that of the device."""
    key = {1: 2, -1: 1, -4: bytes.fromhex(task["privateKey"])}
    suite = {"suite": 2, "method": 3}
    own = {14: cbor2.loads(bytes.fromhex(task["ownCredential"]))}
    peer = {14: cbor2.loads(bytes.fromhex(task["peerCredential"]))}
    us = {**suite, "own_cred_style": task["style"], "own_cred": own, "private_key": key}
    return {origin + "/*": {"edhoc-oscore": us}, ":device": {"edhoc-oscore": {**suite, "peer_cred": peer}}}


def port_of(context):
    """The port that the system chose."""
    (interface, *_) = context.request_interfaces
    socket = interface.token_interface.message_interface.transport.get_extra_info("socket")
    return socket.getsockname()[1]


async def main():
    task = json.loads(sys.stdin.readline())
    known = CredentialsMap()
    site = aiocoap.resource.Site()
    site.add_resource(["t"], Telemetry())
    wrapped = OscoreSiteWrapper(site, known)
    context = await aiocoap.Context.create_server_context(wrapped, bind=("127.0.0.1", 0), transports=["udp6"])
    port = port_of(context)
    known.load_from_dict(credentials(task, f"coap://127.0.0.1:{port}"))
    say({"port": port})
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await context.shutdown()


logging.basicConfig(level=logging.WARNING)
asyncio.run(main())
