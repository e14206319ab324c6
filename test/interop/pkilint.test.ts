/**
 * What we issue, judged by a linter that is not ours: pkilint, for RFC 5280 and RFC 6960. What it finds is
 * nothing, or stands here with its reason.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { builtInProfiles } from '../../src/trust/issuance/profiles.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import { fromHex, toHex } from '../../src/wire/bytes/hex.ts';
import { encodeOcspRequest } from '../../src/wire/ocsp/request.ts';
import { encodeCertificate } from '../../src/wire/x509/certificateWriter.ts';
import { encode, type Fixtures, type Parts } from '../support/issuing/certificateParts.ts';
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

/** Rules of ours for RFC 5280, and what the other linter calls the same fault. */
const sameFaults = {
  'serial-positive': 'pkix.certificate_serial_number_out_of_range',
  'serial-length': 'pkix.certificate_serial_number_out_of_range',
  'time-encoding': 'pkix.wrong_time_useful_type',
  'validity-order': 'pkix.certificate_negative_validity_period',
  'subject-present': 'pkix.san_extension_not_critical_empty_subject',
  'subject-strings': 'itu.invalid_asn1_syntax',
  'san-criticality': 'pkix.san_extension_is_critical_non_empty_subject',
  'san-host-names': 'pkix.invalid_domain_name_syntax',
  ski: 'pkix.certificate_skid_end_entity_missing',
  aki: 'pkix.authority_key_identifier_extension_absent',
  'key-usage-critical': 'pkix.key_usage_extension_not_critical',
  'cert-sign-means-authority': 'pkix.ee_certificate_keycertsign_keyusage_set',
  'name-constraints': 'pkix.certificate_name_constraints_extension_not_critical',
  'distribution-point': 'pkix.certificate_crldp_extension_critical',
};

test('what breaks our rules is wrong for the other linter too', needsPython, async (context) => {
  const linter = new Linter(context);
  const codesOf = async (parts: Parts, algorithm: Uint8Array): Promise<readonly string[]> => {
    const der = encodeCertificate(encode(parts), algorithm, anySignature);
    const found = await linter.findings('certificate', der);
    return found.map((finding) => finding.split(' ')[0] ?? '');
  };
  for (const [rule, code] of Object.entries(sameFaults)) {
    const { fixtures } = (await import(new URL(`${rule}.ts`, fixtureFolder).href)) as {
      readonly fixtures: Fixtures;
    };
    const found: string[] = [];
    for (const [kind, change] of fixtures.bad) {
      const good = kind.parts();
      const { algorithm } = good;
      assert.ok(!(await codesOf(good, algorithm)).includes(code), `${rule}: found in a good one`);
      found.push(...(await codesOf({ ...good, ...change?.(good) }, algorithm)));
    }
    assert.ok(found.includes(code), `${rule}: found ${found.join() || 'nothing'}`);
  }
});

const fixtureFolder = new URL('../unit/trust/lints/', import.meta.url);
/** ECDSA-Sig-Value of two ones: linters read a signature and do not verify it. */
const anySignature = fromHex('3006020101020101');
