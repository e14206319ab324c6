/** Step 1: a maker's authorities, and the server that stands on them. */
import { check, type Demo, type Server } from './demo.ts';
import { ask, type Event, finish, listOf, numberOf, start, textOf, words } from './processes.ts';

const serveAnywhere = words`serve --device-port 0 --station-port 0 --api-port 0 --mqtt-port 0 --json`;

export async function createAuthorities(demo: Demo): Promise<Server> {
  const { environment, narrator } = demo;
  await ask(environment, words`ca init --organization ${'Example Sensors'}`);
  const shown = await ask(environment, words`ca show`);
  const names = listOf(shown, 'certificates').map((certificate) => textOf(certificate, 'name'));
  check(
    demo,
    ['root', 'factory', 'operational', 'server'].every((name) => names.includes(name)),
    'root, factory, operational and server authority: P-256, keys encrypted at rest',
  );
  const server = start(environment, serveAnywhere);
  const ready = await server.event((event) => event['ready'] === true);
  const ports = portsOf(ready);
  narrator.say(
    `serve: authority on a local socket, provisioner at ${ports.device} (EST), ${ports.mqtt} (MQTTS), ` +
      `${ports.station} (stations), ${ports.api} (API)`,
  );
  check(
    demo,
    ready['mode'] === 'single-operator',
    'SINGLE-OPERATOR MODE, for evaluation: one person orders, allows and closes (docs/approvals.md)',
  );
  const second = await finish(environment, serveAnywhere);
  check(demo, second.exitCode !== 0, 'a second start on the same data folder is refused');
  return ports;
}

function portsOf(ready: Event): Server {
  const ports = ready['ports'];
  if (typeof ports !== 'object' || ports === null) throw new Error('serve named no ports');
  const named: Event = { ...ports };
  return {
    device: numberOf(named, 'device'),
    station: numberOf(named, 'station'),
    api: numberOf(named, 'api'),
    mqtt: numberOf(named, 'mqtt'),
  };
}
