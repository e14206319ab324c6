/** What the labels of EST stand for: which profile, and how bodies are framed. */
import type { EstService } from '../../servers/http/est.ts';
import type { Hierarchy } from '../../trust/ports/authority.ts';

export interface EstServiceOptions {
  readonly hierarchy: () => Hierarchy;
  /** Names of the profiles that devices may be given: each is a label. */
  readonly deviceProfiles: () => ReadonlySet<string>;
}

/** By label; the empty one is what comes without (RFC 7030 §3.2.2). */
export class EstServices {
  readonly #deviceProfiles: () => ReadonlySet<string>;
  readonly #standard: EstService;
  /** Labels that choose no profile: there a one-time secret does. */
  readonly #forms: ReadonlyMap<string, EstService>;

  constructor({ hierarchy, deviceProfiles }: EstServiceOptions) {
    this.#deviceProfiles = deviceProfiles;
    this.#standard = {
      profile: 'ldevid',
      // RFC 7030 §4.1.3: the root, what stands between it and a device, and what links the old to the new.
      caCertificates: () => [
        ...hierarchy().roots,
        ...hierarchy().operational,
        ...hierarchy().links,
      ],
      popLinking: 'when-present',
      again: 'allowed',
      framing: 'line',
    };
    const open: EstService = { ...this.#standard, secretDecides: true };
    this.#forms = new Map<string, EstService>([
      ['', open],
      // For clients that insist on naming their connection, and on being told to.
      ['linked', { ...open, popLinking: 'required' }],
      // For clients that cannot read a long line; others cannot read anything else.
      ['wrapped', { ...open, framing: 'wrap64' }],
    ]);
  }

  get(label: string): EstService | undefined {
    const form = this.#forms.get(label);
    if (form !== undefined || !this.#deviceProfiles().has(label)) return form;
    return { ...this.#standard, profile: label };
  }
}
