/** The provisioner's local door: what its operator does on the machine itself, through the command line. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import { isRefusal, type Refusal } from '../../trust/ports/faults.ts';
import type { DeviceRole } from '../../trust/ports/registryStore.ts';
import type { ImportSummary } from '../../trust/registry/registry.ts';
import { judgeBySchema } from '../http/apiDescription.ts';
import { type ClientActs, clientRoutes } from '../http/clients.ts';
import { sendRefusal } from '../http/problem.ts';
import { resourceRoutes, type Resources } from '../http/resources.ts';
import { Fields } from './fields.ts';

type Outcome<Value> = Promise<Value | Refusal<string>>;

export interface ManifestOrder {
  /** Absolute path on this machine; read by the server, since a reel's manifest is tens of megabytes. */
  readonly file: string;
  readonly format: 'microchip' | 'birthmark';
  /** DER of the certificates whose keys may sign entries, and of the roots of the elements. */
  readonly signers: readonly Uint8Array[];
  readonly anchors: readonly Uint8Array[];
  readonly product: string | undefined;
  readonly state: 'expected' | 'released';
}

export interface ProvisionerActs {
  /** What the API has too. */
  readonly resources: Resources;
  readonly clients: ClientActs;
  readonly setProductRole: (product: string, role: DeviceRole) => Promise<number>;
  readonly importManifest: (order: ManifestOrder) => Outcome<ImportSummary>;
  /** A station that the authority has enrolled may come to its door. */
  readonly admitStation: (name: string, certificate: Uint8Array) => Outcome<undefined>;
  readonly status: () => Promise<object>;
}

export function provisionerRoutes(app: FastifyInstance, acts: ProvisionerActs): void {
  app.get('/v1/status', () => acts.status());
  app.register(
    async (resources) => {
      judgeBySchema(resources);
      // What is refused at this door is noted in one place, by its answers.
      const onRefusal = (): void => undefined;
      resourceRoutes(resources, { ...acts.resources, onRefusal });
      clientRoutes(resources, acts.clients, onRefusal);
    },
    { prefix: '/v1' },
  );

  app.post('/v1/products', async (request, _reply) => {
    const fields = new Fields(request.body);
    const role = fields.oneOf('role', ['sensor', 'gateway']);
    return { changed: await acts.setProductRole(fields.text('product', 64), role) };
  });

  app.post('/v1/manifests', async (request, reply) => {
    const fields = new Fields(request.body);
    const outcome = await acts.importManifest({
      file: fields.text('file', 4096),
      format: fields.oneOf('format', ['microchip', 'birthmark']),
      signers: fields.base64List('signers', 16),
      anchors: fields.base64List('anchors', 16),
      product: fields.optionalText('product', 64),
      state: fields.oneOf('state', ['expected', 'released']),
    });
    return answer(reply, outcome, (summary) => summary);
  });

  app.post('/v1/stations', async (request, reply) => {
    const fields = new Fields(request.body);
    const outcome = await acts.admitStation(fields.text('name', 64), fields.base64('certificate'));
    return answer(reply, outcome, () => ({}));
  });
}

function answer<Value>(
  reply: FastifyReply,
  outcome: Value | Refusal<string>,
  document: (value: Value) => object,
): object {
  return isRefusal(outcome) ? sendRefusal(reply, outcome) : document(outcome);
}
