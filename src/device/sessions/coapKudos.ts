/**
 * KUDOS as a device begins it (draft-ietf-core-oscore-key-update §4): one request, one response, and both
 * have other keys. With forward secrecy from the keys that there are; a device that cannot write begins at
 * every start from those of its handshake.
 */
import { empty } from '../../wire/bytes/bytes.ts';
import { methods } from '../../wire/coap/codes.ts';
import type { CoapContent } from '../../wire/coap/message.ts';
import { uriPath } from '../../wire/coap/options.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import type { EadItem } from '../../wire/edhoc/ead.ts';
import type { ContextMaterial } from '../../wire/oscore/contextUpdate.ts';
import { KudosConfirmed, KudosIdle } from '../../wire/oscore/kudos.ts';
import {
  askKudosSupport,
  encodeKudosSupport,
  exampleKudosLabel,
  kudosPath,
  type KudosSupport,
  parseKudosSupport,
} from '../../wire/oscore/kudosSupport.ts';
import { isRefused } from '../../wire/oscore/refusal.ts';
import type { CoapLink } from '../ports/coap.ts';

export interface KudosOptions {
  /**
   * `full`: with forward secrecy; nothing of it is said in the handshake. `part`: a device that writes at a
   * handshake alone, and says so. `none`: keys are renewed by handshakes.
   */
  readonly kudos: KudosSupport;
  /** Of KUDOS_EAD, which is not registered. */
  readonly kudosLabel: number;
}

export const kudosDefaults: KudosOptions = { kudos: 'full', kudosLabel: exampleKudosLabel };

/** What a handshake says and asks (§5). */
export class KudosSignalling {
  readonly #options: KudosOptions;

  constructor(options: KudosOptions) {
    this.#options = options;
  }

  get ead1(): readonly EadItem[] {
    return this.#options.kudos === 'part' ? [this.#item(askKudosSupport)] : [];
  }

  /** §5: who was told NONE, or nothing, says nothing. */
  ead3(ead2: readonly EadItem[]): readonly EadItem[] {
    return this.isHeard(ead2) ? [this.#item(encodeKudosSupport('part'))] : [];
  }

  /** Whether the server keeps what a device that cannot write begins from. */
  isHeard(ead2: readonly EadItem[]): boolean {
    const said = ead2.find(({ label }) => label === this.#options.kudosLabel);
    const support = parseKudosSupport(said?.value);
    return this.#options.kudos === 'part' && support !== undefined && support !== 'none';
  }

  #item(value: Uint8Array): EadItem {
    return { label: this.#options.kudosLabel, critical: false, value };
  }
}

/**
 * The new keys, proven by the server. `undefined` when what came back proves nothing. Rejects with what the
 * link rejects with. Whoever has the old keys stored must not use them for anything else from here on.
 */
export async function updateByKudos(
  { crypto, link }: { readonly crypto: Crypto; readonly link: CoapLink },
  kudos: KudosSupport,
  material: ContextMaterial,
  onUnverified: (response: CoapContent) => void,
): Promise<ContextMaterial | undefined> {
  const common = { crypto, preserveObservations: false } as const;
  const config =
    kudos === 'part'
      ? ({ ...common, isCapable: false, peer: 'capable', bootstrap: material } as const)
      : ({ ...common, isCapable: true, peer: 'unknown' } as const);
  const busy = new KudosIdle(config, material).begin();
  const ping = { code: methods.post, options: uriPath(kudosPath), payload: empty };
  const sent = busy.protectRequest(ping);
  if (isRefused(sent)) return undefined;
  const message = await link.request(sent.message);
  const received = busy.receive({ kind: 'response', message, exchange: sent.exchange });
  if (isRefused(received)) {
    onUnverified(message);
    return undefined;
  }
  return received.next instanceof KudosConfirmed ? received.next.fresh.material : undefined;
}
