/** Profiles of the authority, reached over its local socket. */
import type { Refusal } from '../../../trust/ports/faults.ts';
import type { ProfileDesk, ProfileView } from '../../../trust/ports/profileDesk.ts';
import type { Link } from '../../../trust/ports/link.ts';
import { allowed, type Answer, approvalMember, readAnswer } from './answers.ts';
import { linkTo, type Reach } from './localClient.ts';

export class ProfileClient implements ProfileDesk {
  readonly #client: Link;

  constructor(reach: Reach) {
    this.#client = linkTo(reach, 'authority');
  }

  close(): void {
    this.#client.close();
  }

  async profiles(): Promise<readonly ProfileView[]> {
    const response = await this.#client.send({ method: 'GET', path: '/v1/profiles' });
    return allowed(readAnswer(response, (answer) => answer.answers('profiles').map(readView)));
  }

  async addProfile(
    profile: unknown,
    approval?: Uint8Array,
  ): Promise<ProfileView | Refusal<string>> {
    const body = JSON.stringify({ profile, ...approvalMember(approval) });
    const json = { contentType: 'application/json', body };
    const response = await this.#client.send({ method: 'POST', path: '/v1/profiles', ...json });
    return readAnswer(response, readView);
  }
}

function readView(answer: Answer): ProfileView {
  return {
    name: answer.text('name'),
    version: answer.number('version'),
    sha256: answer.hex('sha256'),
    builtIn: answer.oneOf('builtIn', [true, false]),
    former: answer.oneOf('former', [true, false]),
    addedMs: answer.number('addedMs'),
    text: answer.text('text'),
  };
}
