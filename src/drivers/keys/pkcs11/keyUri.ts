/**
 * Where a key in a token is: the part of RFC 7512 that is needed for it. The PIN is never in the URI, which
 * stands in configuration files: it comes from the file that `pin-source` names, or from the environment.
 */
import { readFileSync } from 'node:fs';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import { MalformedError } from '../../../wire/bytes/malformed.ts';

export interface KeyUri {
  /** As it was written. */
  readonly text: string;
  readonly tokenLabel: string;
  readonly keyLabel: string;
  readonly modulePath: string;
  /** File that holds the PIN. */
  readonly pinSource: string | undefined;
}

/** Throws a `MalformedError` that names what is missing. */
export function parseKeyUri(text: string): KeyUri {
  const [, path, query = ''] = /^pkcs11:([^?]*)(?:\?(.*))?$/.exec(text) ?? [];
  if (path === undefined) fail('does not begin with pkcs11:');
  const place = attributes(path, ';');
  const options = attributes(query, '&');
  if (options.has('pin-value')) fail('pin-value in a configuration file would be a PIN in clear');
  const need = (from: ReadonlyMap<string, string>, name: string): string =>
    from.get(name) ?? fail(`${name} is missing`);
  return {
    text,
    tokenLabel: need(place, 'token'),
    keyLabel: need(place, 'object'),
    modulePath: need(options, 'module-path'),
    pinSource: options.get('pin-source')?.replace(/^file:/, ''),
  };
}

/** Rejects with an `EnvironmentError` where there is none. */
export function pinOf({ pinSource, tokenLabel }: KeyUri): string {
  const file = pinSource ?? process.env['BIRTHMARK_PIN_FILE'];
  const value = process.env['BIRTHMARK_PIN'];
  if (file === undefined && value !== undefined && value !== '') return value;
  if (file === undefined) {
    throw new EnvironmentError(
      `no PIN for token ${tokenLabel}: pin-source in its URI, BIRTHMARK_PIN_FILE or BIRTHMARK_PIN`,
      { retryable: false },
    );
  }
  try {
    return readFileSync(file, 'utf8').trimEnd();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown';
    throw new EnvironmentError(`the PIN of token ${tokenLabel} cannot be read: ${reason}`, {
      retryable: true,
      cause,
    });
  }
}

function attributes(text: string, separator: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const part of text.split(separator).filter((one) => one !== '')) {
    const [, name, value] = /^([a-z-]+)=(.*)$/.exec(part) ?? [];
    if (name === undefined || value === undefined || found.has(name)) {
      fail(`${part} is no attribute, or there twice`);
    }
    try {
      found.set(name, decodeURIComponent(value));
    } catch {
      fail(`${name} is not percent-encoded`);
    }
  }
  return found;
}

function fail(problem: string): never {
  throw new MalformedError('pkcs11 URI', 0, problem);
}
