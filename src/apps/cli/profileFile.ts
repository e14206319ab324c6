/** A profile as a file that a person wrote. */
import { readFileSync } from 'node:fs';
import { faultsOfProfile, type Profile } from '../../trust/issuance/profile.ts';
import { isRefusal } from '../../trust/ports/faults.ts';
import { readProfile } from '../authority/profileDocument.ts';
import { CommandFailure, exitCodes } from './terminal.ts';

/** Ends the command with everything that is wrong. */
export function profileFrom(file: string): Profile {
  let document: unknown;
  try {
    document = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(`${file}: ${reason}`, exitCodes.usage);
  }
  const profile = readProfile(document);
  if (isRefusal(profile)) throw new CommandFailure(`${file}: ${profile.reason}`);
  const faults = faultsOfProfile(profile);
  if (faults.length > 0) throw new CommandFailure(`${file}: ${faults.join('; ')}`);
  return profile;
}
