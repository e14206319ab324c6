/** `birthmark serve`: the authority and the provisioner, as two processes that live and die together. */
import { fileURLToPath } from 'node:url';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { DoorPorts } from '../../provisioner/doors.ts';
import { readPassphrase } from '../../passphrase.ts';
import { readStartOrder } from '../../serve/channel.ts';
import { supervise } from '../../serve/supervisor.ts';
import { type LogLevel, logLevels } from '../../serve/log.ts';
import {
  type ServeOptions,
  type ServerRole,
  serverRoles,
  startWorker,
} from '../../serve/worker.ts';
import { singleOperator } from '../approving.ts';
import { defaultData } from '../dataFolder.ts';
import { isCredentialPrefix } from '../../../trust/sessions/fetchedChains.ts';
import { CommandFailure, explain, type OutputOptions, print, table } from '../terminal.ts';

interface CommandOptions extends OutputOptions {
  readonly data: string;
  readonly host: string;
  readonly name: readonly string[];
  readonly devicePort: number;
  readonly stationPort: number;
  readonly apiPort: number;
  readonly mqttPort: number;
  readonly estPort?: number;
  readonly coapPort?: number;
  readonly statusPort?: number;
  readonly healthPort?: number;
  readonly healthHost?: string;
  readonly logLevel: LogLevel;
  readonly credentialsFrom: readonly string[];
  readonly attestation?: string;
  readonly owner?: string;
  readonly store?: string;
  readonly role?: ServerRole;
}

const program = fileURLToPath(new URL('../main.ts', import.meta.url));

export function registerServe(root: Command): void {
  root
    .command('serve')
    .description('Run the server: the authority on a local socket, the provisioner on the network')
    .option('--data <folder>', 'data folder', defaultData())
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option(
      '--name <names...>',
      'names and addresses by which this server is reached; the first is told to devices',
      ['localhost', '127.0.0.1'],
    )
    .option('--device-port <port>', 'HTTPS of devices: EST, configuration, telemetry', port, 8443)
    .option('--api-port <port>', 'HTTPS of applications and operators', port, 8444)
    .option('--station-port <port>', 'HTTPS of personalization stations', port, 8445)
    .option('--mqtt-port <port>', 'MQTTS of devices, gateways and applications', port, 8883)
    .option(
      '--est-port <port>',
      'a door for EST alone that speaks TLS 1.2 too and takes one-time secrets (default: none)',
      port,
    )
    .option(
      '--coap-port <port>',
      'CoAP over UDP: EDHOC, OSCORE, EST for devices without TLS (default: none; 5683 is usual)',
      port,
    )
    .option(
      '--status-port <port>',
      'plain HTTP for everybody: revocation lists, OCSP, authorities (default: none)',
      port,
    )
    .option(
      '--health-port <port>',
      'plain HTTP for probes and Prometheus: /livez, /readyz, /metrics (default: none)',
      port,
    )
    .option('--health-host <address>', 'where probes come from (default: this machine alone)')
    .addOption(
      new Option('--log-level <level>', 'of the JSON lines on stderr')
        .choices(logLevels)
        .default('info'),
    )
    .option(
      '--credentials-from <prefixes...>',
      'where certificates of devices may be read that come as an address (x5u, c5u): https://host/folder/ (default: nowhere)',
      credentialPrefix,
      [],
    )
    .option('--attestation <file>', 'what devices may run, as JSON (default: nobody is asked)')
    .option('--owner <name>', "whose devices these are (default: the maker's name)")
    .option(
      '--store <url>',
      'both databases on PostgreSQL (default: BIRTHMARK_STORE, else SQLite in the folder)',
    )
    .option('--json', 'one JSON line when the doors are open')
    .addOption(new Option('--role <role>', 'run one process alone').choices(serverRoles))
    .addHelpText('after', help)
    .action((options: CommandOptions) => {
      return options.role === undefined
        ? serve(options)
        : work(options.role, serveOptions(options));
    });
}

const help = `
Examples:
  birthmark serve
  birthmark serve --data /srv/birthmark --host 0.0.0.0 --name iot.example.com
  birthmark serve --device-port 0 --api-port 0 --station-port 0 --mqtt-port 0 --json
  birthmark serve --store 'postgres://birthmark@db.example.com/birthmark?sslmode=verify-full'

Port 0 lets the system choose; the line that is printed says what it chose. SIGINT and SIGTERM stop both
processes; when one of them fails the other is stopped. The passphrase of the keys comes from
BIRTHMARK_PASSPHRASE_FILE, BIRTHMARK_PASSPHRASE or a prompt; the password of a PostgreSQL server from the
file that BIRTHMARK_STORE_PASSWORD_FILE names, PGPASSFILE or PGPASSWORD, never from the address.`;

