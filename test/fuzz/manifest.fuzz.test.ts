/** Manifests: splitter and entry reader take any bytes, in any pieces. */
import {
  compressedBytes,
  rebuildCertificate,
} from '../../src/wire/manifest/compressedCertificate.ts';
import { templateFrom } from '../../src/wire/manifest/certificateTemplate.ts';
import { readEntry } from '../../src/wire/manifest/entry.ts';
import { EntrySplitter } from '../../src/wire/manifest/splitter.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { utf8 } from '../../src/wire/bytes/utf8.ts';
import { fuzz } from '../support/fuzz.ts';
import { publishedManifest, publishedPayload } from '../support/manifestVector.ts';

const entry = readEntry(new EntrySplitter().push(publishedManifest)[0] ?? never());
const [leaf = new Uint8Array(), signer = new Uint8Array()] =
  entry.record.keys[0]?.certificates ?? [];

/** Valid entries whose signed parts are mutated before they are encoded again. */
function reencoded(payload: Uint8Array): Uint8Array {
  const header = { typ: 'JWT', alg: 'ES256', kid: 'AA', 'x5t#S256': 'A'.repeat(43) };
  return utf8(
    JSON.stringify([
      {
        payload: Buffer.from(payload).toString('base64url'),
        protected: Buffer.from(JSON.stringify(header)).toString('base64url'),
        header: { uniqueId: '00' },
        signature: 'A'.repeat(86),
      },
    ]),
  );
}

function readManifest(input: Uint8Array): void {
  const splitter = new EntrySplitter();
  const cut = (input[0] ?? 0) % (input.length + 1);
  for (const part of [input.subarray(0, cut), input.subarray(cut)]) {
    for (const text of splitter.push(part)) readEntry(text);
  }
  splitter.end();
}

fuzz({ name: 'manifest', read: readManifest, valid: [publishedManifest] });

fuzz({
  name: 'manifest-payload',
  read: (input) => readManifest(reencoded(input)),
  valid: [
    utf8(JSON.stringify({ version: 1, model: 'x', publicKeySet: { keys: [{ kid: '0' }] } })),
    publishedPayload,
  ],
});

const template = templateFrom(leaf, entry.record.uniqueId);
const inputs = {
  chipSerial: entry.record.uniqueId,
  publicKey: entry.record.keys[0]?.point ?? leaf,
  authorityKey: entry.record.keys[0]?.point ?? leaf,
};

fuzz({
  name: 'compressed-certificate',
  read: (input) => rebuildCertificate(template, input, inputs, nodeCrypto),
  valid: [Uint8Array.from({ length: compressedBytes }, (_, index) => (index < 64 ? index : 0xa0))],
});

fuzz({
  name: 'certificate-template',
  read: (input) => templateFrom(input, entry.record.uniqueId),
  valid: [leaf, signer],
});

function never(): never {
  throw new Error('the published manifest has an entry');
}
