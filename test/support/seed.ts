/** Loaded before every test file: the same property tests run with the same values until asked otherwise. */
import { configureGlobal } from 'fast-check';

configureGlobal({ seed: Number(process.env['BIRTHMARK_SEED'] ?? 20_261_122) });
