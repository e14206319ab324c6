/** A server and operators elsewhere. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beginTwoPersons } from '../../src/apps/authority/twoPersons.ts';
import { encodePem } from '../../src/wire/x509/pem.ts';
import { operatorFolder } from './commands.ts';
import { deviceIdOf, importedDevice } from './registrySamples.ts';
import { seedDevices } from './seedDevices.ts';
import { housePassphrase, type StatusHouse, statusHouse } from './statusHouse.ts';

process.env['BIRTHMARK_PASSPHRASE'] = housePassphrase;

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
