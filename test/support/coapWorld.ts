/** The CoAP door on a real socket in front of the sessions of `Field`, and devices that talk to it. */
import type { TestContext } from 'node:test';
import type { Attester } from '../../src/device/ports/attester.ts';
import {
  CoapSession,
  type CoapSessionEvent,
  type CoapSessionOptions,
} from '../../src/device/sessions/coapSession.ts';
import { openSealedStore } from '../../src/device/storage/sealedStore.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../src/drivers/keys/software/points.ts';
import { CoapClient } from '../../src/drivers/links/coap/coapClient.ts';
import {
  type CoapDoor,
  type CoapDoorOptions,
  openCoapDoor,
} from '../../src/servers/coap/coapDoor.ts';
import type { WebLink } from '../../src/servers/coap/linkFormat.ts';
import { Field, type FieldDevice, type FieldOptions } from './field.ts';

export interface CoapWorld {
  readonly field: Field;
  readonly door: CoapDoor;
  readonly refusals: string[];
  readonly defects: unknown[];
  /** A client with a socket of its own; closed after the test. */
  client(): Promise<CoapClient>;
  session(
    device: Pick<FieldDevice, 'element' | 'flash'>,
    options?: Partial<CoapSessionOptions> & {
      readonly link?: CoapClient;
      readonly attester?: Attester;
    },
  ): Promise<{
    readonly session: CoapSession;
    readonly handshakes: number[][];
    readonly events: CoapSessionEvent[];
  }>;
}

export const testLinks: readonly WebLink[] = [
  {
    path: '/.well-known/edhoc',
    attributes: [['rt', 'core.edhoc'], ['ed-csuite', '2'], ['ed-r'], ['ed-comb-req']],
  },
  {
    path: '/.well-known/est/crts',
    attributes: [['rt', 'ace.est.crts'], ['ct', '281 287'], ['osc']],
  },
  { path: '/.well-known/est/sen', attributes: [['rt', 'ace.est.sen'], ['ct', '281 287'], ['osc']] },
];

export async function coapWorld(
  context: TestContext,
  options: FieldOptions & { readonly door?: Partial<CoapDoorOptions> } = {},
): Promise<CoapWorld> {
  const field = new Field(options);
  const refusals: string[] = [];
  const defects: unknown[] = [];
  const door = await openCoapDoor({
    host: '127.0.0.1',
    port: 0,
    crypto: nodeCrypto,
    // Asked for at every message: the field's server may have been restarted.
    sessions: {
      take: (endpoint, frame) => field.relay.take(endpoint, frame),
      beginReverse: (endpoint) => field.relay.beginReverse(endpoint),
    },
    longestMessage2Bytes: 48,
    links: testLinks,
    onRefusal: (code) => refusals.push(code),
    onDefect: (error) => defects.push(error),
    ...options.door,
  });
  context.after(() => door.close());
  const client = async (): Promise<CoapClient> => {
    const opened = await CoapClient.open({
      host: '127.0.0.1',
      port: door.port,
      crypto: nodeCrypto,
      transmission: { ackTimeoutMs: 100 },
    });
    context.after(() => opened.close());
    return opened;
  };
  return {
    field,
    door,
    refusals,
    defects,
    client,
    session: async (device, { link, attester, ...settings } = {}) => {
      const handshakes: number[][] = [];
      const events: CoapSessionEvent[] = [];
      const store = await openSealedStore(device.element, device.flash, nodeCrypto);
      const ports = {
        element: device.element,
        link: link ?? (await client()),
        store,
        timer: field.time,
        crypto: nodeCrypto,
        decompress: decompressPoint,
        ...(attester === undefined ? {} : { attester }),
      };
      const report = (event: CoapSessionEvent): void => {
        events.push(event);
        if (event.kind === 'session') handshakes.push([...event.handshakeBytes]);
      };
      const session = await CoapSession.open(ports, report, settings);
      return { session, handshakes, events };
    },
  };
}
