/** Step 2: an order of elements gets its identities at a station, which is killed in the middle. */
import { check, type Demo, inFolder, type Server } from './demo.ts';
import { ask, type Event, finish, listOf, numberOf, start, textOf, words } from './processes.ts';

/** One finished element on the bench, ready to be soldered. */
export interface Finished {
  readonly deviceId: string;
  readonly file: string;
}

interface Order {
  readonly name: string;
  readonly product: string;
  readonly quantity: number;
}

/** Personalizes the gateways and the sensors; the station dies while it works on the sensors. */
export async function personalize(
  demo: Demo,
  server: Server,
  quantity: number,
): Promise<{ readonly gateway: Finished; readonly sensors: readonly Finished[] }> {
  const { environment, narrator, report } = demo;
  const station = inFolder(demo, 'station');
  await ask(environment, words`station enrol --name station-1 --station ${station}`);
  narrator.say('station-1 has its own key and certificate, and no key of any authority');

  const gateways = { name: 'gateways', product: 'edge-gateway', quantity: 1 };
  await prepare(demo, gateways);
  await ask(environment, words`device role ${gateways.product} gateway`);
  await finish(environment, lineRun(demo, server, gateways));
  const [gateway] = await close(demo, gateways);
  if (gateway === undefined) throw new Error('no gateway was personalized');

  const sensors = { name: 'sensors', product: 'th-sensor', quantity };
  await prepare(demo, sensors);
  narrator.say(`order of ${quantity}: ticket signed, counted, bound to the key of station-1`);
  const startedMs = performance.now();
  const before = await killInTheMiddle(demo, server, sensors);
  await finishRun(demo, server, sensors, before);
  const perSecond = quantity / ((performance.now() - startedMs) / 1000);
  const made = await close(demo, sensors);
  report.personalized = {
    requested: quantity,
    verified: made.length,
    scrapped: 0,
    perSecond: Math.round(perSecond),
  };
  const distinct = new Set(made.map(({ deviceId }) => deviceId)).size;
  check(demo, made.length === quantity, `${made.length} of ${quantity} verified and locked`);
  check(demo, distinct === quantity, `${distinct} identities, none twice`);
  await ask(environment, words`audit fsck`);
  check(
    demo,
    true,
    'the independent checker: nothing unrecorded, no quota exceeded, log consistent',
  );
  return { gateway, sensors: made };
}

async function prepare(demo: Demo, order: Order): Promise<void> {
  const { environment } = demo;
  const { name, product, quantity } = order;
  const elements = inFolder(demo, name);
  const station = inFolder(demo, 'station');
  await ask(environment, words`element create --elements ${elements} --count ${quantity}`);
  await ask(environment, words`order create ${name} --product ${product} --quantity ${quantity}`);
  await ask(
    environment,
    words`ticket issue ${name} --count ${quantity} --station ${station} --out ${ticketFile(demo, order)}`,
  );
}

/** SIGKILL, as a power cut: the journal and the elements are all that is left. */
async function killInTheMiddle(demo: Demo, server: Server, order: Order): Promise<number> {
  const line = start(demo.environment, lineRun(demo, server, order));
  const enough = order.quantity * 0.4;
  const seen = await line.event((event) => {
    if (event['event'] !== 'progress') return false;
    const verified = numberOf(event, 'verified');
    demo.narrator.progress('personalizing', verified, order.quantity);
    return verified >= enough;
  });
  await line.kill();
  const verified = numberOf(seen, 'verified');
  demo.narrator.say(`station killed after ${verified} elements`);
  return verified;
}

async function finishRun(demo: Demo, server: Server, order: Order, before: number): Promise<void> {
  const line = start(demo.environment, lineRun(demo, server, order));
  const finished = await line.event((event) => {
    if (event['event'] === 'progress') {
      const done = numberOf(event, 'verified') + numberOf(event, 'passed');
      demo.narrator.progress('resumed      ', Math.min(done, order.quantity - 1), order.quantity);
    }
    return event['event'] === 'finished';
  }, 60_000);
  demo.narrator.progress('resumed      ', order.quantity, order.quantity);
  const { exitCode } = await line.finished;
  check(demo, exitCode === 0, 'the same command again finished what was begun, and the rest');
  const fresh = numberOf(finished, 'verified');
  demo.narrator.say(`${fresh} more in the second run, at least ${before} in the first`);
}

/** Closes ticket and batch; the manifest makes the elements known devices. */
async function close(demo: Demo, order: Order): Promise<readonly Finished[]> {
  const { environment } = demo;
  await ask(environment, words`order close ${order.name}`);
  const folder = inFolder(demo, order.name);
  const shown = await ask(environment, words`element show ${folder}`);
  return listOf(shown, 'elements').flatMap((element: Event) => {
    if (element['lifecycle'] !== 'locked') return [];
    const file = `${folder}/${textOf(element, 'uid')}.element`;
    return [{ deviceId: textOf(element, 'deviceId'), file }];
  });
}

function lineRun(demo: Demo, server: Server, order: Order): readonly string[] {
  const [ticket, elements] = [ticketFile(demo, order), inFolder(demo, order.name)];
  const url = `https://localhost:${server.station}`;
  return words`line run --ticket ${ticket} --elements ${elements} --server ${url}
    --station ${inFolder(demo, 'station')} --close --json`;
}

function ticketFile(demo: Demo, order: Order): string {
  return inFolder(demo, `${order.name}.ticket`);
}
