/** KUDOS_EAD (draft-ietf-core-oscore-key-update §5): how EDHOC peers tell each other what they support. */
import { empty } from '../bytes/bytes.ts';

export type KudosSupport = 'none' | 'full' | 'part';

/** Not registered yet, so that it is configuration: this one is of the private range. Never critical. */
export const exampleKudosLabel = 65_005;

/** POST here means nothing but the message itself (§4.3.7). */
export const kudosPath = '.well-known/kudos';
export const kudosResourceType = 'core.kudos';

export const askKudosSupport: Uint8Array = empty;

const values: Readonly<Record<KudosSupport, number>> = { none: 0, full: 1, part: 2 };

/** The value for message_2 or message_3. */
export function encodeKudosSupport(support: KudosSupport): Uint8Array {
  return Uint8Array.of(values[support]);
}

/** Whether an EAD_1 value asks. Any other value is silently ignored (§5). */
export function asksKudosSupport(value: Uint8Array | undefined): boolean {
  return value?.length === 0;
}

/** From EAD_2 or EAD_3; `undefined` for a value that is silently ignored (§5). */
export function parseKudosSupport(value: Uint8Array | undefined): KudosSupport | undefined {
  if (value?.length !== 1) return undefined;
  if (value[0] === values.none) return 'none';
  if (value[0] === values.full) return 'full';
  return value[0] === values.part ? 'part' : undefined;
}

/** What that says about the peer in `KudosConfig`. */
export function peerCapability(support: KudosSupport): 'capable' | 'non-capable' | 'unknown' {
  if (support === 'none') return 'unknown';
  return support === 'full' ? 'capable' : 'non-capable';
}
