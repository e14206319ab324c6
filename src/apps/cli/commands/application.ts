/** `birthmark application`: certificates for programs and people that use the server's API and broker. */
import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { ProvisionerClient } from '../../../drivers/links/local/provisionerClient.ts';
import { prepareCertificationRequest } from '../../../wire/x509/certificationRequest.ts';
import { parseCertificate } from '../../../wire/x509/certificate.ts';
import { encodeName } from '../../../wire/x509/names.ts';
import { encodePem, parsePem } from '../../../wire/x509/pem.ts';
import { readPassphrase } from '../../passphrase.ts';
import { applicationFiles, openApplicationKey } from '../applicationFolder.ts';
import { reachable, type ReachOptions, reachOf } from '../reach.ts';
import { allowed, type OutputOptions, print, table } from '../terminal.ts';

interface EnrolOptions extends OutputOptions, ReachOptions {
  readonly out: string;
  readonly kind: 'application' | 'operator';
  readonly request?: string;
  readonly plainKey?: boolean;
  readonly dryRun?: boolean;
}

export function registerApplication(program: Command): void {
  const application = program
    .command('application')
    .description('Programs and people that use the API and the broker');
  reachable(application.command('enrol <name>'))
    .description('Make a key, have it certified, and let it in at the API and the broker')
    .option('--out <folder>', 'where key and certificates go', './birthmark-application')
    .addOption(
      new Option('--kind <kind>', 'operators use the API alone')
        .choices(['application', 'operator'])
        .default('application'),
    )
    .option('--request <file>', 'a PKCS#10 request in PEM, in place of a new key')
    .option('--plain-key', 'write the key without encryption, for tools that take no other')
    .option('--dry-run', 'say what would be done')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Examples:
  birthmark application enrol dashboard --out ./dashboard
  birthmark application enrol ada --kind operator
  birthmark application enrol dashboard --request dashboard.csr.pem
  birthmark application enrol dashboard --server https://birthmark.example:8444 --operator ./ada

Leaves key.pem, certificate.pem (with its chain), server.pem (the authority of servers, which is what to
pin) and root.pem (for tools that take nothing but a root) in the folder:
  curl --cacert server.pem --cert certificate.pem --key key.pem https://localhost:8444/api/v1/devices
  mosquitto_sub -h localhost -p 8883 --cafile root.pem --cert certificate.pem --key key.pem \\
      -t 'devices/+/telemetry'
The key is encrypted under the passphrase of BIRTHMARK_PASSPHRASE_FILE, BIRTHMARK_PASSPHRASE or a prompt.`,
    )
    .action(enrol);
}

async function enrol(name: string, options: EnrolOptions): Promise<void> {
  const files = filesIn(options);
  if (options.dryRun === true) {
    print(options, { dryRun: true, name, kind: options.kind, files }, [
      `Would enrol the ${options.kind} ${name} and write ${Object.values(files).join(', ')}.`,
    ]);
    return;
  }
  const request =
    options.request === undefined
      ? requestOf(await keyFor(options, join(options.out, applicationFiles.key)), name)
      : parsePem(readFileSync(options.request, 'utf8'), 'CERTIFICATE REQUEST');
  const client = new ProvisionerClient(reachOf(options, 'provisioner'));
  try {
    const { chain, serverAnchors, roots } = allowed(
      await client.enrolApplication(options.kind, name, request),
    );
    await mkdir(options.out, { recursive: true, mode: 0o700 });
    await writeFile(files.anchors, pemOf(serverAnchors));
    await writeFile(files.roots, pemOf(roots));
    await writeFile(files.certificate, pemOf(chain));
    const [leaf] = chain.map(parseCertificate);
    const notAfterMs = leaf?.notAfterMs ?? 0;
    print(options, { name, kind: options.kind, notAfterMs, files }, [
      `${name} is enrolled as ${options.kind} until ${new Date(notAfterMs).toISOString()}`,
      ...table(Object.entries(files)),
    ]);
  } finally {
    client.close();
  }
}

function filesIn({ out, request }: EnrolOptions): {
  readonly key?: string;
  readonly certificate: string;
  readonly anchors: string;
  readonly roots: string;
} {
  return {
    ...(request === undefined ? { key: join(out, applicationFiles.key) } : {}),
    certificate: join(out, applicationFiles.certificate),
    anchors: join(out, applicationFiles.anchors),
    roots: join(out, applicationFiles.roots),
  };
}

/** The one that is there already, so that enrolling again renews; else a new one. */
async function keyFor(options: EnrolOptions, file: string): Promise<KeyObject> {
  if (existsSync(file)) return openApplicationKey(file);
  const passphrase =
    options.plainKey === true
      ? undefined
      : await readPassphrase({ prompt: 'Passphrase of the key', confirm: true });
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const pem = privateKey.export({
    format: 'pem',
    type: 'pkcs8',
    ...(passphrase === undefined ? {} : { cipher: 'aes-256-cbc', passphrase }),
  });
  await mkdir(options.out, { recursive: true, mode: 0o700 });
  await writeFile(file, pem, { mode: 0o600, flag: 'wx' });
  return privateKey;
}

function requestOf(key: KeyObject, name: string): Uint8Array {
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  const request = prepareCertificationRequest({
    subject: encodeName(['commonName', name]),
    spki: new Uint8Array(spki),
  });
  return request.finish(
    'ecdsa-with-SHA256',
    new Uint8Array(sign('sha256', request.toBeSigned, key)),
  );
}

function pemOf(certificates: readonly Uint8Array[]): string {
  return certificates.map((certificate) => encodePem('CERTIFICATE', certificate)).join('');
}
