/** The same judgement from two readers: a sensor's, which knows no X.509, and that of devices which do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  judgeNativeServer,
  type NativeServerRules,
} from '../../../src/device/identity/nativeServer.ts';
import type { JudgedServer } from '../../../src/device/identity/serverCertificate.ts';
import { judgeServer, type ServerRules } from '../../../src/device/identity/x509Server.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { concat, equal } from '../../../src/wire/bytes/bytes.ts';
import { bareAnchor } from '../../../src/wire/c509/bareAnchor.ts';
import { c509FromX509 } from '../../../src/wire/c509/convert.ts';
import { prepareNativeCertificate } from '../../../src/wire/c509/native.ts';
import { encodeExtension } from '../../../src/wire/c509/extensions.ts';
import { nativeExtensionIds, readNativeView } from '../../../src/wire/c509/nativeView.ts';
import { CborReader } from '../../../src/wire/cbor/reader.ts';
import * as cbor from '../../../src/wire/cbor/writer.ts';
import { fixedSignature } from '../../../src/wire/der/ecdsa.ts';
import { oidContent } from '../../../src/wire/der/oid.ts';
import { noExpirationMs } from '../../../src/wire/der/time.ts';
import { basicConstraints, keyUsage, subjectAltName } from '../../../src/wire/x509/extensions.ts';
import type { Certificate, Extension } from '../../../src/wire/x509/model.ts';
import { encodeName, parseName } from '../../../src/wire/x509/names.ts';
import { exampleGenerationOid, serverGeneration } from '../../../src/wire/x509/serverGeneration.ts';
import { mutated } from '../../support/fuzz.ts';
import {
  type TestAuthority,
  type TestIdentity,
  type TestKey,
  testKey,
  testPki,
} from '../../support/pki.ts';

const pki = testPki();
const generation = serverGeneration({ generation: 7, floor: 5 }, exampleGenerationOid);
const agreeing = keyUsage('keyAgreement');
const dns = subjectAltName([{ kind: 'dNSName', text: 'sessions.example' }]);
const strange = (critical: boolean): Extension => ({
  oid: '1.3.6.1.4.1.32473.9',
  critical,
  value: Uint8Array.of(5, 0),
});

function issue(extensions: readonly Extension[], authority = pki.server): TestIdentity {
  return authority.issue({ subject: encodeName(['commonName', 'sessions']), extensions });
}

function native(
  { certificate }: Pick<TestIdentity, 'certificate'>,
  signer = pki.server,
): Uint8Array {
  const unsigned = prepareNativeCertificate(certificate);
  return unsigned.finish(signer.key.sign(unsigned.toBeSigned));
}

/** Natively signed by a key that no `TestAuthority` has. */
function issuedBy(
  key: TestKey,
  issuer: string,
  extensions: readonly Extension[],
  subject: string,
  own: TestKey = testKey(),
): Uint8Array {
  const { certificate } = pki.server.issue(
    { subject: encodeName(['commonName', subject]), extensions },
    { spki: own.spki },
  );
  const fields = { ...certificate, issuer: parseName(encodeName(['commonName', issuer])) };
  const unsigned = prepareNativeCertificate(fields);
  return unsigned.finish(key.sign(unsigned.toBeSigned));
}

function anchorOf(certificate: Certificate): Uint8Array {
  const anchor = bareAnchor(certificate);
  assert.ok(anchor);
  return anchor;
}

const shared = { crypto: nodeCrypto, keyUse: 'keyAgreement' } as const;

/** What both say, which has to be the same. */
function judged(
  certificates: readonly Uint8Array[],
  anchor: TestAuthority = pki.server,
): JudgedServer {
  const reference = { kind: 'c5c', certificates } as const;
  const small = judgeNativeServer(reference, smallRules(anchor));
  assert.deepEqual(small, judgeServer(reference, wholeRules(anchor)));
  return small;
}

function smallRules({ certificate }: TestAuthority): NativeServerRules {
  const generationId = oidContent(exampleGenerationOid);
  return { ...shared, anchors: [anchorOf(certificate)], generationId };
}

function wholeRules({ certificate }: TestAuthority): ServerRules {
  const anchors = [certificate.der];
  return { ...shared, anchors, decompress: decompressPoint, generationOid: exampleGenerationOid };
}

test('a server by its natively signed certificate', () => {
  const encoded = native(issue([agreeing, generation]));
  const server = judged([encoded]);
  assert.ok('credential' in server);
  assert.deepEqual([server.generation, server.floor], [7, 5]);
  assert.deepEqual(server.credential.cred, encoded);
  const { publicKey } = server.credential;
  assert.equal(publicKey.curve, 'P-256');
  assert.ok('credential' in judged([native(issue([agreeing, generation, dns, strange(false)]))]));
});

