/** What every step of the demo is handed: where things are, whom to tell, what was found so far. */
import { join } from 'node:path';
import type { Narrator } from './narrator.ts';
import type { Environment } from './processes.ts';
import type { Report } from './report.ts';

export interface Demo {
  readonly environment: Environment;
  readonly passphrase: string;
  readonly narrator: Narrator;
  readonly report: Report;
}

/** Ports of the provisioner's doors on this machine. */
export interface Server {
  readonly device: number;
  readonly station: number;
  readonly api: number;
  readonly mqtt: number;
}

export function inFolder({ environment }: Demo, ...names: readonly string[]): string {
  return join(environment.folder, ...names);
}

/** A check of the demo: told when it held, the end of the demo when it did not. */
export function check(demo: Demo, held: boolean, claim: string): void {
  if (!held) throw new Error(`did not hold: ${claim}`);
  demo.narrator.proven(claim);
}
