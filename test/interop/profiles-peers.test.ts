/** A certificate of every built-in profile, judged by openssl, GnuTLS' certtool and strongSwan's pki. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test, type TestContext } from 'node:test';
import type { CertificateContent } from '../../src/trust/issuance/prepare.ts';
import type { IssuerRole, Profile } from '../../src/trust/issuance/profile.ts';
import { builtInProfiles } from '../../src/trust/issuance/profiles.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import { encodePem } from '../../src/wire/x509/pem.ts';
import { EveryProfile } from '../support/issuing/everyProfile.ts';
import { testSigner } from '../support/issuing/world.ts';
import { openssl, opensslMissing, withFiles } from '../support/openssl.ts';

const startMs = Date.UTC(2026, 5, 1, 12);
const at = String(startMs / 1000);

/**
 * Of an end entity: the links between authorities are tested where they are made, and the critical generation
 * of a session server is for our devices alone.
 */
const leaves = [...builtInProfiles.values()].filter(
  ({ authority, generationOid }) => authority === undefined && generationOid === undefined,
);

function roleOf({ issuedBy }: Profile): IssuerRole {
  const [role] = issuedBy;
  assert.ok(role);
  return role;
}

async function leafOf(world: EveryProfile, profile: Profile): Promise<Uint8Array> {
  const content: CertificateContent = {
    spki: testSigner().publicKeySpki,
    name: '0123456789abcdef',
    hosts: ['door.example', '192.0.2.1'],
    hardware: {
      hwType: '1.3.6.1.4.1.32473.1',
      hwSerialNum: Uint8Array.of(1, 0x23, 0, 0, 0, 0, 0, 7, 0xee),
    },
  };
  const outcome = await world.issue({ profile: profile.name, content });
  assert.ok(!isRefusal(outcome), profile.name);
  return outcome.certificate;
}

interface Files {
  readonly leaf: string;
  readonly chain: string;
  readonly anchor: string;
}

/** Calls `judge` with a leaf of every profile in PEM files. */
async function forEachProfile(
  context: TestContext,
  judge: (profile: Profile, files: Files, path: (name: string) => string) => void,
  nowMs = startMs,
): Promise<void> {
  const world = await EveryProfile.create(context, nowMs);
  const pem = (der: Uint8Array): string => encodePem('CERTIFICATE', der);
  for (const profile of leaves) {
    const role = roleOf(profile);
    const files = {
      leaf: pem(await leafOf(world, profile)),
      chain: world.chainOf(role).map(pem).join(''),
      anchor: pem(world.anchorOf(role)),
    };
    withFiles(files, (path) => {
      judge(profile, files, path);
    });
  }
}

function missing(command: string, words: readonly string[], found: RegExp, what: string) {
  const { stdout, stderr } = spawnSync(command, words, { encoding: 'utf8' });
  return found.test(`${stdout}${stderr}`) ? false : `needs ${what}`;
}

const certtoolMissing = missing('certtool', ['--version'], /certtool/, 'certtool (gnutls-bin)');
const pkiMissing = missing('pki', ['--help'], /strongSwan|pki/, 'pki (strongswan-pki)');

test('openssl verify, strict, accepts every profile', { skip: opensslMissing }, (context) =>
  forEachProfile(context, ({ name }, _files, path) => {
    const verified = openssl(
      `verify -x509_strict -check_ss_sig -attime ${at} -CAfile ${path('anchor')} -untrusted ${path('chain')}`,
      path('leaf'),
    );
    assert.match(verified.output, /: OK/, name);
    // Another anchor of the same installation vouches for nothing below this one.
    const alone = openssl(`verify -attime ${at} -CAfile ${path('leaf')}`, path('chain'));
    assert.notEqual(alone.status, 0, name);
  }),
);

test('openssl x509 prints chips and Matter as meant', { skip: opensslMissing }, (context) =>
  forEachProfile(context, ({ name }, _files, path) => {
    const expected = printed[name];
    if (expected === undefined) return;
    const { output } = openssl('x509 -noout -text -in', path('leaf'));
    for (const pattern of expected) assert.match(output, pattern, name);
  }),
);

const printed: Readonly<Record<string, readonly RegExp[]>> = {
  'chip-idevid': [
    /Subject: O = Maker, serialNumber = 0123000000000007EE/,
    /Issuer: O = Maker, CN = Signer 00A1/,
    /Not Before: Jun {2}1 12:00:00 2026 GMT/,
    /Not After : Jun {2}1 12:00:00 2054 GMT/,
  ],
  'matter-dac': [
    /1\.3\.6\.1\.4\.1\.37244\.2\.1 = FFF1, 1\.3\.6\.1\.4\.1\.37244\.2\.2 = 8000/,
    /Basic Constraints: critical\s+CA:FALSE/,
    /Key Usage: critical\s+Digital Signature\n/,
    /Not After : Dec 31 23:59:59 9999 GMT/,
  ],
  'ocsp-server': [/OCSP Signing/, /OCSP No Check/],
};

test('certtool verifies every profile', { skip: certtoolMissing }, (context) =>
  forEachProfile(
    context,
    ({ name }, { leaf, chain }, path) => {
      const { status, stdout, stderr } = spawnSync(
        'certtool',
        ['--verify', '--load-ca-certificate', path('anchor')],
        { input: leaf + chain, encoding: 'utf8' },
      );
      assert.equal(status, 0, `${name}: ${stdout}${stderr}`);
      assert.match(stdout, /Chain verification output: Verified/, name);
    },
    Date.now(),
  ),
);

test('pki --verify and --print read every profile', { skip: pkiMissing }, (context) =>
  forEachProfile(
    context,
    (profile, _files, path) => {
      const { name } = profile;
      const words = [
        '--verify',
        '--in',
        path('leaf'),
        '--cacert',
        path('chain'),
        '--cacert',
        path('anchor'),
      ];
      const verified = spawnSync('pki', words, { encoding: 'utf8' });
      const told = `${verified.stdout}${verified.stderr}`;
      // strongSwan 5.9 reads no authority that constrains addresses, and says so.
      const constrained = ['factory', 'operational', 'chip-signer'].includes(roleOf(profile));
      assert.match(
        told,
        constrained ? /unsupported critical.*Name Constraints/ : /^certificate trusted/,
        name,
      );
      const { status, stdout } = spawnSync('pki', ['--print', '--in', path('leaf')], {
        encoding: 'utf8',
      });
      assert.equal(status, 0, name);
      assert.match(stdout, /subject: {2}"O=Maker/, name);
      assert.match(stdout, /pubkey: {4}ECDSA 256 bits/, name);
    },
    Date.now(),
  ),
);
