/** The authority in a process of its own, measured from its birth: `node startProcess.ts DATA PASSPHRASE`. */
import { startAuthority } from '../../src/apps/authority/authority.ts';

const [dataFolder = '', passphrase = ''] = process.argv.slice(2);
const running = await startAuthority({ dataFolder, passphrase });
const readyMs = performance.now();
const { rss } = process.memoryUsage();
process.stdout.write(`${JSON.stringify({ readyMs, rss })}\n`);
await running.close();
