/**
 * EST alone, for clients of others: TLS 1.2 too, and peers without a certificate that know a one-time
 * secret. A door of its own, so that neither ever stands before telemetry or configuration.
 */
import type { FastifyInstance } from 'fastify';
import { openHttpDoor } from '../../servers/http/httpDoor.ts';
import { type ServerIdentity, TlsDoor } from '../../servers/tls/door.ts';
import type { Connection } from '../../servers/tls/connection.ts';
import type { Core } from './core.ts';

export interface EstDoorOptions {
  readonly core: Core;
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly identity: ServerIdentity;
  readonly routes: (app: FastifyInstance) => void;
  readonly onAdmitted: (connection: Connection) => void;
}

export interface EstDoor {
  readonly port: number;
  renew(identity: ServerIdentity): void;
  close(): Promise<void>;
}

/** Rejects with the system's error when the port is taken; nothing is open then. */
export async function openEstDoor(options: EstDoorOptions): Promise<EstDoor> {
  const { core, host, routes, onAdmitted } = options;
  const { trust, live, metrics } = core;
  let { identity } = options;
  const onRefusal = (code: string): void => metrics.refused('est', code);
  const http = await openHttpDoor({ onRefusal, visitors: true, routes });
  const door = new TlsDoor({
    name: 'est',
    identity,
    anchorsPem: trust.anchorsPem('device'),
    alpn: ['http/1.1'],
    verify: core.verify('device'),
    live,
    tls12: true,
    accept: (connection) => {
      onAdmitted(connection);
      http.accept(connection);
    },
    acceptVisitor: (socket) => http.accept({ socket }),
    onRefusal,
  });
  const renew = (): void => door.renew(identity, trust.anchorsPem('device'));
  const close = async (): Promise<void> => {
    await door.close();
    await http.close();
  };
  try {
    const port = await door.listen(options.port, host);
    trust.onReplace(renew);
    return {
      port,
      renew: (renewed) => {
        identity = renewed;
        renew();
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