async function serve(options: CommandOptions): Promise<void> {
  const passphrase = await readPassphrase();
  const specs = serverRoles.map((role) => ({ name: role, args: argsOf(role, options) }));
  const supervision = await supervise(program, specs, passphrase);
  if (!('ended' in supervision)) {
    throw new CommandFailure(supervision.message, supervision.exitCode);
  }
  const stop = (): void => supervision.stop();
  process.on('SIGINT', stop).on('SIGTERM', stop);
  try {
    announce(options, supervision.ready);
    const failure = await supervision.ended;
    if (failure !== undefined) throw new CommandFailure(failure.message, failure.exitCode);
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

function announce(options: CommandOptions, ready: Readonly<Record<string, object>>): void {
  const ports = portsIn(ready['provisioner']);
  const [name = options.host] = options.name;
  const rows = Object.entries(ports).map(([door, number]) => [door, `${name}:${String(number)}`]);
  const authority = ready['authority'];
  const twoPersons = authority !== undefined && Reflect.get(authority, 'twoPersons') === true;
  const mode = twoPersons ? 'two-person' : 'single-operator';
  print(options, { ready: true, data: options.data, host: name, ports, mode }, [
    ...(twoPersons ? [] : [singleOperator]),
    ...table(rows),
    'Ready. Stop with Ctrl-C.',
  ]);
}

function portsIn(ready: object | undefined): object {
  if (ready === undefined || !('ports' in ready)) return {};
  return typeof ready.ports === 'object' ? (ready.ports ?? {}) : {};
}

/** One of the two processes. Under a supervisor the order to stop is the end of the channel. */
async function work(role: ServerRole, options: ServeOptions): Promise<void> {
  const supervised = process.connected;
  const stopped = stopOrder(supervised);
  try {
    const passphrase = supervised ? await givenPassphrase() : await readPassphrase();
    const worker = await startWorker(role, options, passphrase);
    report({ ready: worker.ready });
    await stopped;
    await worker.close();
  } catch (error) {
    if (!supervised) throw error;
    const { message, exitCode } = explain(error);
    report({ failed: message, exitCode });
    process.exitCode = exitCode;
  } finally {
    if (process.connected) process.disconnect();
  }
}

function stopOrder(supervised: boolean): Promise<void> {
  return new Promise((resolve) => {
    if (supervised) {
      process.once('disconnect', () => resolve());
      // Ctrl-C reaches every process of the terminal; the supervisor decides what it means.
      process.on('SIGINT', () => undefined);
    } else {
      process.once('SIGINT', () => resolve());
    }
    process.once('SIGTERM', () => resolve());
  });
}

function givenPassphrase(): Promise<string> {
  return new Promise((resolve) => {
    process.once('message', (message) => {
      const order = readStartOrder(message);
      if (order !== undefined) resolve(order.passphrase);
    });
  });
}

function report(message: object): void {
  if (process.connected) process.send?.(message);
}

function argsOf(role: ServerRole, options: CommandOptions): readonly string[] {
  const { data, host, name, devicePort, apiPort, stationPort, mqttPort } = options;
  const { estPort, coapPort, statusPort, healthPort, healthHost, logLevel } = options;
  const { owner, store, credentialsFrom, attestation } = options;
  const values: Readonly<Record<string, string>> = {
    '--role': role,
    '--data': data,
    '--host': host,
    '--device-port': String(devicePort),
    '--api-port': String(apiPort),
    '--station-port': String(stationPort),
    '--mqtt-port': String(mqttPort),
    '--log-level': logLevel,
    ...(estPort === undefined ? {} : { '--est-port': String(estPort) }),
    ...(coapPort === undefined ? {} : { '--coap-port': String(coapPort) }),
    ...(statusPort === undefined ? {} : { '--status-port': String(statusPort) }),
    ...(healthPort === undefined ? {} : { '--health-port': String(healthPort) }),
    ...(healthHost === undefined ? {} : { '--health-host': healthHost }),
    ...(owner === undefined ? {} : { '--owner': owner }),
    ...(store === undefined ? {} : { '--store': store }),
    ...(attestation === undefined ? {} : { '--attestation': attestation }),
  };
  const places = credentialsFrom.length === 0 ? [] : ['--credentials-from', ...credentialsFrom];
  return ['serve', ...Object.entries(values).flat(), ...places, '--name', ...name];
}

function serveOptions(options: CommandOptions): ServeOptions {
  const { data, host, name, devicePort, apiPort, stationPort, mqttPort } = options;
  const { estPort, coapPort, statusPort, healthPort, healthHost, logLevel } = options;
  const { owner, store, credentialsFrom, attestation } = options;
  const ports: DoorPorts = {
    device: devicePort,
    api: apiPort,
    station: stationPort,
    mqtt: mqttPort,
  };
  const doors = { ports, estPort, coapPort, statusPort, healthPort, healthHost };
  return {
    data,
    host,
    names: name,
    ...doors,
    logLevel,
    credentialsFrom,
    attestation,
    owner,
    store,
  };
}

function credentialPrefix(text: string, before: readonly string[]): readonly string[] {
  if (isCredentialPrefix(text)) return [...before, text];
  throw new InvalidArgumentError('a prefix is http(s)://host/folder/, without escapes or dots');
}

function port(text: string): number {
  const number = Number(text);
  if (/^\d{1,5}$/.test(text) && number <= 65_535) return number;
  throw new InvalidArgumentError('a port is a number from 0 to 65535');
}
