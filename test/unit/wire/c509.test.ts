/** C509 certificates: the draft's examples both ways, and what must be refused. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { parseC509Certificate } from '../../../src/wire/c509/certificate.ts';
import { c509FromX509, x509FromC509 } from '../../../src/wire/c509/convert.ts';
import { fixedSignature } from '../../../src/wire/der/ecdsa.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';

const vectors = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../vectors/c509/certificates.json'), 'utf8'),
) as Record<string, { readonly x509?: string; readonly c509: string }>;

for (const [name, { x509, c509 }] of Object.entries(vectors)) {
  if (x509 === undefined) continue;
  test(`${name}: both ways`, () => {
    assert.equal(toHex(c509FromX509(fromHex(x509), decompressPoint)), c509);
    assert.equal(toHex(x509FromC509(fromHex(c509), decompressPoint)), x509);
  });
  test(`${name}: the older sequence is read too`, () => {
    const read = parseC509Certificate(fromHex(c509.slice(2)), decompressPoint);
    assert.equal(toHex(read.encoded), c509);
    assert.equal(toHex(read.certificate.der), x509);
  });
}
