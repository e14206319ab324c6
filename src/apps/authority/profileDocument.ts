/** Profiles as JSON documents, held against `profile.schema.json`. */
import { Ajv } from 'ajv';
import { readFileSync } from 'node:fs';
import type { Profile } from '../../trust/issuance/profile.ts';
import { builtInProfiles } from '../../trust/issuance/profiles.ts';
import { InvariantError, type Refusal, refuse } from '../../trust/ports/faults.ts';

const isProfile = new Ajv({ allErrors: true }).compile<ProfileDocument>(schema());

/** What an editor wants to know stands beside the profile. */
type ProfileDocument = Profile & { readonly $schema?: string };

/** Says what is wrong, and where. Contradictions between members are not the schema's. */
export function readProfile(document: unknown): Profile | Refusal<'invalid-profile'> {
  if (!isProfile(document)) {
    const faults = (isProfile.errors ?? []).map(
      ({ instancePath, message, params }) =>
        `${instancePath === '' ? 'the profile' : instancePath} ${message}${detailOf(params)}`,
    );
    return refuse('invalid-profile', [...new Set(faults)].join('; '));
  }
  const { $schema: _editors, ...profile } = document;
  return profile;
}

/** What was stored had passed; whatever else comes from the database is not ours. */
export function readStoredProfile(text: string): Profile {
  const profile = readProfile(JSON.parse(text));
  if ('refused' in profile) throw new InvariantError(`a stored profile: ${profile.reason}`);
  return profile;
}

/** Every profile as it is now: those that come with Birthmark, and those that a person added. */
export function currentProfiles(
  stored: ReadonlyArray<{ readonly text: string }>,
): ReadonlyMap<string, Profile> {
  const current = new Map<string, Profile>();
  for (const { text } of stored) {
    // A restore knows that it was there, by its number and hash, and not what it said.
    if (text === '') continue;
    const profile = readStoredProfile(text);
    const { version = 0 } = current.get(profile.name) ?? {};
    if (profile.version > version) current.set(profile.name, profile);
  }
  return new Map([...current, ...builtInProfiles]);
}

function schema(): object {
  const path = new URL('profile.schema.json', import.meta.url);
  const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (typeof parsed === 'object' && parsed !== null) return parsed;
  throw new InvariantError('profile.schema.json is no schema');
}

/** Which of the words allowed, which member too many: ajv keeps that apart from its message. */
function detailOf(params: Readonly<Record<string, unknown>>): string {
  const { allowedValues, additionalProperty } = params;
  if (Array.isArray(allowedValues)) return `: ${allowedValues.join(', ')}`;
  return typeof additionalProperty === 'string' ? `: ${additionalProperty}` : '';
}
