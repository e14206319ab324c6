/**
 * What we issue, judged by a linter that is not ours: pkilint, for RFC 5280 and RFC 6960. What it finds is
 * nothing, or stands here with its reason.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { builtInProfiles } from '../../src/trust/issuance/profiles.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { encodeOcspRequest } from '../../src/wire/ocsp/request.ts';
import { EveryProfile } from '../support/issuing/everyProfile.ts';
import { testSigner } from '../support/issuing/world.ts';
import { needsPython, PythonPeer } from '../support/python.ts';
import { StatusWorld } from '../support/status.ts';

class Linter {
  readonly #peer: PythonPeer;

  constructor(context: TestContext) {
    this.#peer = PythonPeer.start(context, 'lint.py');
  }

  async findings(kind: 'certificate' | 'crl' | 'ocsp', der: Uint8Array): Promise<string[]> {
    const { findings } = await this.#peer.ask({ kind, der: toHex(der) });
    assert.ok(Array.isArray(findings));
    return findings.map(String);
  }
}

test('a certificate of every profile', needsPython, async (context) => {
  const linter = new Linter(context);
  const world = await EveryProfile.create(context, Date.UTC(2026, 5, 1, 12));
  const found: Record<string, string[]> = {};
  const statusKey = new Uint8Array(33).fill(2);
  for (const [role, der] of world.certificates) {
    const findings = await linter.findings('certificate', der);
    if (findings.length > 0) found[`authority ${role}`] = findings;
  }
  for (const profile of builtInProfiles.values()) {
    if (profile.authority !== undefined) continue;
    const generation =
      profile.generationOid === undefined
        ? {}
        : { generation: { generation: 2, floor: 1, statusKey } };
    const content = {
      ...generation,
      spki: testSigner().publicKeySpki,
      name: '0123456789abcdef',
      hosts: ['door.example', '192.0.2.1'],
      hardware: {
        hwType: '1.3.6.1.4.1.32473.1',
        hwSerialNum: Uint8Array.of(1, 0x23, 0, 0, 0, 0, 0, 7, 0xee),
      },
    };
    const issued = await world.issue({ profile: profile.name, content });
    assert.ok(!isRefusal(issued), `${profile.name}: ${isRefusal(issued) ? issued.reason : ''}`);
    const findings = await linter.findings('certificate', issued.certificate);
    if (findings.length > 0) found[profile.name] = findings;
  }
  // docs/standards.md: an empty URI constraint is no host by RFC 5280 §4.2.1.10, and excludes every host for
  // whoever reads it.
  const everyUri = [
    'pkix.invalid_uri_syntax @ certificate.tbsCertificate.extensions.2.extnValue.nameConstraints.excludedSubtrees.1.base.uniformResourceIdentifier',
  ];
  assert.deepEqual(found, {
    'authority factory': everyUri,
    'authority operational': everyUri,
    'authority chip-signer': everyUri,
  });
});

test('lists, empty and not, and answers', needsPython, async (context) => {
  const linter = new Linter(context);
  const world = await StatusWorld.create(context);
  const open = await world.open();
  const { serialNumber } = await world.issue(open, '0123456789abcdef');
  const lists = ['operational', 'server'].flatMap((authority) =>
    [0, 1, 2, 3].map((shard) => ({ authority, shard })),
  );
  const found: string[] = [];
  const judge = async (): Promise<void> => {
    await open.lists.advance();
    for (const place of [...lists, { authority: 'factory', shard: 0 }]) {
      const list = await open.store.list(place);
      assert.ok(list);
      found.push(...(await linter.findings('crl', list.der)));
    }
    for (const hash of ['SHA-1', 'SHA-256'] as const) {
      const certId = world.certId('operational', serialNumber, hash);
      const answer = await open.responder.answer('operational', encodeOcspRequest(certId));
      assert.ok(typeof answer !== 'string');
      found.push(...(await linter.findings('ocsp', answer.der)));
    }
  };
  await judge();
  assert.ok(await world.change(open, serialNumber, 'keyCompromise'));
  await judge();
  assert.deepEqual(found, []);
});

test('the linter finds what is wrong', needsPython, async (context) => {
  const linter = new Linter(context);
  assert.notDeepEqual(await linter.findings('certificate', Uint8Array.of(0x30, 0)), []);
});
