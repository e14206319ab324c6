/** Records as callers see them. Keys and certificates stand for themselves; no secret is known here. */
import type { CloneRecord } from '../../trust/ports/cloneStore.ts';
import type { CertificateRecord, DeviceRecord } from '../../trust/ports/registryStore.ts';
import type { TelemetryMessage } from '../../trust/ports/telemetryStore.ts';
import { toBase64 } from '../../wire/bytes/base64.ts';
import { toHex } from '../../wire/bytes/hex.ts';

export function deviceDocument(device: DeviceRecord): object {
  return {
    deviceId: device.deviceId,
    state: device.state,
    role: device.role,
    product: device.product,
    owner: device.owner,
    family: device.family,
    uid: toHex(device.uid),
    eui64: device.eui64 === undefined ? null : toHex(device.eui64),
    proofLevel: device.proofLevel,
    importedMs: device.importedMs,
    enrolledMs: device.enrolledMs ?? null,
    revokedMs: device.revokedMs ?? null,
    revocationReason: device.revocationReason ?? null,
    heldMs: device.heldMs ?? null,
  };
}

export function certificateDocument(certificate: CertificateRecord): object {
  return {
    sha256: toHex(certificate.sha256),
    kind: certificate.kind,
    holder: certificate.holder,
    state: certificate.state,
    addedMs: certificate.addedMs,
    notAfterMs: certificate.notAfterMs ?? null,
    revokedMs: certificate.revokedMs ?? null,
    revocationReason: certificate.revocationReason ?? null,
  };
}

/** For a person to judge: nothing is decided by it. */
export function cloneDocument(evidence: CloneRecord): object {
  return {
    seenMs: evidence.seenMs,
    reason: evidence.reason,
    sessionId: evidence.sessionId,
    sequenceNumber: evidence.sequenceNumber,
    ingress: evidence.ingress,
    linkAddress: toHex(evidence.linkAddress),
    messageSha256: toHex(evidence.messageHash),
  };
}

export function messageDocument(message: TelemetryMessage): object {
  return {
    sequence: message.sequence,
    receivedMs: message.receivedMs,
    path: message.path,
    payload: toBase64(message.payload),
  };
}