test('a chain with an authority between: the anchor may be the root', () => {
  const leaf = native(issue([agreeing, generation]));
  const between = native({ certificate: pki.server.certificate }, pki.root);
  const server = judged([leaf, between], pki.root);
  assert.ok('credential' in server);
  assert.notEqual(server.anchor, 'anchor' in judged([leaf]) && judged([leaf]));
  assert.deepEqual(judged([leaf], pki.root), { fault: 'no-chain' });
  assert.deepEqual(judged([leaf, leaf], pki.root), { fault: 'no-chain' });
});

test('a path length is kept to', () => {
  const authority = (pathLength: number | undefined, above = pki.server, key = testKey()) => {
    const constraints = basicConstraints({
      ca: true,
      ...(pathLength === undefined ? {} : { pathLength }),
    });
    const subject = encodeName(['commonName', `authority ${String(pathLength)}`]);
    const fields = { subject, extensions: [constraints, keyUsage('keyCertSign')] };
    const identity = above.issue(fields, { spki: key.spki });
    return { identity, key };
  };
  const outcome = (upper: number | undefined): JudgedServer => {
    const first = authority(upper);
    const second = testKey();
    const chain = [
      issuedBy(second, 'authority below', [agreeing, generation], 'sessions'),
      issuedBy(
        first.key,
        `authority ${String(upper)}`,
        [basicConstraints({ ca: true, pathLength: 0 }), keyUsage('keyCertSign')],
        'authority below',
        second,
      ),
      native(first.identity),
    ];
    return judged(chain);
  };
  assert.ok('credential' in outcome(undefined));
  assert.ok('credential' in outcome(1));
  assert.deepEqual(outcome(0), { fault: 'no-chain' });
});

test('each reason to refuse, from either reader', () => {
  const refused = (extensions: readonly Extension[]): JudgedServer =>
    judged([native(issue(extensions))]);
  assert.deepEqual(refused([keyUsage('digitalSignature'), generation]), {
    fault: 'wrong-key-usage',
  });
  assert.deepEqual(refused([generation]), { fault: 'wrong-key-usage' });
  assert.deepEqual(refused([agreeing, generation, strange(true)]), {
    fault: 'unknown-critical-extension',
  });
  assert.deepEqual(refused([agreeing, generation, { ...dns, critical: true }]), {
    fault: 'unknown-critical-extension',
  });
  assert.deepEqual(refused([agreeing]), { fault: 'no-session-server' });
  const authority = [basicConstraints({ ca: true }), keyUsage('keyCertSign', 'keyAgreement')];
  assert.deepEqual(refused([...authority, generation]), { fault: 'an-authority' });
  assert.deepEqual(judged([native(issue([agreeing, generation]), pki.factory)]), {
    fault: 'no-chain',
  });
  const broken = { ...generation, value: Uint8Array.of(0x30, 6, 2, 1, 1, 2, 1, 2) };
  assert.deepEqual(refused([agreeing, broken]), { fault: 'malformed' });
  assert.deepEqual(judged([]), { fault: 'malformed' });
  assert.deepEqual(judged([Uint8Array.of(0x8b, 2)]), { fault: 'malformed' });
});

test('an authority with a critical extension that is not understood leads nowhere', () => {
  const leaf = native(issue([agreeing, generation], pki.factory), pki.factory);
  const between = native({ certificate: pki.factory.certificate }, pki.root);
  assert.ok('credential' in judged([leaf], pki.factory));
  assert.deepEqual(judged([leaf, between], pki.root), { fault: 'no-chain' });
});

/** The ten items before the signature. */
function itemsOf(encoded: Uint8Array): Uint8Array[] {
  const reader = new CborReader(encoded);
  reader.array();
  return Array.from({ length: 10 }, () => reader.item());
}

/** Whatever they are, under a signature that verifies. */
function signed(items: readonly Uint8Array[]): Uint8Array {
  const toBeSigned = cbor.sequence(...items);
  const signature = fixedSignature(pki.server.key.sign(toBeSigned), 32);
  return concat(cbor.head(4, 11), toBeSigned, cbor.bytes(signature));
}

