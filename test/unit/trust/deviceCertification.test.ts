/** Which devices get a certificate for what they show, and why the others do not. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import type { AuthorityNotice } from '../../../src/trust/ports/registryStore.ts';
import type { RevocationReason } from '../../../src/wire/crl/reason.ts';
import { isEndorsed } from '../../../src/wire/line/endorsement.ts';
import {
  requestOf,
  testElement,
  type TestElement,
  TestStation,
  unitRequest,
} from '../../support/issuing/station.ts';
import { type OpenAuthority, testSigner, World } from '../../support/issuing/world.ts';
import { sha256Of } from '../../support/registrySamples.ts';

interface Born {
  readonly deviceId: string;
  readonly idevid: Uint8Array;
}

class House {
  readonly #world: World;
  readonly #authority: OpenAuthority;
  readonly #station: TestStation;
  #notices = 0;

  private constructor(world: World, authority: OpenAuthority, station: TestStation) {
    this.#world = world;
    this.#authority = authority;
    this.#station = station;
  }

  static async create(context: TestContext): Promise<House> {
    const world = await World.create(context);
    const authority = world.open();
    const signer = testSigner();
    const { signed } = await world.ticket(authority, signer, 3);
    return new House(
      world,
      authority,
      new TestStation(authority.line, world.keys.order, signed, signer),
    );
  }

  async birth(element: TestElement, outcome?: 'locked' | 'scrapped'): Promise<Born> {
    const opening = await this.#station.open();
    const [unit] = await this.#station.endorse([await unitRequest(element, opening)]);
    assert.ok(unit !== undefined && isEndorsed(unit));
    if (outcome !== undefined) await this.#station.report([[element, outcome]]);
    return { deviceId: unit.deviceId, idevid: unit.certificate };
  }

  /** The reason why not, or the certificate. */
  async certify(
    { deviceId }: Pick<Born, 'deviceId'>,
    shown: Uint8Array,
    key = testSigner(),
  ): Promise<string | Uint8Array> {
    const outcome = await this.#authority.certification.certifyDevice({
      deviceId,
      authenticatedBy: shown,
      issuers: [],
      product: 'sensor',
      request: await requestOf(key),
      profile: 'ldevid',
    });
    if (isRefusal(outcome)) return outcome.reason;
    return 'certificate' in outcome ? outcome.certificate : 'later';
  }

  async change(
    act: AuthorityNotice['act'],
    subject: string,
    code: RevocationReason,
    holder?: string,
  ): Promise<void> {
    this.#notices += 1;
    const notice = { sequence: this.#notices, act, subject, holder, code, reason: '' };
    const { changed } = await this.#authority.statusNotices.record([
      { ...notice, atMs: this.#world.nowMs },
    ]);
    assert.ok(changed > 0, 'nothing changed');
  }
}

const hexOf = (certificate: Uint8Array): string =>
  Buffer.from(sha256Of(certificate)).toString('hex');

test('a device is certified for its own certificate alone, once its element was finished', async (context) => {
  const house = await House.create(context);
  const whole = await house.birth(testElement('a'), 'locked');
  const scrapped = await house.birth(testElement('b'), 'scrapped');
  const open = await house.birth(testElement('c'));
  const ldevid = await house.certify(whole, whole.idevid);
  assert.ok(ldevid instanceof Uint8Array, String(ldevid));
  assert.ok((await house.certify(whole, ldevid)) instanceof Uint8Array, 'a renewal');
  const elsewhere = 'The certificate shown was issued for somebody else.';
  assert.equal(await house.certify(whole, open.idevid), elsewhere);
  assert.equal(await house.certify(open, ldevid), elsewhere);
  assert.equal(await house.certify(scrapped, scrapped.idevid), 'The certificate is revoked.');
  assert.equal(
    await house.certify(open, open.idevid),
    'The element was never finished: it is endorsed.',
  );
  assert.equal(
    await house.certify({ deviceId: 'nobody' }, whole.idevid),
    'No device is called like that.',
  );
});

test('held, it waits; revoked at birth, it never gets one again', async (context) => {
  const house = await House.create(context);
  const device = await house.birth(testElement('a'), 'locked');
  const ldevid = await house.certify(device, device.idevid);
  assert.ok(ldevid instanceof Uint8Array, String(ldevid));
  await house.change('revoke-device', device.deviceId, 'certificateHold');
  for (const shown of [device.idevid, ldevid]) {
    assert.equal(await house.certify(device, shown), 'The device is on hold.');
  }
  await house.change('revoke-device', device.deviceId, 'removeFromCRL');
  assert.ok((await house.certify(device, ldevid)) instanceof Uint8Array);
  await house.change('revoke-certificate', hexOf(device.idevid), 'keyCompromise', device.deviceId);
  assert.equal(await house.certify(device, device.idevid), 'The certificate is revoked.');
  assert.equal(await house.certify(device, ldevid), 'The identity from birth is revoked.');
});
