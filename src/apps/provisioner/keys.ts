/** Keys of the provisioner, in its folder. */
import { KeyFolder } from '../../drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import type { KeyAgreement, SealingKey } from '../../trust/ports/keys.ts';
import {
  type AgreeCredential,
  encodeServerIdentity,
  readServerIdentity,
} from '../../wire/edhoc/agreeCredential.ts';

export interface ServerKeys {
  readonly folder: KeyFolder;
  /** Static key of EDHOC. */
  readonly agreement: KeyAgreement;
  readonly sealing: SealingKey;
  /** The credential with the public half of `agreement`, and its bytes as elements store them. */
  readonly identity: AgreeCredential;
  readonly identityBytes: Uint8Array;
}

const keyNames = { agreement: 'edhoc', sealing: 'sessions' } as const;

/** Makes the keys at the first start. `owner` tells a person whose server the credential names. */
export async function openKeys(
  options: { readonly folder: string; readonly passphrase: string; readonly costLog2?: number },
  owner: string,
): Promise<ServerKeys> {
  const folder = await KeyFolder.open(options);
  const names = await folder.names();
  if (!names.includes(keyNames.agreement)) await folder.create(keyNames.agreement, 'p256-agree');
  if (!names.includes(keyNames.sealing)) await folder.create(keyNames.sealing, 'sealing');
  const agreement = await folder.agreement(keyNames.agreement);
  const identityBytes = encodeServerIdentity(nodeCrypto, owner, agreement.publicKey);
  return {
    folder,
    agreement,
    sealing: await folder.sealingKey(keyNames.sealing),
    identity: readServerIdentity(nodeCrypto, identityBytes),
    identityBytes,
  };
}