test('what the authority may not have signed is refused by both', () => {
  const good = itemsOf(native(issue([agreeing, generation])));
  const { 8: key = new Uint8Array(0) } = good;
  const bits = cbor.integer(-16);
  const [ku, bc] = [cbor.integer(-2), cbor.integer(-4)];
  const stated = [
    cbor.bytes(oidContent(exampleGenerationOid)),
    cbor.array(cbor.bytes(generation.value)),
  ];
  const general = ({ oid, value }: Extension): Uint8Array[] => [
    cbor.bytes(oidContent(oid)),
    cbor.bytes(value),
  ];
  const usage = cbor.integer(16);
  const afterAll = cbor.integer(noExpirationMs / 1000);
  const others: ReadonlyArray<readonly [item: number, Uint8Array]> = [
    [0, cbor.integer(1)],
    [1, cbor.bytes(Uint8Array.of(0, 1))],
    [4, afterAll],
    [5, afterAll],
    // x alone, as EDHOC has it.
    [8, cbor.bytes(key.subarray(3))],
    [9, cbor.array(ku, usage)],
    [9, cbor.array(ku, bits, ...stated)],
    [9, cbor.array(ku, cbor.integer(2 ** 32 + 16), ...stated)],
    [9, cbor.array(ku, usage, bc, cbor.integer(-3), ...stated)],
    [9, cbor.array(ku, usage, ...stated, ...stated)],
    [9, cbor.array(ku, usage, ...stated, ku)],
    [9, cbor.array(ku, usage, ...general(basicConstraints({ ca: true })), ...stated)],
    [9, cbor.array(...general(agreeing), ...stated)],
  ];
  assert.ok('credential' in judged([signed(good)]));
  for (const [item, other] of others) {
    const certificate = signed(good.with(item, other));
    assert.deepEqual(
      judged([certificate]),
      { fault: 'malformed' },
      Buffer.from(other).toString('hex'),
    );
  }
});

test('what a sensor accepts, whatever an authority signed, the reader of X.509 accepts', () => {
  const items = itemsOf(native(issue([agreeing, generation])));
  const asked = [
    [agreeing, generation],
    [generation, basicConstraints({ ca: false }), agreeing],
  ];
  const good = asked.map((extensions) => {
    const pairs = extensions.flatMap((extension) => encodeExtension(extension, 2));
    return cbor.sequence(...items.with(9, cbor.array(...pairs)));
  });
  const edit = fc.tuple(fc.nat(9_999), fc.nat(255));
  let accepted = 0;
  const property = fc.property(
    fc.constantFrom(...good),
    fc.array(edit, { maxLength: 2 }),
    (bytes, edits) => {
      const changed = bytes.slice();
      for (const [at, value] of edits) changed[at % changed.length] = value;
      const reference = { kind: 'c5c', certificates: [signed([changed])] } as const;
      const small = judgeNativeServer(reference, smallRules(pki.server));
      if ('fault' in small || readsOver(reference.certificates[0])) return;
      accepted += 1;
      assert.deepEqual(small, judgeServer(reference, wholeRules(pki.server)));
    },
  );
  fc.assert(property, { numRuns: 600 });
  assert.ok(accepted > 100, `${accepted} were accepted`);
});

/** Extensions that only the other reader looks into. */
function readsOver(encoded: Uint8Array): boolean {
  const asked: readonly unknown[] = Object.values(nativeExtensionIds);
  const { extensions } = readNativeView(encoded);
  const generationId = oidContent(exampleGenerationOid);
  return extensions.some(({ id }) =>
    typeof id === 'number' ? !asked.includes(id) : !equal(id, generationId),
  );
}

test('what needs X.509 is none of a sensor', () => {
  const identity = issue([agreeing, generation]);
  const rules = {
    ...shared,
    anchors: [anchorOf(pki.server.certificate)],
    generationId: oidContent(exampleGenerationOid),
  };
  const { der } = identity.certificate;
  for (const reference of [
    { kind: 'c5c', certificates: [c509FromX509(der, decompressPoint)] },
    { kind: 'x5chain', certificates: [der] },
    { kind: 'kid', kid: Uint8Array.of(1) },
  ] as const) {
    assert.deepEqual(judgeNativeServer(reference, rules), { fault: 'malformed' });
  }
  const good = { kind: 'c5c', certificates: [native(identity)] } as const;
  const broken = [cbor.array(cbor.text('root'), cbor.integer(1), cbor.bytes(new Uint8Array(33)))];
  assert.deepEqual(judgeNativeServer(good, { ...rules, anchors: broken }), { fault: 'malformed' });
});

test('no byte of what was signed can be changed', () => {
  const encoded = native(issue([agreeing, generation, dns]));
  fc.assert(
    fc.property(mutated([encoded]), (other) => {
      const rules = { ...shared, anchors: [anchorOf(pki.server.certificate)] };
      const generationId = oidContent(exampleGenerationOid);
      const reference = { kind: 'c5c', certificates: [other] } as const;
      const verdict = judgeNativeServer(reference, { ...rules, generationId });
      const same =
        Buffer.from(other).equals(encoded) || Buffer.from(other).equals(encoded.subarray(1));
      assert.equal('fault' in verdict, !same);
    }),
    { numRuns: 500 },
  );
});
