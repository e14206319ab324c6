"""One handshake of another house: lakers, in Rust, with its own messages, exporter and key update.

Reads a task, one JSON document on a line of standard input, with its role; then a line for every message that comes
and one for every message that goes. Bytes are in hexadecimal.
"""

import json
import sys

import lakers

# Its own are random octets, which are now and then those of the other side, and refused (RFC 9528 section 3.3.3).
C_I = b"\x0e"
C_R = b"\x27"

lines = iter(sys.stdin.readline, "")


def heard(name):
    return bytes.fromhex(json.loads(next(lines))[name])


def say(**members):
    said = {name: value.hex() if isinstance(value, bytes) else value for name, value in members.items()}
    print(json.dumps(said), flush=True)


def read(task, name):
    return bytes.fromhex(task[name])


def style(task):
    by_value = task["style"] == "by-value"
    return lakers.CredentialTransfer.ByValue if by_value else lakers.CredentialTransfer.ByReference


def items(task):
    return [lakers.EADItem(label, False, bytes.fromhex(value)) for label, value in task["ead"]]


def shown(ead):
    return [[item.label(), bytes(item.value() or []).hex()] for item in ead]


def keys(side):
    secret = side.edhoc_exporter(0, b"", 16)
    # lakers 0.6.2 writes a label of 24 and more as one raw byte; RFC 9528 section 4.1.2 has a CBOR integer there.
    other = side.edhoc_exporter(2, b"context", 40)
    side.edhoc_key_update(b"epoch 1")
    return {"secret": secret, "other": other, "updated": side.edhoc_exporter(0, b"", 16)}


def initiate(task):
    initiator = lakers.EdhocInitiator()
    say(message1=initiator.prepare_message_1(C_I, items(task)))
    c_r, id_cred_r, ead_2 = initiator.parse_message_2(heard("message2"))
    own, peer = read(task, "ownCredential"), read(task, "peerCredential")
    initiator.verify_message_2(read(task, "privateKey"), own, peer)
    message_3, _ = initiator.prepare_message_3(style(task), None)
    say(message3=message_3, idCred=id_cred_r, connectionId=c_r, ead=shown(ead_2))
    ead_4 = initiator.process_message_4(heard("message4"))
    say(ead=shown(ead_4), **keys(initiator))


def respond(task):
    responder = lakers.EdhocResponder(read(task, "privateKey"), read(task, "ownCredential"))
    c_i, ead_1 = responder.process_message_1(heard("message1"))
    message_2 = responder.prepare_message_2(style(task), C_R, None)
    say(message2=message_2, connectionId=c_i, ead=shown(ead_1))
    id_cred_i, ead_3 = responder.parse_message_3(heard("message3"))
    responder.verify_message_3(read(task, "peerCredential"))
    message_4 = responder.prepare_message_4(items(task))
    say(message4=message_4, idCred=id_cred_i, ead=shown(ead_3), **keys(responder))


task = json.loads(next(lines))
try:
    (initiate if task["role"] == "initiator" else respond)(task)
except ValueError as error:
    say(refused=str(error))
