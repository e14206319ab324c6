/**
 * Births by other profiles than idevid, with everything real: authorities that an operator adds, orders that
 * name the profile, a station that personalizes, chains that openssl verifies, and devices that enrol with
 * what they were born with.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startAuthority } from '../../src/apps/authority/authority.ts';
import { authorityPaths } from '../../src/apps/authority/authorityFolder.ts';
import { defaultBook, parseBook, readBook } from '../../src/apps/authority/book.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import { addAuthority, announce, remove, switchOver } from '../../src/apps/authority/rollover.ts';
import { startIpSensor } from '../../src/apps/device/ipSensor.ts';
import { openAuthorityStores } from '../../src/apps/authority/stores.ts';
import { fsck, type FsckReport } from '../../src/apps/fsck/fsck.ts';
import { type Provisioner, startProvisioner } from '../../src/apps/provisioner/provisioner.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import {
  createElementFolder,
  openElement,
} from '../../src/drivers/elements/software/elementFolder.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { AuthorityClient } from '../../src/drivers/links/local/authorityClient.ts';
import { ProvisionerClient } from '../../src/drivers/links/local/provisionerClient.ts';
import { openSqliteSnapshot } from '../../src/drivers/store/sqlite/snapshot.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import { parseBase64 } from '../../src/wire/bytes/base64.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { fromUtf8 } from '../../src/wire/bytes/utf8.ts';
import { templateFrom } from '../../src/wire/manifest/certificateTemplate.ts';
import {
  compressCertificate,
  rebuildCertificate,
} from '../../src/wire/manifest/compressedCertificate.ts';
import { parseCertificateList, revokedEntries } from '../../src/wire/crl/certificateList.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { attributeText, printName } from '../../src/wire/x509/names.ts';
import { encodePem, parsePem } from '../../src/wire/x509/pem.ts';
import { p256Point } from '../../src/wire/x509/spki.ts';
import { begunAlone } from '../support/alone.ts';
import { replaceLost } from '../support/lostAuthority.ts';
import { assembled, birth } from '../support/issuing/assembled.ts';
import { openssl, opensslMissing, withFiles } from '../support/openssl.ts';

const commandFile = fileURLToPath(new URL('../../src/apps/cli/main.ts', import.meta.url));
const passphrase = 'for tests only';
const costLog2 = 4;
const quantity = 3;

test(
  'chips and Matter: authorities are added, orders name the profile, devices are born and enrol',
  { skip: opensslMissing },
  async (context) => {
    const house = await House.create(context);
    // At rest: nothing of this is there unless somebody adds it.
    const added = await house.birthmark('ca', 'add', 'chip-signer', '00a1');
    assert.equal(added.exitCode, 0, added.text);
    for (const name of ['matter-paa', 'matter-pai', 'chip-signer-00a1']) await house.add(name);
    await assert.rejects(house.add('chip-signer-00a2'), /not one active authority chip-signer/);
    await assert.rejects(house.add('chip-signer-pumps'), /four hexadecimal digits/);

    const server = await house.serve();
    await assert.rejects(house.ticket('lamp-dac'), /no-authority/);

    const chips = await house.born('chip-idevid', server, chipUid);
    await verifyChips(house, chips);
    const bulbs = await house.born('matter-dac', server, (number) => Uint8Array.of(0xb0, number));
    verifyBulbs(house, bulbs);
    for (const [born] of [chips, bulbs]) {
      assert.ok(born);
      assert.equal(await house.ldevidOf(born, server), born.deviceId);
    }
    const report = await house.fsck();
    assert.deepEqual(report.faults, []);
    assert.equal(report.units, 2 * quantity);
  },
);

test('a signer’s next generation has a name of its own, a PAI’s the same; a lost PAI is replaced', async (context) => {
  const dataFolder = mkdtempSync(join(tmpdir(), 'birthmark-births-'));
  context.after(() => rmSync(dataFolder, { recursive: true, force: true }));
  const options = { dataFolder, passphrase, clock: { nowMs: Date.now } };
  const added = ['chip-signer-0001', 'matter-paa', 'matter-pai'].map((name) => ({
    name,
    role: name.replace('-0001', ''),
    algorithm: 'ecdsa-with-SHA256',
    state: 'active',
  }));
  const authorities = parseBook([...defaultBook, ...added]);
  await initializeAuthority({ ...options, authorities, organization: 'Maker', costLog2 });
  let births = 0;
  const bornUnder = async (profile: string): Promise<string> => {
    births += 1;
    const batch = `b-${births}`;
    const [leaf, [above = new Uint8Array(0)]] = await assembled(options, (parts) =>
      birth(parts, 'thing', batch, profile),
    );
    const { issuer } = parseCertificate(leaf);
    const { subject, serialNumber } = parseCertificate(above);
    assert.deepEqual(issuer.der, subject.der);
    return `${attributeText(subject, 'commonName')} ${toHex(serialNumber)}`;
  };
  const signer = await bornUnder('chip-idevid');
  assert.match(signer, /^Maker Signer 0001 /);
  const pai = await bornUnder('matter-dac');
  const role = 'chip-signer';
  const next = await announce(options, await begunAlone('authority.announce', { role }));
  assert.equal(next.name, 'chip-signer-0002');
  assert.equal(await bornUnder('chip-idevid'), signer);
  await switchOver(options, await begunAlone('authority.switch', { role }));
  assert.match(await bornUnder('chip-idevid'), /^Maker Signer 0002 /);
  await remove(options, await begunAlone('authority.remove', { role }));
  assert.equal(await bornUnder('matter-dac'), pai);
  const loss = { ...options, reason: 'stolen' };
  assert.equal((await replaceLost(loss, 'matter-pai')).waitsFor, undefined);
  const stores = await openAuthorityStores(authorityPaths(dataFolder), undefined);
  const entries = async (authority: string): Promise<number> => {
    const list = await stores.status.list({ authority, shard: 0 });
    return [...revokedEntries(parseCertificateList(list?.der ?? new Uint8Array(0)))].length;
  };
  assert.deepEqual([await entries('matter-paa'), await entries('root')], [1, 0]);
  await stores.close();
  const third = await bornUnder('matter-dac');
  assert.match(third, /^Maker PAI /);
  assert.notEqual(third, pai);
  const { folder } = authorityPaths(dataFolder);
  assert.deepEqual(
    readdirSync(folder).filter((file) => file.includes('.under-')),
    [],
    'nothing links what readers of it could not follow',
  );
});

interface Born {
  readonly file: string;
  readonly uid: Uint8Array;
  readonly deviceId: string;
  /** DER, leaf first. */
  readonly certificates: readonly Uint8Array[];
}

