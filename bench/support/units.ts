/** Elements as a station presents them: each with its own key and its proof. */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { sequence } from '../../src/wire/der/writer.ts';
import type { UnitRequest } from '../../src/wire/line/endorsement.ts';
import { prepareCertificationRequest } from '../../src/wire/x509/certificationRequest.ts';

export function makeUnits(count: number): readonly UnitRequest[] {
  return Array.from({ length: count }, () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const spki = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }));
    const request = prepareCertificationRequest({ subject: sequence(), spki });
    return {
      uid: new Uint8Array(randomBytes(9)),
      model: 'SW-1',
      firmware: '1.0',
      csr: request.finish('ecdsa-with-SHA256', sign('sha256', request.toBeSigned, privateKey)),
      agree: undefined,
      proofLevel: 'line-anchored',
      evidence: undefined,
    };
  });
}
