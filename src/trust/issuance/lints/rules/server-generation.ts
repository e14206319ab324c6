/** Credentials of session servers say their generation and who vouches for them (docs/server-identity.md). */
import { decodeServerGeneration } from '../../../../wire/x509/serverGeneration.ts';
import { extension, type Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'server-generation',
  clause: 'docs/server-identity.md: critical, the floor not above the generation, a status key',
  fault: (subject) => {
    const { generationOid } = subject.profile;
    if (generationOid === undefined) return undefined;
    const found = extension(subject, generationOid);
    if (found?.critical !== true) return 'the server generation is missing or not critical';
    const { statusKey } = decodeServerGeneration(found.value);
    return statusKey === undefined ? 'nobody could vouch for the credential later' : undefined;
  },
};