/** As an ATECC has it. */
function chipUid(number: number): Uint8Array {
  return Uint8Array.of(1, 0x23, 0, 0, 0, 0, 0, number, 0xee);
}

/** The 72 bytes that a chip keeps, the template of its signer and its own key give the certificate back. */
async function verifyChips(house: House, chips: readonly Born[]): Promise<void> {
  const signer = parseCertificate(house.certificate('chip-signer-00a1'));
  assert.equal(attributeText(signer.subject, 'commonName'), 'Maker Signer 00A1');
  const authorityKey = p256Point(signer.publicKey.spki);
  const label = { templateId: 2, chainId: 0, serialSource: 'key-and-dates' } as const;
  const [first] = chips;
  assert.ok(first);
  const template = templateFrom(first.certificates[0] ?? new Uint8Array(0), first.uid);
  for (const { uid, certificates, file } of chips) {
    const [leaf = new Uint8Array(0), above = new Uint8Array(0)] = certificates;
    assert.deepEqual(above, signer.der);
    const compressed = compressCertificate(
      leaf,
      label,
      { chipSerial: uid, authorityKey },
      nodeCrypto,
    );
    assert.equal(compressed.length, 72);
    const element = await openElement(file, passphrase);
    const publicKey = (await element.publicKey('sign')) ?? new Uint8Array(0);
    const inputs = { chipSerial: uid, publicKey, authorityKey };
    assert.deepEqual(rebuildCertificate(template, compressed, inputs, nodeCrypto), leaf);
    verifies(leaf, above, house.certificate('root'));
  }
}

