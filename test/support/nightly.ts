/** What the night changes: how much is run (`npm run test:nightly`), and where the seeds begin. */

export const isNightly: boolean = process.env['BIRTHMARK_NIGHTLY'] === '1';

/** Chosen and printed by test/run.ts at night; a run is repeated by setting it. */
export const firstSeed: number = Number(process.env['BIRTHMARK_SEED'] ?? 20_261_122);
