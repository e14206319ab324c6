/** Step 6: two devices are revoked; everything that they could try is refused, and the others go on. */
import { connect, type TLSSocket } from 'node:tls';
import { openElement } from '../../src/drivers/elements/software/elementFolder.ts';
import { encodePem } from '../../src/wire/x509/pem.ts';
import { readAnchors } from '../../src/wire/line/slotData.ts';
import type { Application } from './application.ts';
import { check, type Demo, inFolder, type Server } from './demo.ts';
import { type Air, type LiveDevice, startIpSensor, startRadioSensor } from './field.ts';
import { ask, numberOf, type Running, words } from './processes.ts';

export interface Field {
  readonly gateway: LiveDevice;
  readonly ipSensor: LiveDevice;
  readonly otherIpSensor: LiveDevice;
  readonly radioSensor: LiveDevice;
  readonly air: Air;
}

/** How long the revoked may try; enough for a dozen attempts at the pace of the demo. */
const patienceMs = 1_500;

export async function revokeTwo(
  demo: Demo,
  server: Server,
  field: Field,
  application: Application,
): Promise<void> {
  const { ipSensor, radioSensor } = field;
  const visitor = await Visitor.prepare(demo, server, ipSensor);
  check(demo, await visitor.isServed(), 'before: the sensor resumes its TLS session and is served');

  await revoke(demo, ipSensor);
  await ipSensor.process.event((event) => event['event'] === 'offline', patienceMs);
  check(demo, true, 'its live connection is gone');
  check(demo, !(await visitor.isServed()), 'the same TLS session, resumed again, is refused');
  await revoke(demo, radioSensor);
  const counts = [ipSensor, radioSensor].map(
    ({ element }) => application.of(element.deviceId).length,
  );
  const others = [field.gateway, field.otherIpSensor];
  const before = others.map(({ element }) => application.of(element.deviceId).length);

  await ipSensor.process.stop();
  const again = startIpSensor(demo, server, ipSensor.element, inFolder(demo, 'fresh-ip.state'));
  await refused(again, 'online');
  check(demo, true, 'reconnecting and enrolling again with its IDevID are refused');
  await radioSensor.process.stop();
  const radioAgain = startRadioSensor(
    demo,
    radioSensor.element,
    field.air,
    inFolder(demo, 'fresh-radio.state'),
  );
  await refused(radioAgain, 'session');
  check(demo, true, 'a new EDHOC handshake of the radio sensor gets nowhere');

  const after = [ipSensor, radioSensor].map(
    ({ element }) => application.of(element.deviceId).length,
  );
  check(demo, after.join() === counts.join(), 'not one more reading of either at the application');
  const now = others.map(({ element }) => application.of(element.deviceId).length);
  check(
    demo,
    now.every((count, index) => count > (before[index] ?? 0)),
    'the gateway and the other sensor go on',
  );
}

async function revoke(demo: Demo, { element, report }: LiveDevice): Promise<void> {
  const { deviceId } = element;
  const done = await ask(
    demo.environment,
    words`device revoke ${deviceId} --reason ${'stolen from the site'}`,
  );
  const killMs = Math.round(numberOf(done, 'killMs') * 10) / 10;
  demo.report.revoked.push({ deviceId, kind: report.kind, killMs });
  demo.narrator.say(`${report.kind} ${deviceId} revoked; last session closed after ${killMs} ms`);
}

/** The device tries for a while, and what would be success does not happen. */
async function refused(device: Running, success: string): Promise<void> {
  const happened = await device
    .event((event) => event['event'] === success, patienceMs)
    .then(() => true)
    .catch(() => false);
  await device.stop();
  if (happened) throw new Error(`a revoked device reached ${success}`);
}

interface Credentials {
  readonly key: string;
  readonly cert: string;
  readonly ca: readonly string[];
}

/** Whoever holds the sensor's element and its TLS session: visits the device door and resumes. */
class Visitor {
  readonly #port: number;
  readonly #credentials: Credentials;
  #session: Buffer | undefined;

  private constructor(port: number, credentials: Credentials) {
    this.#port = port;
    this.#credentials = credentials;
  }

  static async prepare(demo: Demo, server: Server, { element }: LiveDevice): Promise<Visitor> {
    const opened = await openElement(element.file, demo.passphrase);
    const chain = (await opened.readCertificate('ldevid')) ?? [];
    const anchors = readAnchors((await opened.readData('anchors')) ?? new Uint8Array());
    const pem = (certificate: Uint8Array): string => encodePem('CERTIFICATE', certificate);
    const visitor = new Visitor(server.device, {
      key: opened.tlsKeyPem('sign'),
      cert: chain.map(pem).join(''),
      ca: anchors.map(pem),
    });
    if (!(await visitor.isServed())) throw new Error('the sensor is not served before revocation');
    return visitor;
  }

  /** Whether a request over a connection that resumes the last session, if there is one, gets a 200. */
  async isServed(): Promise<boolean> {
    const answer = await new Promise<string>((resolve) => {
      let text = '';
      const socket: TLSSocket = connect({
        ...this.#credentials,
        ca: [...this.#credentials.ca],
        host: 'localhost',
        port: this.#port,
        servername: 'localhost',
        minVersion: 'TLSv1.3',
        allowPartialTrustChain: true,
        ...(this.#session === undefined ? {} : { session: this.#session }),
      });
      socket.setEncoding('utf8');
      socket.on('session', (session) => (this.#session = session));
      socket.on('data', (part: string) => (text += part));
      socket.on('error', () => resolve(text));
      socket.on('close', () => resolve(text));
      socket.write(
        'GET /v1/configuration HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
      );
    });
    return answer.startsWith('HTTP/1.1 200 ');
  }
}