function verifyBulbs(house: House, bulbs: readonly Born[]): void {
  for (const { certificates, deviceId } of bulbs) {
    const [leaf = new Uint8Array(0), above = new Uint8Array(0)] = certificates;
    const { subject } = parseCertificate(leaf);
    assert.equal(attributeText(subject, 'matterVendorId'), 'FFF1');
    assert.equal(attributeText(subject, 'commonName'), deviceId);
    assert.equal(
      printName(parseCertificate(above).subject),
      '1.3.6.1.4.1.37244.2.1=FFF1,CN=Maker PAI,O=Maker',
    );
    verifies(leaf, above, house.certificate('matter-paa'));
  }
}

function verifies(leaf: Uint8Array, above: Uint8Array, anchor: Uint8Array): void {
  const files = {
    leaf: encodePem('CERTIFICATE', leaf),
    above: encodePem('CERTIFICATE', above),
    anchor: encodePem('CERTIFICATE', anchor),
  };
  withFiles(files, (path) => {
    const words = ['verify -x509_strict -CAfile', path('anchor'), '-untrusted', path('above')];
    const { status, output } = openssl(...words, path('leaf'));
    assert.equal(status, 0, output);
  });
}

class House {
  readonly folder: string;
  readonly #context: TestContext;
  readonly #authority: AuthorityClient;
  #stationKey: Uint8Array = new Uint8Array(0);

  private constructor(context: TestContext, folder: string) {
    this.#context = context;
    this.folder = folder;
    this.#authority = new AuthorityClient(socketPathFor(folder, 'authority'));
  }

  static async create(context: TestContext): Promise<House> {
    const folder = mkdtempSync(join(tmpdir(), 'birthmark-births-'));
    context.after(() => rmSync(folder, { recursive: true, force: true }));
    const clock = { nowMs: Date.now };
    const options = { dataFolder: folder, passphrase, organization: 'Maker', clock, costLog2 };
    await initializeAuthority(options);
    return new House(context, folder);
  }

