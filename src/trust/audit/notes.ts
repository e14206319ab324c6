/** Signatures of checkpoints: the log's own, and those of its witnesses. */
import { equal } from '../../wire/bytes/bytes.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import {
  cosignatureMessage,
  parseCosignature,
  type SignedCheckpoint,
} from '../../wire/tlog/checkpoint.ts';
import { ed25519Oid, ed25519Spki, type NoteKey } from '../../wire/tlog/noteKey.ts';
import type { SignatureVerifier } from '../ports/keys.ts';

/** Whether that log signed the checkpoint. */
export function signedBy(
  verifier: SignatureVerifier,
  note: SignedCheckpoint,
  key: NoteKey,
): boolean {
  if (key.kind !== 'log') return false;
  return signaturesOf(note, key).some((signature) =>
    verifier.verify(ed25519Spki(key.publicKey), ed25519Oid, utf8(note.text), signature),
  );
}

/** When that witness saw the checkpoint last, in seconds; `undefined` when it did not sign it. */
export function witnessedAt(
  verifier: SignatureVerifier,
  note: SignedCheckpoint,
  key: NoteKey,
): number | undefined {
  if (key.kind !== 'witness') return undefined;
  const spki = ed25519Spki(key.publicKey);
  const times = signaturesOf(note, key).flatMap((value) => {
    const cosignature = parseCosignature(value);
    if (cosignature === undefined) return [];
    const { timeSeconds, signature } = cosignature;
    const message = cosignatureMessage(note.text, timeSeconds);
    return verifier.verify(spki, ed25519Oid, message, signature) ? [timeSeconds] : [];
  });
  return times.length === 0 ? undefined : Math.max(...times);
}

function signaturesOf(note: SignedCheckpoint, { name, keyId }: NoteKey): readonly Uint8Array[] {
  return note.signatures
    .filter((line) => line.keyName === name && equal(line.keyId, keyId))
    .map(({ signature }) => signature);
}
