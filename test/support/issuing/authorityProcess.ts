/** The authority in a process of its own, to be killed: `node authorityProcess.ts DATA PASSPHRASE`. */
import { startAuthority } from '../../../src/apps/authority/authority.ts';

const [dataFolder = '', passphrase = ''] = process.argv.slice(2);
const { socketPath, recovery } = await startAuthority({ dataFolder, passphrase });
process.stdout.write(`${JSON.stringify({ socketPath, finished: recovery.finished })}\n`);
