import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { fromUtf8, utf8 } from '../../src/wire/bytes/utf8.ts';
import { parseCheckpoint } from '../../src/wire/tlog/checkpoint.ts';
import { parseNoteKey } from '../../src/wire/tlog/noteKey.ts';
import { parseInclusion, parseSubmission } from '../../src/wire/tlog/proof.ts';
import { encodeEntries, parseEntries } from '../../src/wire/tlog/tile.ts';
import { fuzz } from '../support/fuzz.ts';

const hash = Buffer.alloc(32, 7).toString('base64');
const note = utf8(
  `example.com/log\n20852163\n${hash}\n\n— example.com/log ${Buffer.alloc(68, 1).toString('base64')}\n`,
);
const join = (head: string): Uint8Array => Buffer.concat([utf8(head), note]);

fuzz({ name: 'tlogCheckpoint', valid: [note], read: parseCheckpoint });
fuzz({
  name: 'tlogSubmission',
  valid: [join(`old 20852014\n${hash}\n${hash}\n\n`), join('old 0\n\n')],
  read: parseSubmission,
});
fuzz({
  name: 'tlogProof',
  valid: [
    join(`c2sp.org/tlog-proof@v1\nindex 73894\n${hash}\n\n`),
    join(`c2sp.org/tlog-proof@v1\nextra AAAA\nindex 0\n\n`),
  ],
  read: parseInclusion,
});
fuzz({
  name: 'tlogEntries',
  valid: [encodeEntries([new Uint8Array(0), new Uint8Array(3), new Uint8Array(300)])],
  read: parseEntries,
});
fuzz({
  name: 'tlogKey',
  valid: [utf8('sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8')],
  read: (input) => parseNoteKey((data) => nodeCrypto.hash('SHA-256', data), fromUtf8(input) ?? ''),
});
