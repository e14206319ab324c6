/** Certificates that a device points at: from listed places alone, and only what the reference says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { SoftwareVerifier } from '../../../src/drivers/keys/software/verifier.ts';
import { PeerVerifier } from '../../../src/trust/peers/verifiedPeer.ts';
import type {
  CredentialFetcher,
  FetchedResource,
} from '../../../src/trust/ports/credentialFetch.ts';
import { refuse } from '../../../src/trust/ports/faults.ts';
import { CertificateCredentials } from '../../../src/trust/sessions/certificateCredentials.ts';
import { FetchedChains, isCredentialPrefix } from '../../../src/trust/sessions/fetchedChains.ts';
import { c509FromX509 } from '../../../src/wire/c509/convert.ts';
import { encodeCoseC509 } from '../../../src/wire/c509/coseHeaders.ts';
import * as cbor from '../../../src/wire/cbor/writer.ts';
import type { CredentialReference } from '../../../src/wire/edhoc/idCred.ts';
import { MemoryChainStore } from '../../support/memorySessionWitnesses.ts';
import { MemoryRegistryStore } from '../../support/memoryRegistryStore.ts';
import { testNowMs, testPki } from '../../support/pki.ts';
import { importedDevice, sha256Of } from '../../support/registrySamples.ts';

const prefix = 'https://pki.example.com/devices/';

class Place implements CredentialFetcher {
  readonly asked: string[] = [];
  answer: FetchedResource | undefined;

  async fetch(uri: string): Promise<FetchedResource | ReturnType<typeof refuse<'not-found'>>> {
    this.asked.push(uri);
    return this.answer ?? refuse('not-found', 'nothing here');
  }
}

test('a prefix has a scheme, a host and folders', () => {
  const good = [prefix, 'http://10.0.0.1:8080/', 'https://a/b/c/'];
  const bad = [
    '',
    'https://pki.example.com',
    'https://pki.example.com/devices',
    'https://user@pki.example.com/',
    'https://pki.example.com/a/../',
    'https://pki.example.com/%2e/',
    'ftp://pki.example.com/',
    'https:///',
    'HTTPS://pki.example.com/',
  ];
  assert.deepEqual(good.filter(isCredentialPrefix), good);
  assert.deepEqual(bad.filter(isCredentialPrefix), []);
  assert.throws(() => new FetchedChains(new Place(), [prefix, 'https://a']), TypeError);
});

test('nothing is asked for that is not listed, or that may be read in two ways', async () => {
  const place = new Place();
  const chains = new FetchedChains(place, [prefix]);
  for (const uri of [
    'https://pki.example.com.evil.example/devices/1',
    'https://pki.example.com/device/1',
    'http://pki.example.com/devices/1',
    `${prefix}../secrets`,
    `${prefix}..`,
    `${prefix}a/./b`,
    `${prefix}%2e%2e/secrets`,
    `${prefix}1?to=x`,
    `${prefix}1#x`,
    `${prefix}a\\b`,
    `${prefix}a//b`,
    prefix,
  ]) {
    assert.equal(await chains.chainAt({ kind: 'x5u', uri }), undefined, uri);
  }
  assert.equal(
    await new FetchedChains(place, []).chainAt({ kind: 'x5u', uri: `${prefix}1` }),
    undefined,
  );
  assert.deepEqual(place.asked, []);
  await chains.chainAt({ kind: 'x5u', uri: `${prefix}a/1.cer` });
  assert.deepEqual(place.asked, [`${prefix}a/1.cer`]);
});

test('few at a time', async () => {
  const waiting: Array<() => void> = [];
  const fetcher: CredentialFetcher = {
    fetch: () =>
      new Promise((resolve) => {
        waiting.push(() => resolve(refuse('not-found', 'nothing here')));
      }),
  };
  const chains = new FetchedChains(fetcher, [prefix]);
  const all = Array.from({ length: 20 }, () => chains.chainAt({ kind: 'c5u', uri: `${prefix}1` }));
  assert.equal(waiting.length, 8);
  for (const go of waiting.splice(0)) go();
  await Promise.all(all);
  const later = chains.chainAt({ kind: 'c5u', uri: `${prefix}1` });
  assert.equal(waiting.length, 1);
  waiting[0]?.();
  assert.equal(await later, undefined);
});

const pki = testPki();
const store = new MemoryRegistryStore();
const deviceId = importedDevice(1).identity.deviceId;
const ldevid = pki.ldevid(deviceId);
const der = ldevid.certificate.der;
const c509 = c509FromX509(der, decompressPoint);

async function credentials(place: Place): Promise<CertificateCredentials> {
  await store.importDevices([importedDevice(1)], 1);
  const known = { kind: 'ldevid', holder: deviceId, notAfterMs: undefined } as const;
  for (const encoding of [der, c509]) {
    await store.enrolDevice({ sha256: sha256Of(encoding), ...known }, 1);
  }
  const peers = new PeerVerifier(
    {
      registry: { certificate: (hash) => store.certificate(hash) },
      verifier: new SoftwareVerifier(),
      clock: { nowMs: () => testNowMs },
      sha256: sha256Of,
      decompress: decompressPoint,
    },
    () => ({
      anchors: [{ certificate: pki.operational.certificate, kinds: ['ldevid'] }],
      intermediates: [],
    }),
  );
  return new CertificateCredentials(nodeCrypto, {
    decompress: decompressPoint,
    chains: new MemoryChainStore(),
    located: new FetchedChains(place, [prefix]),
    verify: (chain) => peers.verifyPeer(chain),
    noteUse: async () => undefined,
  });
}

function print(kind: 'x5t' | 'c5t', certificate: Uint8Array, algorithm = -16): CredentialReference {
  const digest = sha256Of(certificate);
  return { kind, algorithm, hash: algorithm === -15 ? digest.subarray(0, 8) : digest };
}

const signing = 'signature';
const atX5u = { kind: 'x5u', uri: `${prefix}1` } as const;
const atC5u = { kind: 'c5u', uri: `${prefix}1` } as const;

test('a device by the place of its certificate, in each media type', async () => {
  const cases = [
    [atX5u, 'application/pkix-cert', der, cbor.bytes(der)],
    [atX5u, 'application/cose-x509', cbor.bytes(der), cbor.bytes(der)],
    [atC5u, 'application/cose-c509-cert', encodeCoseC509([c509]), c509],
  ] as const;
  for (const [reference, mediaType, body, cred] of cases) {
    const place = new Place();
    place.answer = { mediaType, body };
    const resolved = await (await credentials(place)).resolve([reference], signing);
    assert.ok(typeof resolved === 'object', mediaType);
    assert.equal(resolved.deviceId, deviceId);
    assert.deepEqual(resolved.credential.cred, cred);
  }
});

test('what is there must be what the thumbprint says, and is then read once', async () => {
  const place = new Place();
  place.answer = { mediaType: 'application/pkix-cert', body: der };
  const resolver = await credentials(place);
  const other = pki.ldevid('zzzzzzzzzzzzzzzz').certificate.der;
  assert.equal(await resolver.resolve([print('x5t', other), atX5u], signing), 'unknown-credential');
  const resolved = await resolver.resolve([print('x5t', der), atX5u], signing);
  assert.ok(typeof resolved === 'object');
  assert.equal(place.asked.length, 2);
  await resolved.accepted();
  assert.ok(typeof (await resolver.resolve([atX5u, print('x5t', der, -15)], signing)) === 'object');
  assert.equal(place.asked.length, 2);
});

test('refused: another type, another family of hash, more than a pair, nothing there', async () => {
  const place = new Place();
  const resolver = await credentials(place);
  const refused = async (...references: readonly CredentialReference[]): Promise<void> => {
    assert.equal(await resolver.resolve(references, signing), 'unknown-credential');
  };
  await refused(atX5u);
  place.answer = { mediaType: 'text/html', body: der };
  await refused(atX5u);
  place.answer = { mediaType: 'application/cose-c509-cert', body: encodeCoseC509([c509]) };
  await refused(atX5u);
  place.answer = { mediaType: 'application/cose-c509-cert', body: Uint8Array.of(0x40) };
  await refused(atC5u);
  place.answer = { mediaType: 'application/pkix-cert', body: der };
  await refused(atC5u);
  await refused(print('c5t', c509), atX5u);
  await refused(print('x5t', der), print('x5t', der), atX5u);
  await refused(atX5u, atX5u);
  await refused({ kind: 'kid', kid: Uint8Array.of(1) }, atX5u);
  await refused(print('x5t', der, -43), atX5u);
  place.answer = { mediaType: 'application/pkix-cert', body: Uint8Array.of(0x30, 0) };
  assert.equal(await resolver.resolve([atX5u], signing), 'not-authentic');
});