  async serve(): Promise<Provisioner> {
    const running = await startAuthority({ dataFolder: this.folder, passphrase });
    const authority = this.#authority;
    const provisioner = await startProvisioner({
      folder: join(this.folder, 'provisioner'),
      socketPath: socketPathFor(this.folder, 'provisioner'),
      passphrase,
      keyCostLog2: costLog2,
      authority,
      owner: 'Maker',
      names: ['localhost', '127.0.0.1'],
      host: '127.0.0.1',
      ports: { device: 0, station: 0, api: 0, mqtt: 0 },
    });
    this.#context.after(async () => {
      await provisioner.close();
      authority.close();
      await running.close();
    });
    const enrolled = await this.birthmark('station', 'enrol', '--name', 'station-1');
    assert.equal(enrolled.exitCode, 0, enrolled.text);
    const { keySpki } = JSON.parse(enrolled.text) as { readonly keySpki: string };
    this.#stationKey = parseBase64(keySpki) ?? this.#stationKey;
    return provisioner;
  }

  async add(name: string): Promise<void> {
    const adds = ['chip-signer', 'matter-paa', 'matter-pai'].find((role) => name.startsWith(role));
    const clock = { nowMs: Date.now };
    await addAuthority(
      { dataFolder: this.folder, passphrase, clock },
      await begunAlone('authority.announce', { role: name, adds: adds ?? '' }),
    );
  }

  /** Of an order of that profile; the file. */
  async ticket(profile: string): Promise<string> {
    const order = await this.#authority.createOrder({
      order: profile,
      product: profile,
      family: 'software',
      hwType: '1.3.6.1.4.1.32473.1',
      partNumber: 'S-1',
      quantity,
      leastProof: 'line-anchored',
      profile,
    });
    assert.ok(!isRefusal(order), JSON.stringify(order));
    const nowMs = Date.now();
    const ticket = await this.#authority.issueTicket({
      batch: profile,
      count: quantity,
      stationKeySpki: this.#stationKey,
      notBeforeMs: nowMs - 60_000,
      notAfterMs: nowMs + 3_600_000,
    });
    assert.ok(!isRefusal(ticket), JSON.stringify(ticket));
    const file = join(this.folder, `${profile}.ticket`);
    writeFileSync(file, ticket.signed);
    return file;
  }

  async fsck(): Promise<FsckReport> {
    const paths = authorityPaths(this.folder);
    const names = (await readBook(paths)).map(({ name }) => name);
    const issuers = new Map(names.map((name) => [name, this.certificate(name)] as const));
    return fsck({ snapshot: openSqliteSnapshot(paths.database), issuers });
  }

  /** An order of that profile from blank elements to a closed batch. */
  async born(
    profile: string,
    { ports }: Provisioner,
    uidOf: (number: number) => Uint8Array,
  ): Promise<readonly Born[]> {
    const elements = join(this.folder, `reel-${profile}`);
    const reel = await createElementFolder(elements, passphrase, costLog2);
    const uids = Array.from({ length: quantity }, (_, index) => uidOf(index + 1));
    for (const uid of uids) await reel.create(uid);
    const ticket = await this.ticket(profile);
    const server = `https://127.0.0.1:${ports.station}`;
    const words = ['--ticket', ticket, '--elements', elements, '--server', server, '--close'];
    const done = await this.#run('line', 'run', ...words);
    assert.equal(done.exitCode, 0, done.text);
    const closed = await this.#authority.closeBatch(profile);
    assert.ok(!isRefusal(closed), JSON.stringify(closed));
    const client = new ProvisionerClient(socketPathFor(this.folder, 'provisioner'));
    const taken = await client.pullManifests();
    assert.ok(!isRefusal(taken), JSON.stringify(taken));
    client.close();
    return Promise.all(
      (await reel.names()).map(async (name) => {
        const element = await reel.open(name);
        return {
          file: join(elements, name),
          uid: element.identity.uid,
          deviceId: fromUtf8((await element.readData('device-id')) ?? new Uint8Array(0)) ?? '',
          certificates: (await element.readCertificate('idevid')) ?? [],
        };
      }),
    );
  }

  /** Whom the LDevID names that the device gets with what it was born with. */
  async ldevidOf({ file }: Born, { ports }: Provisioner): Promise<string | undefined> {
    let end: (outcome: string) => void;
    const ended = new Promise<string>((resolve) => (end = resolve));
    const sensor = await startIpSensor({
      elementFile: file,
      passphrase,
      server: { host: '127.0.0.1', port: ports.device },
      onEvent: (event) => {
        if (event.kind === 'online') end('online');
        if (event.kind === 'waiting') end(event.reason);
        if (event.kind === 'failed') end(String(event.error));
      },
    });
    try {
      assert.equal(await ended, 'online');
    } finally {
      await sensor.close();
    }
    const element = await openElement(file, passphrase);
    const [ldevid = new Uint8Array(0)] = (await element.readCertificate('ldevid')) ?? [];
    return attributeText(parseCertificate(ldevid).subject, 'serialNumber');
  }

  certificate(name: string): Uint8Array {
    const text = readFileSync(join(this.folder, 'authority', `${name}.pem`), 'utf8');
    return parsePem(text, 'CERTIFICATE');
  }

  birthmark(...words: readonly string[]): Promise<{ exitCode: number; text: string }> {
    return this.#run(...words, '--data', this.folder);
  }

  #run(...words: readonly string[]): Promise<{ exitCode: number; text: string }> {
    const options = ['--disable-warning=ExperimentalWarning', commandFile, ...words, '--json'];
    const env = { ...process.env, BIRTHMARK_PASSPHRASE: passphrase, BIRTHMARK_PASSPHRASE_FILE: '' };
    return new Promise((resolve) => {
      const child = execFile(
        process.execPath,
        options,
        { cwd: this.folder, env },
        (_, out, err) => {
          resolve({ exitCode: child.exitCode ?? -1, text: out + err });
        },
      );
    });
  }
}
