/**
 * The certificate that the doors show: its key is made here and stays here, the authority certifies it at
 * the first start and again when a third of its life is left.
 */
import { existsSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeyFolder } from '../../drivers/keys/software/keyFolder.ts';
import type { ServerIdentity } from '../../servers/tls/door.ts';
import type { ProvisioningAuthority } from '../../trust/ports/authority.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { EnvironmentError, isRefusal } from '../../trust/ports/faults.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { prepareCertificationRequest } from '../../wire/x509/certificationRequest.ts';
import {
  decodeAuthorityKeyIdentifier,
  decodeSubjectAltName,
  decodeSubjectKeyIdentifier,
  extensionOids,
  findExtension,
} from '../../wire/x509/extensions.ts';
import { parseAddress } from '../../wire/x509/generalNames.ts';
import type { Certificate } from '../../wire/x509/model.ts';
import { encodeName } from '../../wire/x509/names.ts';
import { encodePem, findPem } from '../../wire/x509/pem.ts';

export interface ServerCertificateOptions {
  readonly folder: string;
  readonly keys: KeyFolder;
  readonly authority: Pick<ProvisioningAuthority, 'issueServer'>;
  /** DNS names and addresses by which devices, stations and applications reach this server. */
  readonly names: readonly string[];
  readonly clock: Clock;
  /** DER of the authority that issues server certificates now. */
  readonly issuer: () => Uint8Array | undefined;
}

const keyName = 'tls';
const certificateFile = 'tls.pem';
/** Of its life that is over when a certificate is renewed. */
const renewalAt = 2 / 3;

export class ServerCertificate {
  readonly #options: ServerCertificateOptions;
  #endMs = 0;

  constructor(options: ServerCertificateOptions) {
    this.#options = options;
  }

  /**
   * What the doors show from now on: the stored certificate while it serves, else a new one. Rejects
   * with an `EnvironmentError` when there is neither.
   */
  async identity(): Promise<{ readonly identity: ServerIdentity; readonly renewed: boolean }> {
    const stored = await this.#stored();
    const chain = stored ?? (await this.#issue());
    const [leaf] = findPem(chain);
    this.#endMs = leaf === undefined ? 0 : parseCertificate(leaf.der).notAfterMs;
    const privateKeyPem = await this.#options.keys.tlsKeyPem(keyName);
    const identity = { chainPem: chain, privateKeyPem };
    // A key in clear must not reach a log with the object around it.
    Object.defineProperty(identity, 'privateKeyPem', { enumerable: false });
    return { identity, renewed: stored === undefined };
  }

  /** End of what was given out last; 0 before that. */
  get endMs(): number {
    return this.#endMs;
  }

  async #stored(): Promise<string | undefined> {
    const file = join(this.#options.folder, certificateFile);
    const names = await this.#options.keys.names();
    if (!existsSync(file) || !names.includes(keyName)) return undefined;
    const pem = await readFile(file, 'utf8');
    const [leaf] = findPem(pem);
    if (leaf === undefined) return undefined;
    return (await this.#serves(parseCertificate(leaf.der))) ? pem : undefined;
  }

  async #serves(certificate: Certificate): Promise<boolean> {
    const { keys, names, clock, issuer } = this.#options;
    const { publicKey, notBeforeMs, notAfterMs } = certificate;
    const signer = await keys.signer(keyName);
    const renewalMs = notBeforeMs + (notAfterMs - notBeforeMs) * renewalAt;
    return (
      clock.nowMs() < renewalMs &&
      equal(publicKey.spki, signer.publicKeySpki) &&
      names.every((name) => isNamed(certificate, name)) &&
      isBy(certificate, issuer())
    );
  }

  async #issue(): Promise<string> {
    const { keys, authority, names, folder } = this.#options;
    if (!(await keys.names()).includes(keyName)) await keys.create(keyName, 'p256-sign');
    const signer = await keys.signer(keyName);
    const request = prepareCertificationRequest({
      subject: encodeName(['commonName', names[0] ?? 'server']),
      spki: signer.publicKeySpki,
    });
    const der = request.finish('ecdsa-with-SHA256', await signer.sign(request.toBeSigned));
    const issued = await authority.issueServer(der, names);
    if (isRefusal(issued)) {
      const problem = `the authority issues no server certificate: ${issued.reason}`;
      throw new EnvironmentError(problem, { retryable: false });
    }
    const pem = issued.chain.map((certificate) => encodePem('CERTIFICATE', certificate)).join('');
    const path = join(folder, certificateFile);
    await writeFile(`${path}.tmp`, pem, { mode: 0o600 });
    await rename(`${path}.tmp`, path);
    return pem;
  }
}

/** After a rollover the authority has the same name and another key. */
export function isBy({ extensions }: Certificate, issuer: Uint8Array | undefined): boolean {
  if (issuer === undefined) return true;
  const named = findExtension(extensions, extensionOids.authorityKeyIdentifier);
  const present = parseCertificate(issuer).extensions;
  const own = findExtension(present, extensionOids.subjectKeyIdentifier);
  if (named === undefined || own === undefined) return true;
  const identifier = decodeAuthorityKeyIdentifier(named.value);
  return identifier === undefined || equal(identifier, decodeSubjectKeyIdentifier(own.value));
}

function isNamed({ extensions }: Certificate, name: string): boolean {
  const extension = findExtension(extensions, extensionOids.subjectAltName);
  const names = extension === undefined ? [] : decodeSubjectAltName(extension.value);
  const address = parseAddress(name);
  return names.some((known) =>
    address === undefined
      ? known.kind === 'dNSName' && known.text === name
      : known.kind === 'iPAddress' && equal(known.address, address),
  );
}
