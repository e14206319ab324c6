/** The four doors on the network: one TLS listener each, with anchors and limits of its own. */
import { type HttpDoor, openHttpDoor } from '../../servers/http/httpDoor.ts';
import type { Metrics } from '../../servers/http/metrics.ts';
import type { MqttBroker } from '../../servers/mqtt/broker.ts';
import type { Connection } from '../../servers/tls/connection.ts';
import {
  type ServerIdentity,
  type Staple,
  TlsDoor,
  type DoorOptions,
  type VerifyPeer,
} from '../../servers/tls/door.ts';
import type { LiveIndex } from '../../servers/tls/liveIndex.ts';
import type { FastifyInstance } from 'fastify';
import { type DoorName, doorNames, type DoorTrust } from './doorTrust.ts';

export type HttpDoorName = Exclude<DoorName, 'mqtt'>;

export type DoorPorts = Readonly<Record<DoorName, number>>;

export interface DoorsOptions {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly ports: DoorPorts;
  readonly identity: ServerIdentity;
  readonly trust: DoorTrust;
  readonly verify: (door: DoorName) => VerifyPeer;
  readonly live: LiveIndex;
  readonly broker: MqttBroker;
  readonly metrics: Metrics;
  /** `ports` are the real ones when a request asks. */
  readonly routes: (ports: () => DoorPorts) => Record<HttpDoorName, (app: FastifyInstance) => void>;
  /** A verified peer has come in. */
  readonly onAdmitted: (connection: Connection) => void;
  readonly staple?: Staple | undefined;
}

export interface Doors {
  readonly ports: DoorPorts;
  /** What connections from now on are shown. */
  renew(identity: ServerIdentity): void;
  close(): Promise<void>;
}

/** Rejects with the system's error when a port is taken; nothing is open then. */
export async function openDoors(options: DoorsOptions): Promise<Doors> {
  const { trust, broker, metrics } = options;
  let { ports, identity } = options;
  const routes = options.routes(() => ports);
  const http = {
    device: await httpDoor(metrics, 'device', routes.device),
    station: await httpDoor(metrics, 'station', routes.station),
    api: await httpDoor(metrics, 'api', routes.api),
  };
  const doors: Readonly<Record<DoorName, TlsDoor>> = {
    device: tlsDoor(options, 'device', (connection) => http.device.accept(connection)),
    station: tlsDoor(options, 'station', (connection) => http.station.accept(connection)),
    api: tlsDoor(
      options,
      'api',
      (connection) => http.api.accept(connection),
      // Who shows no certificate may read with a token: the routes see to it.
      (socket) => http.api.accept({ socket }),
    ),
    mqtt: tlsDoor(options, 'mqtt', (connection) => void broker.accept(connection)),
  };
  const all = Object.values(doors);
  const pressure = (of: keyof TlsDoor['pressure']): number =>
    all.reduce((total, door) => total + door.pressure[of], 0);
  metrics.watch('birthmark_handshakes', 'TLS handshakes in flight', () => pressure('handshakes'));
  metrics.watch('birthmark_handshakes_waiting', 'Connections that wait for a handshake', () =>
    pressure('waiting'),
  );
  const renew = (): void => {
    for (const name of doorNames) doors[name].renew(identity, trust.anchorsPem(name));
  };
  const close = async (): Promise<void> => {
    await Promise.all(doorNames.map((name) => doors[name].close()));
    await Promise.all(Object.values(http).map((door) => door.close()));
  };
  try {
    ports = await listenAll(doors, options);
  } catch (error) {
    await close();
    throw error;
  }
  trust.onReplace(renew);
  return {
    ports,
    renew: (renewed) => {
      identity = renewed;
      renew();
    },
    close,
  };
}

function httpDoor(
  metrics: Metrics,
  name: HttpDoorName,
  routes: (app: FastifyInstance) => void,
): Promise<HttpDoor> {
  return openHttpDoor({
    onRefusal: (code) => metrics.refused(name, code),
    onAnswered: (answered) => metrics.answered(name, answered),
    visitors: name === 'api',
    routes,
  });
}

function tlsDoor(
  options: DoorsOptions,
  name: DoorName,
  accept: (connection: Connection) => void,
  acceptVisitor?: DoorOptions['acceptVisitor'],
): TlsDoor {
  const { identity, trust, verify, live, metrics, onAdmitted, staple } = options;
  return new TlsDoor({
    name,
    identity,
    anchorsPem: trust.anchorsPem(name),
    ...(name === 'mqtt' ? {} : { alpn: ['http/1.1'] }),
    verify: verify(name),
    ...(acceptVisitor === undefined ? {} : { acceptVisitor }),
    ...(staple === undefined ? {} : { staple }),
    live,
    accept: (connection) => {
      onAdmitted(connection);
      accept(connection);
    },
    onRefusal: (code) => metrics.refused(name, code),
  });
}

async function listenAll(
  doors: Readonly<Record<DoorName, TlsDoor>>,
  { host, ports }: DoorsOptions,
): Promise<DoorPorts> {
  const bound = { ...ports };
  for (const name of doorNames) bound[name] = await doors[name].listen(ports[name], host);
  return bound;
}
