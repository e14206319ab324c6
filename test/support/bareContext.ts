/**
 * Runs the device ring where only ECMAScript exists: no console, no timers, no TextEncoder, nothing of
 * Node. Started by a test as a program, with --experimental-vm-modules; prints what happened as JSON.
 */
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { fileURLToPath } from 'node:url';
import { type Context, createContext, type Module, runInContext, SourceTextModule } from 'node:vm';
import type { NonIpSensor as NonIpSensorClass } from '../../src/device/sessions/sensor.ts';
import type { SensorEvent, SensorPorts } from '../../src/device/sessions/sensorOptions.ts';
import { bundleName } from '../../bench/support/sensorBundle.ts';
import type { pinnedTrust as PinnedTrust } from '../../src/device/sessions/pinnedTrust.ts';
import type { openSealedStore as OpenSealedStore } from '../../src/device/storage/sealedStore.ts';
import { Field } from './field.ts';

const platformNames = new Set([
  'process',
  'Buffer',
  'console',
  'setTimeout',
  'queueMicrotask',
  'TextEncoder',
  'crypto',
  'fetch',
  'require',
  'structuredClone',
]);

const context: Context = createContext({});
// V8 itself puts one into every context.
runInContext('delete globalThis.console', context);
const modules = new Map<string, SourceTextModule>();
const ring = new URL('../../src/device/', import.meta.url);

interface Sensor {
  readonly NonIpSensor: typeof NonIpSensorClass;
  readonly openSealedStore: typeof OpenSealedStore;
  readonly pinnedTrust: typeof PinnedTrust;
}

// As modules, or as the one script that a sensor is delivered as.
const [script] = process.argv.slice(2);
const { NonIpSensor, openSealedStore, pinnedTrust } =
  script === undefined ? await loadRing() : runScript(readFileSync(script, 'utf8'));

const BareBytes = runInContext('Uint8Array', context) as typeof Uint8Array;
const field = new Field({ seed: 9 });
const device = field.addDevice(1);
const crypto = bridged(field.crypto);
const element = bridged(device.element);
const store = await openSealedStore(element, bridged(device.flash), crypto);
const link = bridged(field.air.link(device.linkAddress));
const trust = await pinnedTrust(element, crypto);
const ports: SensorPorts = { element, link, store, timer: field.time, crypto, trust };
const events: SensorEvent[] = [];
const sensor = await NonIpSensor.start(ports, (event) => events.push(event), { confirmEvery: 1 });
for (const text of ['one', 'two', 'three']) {
  await sensor.submit(inside(new TextEncoder().encode(text)) as Uint8Array);
}
await field.time.until(() => events.filter(({ kind }) => kind === 'telemetry').length === 3);

const globals = runInContext('Object.getOwnPropertyNames(globalThis)', context) as string[];
process.stdout.write(
  JSON.stringify({
    modules: modules.size,
    texts: field.textsOf(device.deviceId),
    session: events.find(({ kind }) => kind === 'session'),
    platform: [...globals].filter((name) => platformNames.has(name)),
  }),
);

async function loadRing(): Promise<Sensor> {
  const sessions = (await load('sessions/sensor.ts')) as Pick<Sensor, 'NonIpSensor'>;
  const storage = (await load('storage/sealedStore.ts')) as Pick<Sensor, 'openSealedStore'>;
  const pinned = (await load('sessions/pinnedTrust.ts')) as Pick<Sensor, 'pinnedTrust'>;
  await load('sessions/nativeTrust.ts');
  await load('sessions/partedLink.ts');
  await load('enrolment/ipDevice.ts');
  await load('relay/gatewayRelay.ts');
  return { ...sessions, ...storage, ...pinned };
}

function runScript(source: string): Sensor {
  runInContext(source, context);
  return runInContext(bundleName, context) as Sensor;
}

async function load(path: string): Promise<unknown> {
  const module = moduleAt(new URL(path, ring));
  if (module.status === 'unlinked') {
    await module.link((specifier: string, referrer: Module) => {
      // Anything but a file of ours would have to come from the platform.
      if (!specifier.startsWith('.'))
        throw new Error(`${referrer.identifier} imports ${specifier}`);
      return moduleAt(new URL(specifier, referrer.identifier));
    });
  }
  await module.evaluate();
  return module.namespace;
}

function moduleAt(url: URL): SourceTextModule {
  const known = modules.get(url.href);
  if (known !== undefined) return known;
  const source = stripTypeScriptTypes(readFileSync(fileURLToPath(url), 'utf8'));
  const module = new SourceTextModule(source, { context, identifier: url.href });
  modules.set(url.href, module);
  return module;
}

/** The same ports, with byte strings of whichever side receives them. */
function bridged<Port extends object>(port: Port): Port {
  return new Proxy(port, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...values: unknown[]): unknown => {
        const result: unknown = Reflect.apply(value, target, values.map(outside));
        return result instanceof Promise ? result.then(inside) : inside(result);
      };
    },
  });
}

function outside(value: unknown): unknown {
  if (ArrayBuffer.isView(value)) return new Uint8Array(value as Uint8Array);
  if (typeof value !== 'function') return value;
  return (...values: unknown[]): unknown => Reflect.apply(value, undefined, values.map(inside));
}

function inside(value: unknown): unknown {
  return value instanceof Uint8Array ? new BareBytes(value) : value;
}
