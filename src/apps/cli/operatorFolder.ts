/**
 * What a person has who is an operator: a key, in an encrypted file or a token, and the certificate for it.
 *
 *     operator.json      name, and the PKCS#11 URI where the key is in a token
 *     keys/operator.key  else
 *     request.pem        PKCS#10, for whoever adds the operator
 *     certificate.pem    with its chain, once there is one
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseKeyUri } from '../../drivers/keys/pkcs11/keyUri.ts';
import { Tokens } from '../../drivers/keys/pkcs11/tokens.ts';
import { KeyFolder } from '../../drivers/keys/software/keyFolder.ts';
import type { Signer } from '../../trust/ports/keys.ts';
import { isName } from '../../wire/line/fields.ts';
import { prepareCertificationRequest } from '../../wire/x509/certificationRequest.ts';
import { encodeName } from '../../wire/x509/names.ts';
import { encodePem } from '../../wire/x509/pem.ts';
import { readPassphrase } from '../passphrase.ts';
import { CommandFailure, exitCodes } from './terminal.ts';

export interface OperatorKey {
  readonly name: string;
  readonly signer: Signer;
  close(): Promise<void>;
}

const keyName = 'operator';

export function isOperatorFolder(folder: string): boolean {
  return existsSync(join(folder, 'operator.json'));
}

export function requestFileOf(folder: string): string {
  return join(folder, 'request.pem');
}

/** Makes the key, unless it is there, and a request for it. DER of the request. */
export async function makeOperator(
  folder: string,
  name: string,
  key: string | undefined,
): Promise<Uint8Array> {
  if (!isName(name)) {
    throw new CommandFailure(
      'a name has 1 to 64 letters, digits, dots, dashes and underscores',
      exitCodes.usage,
    );
  }
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, 'operator.json');
  if (existsSync(file)) {
    const present = await readFolder(folder);
    if (present.name !== name) {
      throw new CommandFailure(`${folder} is that of ${present.name}`, exitCodes.usage);
    }
  } else {
    const document = { name, ...(key === undefined ? {} : { key }) };
    await writeFile(file, `${JSON.stringify(document, undefined, 2)}\n`, { mode: 0o600 });
  }
  const operator = await openOperator(folder, true);
  try {
    const request = await requestOf(operator);
    await writeFile(requestFileOf(folder), encodePem('CERTIFICATE REQUEST', request));
    return request;
  } finally {
    await operator.close();
  }
}

/** DER of PKCS#10, signed by the operator's key. */
export async function requestOf({ name, signer }: OperatorKey): Promise<Uint8Array> {
  const request = prepareCertificationRequest({
    subject: encodeName(['commonName', name]),
    spki: signer.publicKeySpki,
  });
  return request.finish('ecdsa-with-SHA256', await signer.sign(request.toBeSigned));
}

/** The certificates as they were issued, leaf first. */
export async function saveOperator(folder: string, chain: readonly Uint8Array[]): Promise<string> {
  const file = join(folder, 'certificate.pem');
  await writeFile(file, chain.map((der) => encodePem('CERTIFICATE', der)).join(''));
  return file;
}

/** Of the folder that `--as` names. `makes`: the key is made when there is none. */
export async function openOperator(folder: string, makes = false): Promise<OperatorKey> {
  const { name, key } = await readFolder(folder);
  if (key !== undefined) return fromToken(name, key, makes);
  const keys = join(folder, 'keys');
  const present = existsSync(join(keys, `${keyName}.key`));
  if (!present && !makes) throw new CommandFailure(`no key in ${keys}`, exitCodes.usage);
  const passphrase = await readPassphrase({
    prompt: `Passphrase of ${name}`,
    confirm: !present,
    variable: 'BIRTHMARK_OPERATOR_PASSPHRASE',
  });
  const files = await KeyFolder.open({ folder: keys, passphrase });
  if (!present) await files.create(keyName, 'p256-sign');
  return { name, signer: await files.signer(keyName), close: () => Promise.resolve() };
}

async function fromToken(name: string, uri: string, makes: boolean): Promise<OperatorKey> {
  const tokens = new Tokens();
  try {
    const parsed = parseKeyUri(uri);
    const signer = makes
      ? await tokens.make(parsed, 'ecdsa-with-SHA256')
      : await tokens.find(parsed);
    if (signer?.algorithm !== 'ecdsa-with-SHA256') {
      throw new CommandFailure(`the token holds no P-256 key ${parsed.keyLabel}`);
    }
    return { name, signer, close: () => tokens.close() };
  } catch (error) {
    await tokens.close();
    throw error;
  }
}

async function readFolder(
  folder: string,
): Promise<{ readonly name: string; readonly key: string | undefined }> {
  const file = join(folder, 'operator.json');
  if (!existsSync(file)) {
    throw new CommandFailure(
      `${folder} is no folder of an operator: birthmark operator request makes one`,
      exitCodes.usage,
    );
  }
  const parsed: unknown = JSON.parse(await readFile(file, 'utf8'));
  const member = (name: string): unknown =>
    typeof parsed === 'object' && parsed !== null ? Reflect.get(parsed, name) : undefined;
  const name = member('name');
  const key = member('key');
  if (typeof name !== 'string' || (key !== undefined && typeof key !== 'string')) {
    throw new CommandFailure(`${file} names no operator`, exitCodes.usage);
  }
  return { name, key };
}
