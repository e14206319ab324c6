/** Loaded before every test file: the same property tests run with the same values until asked otherwise. */
import { configureGlobal } from 'fast-check';
import { firstSeed } from './nightly.ts';

configureGlobal({ seed: firstSeed });
