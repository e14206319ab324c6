/** A server and operators elsewhere, with real commands in this process. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beginTwoPersons } from '../../src/apps/authority/twoPersons.ts';
import { birthmarkProgram } from '../../src/apps/cli/program.ts';
import { closeReach } from '../../src/apps/cli/reach.ts';
import { explain } from '../../src/apps/cli/terminal.ts';
import { KeyFolder } from '../../src/drivers/keys/software/keyFolder.ts';
import { encodePem } from '../../src/wire/x509/pem.ts';
import { requestOf } from './issuing/station.ts';
import { deviceIdOf, importedDevice } from './registrySamples.ts';
import { seedDevices } from './seedDevices.ts';
import { housePassphrase, type StatusHouse, statusHouse } from './statusHouse.ts';

/** Of the keys of operators. */
export const operatorPassphrase = 'of an operator';
process.env['BIRTHMARK_OPERATOR_PASSPHRASE'] = operatorPassphrase;
process.env['BIRTHMARK_PASSPHRASE'] = housePassphrase;

export interface Ran {
  readonly code: number;
  readonly document: Record<string, unknown>;
  readonly said: string;
}

/** As the command line runs it, in this process. */
export async function run(...words: readonly string[]): Promise<Ran> {
  const written: string[] = [];
  const said: string[] = [];
  const { stdout, stderr } = process;
  const [write, writeError] = [stdout.write.bind(stdout), stderr.write.bind(stderr)];
  // The reporter of the tests writes bytes, commands write text.
  stdout.write = (text: string | Uint8Array) =>
    typeof text === 'string' ? written.push(text) > 0 : write(text);
  stderr.write = (text: string | Uint8Array) => said.push(String(text)) > 0;
  process.exitCode = 0;
  let code: number;
  try {
    await birthmarkProgram().parseAsync([...words, '--json'], { from: 'user' });
    code = process.exitCode;
  } catch (error) {
    const { message, exitCode } = explain(error);
    said.push(message);
    code = error instanceof Error && error.name === 'CommanderError' ? 2 : exitCode;
  } finally {
    await closeReach();
    stdout.write = write;
    stderr.write = writeError;
    process.exitCode = 0;
  }
  const text = written.join('');
  const document = text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {};
  return { code, document, said: said.join('') };
}

/** As `birthmark operator request` makes it, with a key file that costs a test nothing. */
export async function operatorFolder(folder: string, name: string): Promise<Uint8Array> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'operator.json'), JSON.stringify({ name }));
  const keys = await KeyFolder.open({
    folder: join(folder, 'keys'),
    passphrase: operatorPassphrase,
    costLog2: 4,
  });
  await keys.create('operator', 'p256-sign');
  return requestOf(await keys.signer('operator'));
}

/** Three, which the registry knows. */
export const devices: readonly string[] = [1, 2, 3].map(deviceIdOf);

/** Makes key and request of an operator in a folder. DER of the request. */
type MakeOperator = (folder: string, name: string) => Promise<Uint8Array>;

export interface NetworkHouse extends StatusHouse {
  readonly api: string;
  /** Options of a command that runs elsewhere, and of one at the server. */
  as(name: string): readonly string[];
  readonly here: readonly string[];
}

/** Two persons where there are some, else one. */
export async function networkHouse(
  context: Parameters<typeof statusHouse>[0],
  persons: readonly string[],
  make: MakeOperator = operatorFolder,
): Promise<NetworkHouse> {
  const it = await statusHouse(context, {}, async (dataFolder) => {
    const admins = [];
    for (const name of persons) {
      admins.push({ name, request: await make(join(dataFolder, name), name) });
    }
    const options = { dataFolder, passphrase: housePassphrase, clock: { nowMs: Date.now } };
    if (admins.length > 0) await beginTwoPersons(options, { admins, massLimit: 2 });
    await seedDevices(
      join(dataFolder, 'provisioner'),
      [1, 2, 3].map((number) => importedDevice(number)),
    );
  });
  const { dataFolder, provisioner, issuing } = it;
  const ca = join(dataFolder, 'server.pem');
  const { server } = await issuing.hierarchy();
  writeFileSync(ca, server.map((der) => encodePem('CERTIFICATE', der)).join(''));
  const api = `https://localhost:${provisioner.ports.api}`;
  const as = (name: string): readonly string[] => [
    '--server',
    api,
    '--server-ca',
    ca,
    '--operator',
    join(dataFolder, name),
  ];
  return { ...it, api, as, here: ['--data', dataFolder] };
}
