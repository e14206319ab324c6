/** The server's device door: EST, configuration, and telemetry where no broker is used. */
import type { DeviceServer } from '../../../device/ports/server.ts';
import type { TlsMaterial } from '../tls/client.ts';
import { EstClient } from './estClient.ts';
import { HttpsClient, type HttpsServerAddress } from './httpsClient.ts';

export type { HttpsServerAddress } from './httpsClient.ts';

export function openDeviceServer(
  address: HttpsServerAddress,
  material: TlsMaterial,
): DeviceServer & { close(): void } {
  const client = new HttpsClient(address, material);
  const est = new EstClient(client);
  return {
    caCertificates: (credential) => est.caCertificates(credential),
    simpleEnroll: (credential, request) => est.simpleEnroll(credential, request),
    configuration: () =>
      client.send({
        credential: 'ldevid',
        method: 'GET',
        path: '/v1/configuration',
        accept: 'application/json',
      }),
    telemetry: (payload) =>
      client.send({
        credential: 'ldevid',
        method: 'POST',
        path: '/v1/telemetry',
        body: { type: 'application/octet-stream', bytes: payload },
      }),
    close: () => client.close(),
  };
}
